"""An evaluation is honest: no training rows, nothing chosen by labels, the same rows for all, no certainty made up."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from made import names, rows, trained

from oddwave import baselines, bootstrap, metrics, train
from oddwave.baselines import MEANS
from oddwave.errors import ConfigError, InputError
from oddwave.evaluate import evaluate as evaluate_with, figures

EVENTS = range(100, 1500, 200)
WINDOW = 20  # of VUS: narrower than usual, and quicker


def evaluate(data, model, **settings):
    return evaluate_with(data, model, **{"window": WINDOW, **settings})


def table(count=1500, events=EVENTS, seed=1, start=2000, **more):
    """Return labelled rows with faults in the channel c1, ten rows each."""
    values = rows(count, 3, seed)
    labels = np.zeros(count, dtype=np.int8)
    for at in events:
        values[at : at + 10, 1] += 12
        labels[at : at + 10] = 1
    columns = {name: values[:, i] for i, name in enumerate(names(3))}
    return pl.DataFrame({"time": np.arange(start, start + count), **columns, "label": labels, **more})


def normal():
    return table(900, (), seed=0, start=0).drop("label")


@pytest.fixture(scope="module")
def detector():
    return trained()


@pytest.fixture(scope="module")
def found(detector):
    return evaluate(table(), detector, train=normal(), resamples=60)


def test_the_first_figures_are_the_tutorial_s(found):
    assert list(found.figures)[:4] == ["done_flag", "f1", "recall", "precision"]
    assert found.figures["done_flag"] is True
    assert found.figures["f1"] == found.figures["full"]["detector"]["f1"]


@pytest.mark.parametrize("way", ["full", "causal"])
def test_the_detector_s_figures_are_those_of_its_own_result(detector, found, way):
    data = table()
    result = detector.detect(data.drop("label"), scoring=way)
    score = np.where(np.isnan(result.score), -np.inf, result.score)
    expected = metrics.measure(data["label"].to_numpy(), score, result.threshold, WINDOW)
    kept = found.figures[way]["detector"]
    assert {name: kept[name] for name in expected} == pytest.approx(expected)
    assert kept["events"] == len(EVENTS)
    alarms = [event for event in result.events if not data["label"][event.start_row : event.end_row + 1].sum()]
    assert kept["false_alarms"] == len(alarms)


def test_all_baselines_stand_beside_it_on_as_many_rows(found):
    for way in ("full", "causal"):
        side = found.figures[way]["baselines"]
        assert list(side) == list(MEANS)
        assert {row["events"] for row in side.values()} == {len(EVENTS)}
        assert side[baselines.ALL]["flagged"] == side[baselines.ALL]["recall"] == 1


def test_faults_are_found_and_the_score_beats_chance(found):
    row, side = found.figures["causal"]["detector"], found.figures["causal"]["baselines"]
    assert row["events_found"] == len(EVENTS)
    assert 0 <= row["delay_rows_median"] <= 9
    assert row["vus_pr"] > 2 * side[baselines.RANDOM]["vus_pr"]


def test_no_false_alarm_is_no_promise_of_none(found):
    rate = found.figures["causal"]["intervals"][baselines.ALL]["false_alarm_rate"]
    assert (rate["value"], rate["low"]) == (0, 0)
    assert math.exp(-rate["high"] / 1000 * (1500 - 70)) == pytest.approx(0.025)


def test_delay_stands_in_causal_only(found):
    assert not [name for name in found.figures["full"]["detector"] if name.startswith("delay")]


def test_intervals_hold_the_figures_of_weights_of_one(detector, found):
    """A draw of each block once is the measurement itself."""
    data = table()
    (series,) = [result.series for result in found.results]
    truth = figures.Truth((series,), WINDOW, None)
    score = np.nan_to_num(found.results[0].score)
    draws = bootstrap.Draws(data["label"].to_numpy() == 1, [0], 100, WINDOW // 2, 1, 0)
    draws.weights = np.ones((1, len(draws.borders)))
    again = figures.drawn(truth, score, found.results[0].threshold, draws)
    once = figures.measured(truth, score, found.results[0].threshold, has_delay=False)
    assert set(again) == set(figures.SURE)
    assert {name: values[0] for name, values in again.items()} == pytest.approx({name: once[name] for name in again})


def test_a_difference_is_paired(found):
    kept = found.figures["full"]
    gap, own, other = (
        kept["difference"][baselines.Z_MAX]["f1"],
        kept["intervals"]["PCA_ad"]["f1"],
        kept["intervals"][baselines.Z_MAX]["f1"],
    )
    assert gap["value"] == pytest.approx(own["value"] - other["value"])
    assert gap["low"] <= gap["high"]


def test_the_same_seed_gives_the_same_evaluation(detector, found):
    assert evaluate(table(), detector, train=normal(), resamples=60).figures == found.figures


def test_rows_without_a_score_are_counted_and_missed(detector):
    data = table(600, (2, 300))  # the first fault lies where causal warms up
    found = evaluate(data, detector, resamples=0)
    kept = found.figures["data"]
    assert (kept["without_score"]["causal"], kept["anomalous_without_score"]["causal"]) == (7, 5)
    assert kept["without_score"]["full"] == 0
    side = found.figures["causal"]["baselines"]
    assert side[baselines.ALL]["recall"] == 1
    label = data["label"].to_numpy() == 1
    causal = detector.detect(data.drop("label"), scoring="causal")
    assert found.figures["causal"]["detector"]["recall"] == (causal.label == 1)[label].sum() / 20


def test_training_rows_are_refused(detector):
    with pytest.raises(InputError, match="holds rows that the detector was trained on"):
        evaluate(normal().with_columns(label=pl.Series([0, 1] * 450)), detector)
    leaky = pl.concat([normal().with_columns(label=pl.lit(0, pl.Int8))[-400:], table()])
    with pytest.raises(InputError, match="Figures of such rows flatter"):
        evaluate(leaky, detector)


def test_rows_of_the_training_data_given_are_refused_too(detector):
    data = table()
    with pytest.raises(InputError, match="trained on"):
        evaluate(data, detector, train=data.drop("label"))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0] * 300, "each of the 300 rows has the label 0"),
        ([1] * 300, "each of the 300 rows has the label 1"),
        (["bad", "fine"] * 150, "the label 'bad' is neither 0 nor 1"),
        ([1, None] * 150, "is neither 0 nor 1"),
    ],
)
def test_labels_that_nothing_can_be_measured_by_are_refused(detector, labels, says):
    data = table(300, (100,)).with_columns(label=pl.Series(labels))
    with pytest.raises(InputError) as caught:
        evaluate(data, detector)
    assert says in str(caught.value)


def test_a_missing_label_column_is_named_with_the_nearest(detector):
    with pytest.raises(InputError, match=r"no column 'label' .*Did you mean lable"):
        evaluate(table().rename({"label": "lable"}), detector)


def test_a_threshold_by_hand_is_told_of_and_changes_the_detector_only(detector, found):
    by_hand = evaluate(table(), detector, train=normal(), threshold=1.0, resamples=0)
    assert by_hand.figures["threshold"]["set_by"] == "hand"
    assert by_hand.figures["threshold"]["full"] == by_hand.figures["threshold"]["causal"] == 1.0
    assert any("set by hand" in note for note in by_hand.figures["notes"])
    for name in (name for name in MEANS if name != baselines.AS_MANY):
        assert by_hand.figures["full"]["baselines"][name] == found.figures["full"]["baselines"][name]
    assert by_hand.figures["full"]["detector"]["flagged"] > found.figures["full"]["detector"]["flagged"]


def test_another_budget_changes_every_threshold(detector, found):
    loose = evaluate(table(), detector, train=normal(), false_alarms=0.05, resamples=0).figures
    strict = found.figures
    for way in ("full", "causal"):
        assert loose["threshold"][way] < strict["threshold"][way]
        for name in (baselines.Z_MAX, baselines.NO_MODEL):
            assert loose[way]["baselines"][name]["flagged"] >= strict[way]["baselines"][name]["flagged"]


def test_without_training_rows_no_threshold_is_made_up(detector):
    found = evaluate(table(), detector, resamples=0)
    side = found.figures["full"]["baselines"]
    assert baselines.PCA not in side
    assert "f1" not in side[baselines.Z_MAX]
    assert side[baselines.Z_MAX]["vus_pr"] > 0
    assert side[baselines.AS_MANY]["flagged"] == pytest.approx(found.figures["full"]["detector"]["flagged"], abs=0.002)
    assert any("takes training rows" in note for note in found.figures["notes"])
    assert "F1" in found.verdict[1]
    assert "nothing tells whether that is much" in found.verdict[1]


def test_one_event_makes_nothing_certain(detector):
    found = evaluate(table(events=(700,)), detector, train=normal(), resamples=60)
    kept = found.figures["full"]["intervals"]["PCA_ad"]
    assert kept["vus_pr"]["low"] is kept["f1"]["low"] is None
    assert kept["normal_flagged"]["low"] is not None
    assert "without an interval: not certain" in found.verdict[0]
    assert any("1 block of time" in note for note in found.figures["notes"])


def test_groups_are_measured_together_and_each(detector):
    two = pl.concat([table(host="a"), table(800, (300,), seed=4, host="b")])
    found = evaluate(two, detector, train=normal(), group_col="host", resamples=0)
    kept = found.figures
    assert [(row["rows"], row["anomalous"]) for row in kept["groups"]] == [(1500, 70), (800, 10)]
    assert kept["full"]["detector"]["events"] == len(EVENTS) + 1
    alone = evaluate(table(), detector, train=normal(), resamples=0).figures["full"]
    assert kept["groups"][0]["full"]["detector"] == alone["detector"]
    events = sum(row["full"]["detector"]["false_alarms"] for row in kept["groups"])
    assert kept["full"]["detector"]["false_alarms"] == events


def test_a_group_of_normal_rows_only_is_measured_with_the_others(detector):
    two = pl.concat([table(host="a"), table(800, (), seed=4, host="b")])
    row = evaluate(two, detector, group_col="host", resamples=0).figures["groups"][1]
    assert row["full"]["detector"]["vus_pr"] is row["full"]["detector"]["recall"] is None


def test_the_order_of_the_rows_changes_nothing(detector):
    shuffled = table().sample(fraction=1, shuffle=True, seed=3)
    one, other = (evaluate(data, detector, resamples=0).figures for data in (table(), shuffled))
    assert one["full"] == other["full"]


def test_with_dates_false_alarms_are_counted_a_day_and_delay_in_seconds(detector):
    began = datetime(2026, 3, 1)  # noqa: DTZ001
    dates = [began + timedelta(minutes=i) for i in range(1500)]
    found = evaluate(table().with_columns(time=pl.Series(dates)), detector, resamples=0).figures
    row = found["causal"]["detector"]
    assert (found["data"]["step_s"], found["data"]["false_alarms_per"]) == (60, "day")
    assert row["delay_s_median"] == 60 * row["delay_rows_median"]
    assert row["false_alarm_rate"] == pytest.approx(row["false_alarms"] / (1500 - 70) * 1440)


def test_a_run_folder_brings_its_baselines(tmp_path, detector):
    run, data = tmp_path / "run", tmp_path / "data"
    train(normal(), model="PCA_ad", out=run, smoothing=5, rolling=12)
    trained_there = evaluate(table(), run, train=normal(), resamples=0)
    data.mkdir()
    table().write_csv(data / "val.csv")
    normal().write_csv(data / "train.csv")
    by_folder = evaluate(data, run / "detector.onnx", out=run, resamples=0)
    by_file = json.loads((run / "evaluate_result.json").read_text())
    assert by_file["full"]["baselines"].keys() == MEANS.keys()
    for name, row in trained_there.figures["full"]["baselines"].items():
        assert by_file["full"]["baselines"][name]["vus_pr"] == pytest.approx(row["vus_pr"], abs=1e-6), name
    assert "<html" in (run / "evaluate_report.html").read_text().lower()
    assert by_folder.figures["full"]["detector"] == by_file["full"]["detector"]


def test_a_folder_without_labelled_rows_is_refused(tmp_path, detector):
    with pytest.raises(InputError, match=r"holds no file val\.csv"):
        evaluate(tmp_path, detector)


@pytest.mark.parametrize("setting", [{"window": -1}, {"resamples": 0.5}, {"scoring": "ful"}, {"threshold": -1}])
def test_settings_that_can_not_be_used_are_refused(detector, setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        evaluate(table(), detector, **setting)


def test_the_text_fits_a_terminal_and_names_every_score(found):
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    for name in ("PCA_ad", *MEANS):
        assert text.count(f"\n{name}  ") == 2
    assert all(sentence.split(":")[0] in text for sentence in found.verdict)


def test_the_text_can_not_command_the_terminal(detector, tmp_path):
    file = tmp_path / "a\x1b[2J.csv"
    table().write_csv(file)
    assert "\x1b" not in str(evaluate(file, detector, resamples=0))


def test_the_verdict_says_when_the_threshold_breaks_its_promise(found):
    expected = found.figures["threshold"]["expected_flagged"]["full"]
    seen = found.figures["full"]["detector"]["normal_flagged"]
    much = f" are, {seen / expected:,.1f} times as many" if 0.95 * seen > expected else " are"
    assert f"at most {expected:.2%} were expected to be flagged: {seen:.2%}{much}. False alarms" in found.verdict[2]
    assert found.verdict[2].endswith(f"{found.figures['full']['detector']['false_alarm_rate']:.2f} seen.")


def test_a_report_gets_figures_it_can_show(found):
    kept = found.metrics
    assert list(kept)[:3] == ["PCA_ad", "PCA_ad, causal", baselines.RANDOM]
    assert kept["PCA_ad"]["f1"].low is not None
    assert kept["PCA_ad, causal"]["delay"].value == found.figures["causal"]["detector"]["delay_rows_median"]
    assert not [cell for row in kept.values() for cell in row.values() if math.isnan(cell.value)]
