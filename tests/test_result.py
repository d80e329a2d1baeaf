"""A result as a mapping, as frames and as printed."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, strategies as st

from oddwave import printed
from oddwave.errors import MissingExtraError
from oddwave.events import Event
from oddwave.read.dates import instant
from oddwave.result import REASONS, Result, Scored, Summary, zone_of
from oddwave.series import Series


def result_of(index, label, *, name="timestamp", score=None, events=(), kind="number", group=None, **more):
    label = np.array(label, dtype=np.int8)
    index = np.asarray(index)
    score = np.where(label < 0, np.nan, 0.5 + label) if score is None else np.asarray(score)
    series = Series(
        values=np.zeros((len(label), 2)),
        channels=("cpu", "disk"),
        ticks=np.arange(len(label)),
        kind=kind,
        index=index,
        time_name=name,
        source="ts_ad.csv",
        group=group,
    )
    reason = np.where(label < 0, 3, 0).astype(np.uint8)
    return Result(series, score, label, reason, list(events), 1.25, "DLinear_ad", "full", **more)


EVENT = Event(
    start=220317, end=220320, duration=3.0, peak=220318, peak_score=12.3456, start_row=91, end_row=94, rows=4,
    channels=(("cpu", 0.75), ("disk", 0.25)),
)  # fmt: skip


def pandas_form(result):
    """Print the tutorial's mapping with the real pandas."""
    keys = ["input_path", "group", "anomaly"] if result.group is not None else ["input_path", "anomaly"]
    return str({key: result[key] for key in keys})


def same_as_pandas(index, label, **more):
    result = result_of(index, label, **more)
    assert repr(result) == pandas_form(result)
    return repr(result)


def test_the_tutorials_96_rows_print_as_in_the_tutorial():
    label = [0] * 91 + [1] * 4 + [0]
    text = same_as_pandas(range(220226, 220322), label)
    lines = text.splitlines()
    assert lines[0] == "{'input_path': 'ts_ad.csv', 'anomaly':            label"
    assert lines[1].rstrip() == "timestamp"
    assert lines[2] == "220226         0"
    assert lines[7] == "...          ..."
    assert lines[11:13] == ["220320         1", "220321         0"]
    assert lines[-2:] == ["", "[96 rows x 1 columns]}"]


@pytest.mark.parametrize("rows", [1, 2, 59, 60, 61, 1000])
def test_up_to_60_rows_print_whole_and_more_print_their_ends(rows):
    text = same_as_pandas(range(rows), [0] * rows)
    assert ("..." in text) == (rows > 60)


@pytest.mark.parametrize(
    "index",
    [
        [-1, 20, 3],
        [0.1, 0.25, 3.0],
        [1.7e9 + 0.5, 1.7e9 + 1, 1.7e9 + 2],
        [1e-9, 1.0, 2.0],
        [-0.5, 1.0, 100000.125],
        [1e6, 2e6, 3e6],
        ["2024-01-01 00:00", "2024-01-01 00:01", "2024-01-01 00:02"],
        ["x" * 120, "a\tb", "c"],
        ["时间一", "ü", "c"],
    ],
)
@pytest.mark.parametrize("name", ["t", "timestamp", "时间", "a very long name of a column", "n" * 70])
def test_any_index_prints_as_pandas_prints_it(index, name):
    same_as_pandas(index, [0, 1, 0], name=name)
    same_as_pandas(index * 40, [0, 1, 0] * 40, name=name)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=80))
def test_any_decimal_index_prints_as_pandas_prints_it(index):
    same_as_pandas(index, [0] * len(index))


def test_rows_without_a_label_print_as_pandas_prints_null():
    text = same_as_pandas(range(100), [-1] * 10 + [0] * 90)
    assert "<NA>" in text
    assert result_of(range(2), [-1, 0]).anomaly["label"].dtype == "Int64"


def test_null_rows_in_the_middle_change_the_type_and_not_the_print():
    same_as_pandas(range(100), [0] * 50 + [-1] + [0] * 49)


def test_a_group_is_part_of_the_mapping_and_of_the_print():
    result = result_of([1, 2], [0, 1], group="host 1")
    assert list(result) == ["input_path", "group", "anomaly", "score", "events"]
    assert len(result) == 5
    assert repr(result) == pandas_form(result)


def test_a_result_is_a_mapping_with_the_tutorials_keys():
    result = result_of([5, 6, 7], [0, 1, -1], events=[EVENT])
    assert list(result) == ["input_path", "anomaly", "score", "events"]
    assert result["input_path"] == "ts_ad.csv"
    assert result["anomaly"].columns.tolist() == ["label"]
    assert result["anomaly"].index.name == "timestamp"
    assert result["score"].columns.tolist() == ["score"]
    assert result["score"]["score"].isna().tolist() == [False, False, True]
    assert result["events"] == [EVENT]
    assert "group" not in result
    with pytest.raises(KeyError):
        result["label"]
    assert result == result
    assert len({result}) == 1


def test_whole_labels_are_int64():
    assert result_of([5, 6], [0, 1])["anomaly"]["label"].dtype == np.int64


def test_contributions_come_as_columns_beside_the_score():
    parts = np.array([[0.25, 0.25], [1.0, 0.5]])
    result = result_of([5, 6], [0, 1], contribution=parts)
    frame = result["score"]
    assert frame.columns.tolist() == ["score", "contribution_cpu", "contribution_disk"]
    np.testing.assert_array_equal(frame.iloc[:, 1:].to_numpy(), parts)
    assert result.table["score"].columns == ["timestamp", "score", "contribution_cpu", "contribution_disk"]


def test_polars_frames_hold_the_same():
    result = result_of(["a", "b", "c"], [0, 1, -1], events=[EVENT], kind="datetime")
    assert result.table["anomaly"].to_dict(as_series=False) == {
        "timestamp": ["a", "b", "c"],
        "label": [0, 1, None],
    }
    assert result.table["anomaly"].schema["label"] == pl.Int64
    assert result.table["score"]["score"].to_list() == [0.5, 1.5, None]
    events = result.table["events"]
    assert events["start"].to_list() == [220317]
    assert events["channels"].to_list() == [[{"channel": "cpu", "share": 0.75}, {"channel": "disk", "share": 0.25}]]
    assert result_of([1], [0]).table["events"].columns == events.columns


@pytest.mark.parametrize("name", ["label", "score"])
def test_a_time_column_named_like_a_result_column_is_no_trouble(name):
    result = result_of([1, 2], [0, 1], name=name)
    assert result.anomaly.index.name == name
    assert result.table["score"].columns == ["time", "score"]


def test_without_pandas_the_frame_names_the_extra_and_print_still_works(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pandas", None)
    result = result_of(range(96), [0] * 96)
    result.print()
    assert "[96 rows x 1 columns]}" in capsys.readouterr().out
    with pytest.raises(MissingExtraError, match=r"pip install 'oddwave\[pandas\]'"):
        result["anomaly"]


def test_events_print_as_a_table(capsys):
    result_of(range(220226, 220322), [0] * 91 + [1] * 4 + [0], events=[EVENT]).print()
    table = capsys.readouterr().out.partition("columns]}\n")[2]
    assert table == (
        "1 event, 4 anomalous rows of 96 (threshold 1.25, DLinear_ad, full):\n"
        "#  start   end     duration  rows  peak score  top channels\n"
        "1  220317  220320         3     4       12.35  cpu 75 %, disk 25 %\n"
    )


def test_durations_of_dates_are_read_at_a_glance(capsys):
    event = Event("2024-01-01 00:00", "2024-01-01 01:30", 5400.0, "2024-01-01 01:00", 2e9, 0, 9, 10, (("cpu", 1.0),))
    result_of(["a"] * 10, [1] * 10, events=[event], kind="datetime").print()
    assert "  1 h 30 min    10       2e+09  cpu 100 %" in capsys.readouterr().out


def test_no_event_says_so():
    assert printed.report(result_of([1, 2], [0, 0]).summary()) == "No anomalies."


def test_rows_that_were_not_scored_are_counted_with_the_reason():
    text = printed.report(result_of(range(10), [-1] * 4 + [0] * 6).summary())
    assert text == "No anomalies.\n4 of 10 rows not scored: warming up (4)."
    nothing = printed.report(result_of(range(4), [-1] * 4).summary())
    assert nothing.startswith("No row could be scored.")


def test_anomalous_rows_without_an_event_are_not_hidden():
    text = printed.report(result_of(range(10), [1] + [0] * 9).summary())
    assert text.startswith("No events: 1 anomalous row in runs shorter than min_length")


def test_of_very_many_events_the_highest_are_shown():
    events = [Event(i, i, 0.0, i, float(i), i, i, 1, (("cpu", 1.0),)) for i in range(200)]
    lines = printed.report(result_of(range(200), [1] * 200, events=events).summary()).splitlines()
    assert lines[0].startswith("200 events, the 50 highest shown, 200 anomalous rows of 200")
    assert len(lines) == 52
    assert lines[2].split()[:2] == ["151", "150"]


def test_no_name_can_command_the_terminal():
    event = Event("\x1b[31m1", 1, 0.0, 1, 2.0, 0, 0, 1, (("\x1b[2Jcpu", 1.0),))
    summary = result_of(["\x1b[31m1"], [1], events=[event], name="\x1b[1mtime").summary()
    summary.model = "\x1b]0;x\x07PCA_ad\nNo anomalies."
    text = printed.mapping(summary) + "\n" + printed.report(summary)
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    for shown in (r"\x1b[2Jcpu 100 %", r"\x1b[31m1", r"\x1b[1mtime", r"\x1b]0;x\x07PCA_ad\nNo anomalies."):
        assert shown in text


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=150), st.integers(1, 40))
def test_a_summary_built_from_pieces_equals_that_of_the_whole(labels, size):
    result = result_of(range(len(labels)), labels)
    whole = result.summary()
    pieces = Summary(whole.input_path, whole.time_name, whole.kind, whole.threshold, whole.model, whole.scoring)
    for i in range(0, len(labels), size):
        rows = result.rows
        cut = slice(i, i + size)
        pieces.add(Scored(rows.index[cut], rows.score[cut], rows.label[cut], rows.reason[cut]))
    assert pieces == whole
    assert printed.mapping(pieces) == printed.mapping(whole)


def test_reason_texts_start_with_the_empty_one():
    assert REASONS[0] == ""
    assert len(set(REASONS)) == len(REASONS) == 5
    assert isinstance(result_of([1], [0]).anomaly, pd.DataFrame)


@pytest.mark.parametrize(
    ("time", "hours", "zone"),
    [
        ("2024-01-31", 0, ""),
        ("2024-01-31 23:59:59.5", 0, ""),
        ("31.01.2024 11:59 PM", 0, ""),
        ("20240131T235900", 0, ""),
        ("2024-01-31 23:59Z", 0, "UTC"),
        ("2024-01-31 23:59:59 UTC", 0, "UTC"),
        ("20240131T2359Z", 0, "UTC"),
        ("2024-01-31T23:59:59+00:00", 0, "UTC"),
        ("2024-01-31T23:59:59+02:00", 2, "+02:00"),
        ("20240131T2359-0330", -3.5, "-03:30"),
        ("01/31/2024, 23:59 +05", 5, "+05:00"),
    ],
)
def test_the_zone_of_a_date_is_found_in_every_form_that_is_read(time, hours, zone):
    assert instant(time, is_day_first=False)[1] is None or zone
    assert zone_of(np.array([time] * 2, dtype=object), "datetime") == (hours * 3_600_000_000, zone)
    index = result_of([time], [0], kind="datetime").anomaly.index
    assert (index.tz is not None) == bool(zone)


def test_what_is_no_date_has_no_zone():
    assert zone_of(np.array([5]), "number") == (0, "")
    assert zone_of(np.array([], dtype=object), "datetime") == (0, "")
