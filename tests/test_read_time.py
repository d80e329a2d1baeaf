"""The time column: numbers, dates in many forms, zones, and no time at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave.errors import InputError
from oddwave.read import parse_csv
from oddwave.read.dates import instant, instants
from oddwave.series import Columns, Series

YEAR_1000 = datetime(1000, 1, 1)  # noqa: DTZ001
ALL = Columns()
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(times: list[str], name: str = "time", columns: Columns = ALL) -> Series:
    return parse_csv("\n".join([f"{name};a", *(f"{time};1" for time in times), ""]).encode(), columns, "pump.csv")


def fault(times: list[str]) -> str:
    with pytest.raises(InputError) as caught:
        parse(times)
    return str(caught.value)


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def test_whole_numbers_are_kept_exactly():
    series = parse(["9007199254740993", "-5", "007"])
    assert series.kind == "number"
    assert series.ticks.dtype == np.int64
    assert series.ticks.tolist() == series.index.tolist() == [9007199254740993, -5, 7]


def test_decimals_and_mixed_numbers_are_read():
    assert parse(["0.5", "1", "1e1"]).ticks.tolist() == [0.5, 1.0, 10.0]
    assert parse(["1", "2", " 2.5 "]).ticks.tolist() == [1.0, 2.0, 2.5]
    assert parse(["99999999999999999999"]).ticks.tolist() == [1e20]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31", us(2024, 1, 31)),
        ("2024-01-31 23:59", us(2024, 1, 31, 23, 59)),
        ("2024-01-31T23:59:58", us(2024, 1, 31, 23, 59, 58)),
        ("2024-01-31T23:59:58.25", us(2024, 1, 31, 23, 59, 58, 250_000)),
        ("2024-01-31 23:59:58.123456789", us(2024, 1, 31, 23, 59, 58, 123_456)),
        ("2024-01-31T23:59:58Z", us(2024, 1, 31, 23, 59, 58)),
        ("2024-01-31T23:59:58+01:30", us(2024, 1, 31, 22, 29, 58)),
        ("2024-01-31 23:59:58 -0100", us(2024, 2, 1, 0, 59, 58)),
        ("20240131T235958Z", us(2024, 1, 31, 23, 59, 58)),
        ("2024/01/31 23:59:58", us(2024, 1, 31, 23, 59, 58)),
        ("2024/1/31 7:05", us(2024, 1, 31, 7, 5)),
        ("31.01.2024 23:59", us(2024, 1, 31, 23, 59)),
        ("01.02.2024", us(2024, 2, 1)),
        ("01/31/2024 11:59:58 PM", us(2024, 1, 31, 23, 59, 58)),
        ("01/31/2024 12:00 am", us(2024, 1, 31)),
        ("31/01/2024", us(2024, 1, 31)),
        ("1600-02-29", us(1600, 2, 29)),
    ],
)
def test_dates_are_microseconds_since_1970_and_keep_their_text(text, expected):
    series = parse([text, text])
    assert series.kind == "datetime"
    assert series.ticks.tolist() == [expected, expected]
    assert series.index.tolist() == [text, text]


FORMS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M:%S", "%Y-%m-%d",
         "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+02:00", "%d/%m/%Y %H:%M", "%m/%d/%Y"]  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(st.datetimes(YEAR_1000), min_size=1, max_size=5),
    st.sampled_from(FORMS),
    st.booleans(),
)
def test_a_whole_column_of_dates_is_read_as_cell_by_cell(times, form, is_day_first):
    texts = [time.strftime(form) for time in times]
    cells = [instant(text, is_day_first) for text in texts]
    whole = instants(texts, is_day_first)
    if whole is None:
        assert None in cells
    else:
        assert [(tick, whole[1]) for tick in whole[0].tolist()] == cells


@pytest.mark.parametrize("text", ["2023-02-29", "2024-13-01", "2024-01-01 24:00", "2024-01-01 10:60",
                                  "01/31/2024 13:00 PM", "0000-01-01", "2024-1", "yesterday",
                                  "2024-01-01 10:00 CET"])  # fmt: skip
def test_a_time_that_cannot_be_read_is_named_with_line_and_value(text):
    message = fault(["2024-01-01 09:00", text])
    assert message.startswith(f"pump.csv, line 3, column 'time': {text!r} is no time that can be read.")


@pytest.mark.parametrize("blank", ["", "NaN", "-"])
def test_a_blank_time_is_named_with_its_line(blank):
    assert "pump.csv, line 3, column 'time': the time is blank" in fault(["2024-01-01", blank])
    assert "pump.csv, line 3, column 'time': the time is blank" in fault(["1", blank])
    assert "pump.csv, line 2, column 'time': the time is blank" in fault([blank, "1"])


def test_a_date_among_numbers_is_named():
    assert "line 3, column 'time': '2024-01-01' isn't a number like the times before it" in fault(["1", "2024-01-01"])
    assert "line 3, column 'time': '5' is no time" in fault(["2024-01-01", "5"])
    assert "line 2, column 'time': '1e400'" in fault(["1e400", "5"])


@pytest.mark.parametrize(
    ("times", "is_told"),
    [
        (["20240130", "20240131", "20240201"], True),
        (["20240130", "20240131", "20240132"], False),
        (["20241301", "20241302"], False),
        (["18991231", "19000101"], False),
        (["20240130", "20240130.5"], False),
    ],
)
def test_whole_numbers_that_look_like_dates_are_told_of(times, is_told):
    notes = parse(times).notes
    assert any("look like dates written YYYYMMDD" in note for note in notes) == is_told
    assert parse(times).kind == "number"


def test_a_quoted_time_carries_neither_spaces_nor_line_ends():
    series = parse(['"2024-01-01 00:00\n"', " 2024-01-02 "])
    assert series.index.tolist() == ["2024-01-01 00:00", "2024-01-02"]


def test_a_mix_of_times_with_and_without_zone_is_refused_naming_both_rows():
    for times in (["2024-01-01 10:00Z", "2024-01-01 11:00"], ["2024-01-01 11:00", "2024-01-01 10:00Z"]):
        message = fault(times)
        assert "line 2" in message
        assert "line 3" in message
        assert "some times have a zone and some don't" in message


def test_mixed_offsets_are_taken_as_utc_with_a_note():
    series = parse(["2024-03-31T01:30:00+01:00", "2024-03-31T03:00:00+02:00"])
    assert np.diff(series.ticks).tolist() == [30 * 60_000_000]
    note = "The time column 'time' has several offsets: +01:00 (line 2), +02:00 (line 3); all were made UTC."
    assert series.notes == (note,)
    assert parse(["2024-03-31T01:30:00+01:00", "2024-03-31T02:00:00+01:00"]).notes == ()


def test_a_day_above_12_decides_the_order_of_day_and_month():
    series = parse(["01/02/2024", "13/02/2024"])
    assert series.ticks.tolist() == [us(2024, 2, 1), us(2024, 2, 13)]
    assert series.notes == (
        "Dates such as '01/02/2024' were read as day/month/year, because of '13/02/2024' in line 3.",
    )
    assert parse(["01/02/2024", "01/13/2024"]).ticks.tolist() == [us(2024, 1, 2), us(2024, 1, 13)]
    assert parse(["01/02/2024"]).notes == (
        "Dates such as '01/02/2024' were read as month/day/year, a guess: no day is above 12.",
    )
    assert "line 2 '13/01/2024' is day/month/year, but line 3 '01/13/2024'" in fault(["13/01/2024", "01/13/2024"])


@pytest.mark.parametrize("name", ["timestamp", "Time", "DATETIME", "date", "ts", "timestamp_(min)", "@timestamp"])
def test_a_time_column_is_found_by_its_name(name):
    series = parse(["5", "6"], name)
    assert (series.time_name, series.channels) == (name, ("a",))
    assert series.ticks.tolist() == [5, 6]


def test_without_a_time_column_rows_are_counted():
    series = parse(["5", "6"], "pressure")
    assert (series.kind, series.time_name, series.channels) == ("row", "row", ("pressure", "a"))
    assert series.ticks.tolist() == series.index.tolist() == [0, 1]


def test_a_given_time_column_wins_over_the_known_one_and_that_over_names():
    body = b"date,when,time,a\n1,2,3,4\n"
    for columns, name in (
        (Columns(time_col="when", known_time_col="date"), "when"),
        (Columns(known_time_col="date"), "date"),
        (Columns(known_time_col="gone"), "time"),
        (Columns(channels=("time", "a")), "date"),
    ):
        assert parse_csv(body, columns, "pump.csv").time_name == name
    with pytest.raises(InputError, match="'when' as a channel and as the time column"):
        parse_csv(body, Columns(time_col="when", channels=("when", "a")), "pump.csv")


def test_unsorted_and_repeated_times_are_left_as_they_are():
    assert parse(["3", "1", "1"]).ticks.tolist() == [3, 1, 1]
