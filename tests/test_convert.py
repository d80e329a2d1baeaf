"""Convert: workbooks to CSV beside them, nothing overwritten."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from small import names_in

from oddwave import check
from oddwave.errors import InputError, OutputError

xlsxwriter = pytest.importorskip("xlsxwriter")
pytest.importorskip("python_calamine")


def book(path, rows):
    with xlsxwriter.Workbook(str(path)) as made:
        sheet = made.add_worksheet()
        date = made.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, datetime):
                    sheet.write_datetime(at, column, cell.replace(tzinfo=None), date)
                else:
                    sheet.write(at, column, cell)
    return path


ROWS = [
    ["time", "flow", "note"],
    [datetime(2026, 3, 1, 0, 5, tzinfo=UTC), 0.25, "a, b"],
    [datetime(2026, 3, 1, 0, 6, tzinfo=UTC), 3, ""],
]
TEXT = 'time,flow,note\n2026-03-01 00:05:00,0.25,"a, b"\n2026-03-01 00:06:00,3,\n'


def test_each_workbook_of_a_folder_becomes_a_csv_beside_it_and_stays(tmp_path):
    for name in ("train", "val"):
        book(tmp_path / f"{name}.xlsx", ROWS)
    (tmp_path / "other.txt").write_text("x\n1\n")
    assert check.convert(tmp_path) == [tmp_path / "train.csv", tmp_path / "val.csv"]
    assert names_in(tmp_path) == ["other.txt", "train.csv", "train.xlsx", "val.csv", "val.xlsx"]
    assert (tmp_path / "val.csv").read_text() == TEXT


def test_a_single_workbook_is_converted_and_again_without_change(tmp_path):
    path = book(tmp_path / "pump.xlsx", ROWS)
    assert check.convert(path) == check.convert(path) == [tmp_path / "pump.csv"]


def test_a_csv_of_other_content_is_not_overwritten_and_no_file_is_written(tmp_path):
    book(tmp_path / "a.xlsx", ROWS)
    book(tmp_path / "b.xlsx", ROWS)
    (tmp_path / "b.csv").write_text("mine\n1\n")
    with pytest.raises(OutputError, match=r"b\.csv is there already and isn't what b\.xlsx holds"):
        check.convert(tmp_path)
    assert names_in(tmp_path) == ["a.xlsx", "b.csv", "b.xlsx"]
    assert (tmp_path / "b.csv").read_text() == "mine\n1\n"


def test_a_damaged_workbook_is_told_and_no_file_is_written(tmp_path):
    book(tmp_path / "a.xlsx", ROWS)
    (tmp_path / "b.xlsx").write_bytes(b"PK\x03\x04broken")
    with pytest.raises(InputError, match=r"b\.xlsx"):
        check.convert(tmp_path)
    assert names_in(tmp_path) == ["a.xlsx", "b.xlsx"]


@pytest.mark.parametrize("name", ["", "absent.xlsx", "there.csv"])
def test_nothing_to_convert_is_told(name, tmp_path):
    (tmp_path / "there.csv").write_text("x\n1\n")
    with pytest.raises(InputError, match="no Excel workbook"):
        check.convert(tmp_path / name)
