"""The kernel: what numpy computes, and arrays that don't fit are refused."""

from __future__ import annotations

import compiled
import made
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave import score, terms
from oddwave.terms import Constants, Rows

kernel = compiled.kernel()
UNKNOWN = 1 << 60


class Case:
    """Random rows of a stretch, the rows to compute, and a way to score them."""

    def __init__(self, seed, channels, width, far, smoothing, scoring, is_last, size):
        chance = np.random.default_rng(seed)
        scored = tuple((chance.random(channels) < 0.7).tolist())
        scored = scored if any(scored) else (True,) * channels
        self.constants = Constants(made.handmade(4, 1, channels, scored, smoothing, width, far).metadata, scoring)
        reach = self.constants.reach
        known = chance.integers(1, 500)
        start = int(chance.integers(0, known))
        self.rows = range(start, known if is_last else max(start + 1, known - reach.after))
        self.end = known if is_last else UNKNOWN
        first = max(0, start - reach.before - int(chance.integers(0, 5)))
        self.values, self.errors = Rows(channels), chance.gamma(1, 2, (len(self.rows), sum(scored)))
        self.values.first = first
        needed = self.rows.stop + (0 if is_last else reach.after)
        self.values.append(chance.normal(3, size, (needed - first, channels)))
        self.values.data[:, 0] = 7.0  # a channel that never changes

    def terms(self, steps, errors):
        parts, found = np.empty((len(errors), 3, self.errors.shape[1])), np.empty((len(errors), 5))
        steps.row_terms(self.constants, self.values, self.end, self.rows, errors, parts, found)
        return parts, found


cases = given(
    seed=st.integers(0, 1 << 30),
    channels=st.integers(1, 20),
    width=st.integers(1, 130),
    far=st.integers(1, 410),
    smoothing=st.integers(1, 40),
    scoring=st.sampled_from(["full", "causal"]),
    is_last=st.booleans(),
    size=st.sampled_from([1e-6, 1.0, 1e3]),
)


@settings(deadline=None, max_examples=150)
@cases
def test_terms_are_those_of_numpy(**drawn):
    case = Case(**drawn)
    for errors in (case.errors, np.column_stack([3 * case.errors, np.full(len(case.rows), 3.0)])):  # sums of three
        found, expected = case.terms(kernel, errors), case.terms(terms, errors)
        for one, other in zip(found, expected, strict=True):
            # the spread of a channel that hardly changes is a small difference of large numbers
            np.testing.assert_allclose(one, other, rtol=1e-6 if drawn["size"] < 1 else 1e-9, atol=1e-5)


@settings(deadline=None, max_examples=150)
@cases
def test_scores_and_contributions_are_those_of_numpy(**drawn):
    case = Case(**drawn)
    parts, rows = case.terms(terms, case.errors)
    kept, split = Rows(5), Rows(3, parts.shape[2])
    kept.first = split.first = case.rows.start
    kept.append(rows)
    split.append(parts)
    reach = case.constants.smoothing
    start = 0 if case.rows.start == 0 else case.rows.start + reach.before
    start = max(start, case.constants.warm_up)
    wanted = range(start, case.rows.stop if case.end != UNKNOWN else case.rows.stop - reach.after)
    if not wanted:
        return
    count = len(wanted)
    found = [[np.empty((count, 5)), np.empty((count, 5)), np.empty(count)] for _ in range(2)]
    shares = [np.empty((count, parts.shape[2])) for _ in range(2)]
    for steps, out, share in zip((kernel, terms), found, shares, strict=True):
        steps.rare(case.constants, kept, case.end, wanted, *out)
        steps.contribution(case.constants, split, case.end, wanted, found[0][1], share)
    for one, other in zip([*found[0], shares[0]], [*found[1], shares[1]], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1 << 30), windows=st.integers(1, 9), size=st.integers(1, 12), channels=st.integers(1, 5),
    stride=st.integers(1, 12), first=st.integers(0, 3),
)  # fmt: skip
def test_windows_are_added_as_numpy_adds_them_to_the_bit(seed, windows, size, channels, stride, first):
    chance = np.random.default_rng(seed)
    stride = min(stride, size)
    errors = chance.normal(size=(windows, size, channels)).astype(np.float32)
    before = chance.normal(size=(first + (windows - 1) * stride + size, channels + 1))
    one, other = before.copy(), before.copy()
    kernel.overlap_add(errors, first, stride, one)
    terms.overlap_add(errors, first, stride, other)
    np.testing.assert_array_equal(one, other)


def test_a_term_that_is_not_a_number_stays_one():
    constants = Constants(made.handmade().metadata, "full")
    rows = Rows(5)
    rows.append(np.full((3, 5), np.nan))
    constants.smoothing = score.Span(0, 0)
    result = np.zeros(3)
    kernel.rare(constants, rows, 3, range(3), np.empty((3, 5)), np.empty((3, 5)), result)
    assert np.isnan(result).all()


def arrays(n_rows=4, channels=2):
    return [
        np.zeros((n_rows, channels)), np.ones((6, channels)), np.zeros((n_rows, channels)),
        np.zeros((n_rows, 3, channels)), np.zeros((n_rows, 5)),
    ]  # fmt: skip


@pytest.mark.parametrize("at", range(5))
def test_arrays_that_do_not_fit_are_refused_before_anything_is_read(at):
    from oddwave import _kernel

    rows = (0, 0, 4, 4, 1, 1, 2, 2, 0)
    _kernel.terms(*arrays(), *rows)
    wrong = arrays()
    wrong[at] = wrong[at][:-1]
    with pytest.raises(ValueError, match="don't fit each other"):
        _kernel.terms(*wrong, *rows)


@pytest.mark.parametrize(
    "rows", [(0, 0, 5, 5), (0, 0, 0, 4), (1, 0, 4, 4), (0, -1, 4, 4), (0, 2, 1, 4), (0, 0, 4, 9)], ids=str
)
def test_rows_that_are_not_there_are_refused(rows):
    from oddwave import _kernel

    with pytest.raises(ValueError, match="don't fit each other"):
        _kernel.terms(*arrays(), *rows, 1, 1, 2, 2, 0)


def test_windows_beyond_the_rows_are_refused():
    from oddwave import _kernel

    with pytest.raises(ValueError, match="don't fit each other"):
        _kernel.add_windows(np.zeros((2, 4, 1), np.float32), np.zeros((5, 2)), 2, 4, 1, 0, 2)
    with pytest.raises(ValueError, match="contiguous"):
        _kernel.add_windows(np.zeros((2, 4, 2), np.float32)[:, :, :1], np.zeros((6, 2)), 2, 4, 1, 0, 2)
