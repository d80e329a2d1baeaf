"""Thresholds: the definition by hand, and the share of rows they flag."""

from __future__ import annotations

import math

import numpy as np
import pytest
import twin
from hypothesis import given, strategies as st
from msgspec import to_builtins

from oddwave import threshold

scores = st.lists(st.floats(0, 50), min_size=1, max_size=60)
rates = st.floats(1e-6, 0.0999)


def slow(values, rate):
    """Return the threshold from its definition: the 90 % quantile, and the mean excess above it."""
    ordered = sorted(values)
    place = 0.9 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    start = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    above = [value - start for value in ordered if value >= start]
    excess = max(math.fsum(above) / len(above), 1 / 3) if above else 1 / 3
    return start, excess, start + excess * math.log(0.1 / rate)


@given(values=st.lists(st.integers(0, 10_000), min_size=2, max_size=60, unique=True), rate=rates)
def test_a_threshold_is_the_start_of_the_tail_plus_its_mean_excess_times_a_logarithm(values, rate):
    values = [value / 100 for value in values]
    alarm = threshold.fit(np.array(values), rate)
    start, excess, value = slow(values, rate)
    assert alarm.start == pytest.approx(start, rel=1e-12)
    assert alarm.mean_excess == pytest.approx(excess, rel=1e-9)
    assert alarm.threshold == pytest.approx(max(value, math.log(10) / 3), rel=1e-9)
    assert (alarm.rate, alarm.share, alarm.rows) == (rate, 0.1, len(values))


@given(scores, rates)
def test_the_threshold_at_the_alarms_own_rate_is_the_alarms(values, rate):
    alarm = threshold.fit(np.array(values), rate)
    assert threshold.at_rate(alarm, rate) == alarm.threshold
    expected = max(twin.threshold_at(to_builtins(alarm), rate), threshold._LEAST_THRESHOLD)
    assert threshold.at_rate(alarm, rate) == pytest.approx(expected, rel=1e-12)
    assert threshold.at_rate(alarm, alarm.share) == max(alarm.start, threshold._LEAST_THRESHOLD)


@given(scores, rates, rates)
def test_fewer_false_alarms_need_a_higher_threshold(values, one, other):
    alarm = threshold.fit(np.array(values), 0.001)
    low, high = sorted((one, other))
    assert threshold.at_rate(alarm, low) >= threshold.at_rate(alarm, high)


@given(scores, rates)
def test_a_threshold_is_finite_and_above_nearly_all_of_a_flat_series(values, rate):
    alarm = threshold.fit(np.array(values), rate)
    assert math.isfinite(alarm.threshold)
    assert alarm.threshold > 0
    assert alarm.mean_excess >= 1 / 3
    assert threshold.fit(np.full(50, values[0]), rate).threshold > values[0]


@pytest.mark.parametrize("rate", [0.01, 0.001])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_of_exponential_scores_about_the_rate_is_flagged(rate, scale):
    rng = np.random.default_rng(3)
    alarm = threshold.fit(rng.exponential(scale, 5_000), rate)
    flagged = np.mean(rng.exponential(scale, 400_000) > alarm.threshold)
    assert rate / 1.6 < flagged < rate * 1.6
