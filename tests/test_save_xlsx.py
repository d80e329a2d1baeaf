"""Workbooks: typed cells, text that stays text, and the same bytes every time."""

from __future__ import annotations

import re
import sys
import zipfile
from datetime import date

import numpy as np
import pytest
import small
from hypothesis import HealthCheck, given, settings, strategies as st
from python_calamine import CalamineWorkbook

from oddwave.errors import MissingExtraError, OutputError
from oddwave.events import Event
from oddwave.result import Result
from oddwave.save import xlsx
from oddwave.series import Series

NAN = float("nan")
UNSCORED = "missing values for longer than max_gap"


def result_of(index, score, kind="number", ticks=None, name="timestamp", events=(), **more):
    score = np.asarray(score, dtype=np.float64)
    label = np.where(np.isnan(score), -1, score > 1).astype(np.int8)
    reason = np.isnan(score).astype(np.uint8)
    ticks = np.arange(len(score)) if ticks is None else ticks
    source, group = more.pop("source", "in.csv"), more.pop("group", None)
    series = Series(np.zeros((len(score), 1)), ("a",), ticks, kind, np.asarray(index), name, source, group)
    return Result(series, score, label, reason, list(events), 1.0, "M", "full", **more)


def dated(texts, score, ahead=0, **more):
    """Return a result with these texts as dates; `ahead` is their zone in hours."""
    local = np.array([text[:26].split("+")[0].rstrip("Z") for text in texts], dtype="datetime64[us]").astype(np.int64)
    return result_of(np.array(texts, dtype=object), score, "datetime", local - ahead * 3_600_000_000, **more)


def sheets(path):
    """Return the cells of each sheet, row by row; what is empty is an empty text."""
    book = CalamineWorkbook.from_path(str(path))
    return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}


def xml(path, part="xl/worksheets/sheet1.xml"):
    with zipfile.ZipFile(path) as book:
        return book.read(part).decode()


def style_of(path, cell):
    """Return the number format and whether a cell is coloured."""
    styles = xml(path, "xl/styles.xml")
    number = int(re.search(rf'<c r="{cell}" s="(\d+)"', xml(path))[1])
    look = re.findall(r"<xf [^>]*>", styles.split("<cellXfs")[1])[number]
    formats = dict(re.findall(r'<numFmt numFmtId="(\d+)" formatCode="([^"]*)"', styles))
    shown = re.search(r'numFmtId="(\d+)"', look)[1]
    return formats.get(shown, shown), "applyFill" in look


def test_rows_have_typed_cells_and_what_is_missing_is_empty(tmp_path):
    path = result_of([7, 8, 9], [0.5, NAN, 2.25]).save_to_xlsx(f"{tmp_path}/")
    assert path == tmp_path / "in.xlsx"
    found = sheets(path)
    assert list(found) == ["rows", "events", "about"]
    assert found["rows"] == [
        ["timestamp", "label", "score", "reason"],
        [7.0, 0.0, 0.5, ""],
        [8.0, "", "", UNSCORED],
        [9.0, 1.0, 2.25, ""],
    ]


def test_there_is_no_reason_column_if_all_rows_were_scored(tmp_path):
    path = result_of([7], [0.5]).save_to_xlsx(tmp_path / "out.xlsx")
    assert sheets(path)["rows"] == [["timestamp", "label", "score"], [7.0, 0.0, 0.5]]


def test_the_header_stays_in_sight_and_filters_and_anomalous_rows_are_coloured(tmp_path):
    path = result_of([7, 8], [0.5, 2.25]).save_to_xlsx(tmp_path / "out.xlsx")
    assert 'state="frozen"' in xml(path)
    assert '<autoFilter ref="A1:C3"/>' in xml(path)
    assert [style_of(path, cell)[1] for cell in ("A2", "B2", "C2", "A3", "B3", "C3")] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@x", "https://host/x", "mailto:x@y", "internal:about!A1", "{=1}"]
)
def test_text_that_looks_like_a_formula_or_a_link_stays_text(tmp_path, name):
    event = Event(name, name, 1.0, name, 2.0, 0, 0, 1, ((name, 0.5),))
    result = result_of(np.array([name], dtype=object), [2.0], name=name, events=[event], source=name, notes=(name,))
    path = result.save_to_xlsx(tmp_path / "out.xlsx")
    found = sheets(path)
    assert found["rows"][0][0] == found["rows"][1][0] == name
    assert found["events"][1][1] == found["events"][1][7] == name
    assert ["input", name] in found["about"]
    assert ["note", name] in found["about"]
    with zipfile.ZipFile(path) as book:
        texts = "".join(book.read(part).decode() for part in book.namelist())
    assert "<f>" not in texts
    assert "hyperlink" not in texts


@pytest.mark.parametrize(
    ("texts", "shown", "cells"),
    [
        (["2024-01-01", "2024-02-29"], "yyyy-mm-dd", ["2024-01-01", "2024-02-29"]),
        (["2024-01-01 00:05", "1900-03-02"], "yyyy-mm-dd hh:mm", ["2024-01-01 00:05:00", "1900-03-02"]),
        (["2024-01-01T00:00:05", "9999-12-30"], "yyyy-mm-dd hh:mm:ss", ["2024-01-01 00:00:05", "9999-12-30"]),
        (["2024-01-01 23:59:59.001"], "yyyy-mm-dd hh:mm:ss.000", ["2024-01-01 23:59:59.001000"]),
    ],
)
def test_dates_are_dates_as_fine_as_they_are(tmp_path, texts, shown, cells):
    path = dated(texts, [0.5] * len(texts)).save_to_xlsx(tmp_path / "out.xlsx")
    found = [row[0] for row in sheets(path)["rows"][1:]]
    assert [str(cell) for cell in found] == cells
    assert all(isinstance(cell, date) for cell in found)
    assert style_of(path, "A2")[0] == shown


@pytest.mark.parametrize(
    "texts", [["1900-02-28", "2024-01-01"], ["0001-01-01"], ["9999-12-31 12:00"], ["2024-01-01 00:00:00.000001"]]
)
def test_dates_that_a_cell_cant_hold_stay_as_written(tmp_path, texts):
    path = dated(texts, [0.5] * len(texts)).save_to_xlsx(tmp_path / "out.xlsx")
    assert [row[0] for row in sheets(path)["rows"][1:]] == texts


def test_dates_with_a_zone_are_in_it_and_the_column_says_so(tmp_path):
    path = dated(["2024-01-01 00:30+02:00"] * 2, [0.5, 2.0], ahead=2).save_to_xlsx(tmp_path / "out.xlsx")
    assert [str(row[0]) for row in sheets(path)["rows"]] == ["timestamp (+02:00)", *["2024-01-01 00:30:00"] * 2]


def test_dates_in_several_zones_are_utc_and_the_column_says_so(tmp_path):
    result = dated(["2024-01-01 00:00+02:00", "2023-12-31T23:00Z"], [0.5, 2.0])
    result.series.ticks[:] = np.array(["2023-12-31T22:00", "2023-12-31T23:00"], dtype="datetime64[us]").astype(np.int64)
    rows = sheets(result.save_to_xlsx(tmp_path / "out.xlsx"))["rows"]
    assert [str(row[0]) for row in rows] == ["timestamp (UTC)", "2023-12-31 22:00:00", "2023-12-31 23:00:00"]


@pytest.mark.parametrize(
    ("times", "cells"),
    [
        ([10**15 - 1, -5], [10.0**15 - 1, -5.0]),
        ([1_700_000_000_123_456_789], ["1700000000123456789"]),
        ([0.25, 1e300], [0.25, 1e300]),
        (["a\x01b", "\udce9", "_x0041_", " x\n"], ["a\x01b", "\\udce9", "_x0041_", " x\n"]),
        (["\ufffe"], ["_xFFFE_"]),  # no XML can hold it
    ],
)
def test_times_that_are_no_dates_keep_their_digits(tmp_path, times, cells):
    index = np.array(times, dtype=object if isinstance(times[0], str) else None)
    path = result_of(index, [0.5] * len(times)).save_to_xlsx(tmp_path / "out.xlsx")
    assert [row[0] for row in sheets(path)["rows"][1:]] == cells


def test_a_score_without_bounds_is_text(tmp_path):
    path = result_of([1], [np.inf]).save_to_xlsx(tmp_path / "out.xlsx")
    assert sheets(path)["rows"][1] == [1.0, 1.0, "inf"]


def test_events_are_a_sheet_with_channels_and_shares_in_columns_of_their_own(tmp_path):
    texts = ["2024-01-01 00:02", "2024-01-01 00:00", "2024-01-01 00:01", "2024-01-01 00:03"]  # the file's order
    event = Event(texts[2], texts[0], 60.0, texts[0], 9.0, 1, 2, 2, (("cpu", 0.75), ("disk", 0.2)))
    path = dated(texts, [9.0, 0.5, 2.0, 0.5], events=[event]).save_to_xlsx(tmp_path / "out.xlsx")
    header, row = sheets(path)["events"]
    row = [str(cell) if isinstance(cell, date) else cell for cell in row]
    assert dict(zip(header, row, strict=True)) == {
        "#": 1.0, "start": "2024-01-01 00:01:00", "end": "2024-01-01 00:02:00", "duration (s)": 60.0,
        "rows": 2.0, "peak": "2024-01-01 00:02:00", "peak score": 9.0,
        "channel 1": "cpu", "share 1": 0.75, "channel 2": "disk", "share 2": 0.2, "channel 3": "", "share 3": "",
    }  # fmt: skip
    assert len(sheets(result_of([1], [0.5]).save_to_xlsx(tmp_path / "calm.xlsx"))["events"]) == 1


def test_the_last_sheet_says_what_was_used(tmp_path):
    result = result_of([1, 2, 3], [0.5, NAN, 2.0], group="host 1", notes=("one note", "another"))
    assert sheets(result.save_to_xlsx(tmp_path / "out.xlsx"))["about"] == [
        ["found", "No event, but 1 of 3 rows anomalous"], ["input", "in.csv"], ["group", "host 1"], ["model", "M"],
        ["scoring", "full"], ["threshold", 1.0], ["rows", 3.0], ["anomalous rows", 1.0], ["events", 0.0],
        [f"not scored: {UNSCORED}", 1.0], ["note", "one note"], ["note", "another"],
    ]  # fmt: skip


def test_more_rows_than_a_sheet_holds_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(xlsx, "MOST_ROWS", 3)
    assert len(sheets(result_of([1, 2, 3], [0.5] * 3).save_to_xlsx(tmp_path / "full.xlsx"))["rows"]) == 4
    with pytest.raises(OutputError, match=r"over\.xlsx can't hold 4 rows: a sheet ends at 4\. Save this result as CSV"):
        result_of([1, 2, 3, 4], [0.5] * 4).save_to_xlsx(tmp_path / "over.xlsx")
    assert small.names_in(tmp_path) == ["full.xlsx"]


def test_a_sheet_ends_where_excel_ends():
    assert xlsx.MOST_ROWS + 1 == 2**20


def test_the_same_result_is_the_same_bytes(tmp_path):
    results = [dated(["2024-01-01", "2024-01-02"], [0.5, 2.0], notes=("note",)) for _ in range(2)]
    one, other = (result.save_to_xlsx(tmp_path / f"{i}.xlsx").read_bytes() for i, result in enumerate(results))
    assert one == other


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oddwave\[excel\]'"):
        result_of([1], [0.5]).save_to_xlsx(tmp_path / "out.xlsx")
    assert small.names_in(tmp_path) == []


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.lists(st.tuples(st.text(max_size=20), st.floats()), max_size=20),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
)
def test_any_text_and_any_score_make_a_workbook_that_opens(tmp_path, rows, name):
    index = np.array([text for text, _ in rows], dtype=object)
    path = result_of(index, [score for _, score in rows], name=name, notes=(name,)).save_to_xlsx(tmp_path / "out.xlsx")
    found = sheets(path)["rows"]
    assert len(found) == len(rows) + 1
    finite = [score for _, score in rows if abs(score) < 9.99e307]
    assert [cells[2] for cells in found[1:] if isinstance(cells[2], float)] == pytest.approx(finite, rel=1e-14)
