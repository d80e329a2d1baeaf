"""Rows one at a time: to the bit what `causal` says of the same rows at once."""

from __future__ import annotations

import made
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave.config import Detection
from oddwave.errors import InputError, UnsortedError

nan = np.nan


def streamed(detector, values, times=None, **settings):
    """Push the rows one by one; return scores, with NaN for None, and labels, with -1 for None."""
    stream = detector.stream(**settings)
    times = [None] * len(values) if times is None else times.tolist()
    pairs = [stream.update(row, time=time) for row, time in zip(values, times, strict=True)]
    assert all((score is None) == (label is None) for score, label in pairs)
    return (
        np.array([nan if score is None else score for score, _ in pairs]),
        np.array([-1 if label is None else label for _, label in pairs]),
    )


def assert_streams_as_causal(detector, series, **chosen):
    whole = detector.detect_series(series, Detection(scoring="causal", **chosen))
    unit = 1_000_000 if series.kind == "datetime" else 1
    times = None if series.kind == "row" else series.ticks / unit
    score, label = streamed(detector, series.values, times, **chosen)
    np.testing.assert_array_equal(score, whole.score)
    np.testing.assert_array_equal(label, whole.label)
    return label


@settings(deadline=None, max_examples=30)
@given(
    steps=st.lists(st.sampled_from([1] * 12 + [0, 2, 3, 5, 9, 0.5, 1.5, 2.5]), min_size=10, max_size=60),
    missing=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 5), st.integers(0, 1)), max_size=3),
    kind=st.sampled_from(["row", "number", "datetime"]),
    size=st.sampled_from([1, 4, 8]),
)
def test_a_stream_equals_causal_to_the_bit(steps, missing, kind, size):
    values = made.rows(len(steps), 2, seed=len(steps))
    values[len(steps) // 2] += 30
    for start, length, column in missing:
        values[start : start + length, column] = nan
    ticks = np.cumsum(steps)
    ticks = (ticks * 1_000_000).astype(np.int64) if kind == "datetime" else ticks
    detector = made.handmade(size, 1, 2, kind=kind)
    assert_streams_as_causal(detector, made.series_of(values, ticks, kind))


def test_a_stream_of_a_trained_detector_equals_causal_to_the_bit(detector, series):
    label = assert_streams_as_causal(detector, series)
    assert {-1, 0, 1} == set(label.tolist())


@pytest.mark.parametrize("model", ["DLinear_ad", "AutoEncoder_ad"])
def test_a_stream_of_a_neural_model_equals_causal_to_the_bit(model):
    pytest.importorskip("torch")
    detector = made.trained(model, 3, count=700, input_len=24, epochs=1)
    values = made.rows(120, seed=5)
    values[60:70] += 9
    assert_streams_as_causal(detector, made.series_of(values, np.arange(120), "number"))


def test_a_stream_takes_the_settings_of_detection(detector, series):
    label = assert_streams_as_causal(detector, series, threshold=0.05, max_gap=1)
    assert (label == 1).sum() > 5


def test_a_stream_warms_up_for_a_window_less_one_row():
    for size in (1, 4, 8):
        score, label = streamed(made.handmade(size, 1, 2), made.rows(12, 2))
        assert np.isnan(score).tolist() == [True] * (size - 1) + [False] * (13 - size)
        assert (label[: size - 1] == -1).all()


def test_rows_may_be_lists_arrays_or_mappings_with_none_for_missing(detector):
    values = made.rows(20)
    values[15, 1] = nan
    plain, _ = streamed(detector, values)
    mapped, _ = streamed(detector, [dict(zip(("c0", "c1", "c2"), row, strict=True)) for row in values])
    lists, _ = streamed(detector, [[None if np.isnan(cell) else cell for cell in row] for row in values.tolist()])
    shuffled, _ = streamed(detector, [{"c2": row[2], "x": 1, "c0": row[0], "c1": row[1]} for row in values])
    np.testing.assert_array_equal(mapped, plain)
    np.testing.assert_array_equal(lists, plain)
    np.testing.assert_array_equal(shuffled, plain)


def test_infinite_values_count_as_missing(detector):
    values = made.rows(20)
    infinite = values.copy()
    values[12, 0], infinite[12, 0] = nan, np.inf
    np.testing.assert_array_equal(streamed(detector, values)[0], streamed(detector, infinite)[0])


def test_a_row_of_the_wrong_length_is_refused_and_leaves_no_trace(detector):
    values = made.rows(20)
    expected, _ = streamed(detector, values)
    stream = detector.stream()
    scores = []
    for row in values:
        with pytest.raises(InputError, match="has 2 values, but this detector reads 3 channels"):
            stream.update(row[:2])
        scores.append(stream.update(row)[0])
    assert scores[-1] == expected[-1]


def test_a_late_row_is_refused_and_leaves_no_trace(detector):
    values = made.rows(30)
    expected, _ = streamed(detector, values, np.arange(30.0))
    stream = detector.stream()
    scores = []
    for t, row in enumerate(values):
        scores.append(stream.update(row, time=t)[0])
        if t > 3:
            with pytest.raises(UnsortedError):
                stream.update(row, time=t - 2)
    assert scores[-1] == expected[-1]


def test_whole_and_fractional_times_may_be_mixed():
    detector = made.handmade(4, 1, 2)
    values = made.rows(10, 2)
    times = [0, 1, 2.5, 3, 4, 5, 6.5, 7, 8, 9]
    stream = detector.stream()
    mixed = [stream.update(row, time=time)[0] for row, time in zip(values, times, strict=True)]
    expected, _ = streamed(detector, values, np.array(times, dtype=np.float64))
    assert [nan if score is None else score for score in mixed][3:] == expected[3:].tolist()
    assert not np.isnan(expected[3:]).any()


def test_a_row_without_a_time_is_one_step_after_the_last():
    detector = made.handmade(4, 1, 2)
    values = made.rows(10, 2)
    expected, _ = streamed(detector, values, 100.0 + np.arange(10))
    stream = detector.stream()
    scores = [stream.update(row, time=100 + t if t < 7 else None)[0] for t, row in enumerate(values)]
    assert scores[3:] == expected[3:].tolist()


@pytest.mark.parametrize(("row", "time"), [(["a", 0, 0], None), ([1, 2, 3], nan)])
def test_what_is_no_number_is_refused_as_input(detector, row, time):
    stream = detector.stream()
    stream.update([0, 0, 0], time=0)
    with pytest.raises(InputError):
        stream.update(row, time=time)


def test_two_streams_of_a_detector_know_nothing_of_each_other(detector):
    values = made.rows(30)
    expected, _ = streamed(detector, values)
    one, other = detector.stream(), detector.stream()
    scores = []
    for row in values:
        scores.append(one.update(row)[0])
        other.update(row * 3)
    assert scores[-1] == expected[-1]
