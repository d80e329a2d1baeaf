"""Rolling means and surprises against slow loops; equal rows give equal bits wherever they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import twin
from hypothesis import given, settings, strategies as st

from oddwave import score

UNKNOWN = 1 << 60
ways = pytest.mark.parametrize("scoring", ["full", "causal"])


@ways
@given(width=st.integers(1, 300))
def test_a_span_holds_as_many_rows_as_its_width(scoring, width):
    reach = score.span(width, scoring)
    assert tuple(reach) == twin.reach(width, scoring)
    assert reach.before + 1 + reach.after == width
    assert reach.before - reach.after in ((0, 1) if scoring == "full" else (width - 1,))


@given(n_rows=st.integers(1, 80), width=st.integers(1, 80), seed=st.integers(0, 99))
def test_a_rolling_sum_is_the_sum_of_each_run(n_rows, width, seed):
    width = min(width, n_rows)
    values = np.random.default_rng(seed).normal(size=(n_rows, 2))
    sums = score.rolling_sum(values, width)
    assert sums.shape == (n_rows - width + 1, 2)
    for at, row in enumerate(sums.tolist()):
        expected = [math.fsum(values[at : at + width, c].tolist()) for c in range(2)]
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-13)


@given(width=st.integers(1, 40), before=st.integers(0, 50), after=st.integers(0, 50))
def test_a_rolling_sum_does_not_depend_on_the_rows_around_it_to_the_last_bit(width, before, after):
    rng = np.random.default_rng(width)
    run = rng.normal(size=(width, 3))
    around = np.concatenate([1e9 * rng.normal(size=(before, 3)), run, 1e9 * rng.normal(size=(after, 3))])
    np.testing.assert_array_equal(score.rolling_sum(around, width)[before], score.rolling_sum(run, width)[0])


@ways
@settings(deadline=None)
@given(n_rows=st.integers(1, 60), width=st.integers(1, 80), begin=st.integers(0, 20), data=st.data())
def test_a_rolling_mean_takes_the_rows_there_are(scoring, n_rows, width, begin, data):
    begin = min(begin, n_rows - 1)
    values = np.random.default_rng(n_rows).normal(size=(n_rows, 2))
    values[:begin] = 0
    start = data.draw(st.integers(begin, n_rows - 1))
    stop = data.draw(st.integers(start, n_rows))
    got = score.rolling_mean(values, 0, begin, n_rows, range(start, stop), score.span(width, scoring))
    for at, t in enumerate(range(start, stop)):
        near = twin.around(t, n_rows, width, scoring, begin)
        expected = [math.fsum(values[i, c] for i in near) / len(near) for c in range(2)]
        np.testing.assert_allclose(got[at], expected, rtol=1e-12, atol=1e-14)


@ways
@given(width=st.integers(1, 30), first=st.integers(0, 40))
def test_a_rolling_mean_needs_only_the_rows_in_reach_and_gives_the_same_bits(scoring, width, first):
    reach = score.span(width, scoring)
    values = np.random.default_rng(0).normal(size=(120, 2))
    wanted = range(max(first + reach.before, 0), 80)
    whole = score.rolling_mean(values, 0, 0, 120, wanted, reach)
    part = score.rolling_mean(values[first : 80 + reach.after], first, 0, UNKNOWN, wanted, reach)
    np.testing.assert_array_equal(whole, part)


def test_columns_may_begin_at_different_rows():
    values = np.ones((6, 2))
    values[:3, 0] = 0
    got = score.rolling_mean(values, 0, np.array([3, 0]), 6, range(3, 6), score.span(4, "causal"))
    assert got.tolist() == [[1, 1]] * 3


def test_the_log_spread_is_that_of_the_deviation_plus_a_floor():
    values = np.random.default_rng(0).normal(3, 2, size=(50, 1))
    got = score.log_spread(values.mean(axis=0), np.square(values).mean(axis=0))
    np.testing.assert_allclose(got, np.log(values.std(axis=0) + 0.05), rtol=1e-12)
    flat = score.log_spread(np.array([0.1]), np.array([0.1 * 0.1 - 1e-18]))
    assert flat.tolist() == [math.log(0.05)]


@settings(deadline=None)
@given(
    knots=st.lists(st.floats(0, 1e6), min_size=1, max_size=8, unique=True),
    values=st.lists(st.floats(0, 1e12), min_size=1, max_size=10),
    slope=st.floats(0.1, 5),
)
def test_a_surprise_is_the_twins(knots, values, slope):
    knots = sorted(knots)
    if knots[-1] < 1e-3:
        knots[-1] = 1e-3
    tail = {"knots": knots, "surprise": [0.7 * i for i in range(len(knots))], "slope": slope}
    values = np.array(values + knots)
    got = score.surprise(values, np.array(knots), np.array(tail["surprise"]), slope)
    expected = [twin.surprise(value, tail) for value in values.tolist()]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    assert (got >= 0).all()
    assert (np.diff(got[np.argsort(values)]) >= -1e-12).all()  # larger is never less rare


def test_the_surprise_of_an_unknown_value_is_unknown():
    got = score.surprise(np.array([math.nan, 1.0]), np.array([0.5, 2.0]), np.array([0.0, 1.0]), 1.0)
    assert np.isnan(got).tolist() == [True, False]


def test_a_score_is_the_mean_of_its_terms():
    rare = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 0.3], [math.nan, 1.0, 1.0]])
    np.testing.assert_allclose(score.fuse(rare), [3.0, 0.1, math.nan])
