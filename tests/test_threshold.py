"""Thresholds: the definition by hand, and the share of rows they flag."""

from __future__ import annotations

import math

import numpy as np
import pytest
import twin
from hypothesis import example, given, settings, strategies as st
from msgspec import to_builtins

from oddwave import threshold
from oddwave.errors import ConfigError

scores = st.lists(st.floats(0, 50), min_size=1, max_size=60)
blocks_of_scores = st.lists(st.lists(st.floats(0, 20), min_size=1, max_size=40), min_size=2, max_size=5)
rates = st.floats(1e-6, 0.0999)
LEAST = 1.0


def arrays(blocks):
    return [np.array(block) for block in blocks]


def slow_tail(values):
    """Return the 90 % quantile, and the mean excess above it, at least a third."""
    ordered = sorted(values)
    place = 0.9 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    start = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    above = [value - start for value in ordered if value >= start]
    return start, max(math.fsum(above) / len(above), 1 / 3) if above else 1 / 3


def slow_limit(values, rate):
    start, excess = slow_tail(values)
    return max(start + excess * math.log(0.1 / rate), LEAST)


def slow(blocks, rate):
    """Ask for rarer rates until a block that is left out keeps the budget, on average."""
    joined = [value for block in blocks for value in block]
    for quarter in range(17):
        asked = rate * 10 ** (-quarter / 4)
        shares = []
        for i, block in enumerate(blocks):
            limit = slow_limit([value for j, other in enumerate(blocks) if j != i for value in other], asked)
            shares.append(sum(value > limit for value in block) / len(block))
        if math.fsum(shares) / len(shares) <= rate:
            break
    return slow_limit(joined, asked)


@given(values=st.lists(st.integers(0, 10_000), min_size=2, max_size=60, unique=True))
def test_of_a_single_block_the_thresholds_are_its_exponential_tail(values):
    values = [value / 100 for value in values]
    alarm = threshold.fit(arrays([values]), 0.001)
    assert alarm.mean_excess == pytest.approx(slow_tail(values)[1], rel=1e-9)
    assert alarm.thresholds == pytest.approx([slow_limit(values, rate) for rate in alarm.rates], rel=1e-9)
    assert alarm.rates == pytest.approx([10 ** (-1 - quarter / 4) for quarter in range(13)])
    assert alarm.rows == len(values)


@settings(max_examples=30)
@given(blocks_of_scores)
def test_each_block_left_out_keeps_the_budget_on_average_or_the_strictest_is_taken(blocks):
    alarm = threshold.fit(arrays(blocks), 0.001)
    expected = np.maximum.accumulate([slow(blocks, rate) for rate in alarm.rates])
    assert alarm.thresholds == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-6)


@given(blocks_of_scores, scores)
def test_no_threshold_is_lower_than_that_of_the_rows_held_out(blocks, held):
    alone = threshold.fit(arrays(blocks), 0.01)
    both = threshold.fit(arrays(blocks), 0.01, held=np.array([*held, math.nan]))
    unseen = threshold.fit(arrays([held]), 0.01)
    for value, one, other in zip(both.thresholds, alone.thresholds, unseen.thresholds, strict=True):
        assert value == pytest.approx(max(one, other), rel=1e-9)


@given(blocks_of_scores, rates)
def test_the_threshold_of_another_budget_is_that_of_an_alarm_fitted_for_it(blocks, rate):
    alarm = threshold.fit(arrays(blocks), 0.05)
    value = threshold.limit(alarm, rate)
    assert value == threshold.fit(arrays(blocks), rate).threshold
    assert value == pytest.approx(twin.threshold_at(to_builtins(alarm), rate), rel=1e-9)


@given(blocks_of_scores, st.integers(1, 1000), st.sampled_from(["hour", "day", "week"]), st.sampled_from([1, 60, 3600]))
def test_the_threshold_of_events_in_a_time_follows_the_events_a_row(blocks, count, unit, step_s):
    budget = threshold.budget(f"{count}/{unit}")
    alarm = threshold.fit(arrays(blocks), budget, step_s)
    q = count / {"hour": 3600, "day": 86_400, "week": 604_800}[unit] * step_s
    assert alarm.threshold == pytest.approx(twin.threshold_at(to_builtins(alarm), q, "event_rates"), rel=1e-9)
    assert threshold.limit(threshold.fit(arrays(blocks), 0.001), budget, step_s) == alarm.threshold


@given(blocks_of_scores, rates)
@example([[0.0], [2.0]], 0.09375)
def test_the_rate_at_a_threshold_is_the_one_it_was_set_for_or_that_of_an_equal_threshold(blocks, rate):
    alarm = threshold.fit(arrays(blocks), rate)
    back = threshold.row_rate(alarm, alarm.threshold)
    assert back == alarm.rate
    assert back <= rate * (1 + 1e-9)
    assert threshold.limit(alarm, back) == pytest.approx(alarm.threshold, rel=1e-9)
    assert threshold.event_rate(alarm, alarm.threshold) <= back


@given(st.lists(st.booleans() | st.none(), max_size=60))
def test_events_are_runs_of_flags_with_few_scored_rows_between_by_hand(rows):
    found, last = [], None
    for row, flag in enumerate(rows):
        if flag is None:
            last = None
        elif flag:
            if last is None or row - last - 1 > threshold.MERGE_GAP:
                found.append([row, row + 1])
            found[-1][1] = row + 1
            last = row
    values = np.array([math.nan if flag is None else float(flag) for flag in rows])
    assert threshold.events(values, values == 1) == [tuple(event) for event in found]


@given(scores, rates, rates)
def test_fewer_false_alarms_need_a_higher_threshold(values, one, other):
    alarm = threshold.fit(arrays([values]), 0.001)
    low, high = sorted((one, other))
    assert threshold.limit(alarm, low) >= threshold.limit(alarm, high)


@given(scores, rates)
def test_a_threshold_is_finite_and_above_nearly_all_of_a_flat_series(values, rate):
    alarm = threshold.fit(arrays([values]), rate)
    assert math.isfinite(alarm.threshold)
    assert alarm.threshold > 0
    assert threshold.fit(np.full((3, 50), values[0]), rate).threshold > values[0]


@pytest.mark.parametrize("rate", [0.01, 0.001])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_of_exponential_scores_about_the_rate_is_flagged(rate, scale):
    rng = np.random.default_rng(3)
    alarm = threshold.fit(rng.exponential(scale, (5, 4_000)), rate)
    flagged = np.mean(rng.exponential(scale, 400_000) > alarm.threshold)
    assert rate / 2 < flagged < rate * 1.6


def test_where_blocks_differ_a_later_one_keeps_the_budget_that_a_plain_tail_would_break():
    rng = np.random.default_rng(4)
    blocks = [rng.exponential(1, 2_000) + 2 * level for level in rng.random(45)]  # each day has a level of its own
    flagged = {"plain": [], "blocks": []}
    for first in range(0, 40, 5):
        known, later = blocks[first : first + 5], np.concatenate(blocks[first + 5 : first + 10])
        flagged["plain"].append(np.mean(later > threshold.fit([np.concatenate(known)], 0.01).threshold))
        flagged["blocks"].append(np.mean(later > threshold.fit(known, 0.01).threshold))
    assert np.mean(flagged["blocks"]) < 0.7 * np.mean(flagged["plain"])


@pytest.mark.parametrize("budget", ["2/day", "1/2 days"])
def test_of_smooth_scores_about_as_many_events_come_as_the_budget_allows(budget):
    rng = np.random.default_rng(5)
    rows = 400_000  # a row a minute: 278 days
    noise = np.log(1 / rng.random(rows + 30))
    smooth = np.convolve(noise, np.ones(31) / 31, "valid") * 8
    alarm = threshold.fit(np.split(smooth[:40_000], 5), threshold.budget(budget), step_s=60)
    later = smooth[40_000:]
    a_day = len(threshold.events(later, later > alarm.threshold)) / (len(later) / 1440)
    wanted = threshold.budget(budget).events_a_row(86_400)
    assert wanted / 4 < a_day < wanted * 2
    assert alarm.event_rate * 1440 == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("1/day", 1, 86_400), ("2 per week", 2, 604_800), ("1 a Month", 1, 30 * 86_400), ("3/2 hours", 3, 7200),
        ("0.5/hour", 0.5, 3600), ("0.001", 0.001, None), (0.05, 0.05, None), ("0.1%", 0.001, None),
        ("1 in 1000", 0.001, None), ("5/10000 rows", 0.0005, None), ("1e-4", 1e-4, None),
    ],
)  # fmt: skip
def test_budgets_are_read_as_people_write_them(text, amount, seconds):
    assert threshold.budget(text) == (pytest.approx(amount), seconds)


@pytest.mark.parametrize(
    "text", ["", "day", "0/day", "-1/day", "1/0 days", "1/fortnight", "0", "nan", "inf", "1/0", "x%"]
)
def test_what_is_no_budget_is_refused_with_what_one_looks_like(text):
    with pytest.raises(ConfigError, match="such as 1/day or 2/week, or a share of normal rows"):
        threshold.budget(text)


def test_a_share_beyond_the_tail_is_refused():
    with pytest.raises(ConfigError, match=r"more than one normal row in ten. Give 0.1 at most"):
        threshold.budget("20%")


def test_events_in_a_time_need_a_clock():
    with pytest.raises(ConfigError, match="no dates to tell time by"):
        threshold.fit([np.arange(50.0)], threshold.budget("1/day"))
