"""CSV files: every form that is read, every fault that is named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from oddwave.errors import InputError
from oddwave.read import parse_csv, read_one
from oddwave.read.block import Builder
from oddwave.read.csv_text import CsvReader, header_of
from oddwave.read.plain import IS_COMPILED, compiled, plain_block, with_json
from oddwave.read.rows import rows_block
from oddwave.series import Columns, Series

DATA = Path(__file__).parent / "data"
AB = Columns(channels=("a", "b"))
BODY = b"time,a,b\n1,0.5,10\n2,0.25,20\n3,0.125,30\n"
WAYS = (compiled, with_json) if IS_COMPILED else (with_json,)
compiled_only = pytest.mark.skipif(not IS_COMPILED, reason="there was no C compiler")


def parse(body: bytes, columns: Columns = AB) -> Series:
    return parse_csv(body, columns, "pump.csv")


def fault(body: bytes, columns: Columns = AB) -> str:
    with pytest.raises(InputError) as caught:
        parse(body, columns)
    return str(caught.value)


def by_hand(body: bytes, columns: Columns) -> Series:
    """Read with the careful reader alone, the twin of the quick ones."""
    reader = CsvReader(io.BytesIO(body), columns, "pump.csv", size=1 << 30)
    rows, lines = reader._rows(reader.rest)
    return Builder("pump.csv", reader.layout.roles).series(rows_block(rows, lines, reader.layout.roles)[0])


def with_polars(body: bytes, columns: Columns) -> Series | None:
    reader = CsvReader(io.BytesIO(body), columns, "pump.csv", size=1 << 30)
    block = reader._polars_block(reader.rest)
    return None if block is None else Builder("pump.csv", reader.layout.roles).series(block)


def assert_same(one: Series, two: Series) -> None:
    first, second = (np.where(np.isnan(series.values), np.nan, series.values) for series in (one, two))  # no -nan
    assert first.tobytes() == second.tobytes()
    assert one.ticks.tobytes() == two.ticks.tobytes()
    assert one.ticks.dtype == two.ticks.dtype
    assert one.index.tolist() == two.index.tolist()
    assert (one.channels, one.kind, one.time_name, one.notes) == (
        two.channels,
        two.kind,
        two.time_name,
        two.notes,
    )


# ---- accepted forms


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b",", b";"),
        BODY.replace(b",", b"\t"),
        BODY.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + BODY,
        BODY.rstrip(b"\n"),
        BODY + b"\n\r\n\n",
        b"\n" + BODY,
        BODY.replace(b"0.5,10", b'"0.5","10"'),
        BODY.replace(b"time,a,b", b'"time", a ,"b"'),
        BODY.replace(b"0.5,", b" +.5 ,"),
        BODY.replace(b",10", b",1e1"),
        b"time,b,a\n1,10,0.5\n2,20,0.25\n3,30,0.125\n",
        b"b,time,a\n10,1,0.5\n20,2,0.25\n30,3,0.125\n",
    ],
    ids=["semicolon", "tab", "CRLF", "BOM", "no line end", "blank lines below", "blank line above", "quotes",
         "quoted names", "spaces and a plus", "exponent", "reordered columns", "time in the middle"],
)  # fmt: skip
def test_the_same_numbers_are_read_from_every_accepted_form(body):
    assert_same(parse(body), parse(BODY))
    assert parse(body).values.tolist() == [[0.5, 10], [0.25, 20], [0.125, 30]]


@pytest.mark.parametrize("name", ["x.csv", "x.CSV", "x.txt", "x.tsv", "noending"])
def test_the_name_of_a_text_file_does_not_matter(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BODY)
    assert [series.values.tolist() for series in read_one(path, AB)] == [parse(BODY).values.tolist()]


def test_decimal_commas_are_read_between_semicolons_and_noted():
    series = parse(b"time;a;b\n1;0,5;10\n2;0,25;-1,5e1\n")
    assert series.values.tolist() == [[0.5, 10], [0.25, -15]]
    assert series.notes == ("Decimal commas were read as points (first: line 2, '0,5').",)


@pytest.mark.parametrize("body", [b"time;a;b\n1;0,5;10\n2;0.25;1\n", b"time;a;b\n1;0.5;10\n2;0,25;1\n"])
def test_decimal_commas_beside_decimal_points_are_refused_naming_both_lines(body):
    message = fault(body)
    assert "decimal commas (line " in message
    assert "decimal points (line " in message


def test_thousands_marks_are_refused():
    assert "line 2, column 'a': '1.234,5' isn't a number" in fault(b"time;a;b\n1;1.234,5;10\n")
    assert "'1,234'" in fault(b'time,a,b\n1,"1,234",10\n')


def test_true_and_false_are_one_and_zero():
    assert parse(b"time,a,b\n1,True,FALSE\n2,false,true\n").values.tolist() == [[1, 0], [0, 1]]


def test_whole_numbers_first_and_fractions_later_are_read():
    body = b"time,a\n" + b"".join(b"%d,1\n" % at for at in range(5000)) + b"5000,0.5\n"
    for columns in (Columns(), Columns(channels=("a",))):
        series = parse(body, columns)
        assert series.values[-1, 0] == 0.5
        assert series.values[0, 0] == 1.0
        assert_same(with_polars(body, columns), series)


def test_a_quoted_cell_may_hold_separators_and_line_ends():
    series = parse(b'time,a,remark,b\n1,1,"hot, wet\nand loud",2\n2,3,,4\n')
    assert series.values.tolist() == [[1, 2], [3, 4]]
    assert series.notes == ("Column left aside: remark.",)
    assert "line 4, column 'a': 'x'" in fault(b'time,a,remark,b\n1,1,"hot\nand loud",2\n2,x,,4\n')


def test_blank_lines_between_rows_are_skipped_and_noted():
    series = parse(BODY.replace(b"2,0.25", b"\n\n2,0.25"))
    assert len(series) == 3
    assert series.notes == ("Blank lines skipped: 2 (first: line 3).",)


def test_a_blank_line_of_a_single_column_is_a_missing_cell():
    series = parse(b"a\n1\n\n3\n\n", Columns(channels=("a",)))
    np.testing.assert_array_equal(series.values[:, 0], [1, np.nan, 3])
    assert series.notes == ("1 cell is missing (first: line 3, column a).",)


# ---- cells


@pytest.mark.parametrize("word", ["", " ", "NaN", "nan", "NA", "null", "None", "N/A", "-", "<NA>"])
def test_words_for_a_missing_cell_become_nan_and_are_noted(word):
    series = parse(f"time,a,b\n1,1,2\n2,{word},3\n3,{word},4\n".encode())
    np.testing.assert_array_equal(series.values, [[1, 2], [np.nan, 3], [np.nan, 4]])
    assert series.notes == ("2 cells are missing (first: line 3, column a).",)


@pytest.mark.parametrize("word", ["inf", "-Infinity", "1e400", "-1e999999"])
def test_infinite_cells_become_nan_with_a_note_of_the_first_places(word):
    body = "time,a,b\n" + "".join(f"{at},{word},1\n" for at in range(5))
    series = parse(body.encode())
    assert np.isnan(series.values[:, 0]).all()
    assert series.notes == (
        (
            "5 cells are infinite or too large for a number, treated as missing "
            "(first: line 2, column a; line 3, column a; line 4, column a)."
        ),
    )


@pytest.mark.parametrize("cell", ["abc", "1_000", "0x10", "1e", "--5", "１２", "12 V", "1d5"])
def test_a_text_cell_is_named_with_file_line_column_and_value(cell):
    message = fault(f"time,a,b\n1,1,2\n2,3,{cell}\n".encode())
    assert message.startswith(f"pump.csv, line 3, column 'b': {cell!r} isn't a number")


# ---- refused files


def test_a_file_of_0_bytes_and_a_file_of_blank_lines_are_named_empty():
    assert fault(b"") == "pump.csv is empty (0 bytes).\nGive a CSV with a header line and rows."
    assert "pump.csv is empty (2 bytes)" in fault(b"\n\n")


@pytest.mark.parametrize("body", [b"time,a,b", b"time,a,b\n", b"time,a,b\r\n\r\n"])
def test_a_header_without_rows_is_refused(body):
    assert fault(body) == "pump.csv has a header line, but no rows below it.\nCheck what wrote it."


def test_a_file_without_a_header_is_refused_with_advice():
    assert "pump.csv has no header: its first line holds numbers ('1,0.5,10')" in fault(BODY.partition(b"\n")[2])
    assert "no header" in fault(b"2024-01-01 00:00:00,1,2\n2024-01-01 00:01:00,1,2\n", Columns())


def test_columns_that_are_counted_by_pandas_are_names():
    series = parse(b",0,1,2\n0,5,6,7\n1,5,6,7\n", Columns())
    assert series.channels == ("0", "1", "2")
    assert parse(b"0,1\n5,6\n", Columns(channels=("1", "0"))).values.tolist() == [[6, 5]]


def test_a_ragged_row_is_named():
    assert "pump.csv, line 3: 2 cells, but the header names 3 columns" in fault(b"time,a,b\n1,2,3\n4,5\n")
    assert "pump.csv, line 2: 4 cells, but the header names 3 columns" in fault(b"time,a,b\n1,2,3,4\n5,6\n")


def test_a_quote_that_is_not_closed_is_named():
    assert "pump.csv, line 3" in fault(b'time,a,b\n1,2,3\n4,"5,6\n7,8,9\n')


def test_nul_bytes_are_named_with_their_line():
    assert "pump.csv, line 3: there is a NUL byte" in fault(b"time,a,b\n1,2,3\n4,\0,6\n")


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_by_name_with_advice(code):
    message = fault(BODY.decode().encode(code))
    assert "it looks like UTF-16" in message
    assert "iconv -f UTF-16 -t UTF-8" in message


def test_gbk_and_latin_1_are_refused_by_name_and_utf_8_is_read():
    text = "时间,温度,压力\n1,2,3\n2,3,4\n"
    assert "pump.csv, line 1: the text isn't UTF-8; it looks like GBK" in fault(text.encode("gbk"))
    assert "Windows-1252 or Latin-1" in fault("time,é,à\n1,2,3\n".encode("latin-1"))
    series = parse(text.encode(), Columns(channels=("压力",), time_col="时间"))
    assert series.values.tolist() == [[3], [4]]


def test_lines_that_end_with_cr_only_are_named():
    assert "CR only" in fault(BODY.replace(b"\n", b"\r"))


@pytest.mark.parametrize("line", [b"# exported by Historian", b"sep=;", b"SEP=,"])
def test_a_line_before_the_header_is_named(line):
    assert fault(line + b"\n" + BODY).startswith("pump.csv begins with '")


def test_markup_is_not_a_csv():
    assert "isn't a CSV" in fault(b"<!DOCTYPE html>\n<html>\n")


# ---- columns


def test_a_missing_column_is_named_with_the_nearest_and_with_what_is_there():
    message = fault(BODY, Columns(channels=("a", "B")))
    assert message == (
        "pump.csv has no column 'B'. Did you mean b?\nIt has these columns: time, a, b.\n"
        "Give data that has it, or train a detector on the columns that are there."
    )
    assert "Did you mean" not in fault(BODY, Columns(channels=("a", "a1")))  # a is there itself
    assert "has no columns x, y." in fault(BODY, Columns(channels=("a", "x", "y")))
    assert "has no column 'tme' (the time column). Did you mean time?" in fault(BODY, Columns(time_col="tme"))
    assert "has no column 'host' (the group column)" in fault(BODY, Columns(group_col="host"))


def test_a_duplicate_column_is_refused():
    assert "has the column 'a' 2 times" in fault(b"time,a,a\n1,2,3\n")


def test_extra_columns_are_left_aside_with_a_note_even_if_they_hold_text():
    series = parse(b"time,host,a,b,c\n1,web,1,2,x\n2,db,3,4,5\n")
    assert series.values.tolist() == [[1, 2], [3, 4]]
    assert series.notes == ("Columns left aside: host, c.",)


def test_without_a_time_column_among_those_left_aside_a_note_tells_how_to_name_one():
    hint = "No time column was found: rows are numbered from 0."
    for columns in (AB, Columns()):
        *_, last = parse(b"when,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n", columns).notes
        assert last.startswith(hint)
    assert parse(b"a,b\n1,2\n3,4\n").notes == ()


def test_without_given_channels_all_numeric_columns_are_read():
    series = parse(b"time,a,host,flag,none,b\n1,1,web,True,,x\n2,,db,False,,y\n", Columns())
    assert series.channels == ("a", "flag")
    assert series.notes == (
        "Columns of text left aside: host, b.",
        "Columns without any value left aside: none.",
        "1 cell is missing (first: line 3, column a).",
    )


def test_a_text_among_numbers_is_a_fault_and_not_a_text_column():
    assert "line 4, column 'a': 'x' isn't a number" in fault(b"time,a\n1,1\n2,2\n3,x\n", Columns())


def test_a_table_without_a_numeric_column_is_refused():
    assert "pump.csv has no column of numbers" in fault(b"time,host\n1,web\n2,db\n", Columns())


@pytest.mark.parametrize("cells", [("0", "1"), ("False", "True"), ("0.0", "1.0")])
def test_labels_are_read_as_0_and_1_and_are_no_channel(cells):
    body = f"time,a,label\n1,5,{cells[0]}\n2,6,{cells[1]}\n".encode()
    series = parse(body, Columns())
    assert series.channels == ("a",)
    assert series.labels is not None
    assert series.labels.dtype == np.int8
    assert series.labels.tolist() == [0, 1]
    assert parse(body.replace(b"label", b"truth"), Columns(label_col="truth")).labels.tolist() == [0, 1]


@pytest.mark.parametrize("cell", ["2", "", "yes", "0.5", "nan"])
def test_a_label_that_is_neither_0_nor_1_is_named(cell):
    assert f"line 3, column 'label': the label {cell!r}" in fault(f"a,label\n1,0\n2,{cell}\n".encode(), Columns())


def test_a_group_column_gives_one_series_a_value_in_order_of_appearance(tmp_path):
    path = tmp_path / "hosts.csv"
    path.write_bytes(b"time,host,a\n1,web,1\n1,db,2\n2,web,3\n2,db,\n")
    web, db = read_one(path, Columns(group_col="host"))
    assert (web.group, db.group) == ("web", "db")
    assert web.values.tolist() == [[1], [3]]
    assert web.ticks.tolist() == db.ticks.tolist() == [1, 2]
    assert (web.notes, db.notes) == ((), ("1 cell is missing (first: line 5, column a).",))
    path.write_bytes(b"time,host,a\n1,web,1\n1,,2\n")
    with pytest.raises(InputError, match="line 3, column 'host': the group is blank"):
        list(read_one(path, Columns(group_col="host")))


def test_rows_of_a_group_stay_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "hosts.csv"
    hosts = np.random.default_rng(0).integers(0, 7, size=2000)
    path.write_text("time,host,a\n" + "".join(f"{at},h{host},{at}\n" for at, host in enumerate(hosts)))
    for series in read_one(path, Columns(group_col="host")):
        assert series.ticks.tolist() == np.flatnonzero(hosts == int(str(series.group)[1:])).tolist()


# ---- the quick ways equal the careful one

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.from_regex(r"[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,20})([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.sampled_from(["1e-300", "+5", "1.", ".5", "007", "-0", "0.1" + "0" * 400 + "1", "5e-324", "1e400"]),
)
NUMBERS |= st.tuples(st.integers(0, 10**19), st.integers(-30, 30)).map("{0[0]}e{0[1]}".format)
CELLS = NUMBERS | st.text("0123456789+-.eE _xnaif", max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NUMBERS, CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(",;\t"))
@example([("1", "-0", "1.")], ",")
@example([("1", "1", "-nan")], ",")
@example([("9007199254740993", "1", "1"), ("1e2", "1", "1")], ",")
def test_plain_and_polars_and_careful_reading_agree_to_the_bit(rows, separator):
    body = ("time,a,b\n" + "".join(",".join(row) + "\n" for row in rows)).replace(",", separator).encode()
    try:
        expected, message = by_hand(body, AB), ""
    except InputError as error:
        message = str(error)
    if message:
        assert fault(body) == message
        return
    assert_same(parse(body), expected)
    layout, rest, line = header_of(body, "pump.csv", AB)
    for way in WAYS:
        plain = way(layout, rest, line)
        if plain is not None:
            assert_same(Builder("pump.csv", layout.roles).series(plain), expected)
    quick = with_polars(body, AB)
    if quick is not None:
        assert_same(quick, expected)


def test_whole_times_are_read_to_the_last_digit_wherever_their_column_is():
    for first, kind in (("9007199254740993", "i"), ("9007199254740993.5", "f"), ("18446744073709551616", "f")):
        body = f"a,time,b\n1,{first},2\n3,{2 * int(float(first))},4\n".encode()
        layout, rest, line = header_of(body, "pump.csv", AB)
        assert plain_block(layout, rest, line) is not None
        assert parse(body).ticks.dtype.kind == kind
        assert_same(parse(body), by_hand(body, AB))


def test_a_table_of_times_alone_has_no_channels():
    body = b"time\n1\n2\n"
    assert parse(body, Columns()).values.shape == (2, 0)
    assert_same(parse(body, Columns()), by_hand(body, Columns()))


def test_a_table_of_dates_alone_is_read():
    body = b"time\n2024-01-01\n"
    layout, rest, line = header_of(body, "pump.csv", Columns())
    assert with_json(layout, rest, line) is None
    assert_same(parse(body, Columns()), by_hand(body, Columns()))


@compiled_only
@pytest.mark.parametrize("text", [BODY.decode(), "time,a,b\r\n1,-.5e-7,\r\n2,,18446744073709551617", "a\n1\n\n2\n"])
def test_a_body_that_ends_anywhere_is_read_as_the_careful_way_reads_it(text):
    columns = AB if "," in text else Columns(("a",))
    for end in range(text.index("\n") + 2, len(text) + 1):
        layout, rest, line = header_of(text[:end].encode(), "pump.csv", columns)
        block = compiled(layout, rest, line)
        if block is not None:
            assert_same(Builder("pump.csv", layout.roles).series(block), by_hand(text[:end].encode(), columns))


@compiled_only
@pytest.mark.parametrize("shift", range(1, 13))
def test_a_number_halfway_between_two_is_read_as_the_even_one(shift):
    halves = [(2 * m + 1) * 5**shift for m in range(2**52, 2**52 + 2**40, 2**34 + 1)]  # in units of 10 ** -shift
    texts = [f"{str(half)[:-shift]}.{str(half)[-shift:]}{more}" for half in halves for more in ("", "1")]
    texts += [f"-{half - 1}e-{shift}" for half in halves]
    layout, rest, line = header_of(f"a\n{chr(10).join(texts)}\n".encode(), "pump.csv", Columns(("a",)))
    assert compiled(layout, rest, line).values[:, 0].tolist() == [float(text) for text in texts]


@compiled_only
@pytest.mark.parametrize(
    "changed",
    [{"values": np.empty(3)}, {"spans": np.empty(3, dtype=np.int64)}, {"places": np.array([1, 2], dtype=np.int32)}],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_is_read(changed):
    from oddwave.read import _plain

    good = {"places": np.array([-1, 0], dtype=np.int32), "values": np.empty(2), "ticks": np.empty(2, dtype=np.int64)}
    good |= {"spans": np.empty(4, dtype=np.int64)}
    assert _plain.parse(b"1,2\n3,4\n", ",", *good.values()) == 1
    with pytest.raises(ValueError, match="fit"):
        _plain.parse(b"1,2\n3,4\n", ",", *(good | changed).values())


def test_the_quick_way_is_taken_for_plain_numbers_and_dates():
    for body in (BODY, (DATA / "server.csv").read_bytes(), BODY.replace(b"\n1", b"\n2024-01-01").replace(
        b"\n2,", b"\n2024-01-02,").replace(b"\n3", b"\n2024-01-03")):  # fmt: skip
        layout, rest, line = header_of(body, "pump.csv", Columns())
        assert plain_block(layout, rest, line) is not None
        assert with_polars(body, Columns()) is not None
        assert_same(parse(body, Columns()), by_hand(body, Columns()))
        assert_same(with_polars(body, Columns()), by_hand(body, Columns()))
