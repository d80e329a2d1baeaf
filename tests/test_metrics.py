"""Metrics equal public implementations on stored vectors, and slow twins written from the definitions."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave import metrics, metrics_events, metrics_surface
from oddwave.config import Detection
from oddwave.errors import ConfigError, InputError
from oddwave.events import EventBuilder

VECTORS = json.loads((Path(__file__).parent / "data" / "metric_vectors.json").read_text())["vectors"]


@pytest.fixture(params=VECTORS, ids=[vector["name"] for vector in VECTORS])
def vector(request):
    found = dict(request.param)
    labels = np.zeros(found["rows"], dtype=np.int8)
    for start, stop in found["label_segments"]:
        labels[start:stop] = 1
    return labels, np.array(found["scores"]), found["threshold"], found["expected"]


def close(found, expected):
    return pytest.approx(math.nan if expected is None else expected, abs=1e-9, nan_ok=True) == found


# Against the stored values of public implementations


@pytest.mark.parametrize("name", ["point", "point_adjusted"])
def test_point_metrics_equal_the_published_values(vector, name):
    labels, scores, threshold, expected = vector
    rates = getattr(metrics, name)(labels, scores, threshold)
    for key, value in expected[name].items():
        assert close(getattr(rates, key), value), key


def test_areas_equal_scikit_learn(vector):
    labels, scores, _, expected = vector
    assert close(metrics.auc_roc(labels, scores), expected["auc_roc"])
    assert close(metrics.auc_pr(labels, scores), expected["auc_pr"])


@pytest.mark.parametrize("window", [0, 10, 100])
def test_vus_equals_tsb_ad(vector, window):
    labels, scores, _, expected = vector
    areas = metrics.vus(labels, scores, window)
    assert close(areas.roc, expected[f"tsbad_opt_w{window}"]["vus_roc"])
    assert close(areas.pr, expected[f"tsbad_opt_w{window}"]["vus_pr"])


def test_range_auc_equals_the_vus_package(vector):
    labels, scores, _, expected = vector
    areas = metrics.range_auc(labels, scores, window=100)
    assert close(areas.roc, expected["vus006_range_auc_w100"]["roc"])
    assert close(areas.pr, expected["vus006_range_auc_w100"]["pr"])


def test_affiliation_equals_the_authors_package(vector):
    labels, scores, threshold, expected = vector
    rates = metrics.affiliation(labels, scores, threshold)
    assert close(rates.precision, expected["affiliation"]["precision"])
    assert close(rates.recall, expected["affiliation"]["recall"])


@pytest.mark.parametrize(("bias", "cardinality"), [("flat", "one"), ("flat", "reciprocal"), ("front", "reciprocal")])
def test_range_precision_and_recall_equal_prts(vector, bias, cardinality):
    labels, scores, threshold, expected = vector
    nothing = {
        "precision": 0,
        "recall": 0,
        "recall_alpha02": 0,
    }  # prts itself fails on a series without flags
    values = expected[f"prts_{bias}_{cardinality}"] if (scores > threshold).any() else nothing
    rates = metrics.range_based(labels, scores, threshold, bias=bias, cardinality=cardinality)
    assert close(rates.precision, values["precision"])
    assert close(rates.recall, values["recall"])
    weighted = metrics.range_based(labels, scores, threshold, existence_weight=0.2, bias=bias, cardinality=cardinality)
    assert close(weighted.recall, values["recall_alpha02"])


def test_range_precision_and_recall_equal_tsb_ad(vector):
    labels, scores, threshold, expected = vector
    rates = metrics.range_based(labels, scores, threshold, existence_weight=0.2)
    assert close(rates.precision, expected["tsbad_range"]["precision"])
    assert close(rates.recall, expected["tsbad_range"]["recall"])


# Against slow twins


@st.composite
def cases(draw, max_rows=40):
    rows = draw(st.integers(4, max_rows))
    labels = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    levels = draw(st.sampled_from([1, 3, 1000]))
    scores = draw(st.lists(st.integers(-levels, levels), min_size=rows, max_size=rows))
    if all(labels) or not any(labels):
        labels[0] = not labels[0]
    return np.array(labels), np.array(scores, dtype=np.float64), draw(st.integers(-levels - 1, levels))


def slow_auc_roc(labels, scores):
    pairs = [(a, b) for a in scores[labels] for b in scores[~labels]]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


def slow_auc_pr(labels, scores):
    area, recall_before = 0.0, 0.0
    for cut in sorted(set(scores), reverse=True):
        flagged = scores >= cut
        recall = (labels & flagged).sum() / labels.sum()
        area += (recall - recall_before) * (labels & flagged).sum() / flagged.sum()
        recall_before = recall
    return area


def slow_vus(labels, scores, window):
    """Curve by curve, cut by cut, row by row."""
    found = metrics.segments(labels)
    rocs, prs = [], []
    for width in range(window + 1):
        half = width // 2
        degrees = []
        for row in range(len(labels)):
            total = float(labels[row])
            for start, stop in found:
                distance = max(start - row, row - stop + 1)
                if 1 <= distance <= half:
                    total += math.sqrt(1 - distance / width)
            degrees.append(min(total, 1.0))
        zones = []
        for start, stop in found:
            if zones and start - half <= zones[-1][1]:
                zones[-1][1] = stop - 1 + half
            else:
                zones.append([start - half, stop - 1 + half])
        tprs, fprs, precisions = [0.0], [0.0], [1.0]
        falling = sorted(scores, reverse=True)
        for pick in np.linspace(0, len(scores) - 1, metrics_surface.CUTS).astype(int):
            flagged = [score >= falling[pick] for score in scores]
            hits = sum(degree for degree, flag in zip(degrees, flagged, strict=True) if flag)
            counted = sum(degree for degree, flag, label in zip(degrees, flagged, labels, strict=True) if flag or label)
            expected = (sum(labels) + counted) / 2
            met = sum(any(flagged[max(first, 0) : last + 1]) for first, last in zones) / len(zones)
            tprs.append(min(hits / expected, 1) * met)
            fprs.append((sum(flagged) - hits) / (len(labels) - expected))
            precisions.append(hits / sum(flagged))
        prs.append(sum((b - a) * p for a, b, p in zip(tprs, tprs[1:], precisions[1:], strict=False)))
        tprs, fprs = [*tprs, 1.0], [*fprs, 1.0]
        rocs.append(sum((fprs[i + 1] - fprs[i]) * (tprs[i + 1] + tprs[i]) / 2 for i in range(len(fprs) - 1)))
    return float(np.mean(rocs)), float(np.mean(prs))


def slow_affiliation(labels, flagged, cells=32):
    """Chances counted over random moments on a fine grid, instead of from their formula."""
    found = metrics.segments(labels)
    n_rows = len(labels)
    precisions, recalls = [], []
    middles = (np.arange(n_rows * cells) + 0.5) / cells
    is_flagged = np.repeat(flagged, cells)
    for number, (start, stop) in enumerate(found):
        left = (found[number - 1][1] + start) / 2 if number else 0
        right = (stop + found[number + 1][0]) / 2 if number + 1 < len(found) else n_rows
        zone = middles[(middles > left) & (middles < right)]
        flags = zone[is_flagged[(middles > left) & (middles < right)]]
        to_segment = np.maximum(np.maximum(start - zone, zone - stop), 0)
        if len(flags):
            own = np.maximum(np.maximum(start - flags, flags - stop), 0)
            precisions.append(np.mean([(to_segment >= distance - 1e-9).mean() for distance in own]))
        chances = []
        for moment in zone[(zone > start) & (zone < stop)]:
            nearest = abs(flags - moment).min() if len(flags) else math.inf
            nearest = 0 if nearest < 1e-9 else nearest
            chances.append((abs(zone - moment) >= nearest - 1e-9).mean() if len(flags) else 0.0)
        recalls.append(np.mean(chances))
    return (float(np.mean(precisions)) if precisions else math.nan), float(np.mean(recalls))


@settings(deadline=None)
@given(cases())
def test_areas_equal_their_slow_twins(case):
    labels, scores, _ = case
    assert metrics.auc_roc(labels, scores) == pytest.approx(slow_auc_roc(labels, scores), abs=1e-12)
    assert metrics.auc_pr(labels, scores) == pytest.approx(slow_auc_pr(labels, scores), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(cases(), st.integers(0, 12))
def test_vus_equals_its_slow_twin(case, window):
    labels, scores, _ = case
    assert tuple(metrics.vus(labels, scores, window)) == pytest.approx(slow_vus(labels, scores, window), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(cases(max_rows=16))
def test_affiliation_equals_its_slow_twin(case):
    labels, scores, threshold = case
    found = metrics.affiliation(labels, scores, threshold)
    precision, recall = slow_affiliation(labels, scores > threshold)
    assert found.precision == pytest.approx(precision, abs=0.02, nan_ok=True)
    assert found.recall == pytest.approx(recall, abs=0.02)


@settings(deadline=None)
@given(cases())
def test_point_adjustment_equals_its_slow_twin_and_reaches_row_0(case):
    labels, scores, threshold = case
    adjusted = list(scores > threshold)
    for start, stop in metrics.segments(labels):
        if any(scores[start:stop] > threshold):
            adjusted[start:stop] = [True] * (stop - start)
    expected = metrics.point(labels, np.array(adjusted, dtype=float), 0.5)
    assert metrics.point_adjusted(labels, scores, threshold) == expected


@st.composite
def blocks_of_events(draw):
    """Return rows in blocks with an event each, the blocks' first rows, and a window whose margins stay inside."""
    half = draw(st.integers(0, 6))
    sizes = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=5))
    labels = [row for event, rest in sizes for row in [0] * half + [1] * event + [0] * (half + rest)]
    borders = np.cumsum([0, *(2 * half + event + rest for event, rest in sizes)])[:-1]
    scores = draw(st.lists(st.integers(-9, 9), min_size=len(labels), max_size=len(labels)))
    return np.array([*labels, 0]) == 1, np.array([*scores, 0.0]), borders, 2 * half


@settings(max_examples=40, deadline=None)
@given(blocks_of_events())
def test_the_volume_of_blocks_drawn_once_each_is_that_of_all_rows(case):
    labels, scores, borders, window = case
    surface = metrics_surface.Surface(labels, scores, window, borders)
    assert tuple(surface.volume()) == pytest.approx(tuple(metrics.vus(labels, scores, window)), abs=1e-12)


def test_the_volume_of_drawn_blocks_is_that_of_their_rows_put_together():
    rng = np.random.default_rng(5)
    labels = np.tile(np.repeat([0, 1, 0], (40, 20, 40)), 8) == 1
    scores = np.round(rng.random(800) + 0.3 * labels, 2)  # few distinct values: the same cuts for all
    borders, weights = np.arange(0, 800, 100), np.array([2, 0, 1, 1, 0, 3, 1, 0])
    drawn = np.repeat(np.arange(8), weights)
    rows = (borders[drawn][:, None] + np.arange(100)).ravel()
    found = metrics_surface.Surface(labels, scores, 20, borders).volumes(weights[None].astype(float))[0]
    assert found == pytest.approx(tuple(metrics.vus(labels[rows], scores[rows], 20)), abs=0.01)


def slow_delays(labels, flagged):
    late = []
    for start, stop in metrics.segments(labels):
        late.append(next((row - start for row in range(start, stop) if flagged[row]), math.nan))
    return late


def slow_false_alarms(labels, flagged):
    """Grow each alarm row by row."""
    found, row = [], 0
    while row < len(flagged):
        if not flagged[row]:
            row += 1
            continue
        last = row
        while any(flagged[last + 1 : last + 2 + metrics_events.MERGE_GAP]):
            last += 1
        while not flagged[last]:
            last -= 1
        if not any(labels[row : last + 1]):
            found.append((row, last + 1))
        row = last + 1
    return found


@settings(deadline=None)
@given(cases(max_rows=60))
def test_delays_and_false_alarms_equal_their_slow_twins(case):
    labels, scores, threshold = case
    flagged = scores > threshold
    np.testing.assert_array_equal(metrics_events.delays(labels, flagged), slow_delays(labels, flagged))
    assert metrics_events.false_alarms(labels, flagged) == slow_false_alarms(labels, flagged)


def test_alarms_are_the_events_that_a_detector_makes():
    rng = np.random.default_rng(2)
    scores = (rng.random(500) > 0.85) * 1.0
    builder = EventBuilder(("c",), "row", Detection().merge_gap, 1)
    parts = np.ones((int(scores.sum()), 1))
    builder.push(np.arange(500), np.arange(500), scores, scores.astype(np.int8), parts)
    events = [(event.start_row, event.end_row + 1) for event in builder.finish()]
    assert metrics_events.alarms(scores) == events


@settings(deadline=None)
@given(cases())
def test_no_threshold_has_a_larger_f1_than_the_oracle(case):
    labels, scores, _ = case
    every = [metrics.point(labels, scores, cut).f1 for cut in [*scores, scores.min() - 1]]
    assert metrics.oracle_f1(labels, scores) == pytest.approx(max(every))


# What must hold whatever the data


@settings(deadline=None)
@given(cases(), st.sampled_from([lambda s: 3 * s - 7, np.exp, lambda s: s**3, np.arctan]))
def test_a_rising_transform_of_the_scores_changes_no_area(case, transform):
    labels, scores, _ = case
    scores = scores / 100
    for area in (metrics.auc_roc, metrics.auc_pr, metrics.vus, metrics.range_auc):
        assert area(labels, transform(scores)) == area(labels, scores)


@settings(deadline=None)
@given(cases())
def test_time_reversed_gives_the_same_figures(case):
    labels, scores, threshold = case
    forward = metrics.measure(labels, scores, threshold, window=10)
    assert metrics.measure(labels[::-1], scores[::-1], threshold, window=10) == pytest.approx(forward, nan_ok=True)


@settings(deadline=None)
@given(cases())
def test_all_rates_lie_between_0_and_1(case):
    labels, scores, threshold = case
    for name, value in metrics.measure(labels, scores, threshold, window=10).items():
        assert math.isnan(value) or -1e-12 <= value <= 1 + 1e-12, name


@settings(deadline=None)
@given(cases())
def test_point_adjustment_never_lowers_recall(case):
    labels, scores, threshold = case
    plain, adjusted = (f(labels, scores, threshold) for f in (metrics.point, metrics.point_adjusted))
    assert adjusted.recall >= plain.recall


@settings(deadline=None)
@given(cases())
def test_labels_as_scores_are_perfect(case):
    labels, _, _ = case
    scores = labels.astype(float)
    rates = (metrics.point, metrics.point_adjusted, metrics.affiliation, metrics.range_based)
    assert all(rate(labels, scores, 0.5) == pytest.approx((1, 1, 1)) for rate in rates)
    assert metrics.auc_roc(labels, scores) == metrics.auc_pr(labels, scores) == 1


@settings(deadline=None)
@given(cases())
def test_the_back_bias_is_the_front_bias_in_reverse(case):
    labels, scores, threshold = case
    front = metrics.range_based(labels, scores, threshold, bias="front")
    back = metrics.range_based(labels[::-1], scores[::-1], threshold, bias="back")
    assert front == pytest.approx(back)


def test_the_middle_of_a_segment_counts_most_with_the_middle_bias():
    labels, scores = [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]
    assert metrics.range_based(labels, scores, 0.5, bias="middle").recall == pytest.approx(3 / 9)


def test_a_segment_found_in_two_pieces_counts_half_with_reciprocal_cardinality():
    labels, scores = [0, 1, 1, 1, 1, 0], [0, 1, 0, 0, 1, 0]
    assert metrics.range_based(labels, scores, 0.5, cardinality="one").recall == 0.5
    assert metrics.range_based(labels, scores, 0.5).recall == 0.25


# What isn't defined, and what is refused


def test_without_anomalous_rows_what_needs_them_is_nan():
    found = metrics.measure([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], threshold=0.35)
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined >= {"vus_pr", "vus_roc", "auc_pr", "auc_roc", "recall", "range_recall"}
    assert found["precision"] == 0
    assert found["flagged"] == 0.25


def test_without_normal_rows_only_the_roc_areas_are_nan():
    found = metrics.measure([1, 1, 1], [0.1, 0.2, 0.3], threshold=0)
    assert {name for name, value in found.items() if math.isnan(value)} == {"vus_roc", "auc_roc"}
    assert found["vus_pr"] == found["auc_pr"] == found["f1"] == found["affiliation_f1"] == 1


def test_infinite_scores_are_ties_at_the_ends():
    labels, scores = [0, 1, 1, 0], [math.inf, math.inf, 0, -math.inf]
    assert metrics.auc_roc(labels, scores) == pytest.approx(0.625)


def test_random_and_all_rows_stand_beside_the_scores():
    rng = np.random.default_rng(3)
    labels = np.zeros(2000, dtype=int)
    labels[700:800] = 1
    scores = labels + rng.random(2000)
    table = metrics.compare(labels, scores, threshold=0.99)
    assert table["random"]["flagged"] == table["scores"]["flagged"]
    assert table["all rows"]["flagged"] == table["all rows"]["recall"] == 1
    assert table["random"]["vus_pr"] < table["scores"]["vus_pr"] > 0.9
    assert table["random"]["f1"] < 0.2 < 0.6 < table["random"]["adjusted_f1"]


def test_the_same_seed_gives_the_same_random_row():
    labels = [0, 0, 1, 1, 0, 0]
    scores = [random.Random(5).random() for _ in labels]
    first, second = (metrics.compare(labels, scores, 0.5, seed=4)["random"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("labels", "scores", "says"),
    [
        ([0, 1], [0.1, 0.2, 0.3], "labels have shape (2,) and scores (3,)"),
        ([], [], "labels have shape (0,)"),
        ([0, 2], [0.1, 0.2], "labels hold 2"),
        ([0, 1, 0], [0.1, math.nan, math.nan], "2 rows have no score, the first is row 1"),
    ],
)
def test_what_can_not_be_measured_is_refused_in_one_sentence(labels, scores, says):
    with pytest.raises(InputError) as caught:
        metrics.auc_pr(labels, scores)
    assert says in str(caught.value)


def test_unknown_settings_are_refused_with_what_is_known():
    with pytest.raises(ConfigError, match="Did you mean front"):
        metrics.range_based([0, 1], [0, 1], 0.5, bias="frnt")
    with pytest.raises(ConfigError, match="from 0 to 1"):
        metrics.range_based([0, 1], [0, 1], 0.5, existence_weight=2)
    with pytest.raises(ConfigError, match="window is -1"):
        metrics.vus([0, 1], [0, 1], window=-1)
