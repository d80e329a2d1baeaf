"""Charts: no spike is lost, no row is lost, events keep their rows, and the channels are those that matter."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave.chart import Chart, chart, extremes, headline
from oddwave.events import Event
from oddwave.result import REASONS, Result
from oddwave.series import Series

THRESHOLD = 4.0


def event(start, end, peak=9.0, channels=(("a", 1.0),)):
    return Event(start, end, float(end - start), start, peak, start, end, end - start + 1, tuple(channels))


def result_of(score, reason=None, events=(), ticks=None, values=None, channels=("a",), **more):
    score = np.array(score, dtype=np.float64)
    reason = np.zeros(len(score), dtype=np.uint8) if reason is None else np.array(reason, dtype=np.uint8)
    score[reason > 0] = np.nan
    label = np.where(reason > 0, -1, score > THRESHOLD).astype(np.int8)
    ticks = np.arange(len(score)) if ticks is None else np.asarray(ticks)
    values = np.zeros((len(score), len(channels))) if values is None else values
    kind, index = more.pop("kind", "number"), more.pop("index", ticks)
    series = Series(values, tuple(channels), ticks, kind, index, "t", "x.csv")
    return Result(series, score, label, reason, list(events), THRESHOLD, "M", "full", **more)


def slow_extremes(values, edges):
    """The same from the definition, value by value."""
    low, high = [], []
    for start, stop in pairwise(edges):
        known = [value for value in values[start:stop].tolist() if value == value]
        low.append(min(known, default=float("nan")))
        high.append(max(known, default=float("nan")))
    return low, high


@st.composite
def results(draw):
    """Return a result in time order with events and gaps in the scores, and the same with its rows shuffled."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    n_rows = draw(st.integers(1, 1500))
    starts = sorted(draw(st.sets(st.integers(0, n_rows - 1), max_size=8)))
    events = []
    for start, after in zip(starts, [*starts, n_rows][1:], strict=True):
        end = min(start + draw(st.integers(0, 60)), after - 1)
        events.append(event(start, end, float(rng.integers(5, 50))))
    reason = np.zeros(n_rows, dtype=np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, n_rows))
        reason[start : start + draw(st.integers(0, 200))] = draw(st.integers(1, 4))
    ticks = np.sort(rng.integers(0, draw(st.sampled_from([3, n_rows, 10**9])), n_rows))
    score, values = rng.gamma(1, 1, n_rows), rng.normal(size=(n_rows, 2))
    values[rng.random(values.shape) < 0.1] = np.nan
    in_time = result_of(score, reason, events, ticks, values, ("a", "b"))
    rows = np.argsort(rng.random(n_rows)[np.searchsorted(ticks, ticks)], kind="stable")  # equal times keep their order
    mixed = result_of(in_time.score[rows], reason[rows], events, ticks[rows], values[rows], ("a", "b"))
    return in_time, mixed


@settings(deadline=None)
@given(results(), st.integers(1, 400))
def test_every_row_is_in_exactly_one_bucket_and_there_are_no_more_than_asked_for(drawn, buckets):
    found = chart(drawn[0], buckets, 2)
    assert found.edges[0] == 0
    assert found.edges[-1] == len(drawn[0].label)
    assert (np.diff(found.edges) > 0).all()
    assert len(found.edges) - 1 <= buckets


@settings(deadline=None)
@given(results(), st.integers(16, 400))
def test_each_bucket_has_the_least_and_the_largest_of_its_values(drawn, buckets):
    found = chart(drawn[0], buckets, 2)
    for line, values in [(found.score, drawn[0].score), *zip(found.channels, drawn[0].series.values.T, strict=False)]:
        np.testing.assert_array_equal(np.stack([line.low, line.high]), slow_extremes(values, found.edges))


@settings(deadline=None)
@given(results(), st.integers(16, 400))
def test_rows_in_another_order_give_the_same_chart(drawn, buckets):
    one, other = (chart(result, buckets, 2) for result in drawn)
    for name in ("edges", "ticks", "times", "leaps"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.score.high, other.score.high)
    np.testing.assert_array_equal(one.channels[0].low, other.channels[0].low)
    assert (one.anomalous, one.unscored) == (other.anomalous, other.unscored)


@settings(deadline=None)
@given(results())
def test_every_row_of_an_event_has_a_bucket_of_its_own_while_there_is_room(drawn):
    result = drawn[0]
    rows = sum(event.rows for event in result.events)
    found = chart(result, max(4 * rows, 200), 2)
    alone = set(found.edges[:-1][np.diff(found.edges) == 1].tolist())
    for one in result.events:
        assert set(range(one.start_row, one.end_row + 1)) <= alone


@settings(deadline=None)
@given(results(), st.integers(100, 400))
def test_events_begin_and_end_with_a_bucket(drawn, buckets):
    edges = set(chart(drawn[0], buckets, 2).edges.tolist())
    highest = sorted(drawn[0].events, key=lambda one: -one.peak_score)[: buckets // 24]
    assert {row for one in highest for row in (one.start_row, one.end_row + 1)} <= edges


def test_three_rows_in_a_million_can_be_zoomed_into():
    score = np.zeros(1_000_000)
    score[400_000:400_003] = 9
    found = chart(result_of(score, events=[event(400_000, 400_002)]), 1000, 1)
    assert 900 <= len(found.edges) - 1 <= 1000
    at = np.flatnonzero(found.edges == 400_000)[0]
    assert found.edges[at - 30 : at + 33].tolist() == list(range(399_970, 400_033))


def test_a_long_event_leaves_room_for_a_short_one_and_for_what_is_outside():
    events = [event(10_000, 69_999), event(80_000, 80_002)]
    found = chart(result_of(np.zeros(100_000), events=events), 1000, 1)
    inside = np.diff(found.edges)[(found.edges[:-1] >= 10_000) & (found.edges[:-1] < 70_000)]
    outside = np.diff(found.edges)[found.edges[:-1] < 9_000]
    assert inside.max() <= 200
    assert outside.max() <= 500
    assert {80_000, 80_001, 80_002, 80_003} <= set(found.edges.tolist())


def test_more_events_than_buckets_are_no_fault_and_the_highest_is_kept():
    events = [event(10 * i, 10 * i + 1, peak=5.0 + (i == 4321)) for i in range(10_000)]
    found = chart(result_of(np.zeros(100_000), events=events), 200, 1)
    assert len(found.edges) - 1 <= 200
    assert {43_210, 43_212} <= set(found.edges.tolist())
    assert len(found.events) == 10_000


def test_anomalous_rows_and_rows_without_a_score_are_spans_of_time_with_the_reason():
    reason = np.zeros(5000, dtype=np.uint8)
    reason[:95], reason[3000:3200] = 3, 1
    score = np.ones(5000)
    score[1000:1010] = 9
    found = chart(result_of(score, reason, [event(1000, 1009)]), 300, 1)
    assert [(span.start, span.stop) for span in found.anomalous] == [(1000, 1010)]
    spans = sorted((span.start, span.stop, span.reason) for span in found.unscored)
    assert spans == [(0, 95, REASONS[3]), (3000, 3200, REASONS[1])]
    assert np.isnan(found.score.low[0])


def test_the_channels_are_those_with_the_largest_share_in_events_and_never_more_than_asked_for():
    names = [f"c{i}" for i in range(9)]
    events = [
        event(0, 9, channels=[("c5", 0.5), ("c1", 0.3), ("c7", 0.02)]),
        event(20, 2000, channels=[("c8", 0.9), ("c1", 0.1)]),
    ]
    result = result_of(np.zeros(3000), events=events, channels=names)
    found = chart(result, 100, 9)
    assert [(line.name, line.share) for line in found.channels] == [
        ("c8", pytest.approx(0.45)), ("c5", pytest.approx(0.25)), ("c1", pytest.approx(0.2)),
    ]  # fmt: skip
    assert [line.name for line in chart(result, 100, 2).channels] == ["c8", "c5"]


def test_without_events_the_channels_are_those_that_contribute_most_else_the_first():
    contribution = np.tile([0.1, 0.7, 0.2], (50, 1))
    contribution[3] = np.nan
    asked = chart(result_of(np.zeros(50), channels="xyz", contribution=contribution), 20, 2)
    assert [line.name for line in asked.channels] == ["y", "z"]
    first = chart(result_of(np.zeros(50), channels="xyz"), 20, 2)
    assert [(line.name, line.share) for line in first.channels] == [("x", None), ("y", None)]


def dates_of(texts):
    """Return ticks of local times written without their zone."""
    return np.array([text[:16] for text in texts], dtype="datetime64[us]").astype(np.int64)


def test_dates_are_placed_by_the_clock_of_their_zone_and_keep_their_text():
    texts = np.array([f"2024-01-01 0{hour}:00+02:00" for hour in range(5)], dtype=object)
    local = dates_of(texts)
    found = chart(result_of(np.zeros(5), ticks=local - 7_200_000_000, index=texts, kind="datetime"), 10, 1)
    assert found.ticks.tolist() == [*local.tolist(), local[-1]]
    assert found.zone == "+02:00"
    assert found.times.tolist() == [*texts, texts[-1]]


def test_a_hole_in_time_is_a_leap_and_holes_that_are_most_of_the_time_are_said():
    ticks = np.arange(1000)
    ticks[500:] += 200
    found = chart(result_of(np.zeros(1000), ticks=ticks), 100, 1)
    assert found.edges[found.leaps].tolist() == [500]
    assert not found.is_sparse
    ticks[500:] += 10**6
    assert chart(result_of(np.zeros(1000), ticks=ticks), 100, 1).is_sparse


@pytest.mark.parametrize(
    "ticks",
    [[5], [5, 5, 5], [-(2**62), 2**62], [-1.7e308, 0.0, 1.7e308], [0.1, 0.2, 0.30000001]],
)
def test_any_times_can_be_placed(ticks):
    found = chart(result_of(np.zeros(len(ticks)), ticks=ticks), 16, 1)
    assert np.isfinite(found.ticks).all()
    assert len(found.score.low) == len(ticks)


def test_a_result_without_rows_is_an_empty_chart():
    found = chart(result_of([]), 100, 1)
    assert isinstance(found, Chart)
    assert (found.edges.tolist(), len(found.score.low), found.unscored) == ([0], 0, ())


def test_infinite_scores_stay_what_they_are():
    low, high = extremes(np.array([1.0, np.inf, -np.inf, np.nan]), np.array([0, 3, 4]))
    assert low.tolist()[0] == -np.inf
    assert high.tolist()[0] == np.inf
    assert np.isnan([low[1], high[1]]).all()


def test_the_headline_says_what_was_found():
    assert headline(result_of(np.zeros(20)).summary()) == "No anomaly found in 20 rows"
    assert headline(result_of(np.zeros(20), [3] * 5 + [0] * 15).summary()) == "No anomaly found in 15 of 20 rows"
    assert headline(result_of(np.zeros(2), [3, 3]).summary()) == "No row could be scored"
    assert headline(result_of([9, 0]).summary()) == "No event, but 1 of 2 rows anomalous"
    assert headline(result_of([9, 0], events=[event(0, 0)]).summary()) == "1 event, 1 of 2 rows anomalous"
