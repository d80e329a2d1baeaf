"""Large and packed files: chunks equal the whole, in bounded memory, and bombs are stopped."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from oddwave.errors import InputError
from oddwave.read import csv_text, parse_csv, read_chunks, read_one, stream
from oddwave.read.block import Builder, join
from oddwave.read.csv_text import CsvReader, header_of
from oddwave.read.rows import rows_block
from oddwave.series import Columns, Series

AB = Columns(channels=("a", "b"))
BODY = b"time,a,b\n1,0.5,10\n2,0.25,20\n3,0.125,30\n"


def assert_same(one: Series, two: Series) -> None:
    assert one.values.tobytes() == two.values.tobytes()
    assert one.ticks.tolist() == two.ticks.tolist()
    assert one.index.tolist() == two.index.tolist()
    assert (one.channels, one.kind, one.time_name, one.notes) == (
        two.channels,
        two.kind,
        two.time_name,
        two.notes,
    )


def by_hand(body: bytes, columns: Columns) -> Series:
    """Read with the careful reader alone, the twin of the quick ones."""
    reader = CsvReader(io.BytesIO(body), columns, "pump.csv", size=1 << 30)
    rows, lines = reader._rows(reader.rest)
    return Builder("pump.csv", reader.layout.roles).series(rows_block(rows, lines, reader.layout.roles)[0])


def chunked(path: Path, columns: Columns, rows: int) -> Series:
    chunks = list(read_chunks(path, columns, rows))
    assert all(len(chunk) <= rows for chunk in chunks)
    last = chunks[-1]
    return Series(
        np.concatenate([chunk.values for chunk in chunks]), last.channels,
        np.concatenate([chunk.ticks for chunk in chunks]), last.kind,
        np.concatenate([chunk.index for chunk in chunks]), last.time_name, last.source, notes=last.notes,
    )  # fmt: skip


@pytest.fixture(params=["compiled", "with polars"])
def small_blocks(monkeypatch, request):
    if request.param != "compiled":
        monkeypatch.setattr(csv_text, "IS_COMPILED", False)
    elif not csv_text.IS_COMPILED:
        pytest.skip("there was no C compiler")
    monkeypatch.setattr(csv_text, "SMALL", 0)
    monkeypatch.setattr(CsvReader.__init__, "__defaults__", (997,))
    monkeypatch.setattr("oddwave.read.BLOCK", 997)
    monkeypatch.setattr("oddwave.read.SMALL", 0)


@pytest.mark.parametrize("packed", [False, True])
def test_chunks_hold_the_rows_and_notes_of_the_whole_file(tmp_path, small_blocks, packed):
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(2000, 2)).astype(str)
    cells[rng.random(cells.shape) < 0.01] = ""
    cells[rng.random(cells.shape) < 0.01] = "inf"
    cells[700, 0] = '"5"'
    hosts = ['"a\nb"' if at % 300 == 7 else "web" for at in range(2000)]
    lines = [f"{at},{a},{host},{b}" for at, (a, b), host in zip(range(2000), cells, hosts, strict=True)]
    lines.insert(1500, "")
    body = ("time,a,host,b\n" + "\n".join(lines) + "\n").encode()
    path = tmp_path / ("big.csv.gz" if packed else "big.csv")
    path.write_bytes(gzip.compress(body) if packed else body)
    whole = parse_csv(body, AB, str(path))
    assert_same(chunked(path, AB, 100), whole)
    assert_same(next(read_one(path, AB)), whole)
    twin = by_hand(body, AB)
    assert whole.values.tobytes() == twin.values.tobytes()


def test_a_fault_is_told_alike_by_chunks_and_whole(tmp_path, small_blocks):
    path = tmp_path / "bad.csv"
    for bad in ("1900,x,1\n", "1900,1\n", "later,1,1\n", "2024-01-01,1,1\n", "1900,1,\0\n", "1900,1,\x80\n"):
        rows = [f"{at},0.5,1\n" for at in range(2000)]
        rows[1900] = bad
        path.write_bytes(("time,a,b\n" + "".join(rows)).encode("latin-1"))
        messages = []
        for reading in (lambda: read_one(path, AB), lambda: read_chunks(path, AB, 100)):
            with pytest.raises(InputError, match="line 1902") as caught:
                list(reading())
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_decimal_commas_are_read_alike_in_every_block(tmp_path, small_blocks):
    rng = np.random.default_rng(1)
    body = "time;a;b\n" + "".join(f"{at};{a};{b}\n" for at, (a, b) in enumerate(rng.normal(size=(2000, 2)).tolist()))
    path = tmp_path / "german.csv"
    path.write_text(body.replace(".", ","))
    whole = chunked(path, AB, 100)
    assert whole.values.tobytes() == parse_csv(body.encode(), AB, "").values.tobytes()
    assert_same(whole, next(read_one(path, AB)))
    for first, later in ((",", "."), (".", ",")):
        path.write_text("time;a;b\n" + f"1;0{first}5;1\n" * 1000 + f"1;0{later}5;1\n" * 1000)
        for reading in (lambda: read_one(path, AB), lambda: read_chunks(path, AB, 100)):
            with pytest.raises(InputError, match=r"decimal commas .* and decimal points"):
                list(reading())


def test_numbers_among_dates_are_told_alike_by_chunks_and_whole(tmp_path, small_blocks):
    path = tmp_path / "mixed.csv"
    path.write_text("time,a,b\n" + "2024-01-01,1,1\n" * 500 + "2024,1,1\n" * 500)
    for reading in (lambda: read_one(path, AB), lambda: read_chunks(path, AB, 100)):
        with pytest.raises(InputError, match=r"line 502, column 'time': '2024' is no time that can be read"):
            list(reading())


def test_chunks_look_ahead_for_the_order_of_day_and_month(tmp_path, small_blocks):
    path = tmp_path / "days.csv"
    days = [f"{day:02d}/{month:02d}/2024 {hour:02d}:00,1,1\n" for month in (1, 2) for day in range(1, 29)
            for hour in range(24)]  # fmt: skip
    path.write_text("time,a,b\n" + "".join(days))
    whole = chunked(path, AB, 50)
    assert (np.diff(whole.ticks) > 0).all()
    assert_same(whole, next(read_one(path, AB)))
    assert whole.notes == (
        ("Dates such as '01/01/2024 00:00' were read as day/month/year, because of '13/01/2024 00:00' in line 290."),
    )


def test_a_header_longer_than_a_block_is_read_whole(tmp_path):
    names = [f"a_rather_long_name_of_a_channel_{at}" for at in range(4000)]
    path = tmp_path / "wide.csv"
    rows = [",".join([str(at)] * 4001) for at in range(30)]
    path.write_text("\n".join([",".join(["time", *names]), *rows]))
    columns = Columns(channels=tuple(names))
    assert_same(chunked(path, columns, 10), next(read_one(path, columns)))


def test_the_line_below_a_header_tells_the_separator_whatever_the_size_of_blocks():
    names = ",".join(f"{at:0100};" for at in range(1000))  # as many commas as semicolons; the rows have semicolons
    body = (f"{names},x\n" + ";".join(["1"] * 1001) + "\n").encode()
    for size in (99_000, len(names) + 20, 1 << 20):
        assert CsvReader(io.BytesIO(body), Columns(), "wide.csv", size=size).layout.separator == ";"


def test_many_blank_lines_before_the_header_are_counted():
    body = b"\n\r\n\n" * 200_000 + b"time,a,b\n1,2,x\n"
    with pytest.raises(InputError, match="line 600002, column 'b': 'x'"):
        parse_csv(body, AB, "blank.csv")


def test_a_last_line_that_is_not_whole_is_told_of(tmp_path, small_blocks):
    path = tmp_path / "growing.csv"
    rows = "".join(f"{at},0.5,1\n" for at in range(2000))
    for reading in (lambda: read_one(path, AB), lambda: read_chunks(path, AB, 100)):
        path.write_text("time,a,b\n" + rows + "2000,0.")
        with pytest.raises(InputError, match=r"line 2002: the last line isn't whole: 2 of 3 .*\n.* still being"):
            list(reading())
        path.write_text("time,a,b\n" + rows + "2000,0.\n")
        with pytest.raises(InputError, match="line 2002: 2 cells, but the header names 3 columns"):
            list(reading())


def test_chunks_by_group_are_refused(tmp_path):
    with pytest.raises(InputError, match="in chunks by the group column"):
        next(read_chunks(tmp_path / "x.csv", Columns(group_col="host")))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "MAX_LINE", 1 << 16)
    path = tmp_path / "endless.csv"
    path.write_bytes(b"time,a,b\n" + b"1" * (1 << 20))
    with pytest.raises(InputError, match="line 2: the line doesn't end"):
        list(read_chunks(path, AB, rows=1))


# ---- gzip


def test_a_gzip_file_is_read_whatever_its_name(tmp_path):
    for name in ("x.csv.gz", "x.CSV.GZ", "x.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(BODY[:20]) + gzip.compress(BODY[20:]))
        assert next(read_one(path, AB)).values.tolist() == [[0.5, 10], [0.25, 20], [0.125, 30]]


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = tmp_path / "x.csv.gz"
    packed = gzip.compress(BODY * 100)
    for damaged in (packed[:-20], packed[:40] + b"\0" * 40 + packed[80:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="the gzip file is damaged"):
            list(read_one(path, AB))
    path.write_bytes(BODY)
    with pytest.raises(InputError, match="is no gzip file, whatever its name says"):
        list(read_one(path, AB))


def test_a_gzip_bomb_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "RATIO_FROM", 1 << 20)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"time,a,b\n" + b"1,1,1\n" * (1 << 21)))
    for read in (read_one, read_chunks):
        with pytest.raises(InputError, match=r"unpacks to more than .* 200 times its size"):
            list(read(path, AB))


def test_joined_blocks_count_their_text_cells():
    layout, _, _ = header_of(b"a,b\n1,2\n", "x", Columns())
    blocks = [rows_block([["x", "1"]], [at], layout.roles)[0] for at in (2, 3)]
    assert join(blocks).texts[0].count == 2
