"""Baselines: each equals its definition, has the detector's own treatment, and survives its file."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from made import rows, trained

from oddwave import baselines, score, threshold
from oddwave.errors import InputError


@pytest.fixture(scope="module")
def fitted():
    detector = trained()
    normal = rows(900)
    return detector, baselines.fit(detector, [normal[:700]], [normal[700:800], normal[800:]])


def slow_mean(values, before, after):
    return np.array([np.mean(values[max(0, i - before) : i + after + 1]) for i in range(len(values))])


def slow_values(detector, values, scoring, components):
    about = detector.metadata
    way = getattr(about, scoring)
    z = (values - np.array(about.center)) / np.array(about.scale)
    rest = np.array([row - sum((row @ part) * part for part in np.array(components)) for row in z])
    found = {
        baselines.Z_MAX: [max(abs(cell) for cell in row) for row in z],
        baselines.Z_MEAN: [np.mean(np.abs(row)) for row in z],
        baselines.PCA: [np.mean(row**2) for row in rest],
    }
    reach = score.span(way.smoothing, scoring)
    return {name: slow_mean(np.array(rowwise), *reach) for name, rowwise in found.items()}


@pytest.mark.parametrize("scoring", ["full", "causal"])
def test_each_score_of_a_row_is_how_rare_its_definition_is(fitted, scoring):
    detector, beside = fitted
    values = rows(200, seed=3)
    values[50:60] += 30
    found = beside.scores(detector, [values], scoring)
    for name, expected in slow_values(detector, values, scoring, beside.components).items():
        tail = getattr(beside, scoring)[name].tail
        rare = score.surprise(expected, np.array(tail.knots), np.array(tail.surprise), tail.slope)
        np.testing.assert_allclose(found[name][0], rare, atol=1e-9)


@pytest.mark.parametrize("scoring", ["full", "causal"])
def test_what_needs_no_model_is_the_mean_of_the_detector_s_own_terms(fitted, scoring):
    detector, beside = fitted
    values = rows(200, seed=3)
    scorer = detector.stretch_scorer(scoring, math.inf)
    terms = np.concatenate([scorer.push(values).terms, scorer.finish().terms])
    way = getattr(detector.metadata, scoring)
    rare = [
        score.surprise(terms[:, at], np.array(tail.knots), np.array(tail.surprise), tail.slope)
        for at, tail in ((1, way.spread), (2, way.distance))
    ]
    found = beside.scores(detector, [values], scoring)[baselines.TWO_TERMS][0]
    known = ~np.isnan(terms).any(axis=1)
    np.testing.assert_allclose(found[known], (rare[0] + rare[1])[known] / 2, atol=1e-12)


def test_stretches_are_scored_each_by_itself(fitted):
    detector, beside = fitted
    one, other = rows(120, seed=1), rows(90, seed=2)
    together = beside.scores(detector, [one, other], "full")
    alone = [beside.scores(detector, [part], "full") for part in (one, other)]
    for name in (name for name in baselines.MEANS if not name.startswith(baselines.RANDOM)):
        np.testing.assert_array_equal(together[name][0], np.concatenate([each[name][0] for each in alone]))


def test_channels_that_are_not_scored_change_no_score():
    detector = trained(scored=("c0", "c2"))
    normal, values = rows(900), rows(100, seed=1)
    beside = baselines.fit(detector, [normal[:700]], [normal[700:]])
    changed = values.copy()
    changed[:, 1] += 100 * np.arange(100)
    names = (baselines.Z_MAX, baselines.Z_MEAN, baselines.WINDOW_MEAN, baselines.NO_MODEL)
    one, other = (beside.scores(detector, [part], "full") for part in (values, changed))
    for name in names:
        np.testing.assert_array_equal(one[name][0], other[name][0])


def test_thresholds_flag_about_the_detector_s_share_of_other_normal_rows(fitted):
    detector, beside = fitted
    beside = beside.with_budget(threshold.budget(0.05), None)
    scores = beside.scores(detector, [rows(4000, seed=9)], "full")
    for name, (found, limit) in scores.items():
        flagged = float((found > limit).mean())
        assert flagged == 1.0 if name == baselines.ALL else flagged < 0.25, name


def test_a_smaller_budget_raises_every_threshold(fitted):
    _, beside = fitted
    few, many = (beside.with_budget(threshold.budget(share), None) for share in (0.0001, 0.05))
    for name, way in few.full.items():
        assert way.alarm.threshold > many.full[name].alarm.threshold


def test_the_same_seed_gives_the_same_random_score(fitted):
    detector, beside = fitted
    values = [rows(50)]
    first, same, other = (beside.scores(detector, values, "full", seed)[baselines.RANDOM][0] for seed in (1, 1, 2))
    assert (first == same).all()
    assert (first != other).any()


def test_they_come_back_from_their_file_as_they_were(fitted, tmp_path):
    detector, beside = fitted
    assert beside.save(tmp_path) == tmp_path / "baselines.json"
    assert baselines.read(tmp_path, detector) == beside


def test_those_of_another_detector_are_not_used(fitted, tmp_path):
    _, beside = fitted
    beside.save(tmp_path)
    assert baselines.read(tmp_path, trained(channels=2)) is None
    assert baselines.read(tmp_path / "nowhere", trained(channels=2)) is None


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"format": 2}'])
def test_a_damaged_file_is_refused_with_advice(fitted, tmp_path, text):
    (tmp_path / "baselines.json").write_bytes(text)
    with pytest.raises(InputError, match=r"can't be read: .*\nTrain anew"):
        baselines.read(tmp_path, fitted[0])


def test_without_training_rows_only_what_needs_them_is_missing(fitted):
    detector, beside = fitted
    values = [rows(60, seed=2)]
    known, found = beside.scores(detector, values, "full"), baselines.bare(detector).scores(detector, values, "full")
    assert set(known) - set(found) == {baselines.PCA}
    assert {name for name, (_, limit) in found.items() if not math.isnan(limit)} == {baselines.ALL}
    np.testing.assert_array_equal(found[baselines.NO_MODEL][0], known[baselines.NO_MODEL][0])


def test_the_names_are_explained_and_in_order(fitted):
    detector, beside = fitted
    named = list(beside.scores(detector, [rows(40)], "full"))
    assert named == [name for name in baselines.MEANS if name != baselines.AS_MANY]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.03, 1.0])
def test_random_scores_flag_as_many_rows_as_asked_for(share):
    assert (baselines.as_many(share, 5000, seed=1) > 0).sum() == pytest.approx(5000 * share, abs=1.5)


def test_the_components_keep_the_variance_and_fit_in_a_small_file():
    detector = trained(channels=2)
    normal = rows(600, 2)
    beside = baselines.fit(detector, [normal[:400]], [normal[400:]])
    assert np.array(beside.components) @ np.array(beside.components).T == pytest.approx(np.eye(len(beside.components)))
    assert len(msgspec.json.encode(beside)) < 20_000


def test_one_channel_has_no_principal_components():
    detector = trained(channels=1)
    normal = rows(600, 1)
    beside = baselines.fit(detector, [normal[:400]], [normal[400:]])
    assert beside.components == []
    assert baselines.PCA not in beside.full
