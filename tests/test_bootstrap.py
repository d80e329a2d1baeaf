"""Blocks of time keep events whole, draws are sums over blocks, and intervals cover what they should."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave import bootstrap
from oddwave.bootstrap import Draws
from oddwave.series import runs


@st.composite
def labelled(draw):
    lengths = draw(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), min_size=1, max_size=12))
    return np.concatenate([np.repeat([False, True], pair) for pair in lengths] + [np.zeros(30, dtype=bool)])


@settings(deadline=None)
@given(labelled(), st.integers(5, 40), st.integers(0, 8), st.integers(1, 50))
def test_no_border_cuts_an_event_or_its_margin_and_no_block_is_short(labels, length, margin, second):
    starts = [0, second] if second < len(labels) else [0]
    found = bootstrap.borders(labels, starts, length, margin).tolist()
    assert found[0] == 0
    assert found == sorted(set(found))
    for border in found[1:]:
        assert not any(start - margin < border < stop + margin for start, stop in runs(labels))
    whole = [b for a, b in zip(found, [*found[1:], len(labels)], strict=True) if b - a >= length]
    assert len(whole) >= len(found) - len(starts)


def test_a_new_series_begins_a_new_block():
    labels = np.zeros(100, dtype=bool)
    assert bootstrap.borders(labels, [0, 37], length=20, margin=5).tolist() == [0, 37, 57, 77]


def test_an_event_over_two_series_keeps_their_border_free():
    labels = np.zeros(100, dtype=bool)
    labels[30:45] = True
    assert 37 not in bootstrap.borders(labels, [0, 37], length=20, margin=5)


def spread(n_rows=1000, every=100):
    labels = np.zeros(n_rows, dtype=bool)
    for start in range(every // 2, n_rows, every):
        labels[start : start + 10] = True
    return labels


def test_the_sums_of_a_draw_are_those_of_its_blocks():
    labels, values = spread(), np.random.default_rng(1).normal(size=1000)
    draws = Draws(labels, [0], length=100, margin=10, count=20, seed=3)
    edges = [*draws.borders.tolist(), 1000]
    blocks = [values[a:b].sum() for a, b in pairwise(edges)]
    for weights, total in zip(draws.weights, draws.sums(values), strict=True):
        assert total == pytest.approx(sum(w * block for w, block in zip(weights, blocks, strict=True)))
        assert weights.sum() == len(blocks)


def test_every_draw_holds_rows_of_both_kinds():
    labels = np.zeros(1000, dtype=bool)
    labels[[10, 930]] = True
    labels[940:] = True
    draws = Draws(labels, [0], length=50, margin=5, count=200, seed=0)
    assert len(draws.weights) == 200
    assert (draws.sums(labels) > 0).all()
    assert (draws.sums(~labels) > 0).all()


def test_the_same_seed_draws_the_same():
    one, same, other = (Draws(spread(), [0], 50, 5, 10, seed).weights for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_too_few_blocks_are_not_drawn_from():
    assert len(Draws(spread(400), [0], 100, 10, 50, 0).weights) == 0


def test_few_blocks_with_events_tell_nothing_of_events():
    labels = np.zeros(1000, dtype=bool)
    labels[500:510] = True
    draws = Draws(labels, [0], 50, 5, 50, 0)
    assert len(draws.weights) == 50
    assert not draws.has_events
    assert Draws(spread(), [0], 50, 5, 50, 0).has_events


def test_an_interval_is_the_middle_of_what_is_defined():
    values = np.concatenate([np.arange(1001.0), np.full(100, np.nan)])
    assert bootstrap.interval(values) == pytest.approx((25, 975))
    assert bootstrap.interval(np.full(9, np.nan)) is None
    assert bootstrap.interval(np.zeros(0)) is None
    assert bootstrap.interval(np.ones(50)) is None


def test_intervals_cover_the_mean_of_rows_that_hang_together():
    rng = np.random.default_rng(7)
    labels, covered, rowwise = spread(3000), 0, 0
    for trial in range(60):
        noise = rng.normal(size=3050)
        values = np.convolve(noise, np.ones(51), "valid")  # each row like its neighbours; the mean is 0
        draws = Draws(labels, [0], 120, 5, 200, trial)
        low, high = bootstrap.interval(draws.sums(values) / draws.sums(np.ones(3000)))
        covered += low <= 0 <= high
        rowwise += abs(values.mean()) < 1.96 * values.std() / np.sqrt(3000)
    assert covered >= 48
    assert rowwise < 30  # what rows drawn one by one would promise
