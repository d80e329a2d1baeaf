"""Events: runs of anomalous rows against a slow loop, whole or in pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
import twin
from hypothesis import given, strategies as st

from oddwave.events import EventBuilder

nan = math.nan


def build(label, lengths=None, merge_gap=0, min_length=1, score=None, parts=None, kind="number", ticks=None):
    """Return the events of labels, pushed in pieces of these lengths, over and over."""
    label = np.array(label, dtype=np.int8)
    n_rows = len(label)
    score = np.where(label < 0, nan, 1.0 + label) if score is None else np.array(score, dtype=np.float64)
    parts = np.ones((n_rows, 2)) if parts is None else np.array(parts, dtype=np.float64)
    ticks = 10 * np.arange(n_rows) if ticks is None else np.array(ticks)
    builder = EventBuilder(tuple("abcdefg"[: parts.shape[1]]), kind, merge_gap, min_length)
    start, at = 0, 0
    lengths = lengths or [max(n_rows, 1)]
    while start < n_rows:
        piece = slice(start, start + lengths[at % len(lengths)])
        builder.push(ticks[piece], ticks[piece], score[piece], label[piece], parts[piece][label[piece] == 1])
        start, at = piece.stop, at + 1
    return builder.finish()


def rows_of(events):
    return [(event.start_row, event.end_row) for event in events]


labels = st.lists(st.sampled_from([0, 0, 1, 1, -1]), max_size=60)
lengths = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(labels, lengths, st.integers(0, 6), st.integers(1, 6))
def test_events_are_the_twins_in_any_pieces(label, lengths, merge_gap, min_length):
    found = build(label, lengths, merge_gap, min_length)
    assert rows_of(found) == twin.events(label, merge_gap, min_length)
    assert all(event.rows == event.end_row - event.start_row + 1 for event in found)


@given(labels, lengths, st.integers(0, 4), st.integers(0, 99))
def test_an_events_peak_times_and_channels_are_those_of_its_rows(label, lengths, merge_gap, seed):
    rng = np.random.default_rng(seed)
    score = np.where(np.array(label) < 0, nan, rng.integers(0, 5, len(label)))
    parts = rng.integers(0, 8, (len(label), 5)) / 8.0
    for event in build(label, lengths, merge_gap, score=score, parts=parts):
        odd = [row for row in range(event.start_row, event.end_row + 1) if label[row] == 1]
        best = max(odd, key=lambda row: (score[row], -row))  # the first of the highest
        assert (event.peak, event.peak_score) == (10 * best, score[best])
        assert (event.start, event.end) == (10 * odd[0], 10 * odd[-1])
        assert event.duration == event.end - event.start
        whole = sum(parts[row] for row in odd)
        share = whole / (whole.sum() or 1.0)
        order = sorted(range(5), key=lambda c: (-share[c], c))[:3]
        assert event.channels == tuple(("abcde"[c], share[c]) for c in order if share[c] > 0)


def test_no_labels_and_no_anomalies_give_no_events():
    assert build([]) == []
    assert build([0, 0, -1, 0]) == []


def test_an_event_that_reaches_both_ends_is_whole():
    assert rows_of(build([1, 1, 1], [1])) == [(0, 2)]


@pytest.mark.parametrize(("merge_gap", "expected"), [(0, [(0, 0), (3, 3)]), (1, [(0, 0), (3, 3)]), (2, [(0, 3)])])
def test_events_with_at_most_merge_gap_rows_between_them_are_one(merge_gap, expected):
    assert rows_of(build([1, 0, -1, 1], merge_gap=merge_gap)) == expected


def test_events_are_merged_before_short_ones_are_dropped():
    assert rows_of(build([1, 0, 1, 0, 0, 0, 1], merge_gap=1, min_length=3)) == [(0, 2)]


def test_a_duration_is_in_seconds_for_dates_and_in_the_units_of_time_else():
    ticks = np.array([0, 60_000_000, 90_000_000])
    assert build([1, 1, 1], ticks=ticks, kind="datetime")[0].duration == 90.0
    assert build([1, 1, 1], ticks=ticks, kind="number")[0].duration == 90_000_000
    assert build([0, 1, 0])[0].duration == 0


def test_an_event_names_three_channels_at_most_and_none_that_has_no_part():
    assert [name for name, _ in build([1], parts=[[1, 4, 2, 3, 0]])[0].channels] == ["b", "d", "c"]
    assert build([1], parts=[[0, 5, 0]])[0].channels == (("b", 1.0),)
    assert build([1], parts=[[0, 0, 0]])[0].channels == ()
