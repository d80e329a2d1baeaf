"""One stretch, pushed in pieces: equal to the slow twin, and to itself however it is cut."""

from __future__ import annotations

import compiled
import made
import numpy as np
import pytest
import twin
from hypothesis import given, settings, strategies as st

from oddwave import stretch, terms as in_numpy
from oddwave.score import surprise
from oddwave.stretch import StretchScorer
from oddwave.terms import Constants, surprises
from oddwave.threads import Threads

# size, stride, channels, scored, smoothing, rolling, long rolling
SHAPES = [
    (1, 1, 1, None, 1, 2, 1),
    (1, 1, 2, (True, False), 4, 7, 20),
    (4, 1, 1, None, 5, 12, 13),
    (4, 3, 2, None, 1, 5, 60),
    (8, 3, 2, None, 4, 7, 5),
    (8, 8, 3, (False, True, True), 31, 101, 401),
    (8, 5, 3, (True, False, False), 2, 3, 9),
    (96, 24, 2, None, 5, 11, 43),
    (96, 50, 1, None, 7, 130, 250),
]
ways = pytest.mark.parametrize("scoring", ["full", "causal"])
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture(scope="module", autouse=True, params=["numpy", "compiled"])
def steps(request):
    """Let each test run with the kernel and without it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "steps", in_numpy if request.param == "numpy" else compiled.kernel())
        yield


def detector_of(shape):
    return made.handmade(*shape)


def scorer(detector, scoring, batch=32, threshold=-np.inf, threads=None):
    constants = Constants(detector.metadata, scoring)
    return StretchScorer(constants, detector._runtime.errors, batch, threshold, threads and Threads(threads))


def score_in(lengths, values, scorer):
    """Push the rows in pieces of these lengths, over and over; return scores, terms and contributions."""
    out, start, at = [], 0, 0
    while start < len(values):
        stop = start + lengths[at % len(lengths)]
        out.append(scorer.push(values[start:stop]))
        start, at = stop, at + 1
    out.append(scorer.finish())
    channels = values.shape[1]
    parts = []
    for piece in out:
        parts.append(np.zeros((len(piece.score), channels)))
        if piece.contribution is not None:
            parts[-1][piece.first : piece.first + len(piece.contribution)] = piece.contribution
    return (
        np.concatenate([piece.score for piece in out]),
        np.concatenate([piece.terms for piece in out]),
        np.concatenate(parts),
    )


def values_with_faults(count, channels, seed):
    values = made.rows(count, channels, seed)
    values[count // 2 : count // 2 + 5, channels - 1] += 30
    values[count // 3, 0] -= 1e6
    return values


@ways
@shapes
@pytest.mark.parametrize("extra", [0, 1, 37])
def test_a_stretch_equals_the_slow_twin(shape, scoring, extra):
    detector = detector_of(shape)
    values = values_with_faults(shape[0] + extra, shape[2], seed=extra)
    score, _, contribution = score_in([11], values, scorer(detector, scoring))
    expected = twin.score_stretch(detector.data, twin.metadata_of(detector.data), values.tolist(), scoring)
    wanted = np.array([np.nan if value is None else value for value, _ in expected])
    np.testing.assert_allclose(score, wanted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(contribution, [parts for _, parts in expected], rtol=1e-8, atol=1e-11)


@ways
@shapes
@settings(deadline=None, max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    batch=st.sampled_from([1, 2, 3, 7, 32, 1000]),
)
def test_pieces_and_batches_change_nothing_to_the_bit(shape, scoring, lengths, batch):
    detector = detector_of(shape)
    values = values_with_faults(shape[0] + 60, shape[2], seed=3)
    whole = score_in([len(values)], values, scorer(detector, scoring))
    cut = score_in(lengths, values, scorer(detector, scoring, batch))
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one, other)


@ways
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing_to_the_bit(scoring, threads):
    detector = detector_of((8, 3, 2, None, 4, 7, 5))
    values = values_with_faults(9000, 2, seed=7)
    alone = score_in([len(values)], values, scorer(detector, scoring))
    shared = score_in([4000, 17, 3000], values, scorer(detector, scoring, threads=threads))
    for one, other in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(one, other)


@ways
@shapes
def test_scores_and_contributions_are_never_negative_and_contributions_sum_to_the_score(shape, scoring):
    detector = detector_of(shape)
    values = values_with_faults(shape[0] + 90, shape[2], seed=5)
    score, _, contribution = score_in([17], values, scorer(detector, scoring))
    is_scored = ~np.isnan(score)
    assert is_scored.any()
    assert (score[is_scored] >= 0).all()
    assert np.isfinite(score[is_scored]).all()
    assert (contribution >= 0).all()
    np.testing.assert_allclose(contribution[is_scored].sum(axis=1), score[is_scored], rtol=1e-12, atol=1e-15)
    assert (contribution[~is_scored] == 0).all()
    unscored = [c for c, counts in enumerate(detector.metadata.scored) if not counts]
    assert (contribution[:, unscored] == 0).all()


@pytest.mark.parametrize("size", [4, 8, 96])
def test_a_stretch_shorter_than_a_window_has_no_scores(size):
    detector = made.handmade(size, 2, 1)
    for scoring in ("full", "causal"):
        score, terms, _ = score_in([2], made.rows(size - 1, 1), scorer(detector, scoring))
        assert len(score) == len(terms) == size - 1
        assert np.isnan(score).all()


def test_a_stretch_of_exactly_a_window_is_scored_whole_in_full_and_in_its_last_row_in_causal():
    detector = made.handmade(8, 3, 2)
    values = made.rows(8, 2)
    assert not np.isnan(score_in([8], values, scorer(detector, "full"))[0]).any()
    assert np.isnan(score_in([8], values, scorer(detector, "causal"))[0]).tolist() == [True] * 7 + [False]


def test_the_surprises_of_all_terms_at_once_are_those_of_each_alone_to_the_bit():
    curves = Constants(made.handmade().metadata, "full").tails
    terms = np.random.default_rng(0).gamma(1, 3, (97, len(curves)))
    terms[5, 2] = np.nan
    alone = np.stack([surprise(terms[:, at], *tail) for at, tail in enumerate(curves)], axis=1)
    alone[:, 3:] = np.minimum(alone[:, 3:], np.log([1e4, 100]))
    np.testing.assert_array_equal(surprises(terms, curves), alone)


@shapes
def test_full_scores_are_final_as_far_back_as_the_page_says(shape):
    detector = detector_of(shape)
    size, smoothing, widest = shape[0], shape[4], max(shape[5:])
    behind = max(size, widest // 2) + smoothing // 2
    values = values_with_faults(size + 150, shape[2], seed=6)
    for count in (size + 60, size + 61, size + 119):
        first = score_in([count], values[:count], scorer(detector, "full"))[0]
        more = score_in([len(values)], values, scorer(detector, "full"))[0]
        keep = max(count - behind, 0)
        np.testing.assert_array_equal(first[:keep], more[:keep])


@shapes
def test_rows_are_given_out_as_soon_as_no_later_row_can_change_them(shape):
    detector = detector_of(shape)
    size, smoothing, widest = shape[0], shape[4], max(shape[5:])
    values = made.rows(size + 250, shape[2])
    assert len(scorer(detector, "causal").push(values).score) == len(values)
    given_out = len(scorer(detector, "full").push(values).score)
    assert given_out == len(values) - max(size, (widest - 1) // 2) - (smoothing - 1) // 2


@shapes
def test_the_past_never_hears_of_the_future_in_causal(shape):
    detector = detector_of(shape)
    values = values_with_faults(shape[0] + 60, shape[2], seed=7)
    changed = values.copy()
    changed[-20:] += 1000
    before = score_in([50], values, scorer(detector, "causal"))
    after = score_in([50], changed, scorer(detector, "causal"))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[:-20], other[:-20])


def test_contributions_are_left_out_where_no_row_is_above_the_threshold():
    detector = made.handmade()
    values = made.rows(60, 2)
    assert scorer(detector, "causal", threshold=np.inf).push(values).contribution is None
    scores = scorer(detector, "causal", threshold=0.5).push(values)
    odd = np.flatnonzero(scores.score > 0.5)
    assert scores.first == odd[0]
    assert scores.contribution.shape == (odd[-1] - odd[0] + 1, 2)


def test_memory_stays_bounded_however_many_rows_are_pushed():
    detector = made.handmade()
    for scoring in ("full", "causal"):
        one = scorer(detector, scoring)
        for _ in range(200):
            one.push(made.rows(10, 2))
        assert max(len(kept.data) for kept in (one.values, one.total, one.parts, one.terms)) < 60
