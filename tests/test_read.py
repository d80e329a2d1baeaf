"""Inputs of every kind: files, folders, globs, standard input, pipes, tables, arrays, lists."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from oddwave.errors import InputError, MissingExtraError
from oddwave.read import compound, excel, parse_csv, read, read_chunks, read_one, sources, stream, table
from oddwave.series import Columns, Series

DATA = Path(__file__).parent / "data"
SERVER = DATA / "server.csv"
BODY = SERVER.read_bytes()
CHANNELS = ("cpu", "memory", "disk_read", "disk_write", "net_in", "net_out")
SIX = Columns(channels=CHANNELS)


def one(data: object, columns: Columns = SIX) -> Series:
    (series,) = read(data, columns)
    return series


def fault(data: object, columns: Columns = SIX) -> str:
    with pytest.raises(InputError) as caught:
        list(read(data, columns))
    return str(caught.value)


def assert_server(series: Series) -> None:
    expected = parse_csv(BODY, SIX, "")
    assert series.values.tobytes() == expected.values.tobytes()
    assert series.ticks.tolist() == expected.ticks.tolist()
    assert (series.channels, series.kind, series.time_name) == (CHANNELS, "number", "timestamp")


@pytest.fixture
def workbook(tmp_path):
    path = tmp_path / "server.xlsx"
    pl.read_csv(SERVER).write_excel(path)
    return path


# ---- kinds of input


def test_paths_are_read_as_text_or_path_and_named_as_given():
    assert_server(one(str(SERVER)))
    assert_server(one(SERVER))
    assert one(str(SERVER)).source == str(SERVER)


def test_excel_files_of_both_kinds_are_read(workbook):
    assert_server(one(workbook))
    assert_server(one(DATA / "server.xls"))
    renamed = workbook.rename(workbook.with_suffix(".XLSX"))
    assert_server(one(renamed))


def test_excel_dates_blanks_and_texts_are_read_and_named_by_sheet_row(tmp_path):
    path = tmp_path / "dates.xlsx"
    times = [datetime(2024, 1, 1) + timedelta(minutes=10 * at) for at in range(6)]  # noqa: DTZ001
    frame = pl.DataFrame({"time": times, "a": [1.5, None, 3, 4, 5, 6], "on": [True, False, True, True, True, True]})
    frame.write_excel(path)
    series = one(path, Columns())
    assert series.index.tolist()[:2] == ["2024-01-01 00:00:00", "2024-01-01 00:10:00"]
    assert (np.diff(series.ticks) == 600_000_000).all()
    assert series.values[0].tolist() == [1.5, 1.0]
    assert series.notes == ("1 cell is missing (first: row 3, column a).",)
    frame.with_columns(pl.Series("a", ["1", "2", "3", "x", "5", "6"])).write_excel(path)
    assert "dates.xlsx, row 5, column 'a': 'x' isn't a number" in fault(path, Columns(channels=("a",)))


def test_parquet_is_read_with_its_types(tmp_path):
    path = tmp_path / "server.PARQUET"
    frame = pl.read_csv(SERVER)
    frame.write_parquet(path)
    assert_server(one(path))
    frame.with_columns(pl.from_epoch("timestamp", "s"), pl.col("cpu").cast(pl.String)).write_parquet(path)
    series = one(path)
    assert series.kind == "datetime"
    assert series.index[0] == "1970-01-01T07:24:48"
    assert series.ticks[0] == 26688 * 1_000_000
    assert series.values.tobytes() == parse_csv(BODY, SIX, "").values.tobytes()


def test_parquet_chunks_hold_the_rows_of_the_whole_file(tmp_path):
    path = tmp_path / "server.parquet"
    frame = pl.read_csv(SERVER).with_columns(pl.when(pl.col("timestamp") % 7 > 0).then(pl.col("cpu")).alias("cpu"))
    frame.write_parquet(path, row_group_size=16)
    whole, chunks = one(path), list(read_chunks(path, SIX, rows=7))
    assert all(len(chunk) <= 7 for chunk in chunks)
    assert np.concatenate([chunk.values for chunk in chunks]).tobytes() == whole.values.tobytes()
    assert np.concatenate([chunk.ticks for chunk in chunks]).tolist() == whole.ticks.tolist()
    assert chunks[-1].notes == whole.notes != ()


def test_a_parquet_file_of_few_bytes_and_very_many_rows_is_read_in_chunks_only(tmp_path, monkeypatch):
    path = tmp_path / "long.parquet"
    frame = pl.DataFrame({"time": pl.int_range(100_000, eager=True) // 1000, "a": pl.zeros(100_000, eager=True)})
    frame.write_parquet(path)
    assert path.stat().st_size < 10_000
    assert table.parquet_bytes(path) == 1_600_000
    assert table.parquet_bytes(SERVER) == 0
    monkeypatch.setattr(table, "MAX_CELLS", 199_999)
    assert "has 200,000 cells, more than 199,999" in fault(path, Columns())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    assert "standard input has 200,000 cells" in fault("-", Columns())
    assert sum(map(len, read_chunks(path, Columns(), rows=5000))) == 100_000


def test_a_csv_on_standard_input_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(BODY)))
    assert_server(one("-"))
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    assert fault("-").startswith("standard input is empty (0 bytes)")


def test_a_named_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(BODY,))
    writer.start()
    assert_server(one(path))
    writer.join()


def test_a_named_pipe_without_a_writer_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "PIPE_WAIT_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    assert "is a named pipe, and nothing was written into it for 0.05 s" in fault(tmp_path / "pipe")


def test_a_pipe_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_UNPACKED", 1000)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(BODY,))
    writer.start()
    assert "goes on after 1,000 bytes" in fault(path)
    writer.join()


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow"])
def test_tables_of_each_library_are_read(library):
    frame = pl.read_csv(SERVER)
    if library == "pandas":
        pandas = pytest.importorskip("pandas")
        series = one(pandas.read_csv(SERVER))
        assert series.source == "DataFrame"
    elif library == "pyarrow":
        pytest.importorskip("pyarrow")
        series = one(frame.to_arrow())
        assert series.source == "Table"
    else:
        series = one(frame)
    assert_server(series)


def test_a_pandas_index_of_times_is_the_time():
    pandas = pytest.importorskip("pandas")
    index = pandas.date_range("2024-03-31", periods=3, freq="h", tz="Europe/Berlin")
    frame = pandas.DataFrame({"a": [1, 2, 3]}, index=index)
    series = one(frame, Columns())
    assert series.time_name == "timestamp"
    assert series.channels == ("a",)
    assert series.index.tolist() == [
        "2024-03-31T00:00:00+01:00", "2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00",
    ]  # fmt: skip
    assert np.diff(series.ticks).tolist() == [3_600_000_000] * 2
    named = one(frame.tz_localize(None).rename_axis("when"), Columns(known_time_col="date"))
    assert (named.time_name, named.index[0]) == ("when", "2024-03-31T00:00:00")
    numbered = pandas.DataFrame({"a": [1.5, 2]}, index=pandas.Index([5, 6], name="step"))
    assert one(numbered, Columns(time_col="step")).ticks.tolist() == [5, 6]
    assert one(numbered, Columns()).kind == "row"


def test_pandas_types_are_read_and_missing_cells_counted():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "time": pandas.to_datetime(["2024-01-01", "2024-01-02"]),
            "a": pandas.array([1, None], dtype="Int64"),
            "b": [True, False],
            "c": pandas.Categorical(["x", "y"]),
            "d": ["1", "2.5"],
            0: np.float32([0.1, np.inf]),
        }
    )
    series = one(frame, Columns())
    assert series.channels == ("a", "b", "d", "0")
    np.testing.assert_array_equal(series.values, [[1, 1, 1, np.float32(0.1)], [np.nan, 0, 2.5, np.nan]])
    assert series.notes == (
        "Columns of text left aside: c.",
        "1 cell is missing (first: row 2, column a).",
        "1 cell is infinite or too large for a number, treated as missing (first: row 2, column 0).",
    )
    assert "has the column 'a' 2 times" in fault(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    frame.loc[1, "time"] = pandas.NaT
    assert "DataFrame, row 2, column 'time': the time is blank" in fault(frame, Columns())


def test_polars_types_are_read():
    zone = ZoneInfo("Europe/Berlin")
    frame = pl.DataFrame(
        {
            "time": [datetime(2024, 1, 1, tzinfo=zone), datetime(2024, 7, 1, tzinfo=zone)],
            "day": [date(2024, 1, 1), date(2024, 7, 1)],
            "host": ["web", "db"],
            "a": pl.Series(["1.5", "2"], dtype=pl.String).cast(pl.Decimal(10, 2)),
            "label": [False, True],
        }
    )
    series = one(frame, Columns(time_col="time"))
    assert series.channels == ("a",)
    assert series.index.tolist() == ["2024-01-01T00:00:00+01:00", "2024-07-01T00:00:00+02:00"]
    assert series.labels.tolist() == [0, 1]
    assert one(frame, Columns(time_col="day")).index.tolist() == ["2024-01-01", "2024-07-01"]
    groups = [(part.group, len(part)) for part in read(frame, Columns(group_col="host", time_col="time"))]
    assert groups == [("web", 1), ("db", 1)]
    assert_server(one(pl.scan_csv(SERVER)))


def test_arrays_are_matched_by_position():
    values = parse_csv(BODY, SIX, "").values
    series = one(values)
    assert series.values.tobytes() == values.tobytes()
    assert (series.channels, series.kind, series.source) == (CHANNELS, "row", "array")
    assert one(values[:, 0], Columns()).channels == ("feature_0",)
    assert one(np.array([1, 2]), Columns()).values.tolist() == [[1.0], [2.0]]
    assert "The array has 5 columns, but 6 channels are read" in fault(values[:, :5])
    assert "shape (2, 2, 2)" in fault(np.zeros((2, 2, 2)))
    assert "type object" in fault(np.array([None, 1]))
    assert fault(np.zeros((0, 6))) == "array has columns, but no rows.\nCheck what wrote it."


def test_masked_cells_of_an_array_are_missing():
    masked = np.ma.masked_array([[1, 2], [3, 1_000_000_000]], mask=[[False, False], [False, True]])
    series = one(masked, Columns())
    assert np.isnan(series.values).tolist() == [[False, False], [False, True]]
    assert series.notes == ("1 cell is missing (first: row 2, column feature_1).",)


def test_lists_and_dicts_hold_any_input():
    frame = pl.read_csv(SERVER)
    assert [series.source for series in read([str(SERVER), {"ts": [frame, SERVER]}], SIX)] == [
        str(SERVER), "DataFrame", str(SERVER),
    ]  # fmt: skip
    assert "a dict with the keys ['tabular']" in fault({"tabular": frame})
    assert "of type object" in fault([object()])
    assert "a single number" in fault([5])
    assert "of type NoneType" in fault(None)


# ---- folders and globs


def test_a_folder_and_a_glob_are_read_in_sorted_order(tmp_path):
    for name in ("b.csv", "a.CSV", "c.txt", "d.json", ".e.csv"):
        (tmp_path / name).write_bytes(BODY)
    (tmp_path / "f.csv").mkdir()
    names = [Path(source).name for source in sources(tmp_path)]
    assert names == ["a.CSV", "b.csv", "c.txt"]
    assert [Path(series.source).name for series in read(tmp_path, SIX)] == names
    assert [Path(series.source).name for series in read(str(tmp_path / "*.csv"), SIX)] == ["b.csv"]
    (tmp_path / "odd[1].csv").write_bytes(BODY)
    assert_server(one(tmp_path / "odd[1].csv"))


def test_a_bad_file_of_ten_does_not_stop_the_others(tmp_path):
    for at in range(10):
        (tmp_path / f"{at}.csv").write_bytes(BODY if at != 3 else b"")
    done, faults = [], []
    for source in sources([tmp_path, tmp_path / "gone.csv", {"x": 1}, SERVER]):
        try:
            done.extend(read_one(source, SIX))
        except InputError as error:
            faults.append(str(error).split("\n")[0])
    assert len(done) == 10
    assert faults[0] == f"{tmp_path / '3.csv'} is empty (0 bytes)."
    assert faults[1] == f"There is no file {str(tmp_path / 'gone.csv')!r}."
    assert len(faults) == 3


def test_files_are_opened_one_after_another(tmp_path):
    for at in range(3):
        (tmp_path / f"{at}.csv").write_bytes(BODY)
    reading = read(tmp_path, SIX)
    next(reading)
    (tmp_path / "1.csv").unlink()
    with pytest.raises(InputError, match="There is no file"):
        next(reading)


def test_an_empty_folder_and_a_glob_without_files_are_refused(tmp_path):
    assert f"The folder {tmp_path} holds no file to read." in fault(tmp_path)
    assert "No file matches" in fault(str(tmp_path / "*.csv"))
    assert "There is no file ''" in fault("")


# ---- damaged and misnamed files


def test_a_folder_named_like_a_csv_and_a_file_without_permission_are_named(tmp_path):
    (tmp_path / "x.csv").mkdir()
    assert "x.csv holds no file to read" in fault(tmp_path / "x.csv")
    locked = tmp_path / "locked.csv"
    locked.write_bytes(BODY)
    locked.chmod(0)
    if not os.access(locked, os.R_OK):
        assert "locked.csv can't be read: Permission denied." in fault(locked)
    if Path("/proc/self/mem").exists():
        assert "/proc/self/mem can't be read: " in fault("/proc/self/mem")


def test_a_file_is_read_by_what_it_holds_and_not_by_its_name(tmp_path, workbook):
    parquet = tmp_path / "p.csv"
    pl.read_csv(SERVER).write_parquet(parquet)
    assert_server(one(parquet))
    assert_server(one(workbook.rename(tmp_path / "w.csv")))
    for suffix, kind in ((".xlsx", "Excel"), (".xls", "Excel"), (".parquet", "Parquet")):
        path = tmp_path / f"text{suffix}"
        path.write_bytes(BODY)
        assert f"is no {kind} file, whatever its name says" in fault(path)
    (tmp_path / "paper.csv").write_bytes(b"%PDF-1.7 ...")
    assert "is a file of the kind PDF" in fault(tmp_path / "paper.csv")


@pytest.mark.parametrize("kind", ["xlsx", "xls", "parquet"])
@pytest.mark.parametrize("damage", ["cut", "zeros"])
def test_a_damaged_table_file_ends_with_one_message(tmp_path, workbook, kind, damage):
    path = tmp_path / f"broken.{kind}"
    if kind == "parquet":
        pl.read_csv(SERVER).write_parquet(path)
    else:
        path.write_bytes((workbook if kind == "xlsx" else DATA / "server.xls").read_bytes())
    body = path.read_bytes()
    path.write_bytes(body[: len(body) // 2] if damage == "cut" else body[:100] + bytes(len(body) - 100))
    assert "broken" in fault(path)


def test_a_zip_archive_and_a_bomb_of_a_workbook_are_refused(tmp_path, workbook, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.csv", "w") as archive:
        archive.writestr("data.csv", BODY)
    assert "is a zip archive without an Excel workbook in it" in fault(tmp_path / "x.csv")
    monkeypatch.setattr(excel, "MAX_UNPACKED", 100)
    assert "over the limit of 100" in fault(workbook)


FAR = {
    "a far cell": '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
    "rows and columns that are counted on": '<row r="1048575"/><row/><row>' + "<c><v>1</v></c>" * 32 + "</row>",
    "a prefix": '<x:c xmlns:x="y" r="XFD99999"><x:v>1</x:v></x:c>',
}


@pytest.mark.parametrize("far", FAR.values(), ids=FAR)
def test_a_small_workbook_that_takes_much_memory_is_refused(tmp_path, workbook, far):
    fill_sheet(workbook, tmp_path / "far.xlsx", '<dimension ref="A1"/><sheetData>' + far)
    assert "more than 33,554,432 cells" in fault(tmp_path / "far.xlsx")


def test_a_workbook_whose_cells_share_a_very_long_text_is_refused(tmp_path, workbook):
    cells = '<sheetData><row r="100">' + '<c t="s"><v>0</v></c>' * 2200 + "</row>"
    fill_sheet(workbook, tmp_path / "long.xlsx", cells)
    path = tmp_path / "long.xlsx"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sharedStrings.xml", "<sst><si><t>" + "x" * 1_000_000 + "</t></si></sst>")
    assert "a very long text and very many texts" in fault(tmp_path / "long.xlsx")


def test_empty_cells_far_outside_the_table_are_no_fault_and_hidden_ones_are(tmp_path, workbook):
    empty = '<row r="1048576"><c r="XFD1048576" s="1"/></row></sheetData>'
    fill_sheet(workbook, tmp_path / "far.xlsx", empty, "</sheetData>")
    assert_server(one(tmp_path / "far.xlsx"))
    fill_sheet(workbook, tmp_path / "far.xlsx", '<dimension ref="A1:XFD1048576"/><sheetData>')
    assert_server(one(tmp_path / "far.xlsx"))
    hidden = "<!DOCTYPE worksheet [<!ENTITY a 'b'>]><worksheet"
    fill_sheet(workbook, tmp_path / "far.xlsx", hidden, "<worksheet")
    assert "is a damaged Excel workbook" in fault(tmp_path / "far.xlsx")


@pytest.mark.parametrize(
    ("known", "crafted"),
    [
        (struct.pack("<HH", 0x200, 14), struct.pack("<HHIIHH", 0x200, 14, 0, 0xFFFFFFF0, 0, 0xFF)),
        (struct.pack("<HH", 0x203, 14), struct.pack("<HHHH", 0x203, 14, 0xFFFF, 0xFFFF)),
    ],
    ids=["dimensions", "a far cell"],
)
def test_an_old_workbook_that_takes_much_memory_is_refused(tmp_path, known, crafted):
    body = (DATA / "server.xls").read_bytes()
    before, _, after = body.rpartition(known)
    path = tmp_path / "far.xls"
    path.write_bytes((before + crafted + after)[: len(before + crafted)] + body[len(before + crafted) :])
    assert "more than 33,554,432 cells" in fault(path)
    with zipfile.ZipFile(path, "a") as archive:  # a zip archive at its end doesn't hide what it begins with
        archive.writestr("xl/workbook.xml", "<a/>")
    assert "far.xls" in fault(path)


def test_a_small_old_workbook_stands_in_small_sectors(tmp_path):
    body = (DATA / "server.xls").read_bytes()
    assert compound.extent(body) == (61, 7)
    book = bytearray(body[512 : 512 + 2048])
    at = book.index(struct.pack("<HH", 0x200, 14))
    book[at + 8 : at + 12] = struct.pack("<I", 0xFFFFFFF0)
    path = tmp_path / "small.xls"
    path.write_bytes(in_small_sectors(bytes(book)))
    assert "has a sheet of 4,294,967,280 rows and 7 columns" in fault(path)


def in_small_sectors(book: bytes) -> bytes:
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<5H", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    header += struct.pack("<9I", 1, 1, 0, 4096, 2, 1, end, 0, 0) + struct.pack("<I", free) * 108
    table = struct.pack("<7I", 0xFFFFFFFD, end, end, 4, 5, 6, end) + struct.pack("<I", free) * 121
    small = struct.pack("<32I", *range(1, 32), end) + struct.pack("<I", free) * 96
    entries = b""
    for name, kind, start, child in (("Root Entry", 5, 3, 1), ("Workbook", 2, 0, free)):
        text = name.encode("utf-16-le")
        entries += text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text) + 2, kind, 1, free, free, child)
        entries += bytes(36) + struct.pack("<IQ", start, 2048)
    return header + table + entries.ljust(512, b"\0") + small + book


def fill_sheet(workbook: Path, target: Path, text: str, place: str = "<sheetData>") -> None:
    with zipfile.ZipFile(workbook) as parts, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        for part in parts.namelist():
            body = parts.read(part).decode()
            copy.writestr(part, body.replace(place, text) if "sheet1.xml" in part and "_rels" not in part else body)


def test_a_sheet_without_rows_or_header_is_refused(tmp_path):
    path = tmp_path / "x.xlsx"
    pl.DataFrame({"a": []}).write_excel(path)
    assert "has columns, but no rows" in fault(path, Columns())
    pl.DataFrame({"a": [0.5, 2.0]}).write_excel(path, include_header=False)
    assert "has no header" in fault(path, Columns())


def test_excel_without_its_package_names_the_extra(workbook, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'oddwave\[excel\]'"):
        list(read(workbook, SIX))


def test_a_small_plain_csv_is_read_without_polars_and_nothing_imports_pandas(root):
    code = (
        "import sys; from oddwave.read import read; "
        f"[s] = read({str(SERVER)!r}); assert len(s) == 60; "
        "heavy = {'polars', 'pandas', 'pyarrow', 'python_calamine', 'yaml', 'tqdm', 'http'}; "
        "assert not heavy & set(sys.modules); "
        "import polars; [s] = read(polars.DataFrame({'a': [1]})); "
        "assert not {'pandas', 'pyarrow'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
