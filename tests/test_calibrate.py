"""Calibration: it stores what its definitions say, and fresh normal rows are flagged about as often as asked."""

from __future__ import annotations

import math

import made
import msgspec
import numpy as np
import pytest
import twin
from hypothesis import given, settings, strategies as st

from oddwave import calibrate, detector_file, graph, metadata as metadata_module, threshold
from oddwave.config import Detection
from oddwave.detector import Detector
from oddwave.errors import TrainingError
from oddwave.metadata import Metadata, Tail, Time
from oddwave.runtime import Runtime
from oddwave.series import batch
from oddwave.threshold import Budget
from oddwave.train import train

ways = pytest.mark.parametrize("scoring", ["full", "causal"])
FIT, HOLD = (
    made.rows(150, 2, seed=1),
    [made.rows(90, 2, seed=2), made.rows(60, 2, seed=3), made.rows(5, 2, seed=4)],
)


def blank(channels=2, size=8, stride=3):
    normal = made.rows(150, channels, seed=1)
    return Metadata(
        format=1, model="Handmade_ad", settings={}, channels=list(made.names(channels)), scored=[True] * channels,
        size=size, stride=stride, combine="mean", max_gap=2, center=calibrate.rounded(normal.mean(axis=0)),
        scale=calibrate.rounded(normal.std(axis=0)), full=calibrate.blank(channels, 1, 4, 7, 17),
        causal=calibrate.blank(channels, 3, 2, 4, 17), time=Time(name="row", kind="row", step=None), training={},
        licence="", versions={}, graph_sha256="",
    )  # fmt: skip


def calibrated(blocks=None, verify=(), rate=0.01, piece=32):
    run = Runtime(made.bare_graph(8, 2), "the test").errors
    found, scores = calibrate.calibrate(blank(), lambda _: run, blocks or [HOLD], 0, Budget(rate), piece)
    return found, calibrate.verify(found, run, verify, scores, piece)


def locals_of(data, stretches, scoring):
    """Yield z, mean and deviation of each row and channel, from the twin."""
    for stretch in stretches:
        for t in range(len(stretch)):
            yield [twin.local_statistics(data, stretch.tolist(), t, c, scoring) for c in range(2)]


# Definitions


@ways
def test_what_is_usual_is_measured_on_all_rows(scoring):
    way = getattr(calibrated()[0], scoring)
    rows = list(locals_of(msgspec.to_builtins(blank()), HOLD, scoring))
    for c in range(2):
        logs = [math.log(row[c][2] + 0.05) for row in rows]
        mean = math.fsum(logs) / len(logs)
        assert way.spread_center[c] == pytest.approx(mean, rel=1e-8)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in logs) / len(logs))
        assert way.spread_scale[c] == pytest.approx(max(deviation, 0.1), rel=1e-8)
        distances = [z - mean for z, mean, _, _ in (row[c] for row in rows)]
        assert way.distance_scale[c] == pytest.approx(max(root_mean_square(distances), 0.1), rel=1e-8)
        shifts = [mean - long_mean for _, mean, _, long_mean in (row[c] for row in rows)]
        assert way.shift_scale[c] == pytest.approx(max(root_mean_square(shifts), 0.1), rel=1e-8)


def root_mean_square(values):
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


@ways
def test_a_surprise_is_how_rare_a_value_is_among_the_held_out_rows(scoring, monkeypatch):
    monkeypatch.setattr(twin, "MOST", {})
    result, _ = calibrated()
    data = msgspec.to_builtins(result)
    # surprises that are the term itself: one knot at 1e-300 and a slope so that ln(x) comes back out
    probe = {"knots": [1e-300], "surprise": [0.0], "slope": 1.0}
    model = detector_file.encode(made.bare_graph(8, 2), result)
    for name in twin.TERMS:
        terms = []
        others = {other: {"knots": [1e300], "surprise": [0.0], "slope": 1.0} for other in twin.TERMS}
        one = data | {scoring: data[scoring] | others | {name: probe}}
        for stretch in HOLD:
            for score, _ in twin.score_stretch(model, one, stretch.tolist(), scoring):
                if score is not None:
                    terms.append(math.exp(len(twin.TERMS) * score + math.log(1e-300)) if score else 0.0)
        tail = data[scoring][name]
        for knot, surprise in zip(tail["knots"], tail["surprise"], strict=True):
            reached = sum(term >= knot * (1 - 1e-6) for term in terms) / len(terms)
            assert math.exp(-surprise) == pytest.approx(reached, abs=1.5 / len(terms))
        above = [math.log(term / tail["knots"][-1]) for term in terms if term >= tail["knots"][-1] * (1 - 1e-9)]
        assert tail["slope"] == pytest.approx(max(math.fsum(above) / len(above), 0.1), rel=0.05)


@ways
def test_the_alarm_is_fitted_to_the_scores_of_the_rows(scoring):
    result, _ = calibrated()
    model = detector_file.encode(made.bare_graph(8, 2), result)
    data = twin.metadata_of(model)
    pairs = [pair for stretch in HOLD for pair in twin.score_stretch(model, data, stretch.tolist(), scoring)]
    scores = np.array([score for score, _ in pairs if score is not None])
    alarm = getattr(result, scoring).alarm
    assert alarm.rows == len(scores)
    expected = threshold.fit([scores], 0.01)
    assert alarm.thresholds == pytest.approx(expected.thresholds, rel=1e-6)
    assert alarm.threshold == pytest.approx(twin.threshold_at(data[scoring]["alarm"], 0.01), rel=1e-12)


@ways
def test_each_block_is_scored_with_what_the_others_say_is_usual(scoring):
    blocks = [[made.rows(90, 2, seed=seed) * (1 + seed)] for seed in range(3)]
    result, seen = calibrated(blocks, verify=[made.rows(40, 2, seed=9)])
    tails = {name: msgspec.to_builtins(getattr(getattr(result, scoring), name)) for name in twin.TERMS}
    scores = []
    for i, block in enumerate(blocks):
        others = [rows for j, (rows,) in enumerate(blocks) if j != i]
        own = calibrate.usual(blank(), others, is_scaled=False)
        assert own.center == pytest.approx(np.concatenate(others).mean(axis=0), rel=1e-8)
        assert own.scale == pytest.approx(np.concatenate(others).std(axis=0), rel=1e-8)
        data = msgspec.to_builtins(own)
        data[scoring] |= tails
        model = detector_file.encode(made.bare_graph(8, 2), own)
        scores += [score for score, _ in twin.score_stretch(model, data, block[0].tolist(), scoring)]
    scores = [math.nan if score is None else score for score in scores]
    assert seen[scoring].held == pytest.approx(scores, rel=1e-6, nan_ok=True)


def test_batches_change_no_bit_of_it():
    assert calibrated(piece=32)[0] == calibrated(piece=1)[0] == calibrated(piece=7)[0]


def test_the_order_of_held_out_stretches_changes_nothing_that_matters():
    one, other = calibrated()[0], calibrated([HOLD[::-1]])[0]
    assert one.full.alarm.threshold == pytest.approx(other.full.alarm.threshold, rel=1e-7)


def test_held_out_stretches_shorter_than_a_window_are_refused():
    with pytest.raises(TrainingError, match="as long as a window of 8"):
        calibrated([[made.rows(7, 2), made.rows(5, 2)]])


# Tails


def nearly_equal(value, count, step):
    return [value * (1 + i * step) for i in range(count)]


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(
        st.lists(st.floats(0, 1e9), min_size=1, max_size=80),
        st.lists(st.sampled_from([0.0, 0.05, 1.0, 1.0 + 1e-12, 1.0 + 1e-9, 1.0 + 3e-9, 2.0]), min_size=1, max_size=80),
        st.builds(nearly_equal, st.floats(1e-3, 1e6), st.integers(1, 60), st.sampled_from([0, 1e-16, 1e-12, 1e-9])),
    )
)  # fmt: skip
def test_any_values_give_a_tail_that_the_file_takes(values):
    tail = calibrate.tail(np.array(values))
    assert metadata_module._rising(tail)
    assert tail.slope > 0
    assert msgspec.json.decode(msgspec.json.encode(tail), type=Tail) == tail
    highest = max(values)
    assert math.isfinite(twin.surprise(highest, msgspec.to_builtins(tail)))


# False alarms


@ways
@pytest.mark.parametrize("model", ["PCA_ad", "ZScore_ad"])
def test_fresh_rows_of_the_same_kind_are_flagged_as_often_as_asked_or_less(model, scoring):
    def noise(count, seed):
        return np.random.default_rng(seed).normal(size=(count, 4)) * [1, 5, 0.1, 100] + [0, 50, 3, -1000]

    detector = train(noise(12_000, 1), model=model, false_alarms=0.01, smoothing=5, rolling=25)
    label = detector.detect_series(
        made.series_of(noise(30_000, 2), channels=detector.metadata.channels), Detection(scoring=scoring)
    ).label
    assert 0.01 / 10 < np.mean(label == 1) < 0.01 * 1.5


@ways
def test_an_anomaly_stands_out_of_that_noise(scoring):
    detector = made.trained("PCA_ad")
    values = made.rows(400, seed=8)
    values[200:220, 1] += 15
    result = detector.detect_series(made.series_of(values), Detection(scoring=scoring))
    assert (result.label[203:220] == 1).all()
    assert (result.label[:190] == 1).mean() < 0.02


# Shapes and scales


@ways
@pytest.mark.parametrize("model", ["PCA_ad", "ZScore_ad"])
@pytest.mark.parametrize("constant", [0.0, 1.0, -3.7, 1e5, 0.1])
def test_a_constant_channel_does_not_explode(model, scoring, constant):
    values = made.rows(600, 2)
    values[:, 1] = constant
    detector = train(values, model=model, scored=("feature_0", "feature_1"))  # a switch isn't, unless told so
    fresh = made.rows(300, 2, seed=7)
    fresh[:, 1] = constant
    quiet = detector.detect_series(
        made.series_of(fresh, channels=detector.metadata.channels), Detection(scoring=scoring)
    )
    assert np.mean(quiet.label == 1) < 0.05
    assert np.nanmax(quiet.score) < 20
    fresh[150:, 1] += 1e-4  # a change far below all that matters
    nearly = detector.detect_series(
        made.series_of(fresh, channels=detector.metadata.channels), Detection(scoring=scoring)
    )
    assert np.mean(nearly.label == 1) < 0.05
    fresh[150:, 1] += max(abs(constant), 1) * 10
    moved = detector.detect_series(
        made.series_of(fresh, channels=detector.metadata.channels), Detection(scoring=scoring)
    )
    assert (moved.label[150:160] == 1).any()


def test_a_large_constant_channel_is_constant():
    values = made.rows(2_000, 2)
    values[:, 1] = 123_456_789.1
    assert train(values, model="ZScore_ad").metadata.scale[1] == 1.0


@pytest.mark.parametrize("rate", [0.001, 0.1])
def test_a_series_without_any_change_trains_and_is_quiet(rate):
    detector = train(np.ones((300, 2)), model="ZScore_ad", false_alarms=rate)
    series = made.series_of(np.ones((100, 2)), channels=detector.metadata.channels)
    assert (detector.detect_series(series).label == 0).all()


def test_a_series_without_noise_trains():
    time = np.arange(3000)[:, None]
    for model in ("PCA_ad", "ZScore_ad"):
        detector = train(np.sin(time * 2 * np.pi / 50) * [0.1, 0.3], model=model, smoothing=50, rolling=100)
        assert metadata_module.problem(detector.metadata) is None


@pytest.mark.parametrize("channels", [1, 200])
@pytest.mark.parametrize("model", ["PCA_ad", "ZScore_ad"])
def test_one_channel_and_two_hundred_train_and_detect(model, channels):
    detector = train(
        made.rows(500, 1) * np.ones(channels) + np.random.default_rng(0).normal(size=(500, channels)),
        model=model,
    )
    assert len(detector.metadata.center) == channels
    result = detector.detect(made.rows(200, 1) * np.ones(channels), scoring="full")
    assert np.isfinite(result.score).all()


def test_channels_in_very_different_units_count_alike():
    values = np.random.default_rng(0).normal(size=(3_000, 3))
    units = np.array([1e-6, 1.0, 1e6])
    plain, scaled = train(values, model="ZScore_ad"), train(values * units, model="ZScore_ad")
    fresh = np.random.default_rng(1).normal(size=(500, 3))
    one = plain.detect(fresh).score
    other = scaled.detect(fresh * units).score
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-3)


def test_unscored_channels_change_no_score():
    values = made.rows(900, 3)
    fresh = made.rows(200, 3, seed=2)
    wild = fresh.copy()
    wild[:, 2] *= 1e3
    detector = train(values, model="ZScore_ad", scored=("feature_0", "feature_1"))
    assert detector.metadata.scored == [True, True, False]
    for scoring in ("full", "causal"):
        np.testing.assert_array_equal(
            detector.detect(fresh, scoring=scoring).score, detector.detect(wild, scoring=scoring).score
        )


def test_a_blank_calibration_is_one_that_a_detector_could_have():
    way = calibrate.blank(3)
    assert way.distance_scale == [1.0] * 3
    assert metadata_module._rising(way.error)
    data = graph.model([graph.node("Identity", ["window"], "error")], {}, 1, 3)
    assert Runtime(data, "x").errors(np.ones((batch(1), 1, 3), dtype=np.float32)).shape == (batch(1), 1, 3)


@given(st.lists(st.floats(-1e300, 1e300), max_size=20))
def test_rounded_numbers_keep_nine_digits(values):
    for value, short in zip(values, calibrate.rounded(np.array(values)), strict=True):
        assert short == pytest.approx(value, rel=1e-8)
        assert calibrate.rounded(np.array([short])) == [short]


def test_a_detector_is_complete_after_calibration():
    model = detector_file.encode(made.bare_graph(8, 2), calibrated()[0])
    assert Detector(model, "x").metadata.full.alarm.rate == pytest.approx(0.01)


# Verification


@ways
def test_rows_that_verify_are_counted_against_the_thresholds_of_the_others(scoring):
    later = 3 * made.rows(100, 2, seed=3)
    result, seen = calibrated(verify=[later[:40], later[40:]])
    assert result == calibrated()[0]  # they change nothing
    model = detector_file.encode(made.bare_graph(8, 2), result)
    data = twin.metadata_of(model)
    one, other = (twin.score_stretch(model, data, rows.tolist(), scoring) for rows in (later[:40], later[40:]))
    expected = [math.nan if score is None else score for score, _ in [*one, (None, None), *other]]
    assert seen[scoring].scores == pytest.approx(expected, rel=1e-6, nan_ok=True)
    facts, alarm = seen[scoring].facts(), getattr(result, scoring).alarm
    assert seen[scoring].alarm == alarm
    assert facts["rows"] == sum(not math.isnan(score) for score in expected)
    assert facts["flagged"] == sum(score > alarm.threshold for score in expected)
    assert facts["flagged"] > 50 > facts["expected_flagged"]


def test_without_rows_that_verify_nothing_is_said_of_them():
    assert calibrated()[1] == {}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_moments_are_those_of_all_rows_however_they_are_cut(lengths):
    rows = 1e6 + np.random.default_rng(0).random((sum(lengths), 3))
    mean, deviation = calibrate.moments(np.split(rows, np.cumsum(lengths)[:-1]))
    assert mean == pytest.approx(rows.mean(axis=0), rel=1e-12)
    assert deviation == pytest.approx(rows.std(axis=0), rel=1e-6, abs=1e-9)
