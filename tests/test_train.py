"""Training from rows to a detector: the order of the blocks, what is scored, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from made import rows

import oddwave
from oddwave.errors import ConfigError, TrainingError
from oddwave.train import FIT, HOLD, STOP, VERIFY, names, neural, split, train

NEURAL = neural()
SMALL = {"epochs": 1, "epoch_windows": 256, "input_len": 16}


@pytest.fixture(params=names())
def model(request):
    if request.param in NEURAL and os.environ.get("CI") != "true":
        pytest.importorskip("torch")
    return request.param


def quick(data, model, **settings):
    return train(data, model=model, **({**SMALL, **settings} if model in NEURAL else settings))


def test_every_model_trains_from_an_array_and_finds_a_fault(model):
    detector = quick(rows(1500), model)
    series = rows(300, seed=1)
    series[200:220, 1] += 20
    result = detector.detect(series)
    assert len(result.label) == 300
    assert (result.label[203:217] == 1).all()
    assert result.events[0].channels[0][0] == "feature_1"


def test_the_same_seed_gives_the_same_bytes_and_another_file_name_changes_none(model, tmp_path):
    hashes = set()
    for name in ("a", "b"):
        quick(rows(800), model, out=tmp_path / name)
        hashes.add(hashlib.sha256((tmp_path / name / "detector.onnx").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_a_file_holds_no_path_host_or_time(model, tmp_path):
    quick(rows(800), model, out=tmp_path)
    data = (tmp_path / "detector.onnx").read_bytes()
    host = os.uname().nodename
    words = [str(tmp_path), os.getcwd(), "site-packages"]
    words += [host] if len(host) > 4 else []  # two letters would occur by chance
    assert [word for word in words if word.encode() in data] == []


def test_the_rows_that_calibrate_reach_neither_the_scaler_nor_the_weights():
    calm, wild = rows(1000), rows(1000)
    wild[800:] *= 3
    one, other = train(calm, model="PCA_ad").metadata, train(wild, model="PCA_ad").metadata
    assert (one.center, one.scale) == (other.center, other.scale)
    assert one.full.error.knots != other.full.error.knots


def test_the_blocks_are_in_time_order_and_take_every_row_once():
    stretches = [np.arange(0.0, 7)[:, None], np.arange(7.0, 30)[:, None]]
    blocks = split(stretches, (FIT, STOP, HOLD, VERIFY))
    assert np.concatenate([part for block in blocks for part in block])[:, 0].tolist() == list(range(30))
    assert [sum(map(len, block)) for block in blocks] == [21, 3, 3, 3]


def test_neither_windows_nor_rolling_terms_cross_a_gap_in_the_training_rows():
    values = rows(2000)
    values[1000:] += 50  # months later, on another level
    times = np.concatenate([np.arange(1000), 10_000 + np.arange(1000)])
    import polars as pl

    table = {"timestamp": times, **{f"c{i}": column for i, column in enumerate(values.T)}}
    apart = train(pl.DataFrame(table), model="PCA_ad").metadata
    joined = train(pl.DataFrame({**table, "timestamp": np.arange(2000)}), model="PCA_ad").metadata
    assert max(apart.full.spread_scale) < 0.5 * max(joined.full.spread_scale)


def test_switches_are_read_but_not_scored():
    values = rows(600)
    values[:, 1] = np.arange(600) // 50 % 2
    detector = train(values, model="PCA_ad")
    assert detector.metadata.scored == [True, False, True]
    changed = values[:200].copy()
    changed[100:110, 1] = 7
    result = detector.detect(changed, contributions=True)
    assert result.contribution[:, 1].tolist() == [0] * 200


def test_if_there_are_only_switches_they_are_scored():
    values = (np.random.default_rng(0).random((600, 2)) < 0.5).astype(float)
    assert train(values, model="PCA_ad").metadata.scored == [True, True]


def test_named_channels_are_scored_and_no_others():
    assert train(rows(600), model="PCA_ad", scored=["feature_2"]).metadata.scored == [False, False, True]


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("DLinar_ad", {}, "Did you mean DLinear_ad"),
        ("PCA_ad", {"varience": 0.9}, "Did you mean variance"),
        ("PCA_ad", {"variance": 2}, "variance"),
        ("PCA_ad", {"false_alarms": 0.5}, "more than one normal row in ten"),
        ("PCA_ad", {"smoothing": 0}, "train PCA_ad: smoothing is 0, which can't be used: expected int >= 1"),
        ("ZScore_ad", {"input_lem": 1}, "Did you mean input_len"),
        ("ZScore_ad", {"tim_col": "t"}, "Did you mean time_col"),
        ("PCA_ad", {"scored": ["feature_9"]}, "feature_9"),
    ],
)
def test_a_wrong_model_or_setting_is_named(model, settings, message):
    with pytest.raises(ConfigError, match=message):
        train(rows(600), model=model, **settings)


def test_a_wrong_setting_is_told_the_nearest_of_all_that_there_are():
    pytest.importorskip("torch")
    with pytest.raises(ConfigError, match=r"train DLinear_ad: epoch is no setting\. Did you mean epochs"):
        train(rows(600), model="DLinear_ad", epoch=3)


def test_several_series_make_one_detector_and_each_gives_rows_to_every_block():
    calm, wild = rows(600), 10 * rows(600, seed=1)
    both = train([calm, wild], model="PCA_ad").metadata
    assert both.training["rows"] == 1200
    assert both.center == pytest.approx(np.concatenate([calm[:480], wild[:480]]).mean(axis=0), rel=1e-8)
    assert both.training["verified"]["full"]["rows"] == 120


def test_too_few_rows_say_how_long_a_window_is():
    with pytest.raises(TrainingError, match="window of 30"):
        train(rows(25), model="PCA_ad", input_len=30)


def test_a_channel_without_any_value_is_left_aside_and_said_so():
    values = rows(600)
    values[:, 1] = np.nan
    values[300, 0] = np.nan
    detector = train(values, model="PCA_ad")
    assert detector.metadata.channels == ["feature_0", "feature_2"]
    assert "feature_1" in detector.notes[0]
    assert "last one: 1." in detector.notes[-1]


def test_rows_labelled_anomalous_are_not_learned_from(tmp_path):
    import polars as pl

    values = rows(1200)
    values[300:400] += 30
    table = pl.DataFrame({f"c{i}": column for i, column in enumerate(values.T)})
    labels = np.zeros(1200, dtype=int)
    labels[300:400] = 1
    clean = train(table, model="PCA_ad")
    told = train(table.with_columns(known=pl.Series(labels)), model="PCA_ad", label_col="known")
    assert told.metadata.scale[0] < clean.metadata.scale[0] / 3
    assert "Rows labelled anomalous and left out: 100." in told.notes


def test_the_models_in_the_folder_are_found_without_importing_them():
    pytest.importorskip("torch")
    from oddwave.train import models

    assert sorted(neural()) == models.names()


def test_channels_that_are_never_there_together_are_refused():
    values = rows(600)
    values[:300, 1] = np.nan
    values[300:, 0] = np.nan
    with pytest.raises(TrainingError, match="Leave empty channels out"):
        train(values, model="PCA_ad", max_gap=0)


def test_a_stride_longer_than_a_window_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="stride is 20, but a window has 8 rows"):
        train(rows(600), model="PCA_ad", stride=20, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_folder_train_is_the_function_too():
    assert oddwave.train(rows(600), model="ZScore_ad").metadata.model == "ZScore_ad"


def test_the_classical_models_train_without_torch_or_onnx():
    code = (
        "import sys, numpy as np, oddwave\n"
        "oddwave.train(np.random.default_rng(0).random((600, 3)), model='PCA_ad')\n"
        "assert not {'torch', 'onnx', 'pandas'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_model_that_would_be_too_large_is_refused_before_it_is_trained():
    message = r"Nonstationary_ad is too large with windows of 1500 rows and 3 channels: .*\nGive a smaller input_len"
    with pytest.raises(TrainingError, match=message):
        train(rows(4000), model="Nonstationary_ad", input_len=1500, progress=lambda *_: pytest.fail("it was trained"))


def test_values_too_large_to_train_with_are_refused_by_channel():
    values = rows(800)
    values[17, 1] = 1e300
    with pytest.raises(TrainingError, match=r"channel feature_1: the value 1e\+300 is too large"):
        train(values, model="ZScore_ad")
