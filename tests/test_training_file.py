"""Training files: the tutorial's keys and ours, what wins over what, and what is said of a mistake."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from oddwave import training_file
from oddwave.config import Detection
from oddwave.errors import ConfigError
from oddwave.train import Training, names
from oddwave.train.plan import Plan
from oddwave.training_file import NAMES, Predict, Train, TrainingFile, read, settings, text

TUTORIAL = """\
Global:
  model: AutoEncoder_ad
  mode: check_dataset # check_dataset/train/evaluate/predict
  dataset_dir: "dataset/ts_anomaly_examples/"
  device: gpu:0
  output: "output"

CheckDataset:
  convert:
    enable: False
    src_dataset_type: null
  split:
    enable: False
    train_percent: null
    val_percent: null

Train:
  epochs_iters: 20
  batch_size: 16
  learning_rate: 0.0001
  time_col: timestamp
  input_len: 96
  feature_cols: feature_0,feature_1
  freq: 1
  label_col: label
  log_interval: 10

Evaluate:
  weight_path: "output/best_model/model.pdparams"

Export:

Predict:
  batch_size: 1
  model_dir: "output/inference"
  input: "ts_ad.csv"
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(TUTORIAL)
    return tmp_path / "my.yaml"


def message(*words, **options):
    with pytest.raises(ConfigError) as caught:
        read(*words, **options)
    return str(caught.value)


def test_a_file_written_for_the_tutorial_is_read(path):
    file = read("my.yaml")
    assert file.Global.mode == "check_dataset"
    assert file.Predict.model_dir == "output/inference"
    assert settings(file) == {
        "epochs": 20, "batch_size": 16, "learning_rate": 0.0001, "time_col": "timestamp", "step_s": 1.0,
        "input_len": 96, "feature_cols": ("feature_0", "feature_1"), "label_col": "label",
    }  # fmt: skip


@pytest.mark.parametrize("model", names())
def test_a_models_name_is_its_built_in_configuration(model):
    assert read(model).Global.model == model
    assert settings(read(model)) == {}


def test_overrides_win_over_the_file_and_flags_over_both(path):
    overrides = ["Train.epochs_iters=7", "Train.batch_size=8", "CheckDataset.split.enable=True", "Train.seed=1"]
    file = read(path, overrides, {"Train.batch_size": 4})
    assert settings(file)["epochs"] == 7
    assert settings(file)["batch_size"] == 4
    assert settings(file)["seed"] == 1
    assert settings(file)["learning_rate"] == 0.0001
    assert file.CheckDataset.split.enable
    assert not file.CheckDataset.convert.enable


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("Train.learning_rate=1e-3", "learning_rate", 0.001),
        ("Train.scored=a, b", "scored", ("a", "b")),
        ("Train.scored=[a, 'b, c']", "scored", ("a", "b, c")),
        ("Train.feature_cols=1,2", "feature_cols", ("1", "2")),
        ("Train.feature_cols=[1, 2]", "feature_cols", ("1", "2")),
        ("Train.feature_cols=7", "feature_cols", ("7",)),
        ("Train.time_col=2026", "time_col", "2026"),
        ("Train.time_col=2026-01-02", "time_col", "2026-01-02"),
        ("Train.freq=5min", "step_s", 300.0),
        ("Train.freq=0.5", "step_s", 0.5),
        ("Train.exclude=2026-03-01/2026-03-02 06:00", "exclude", ("2026-03-01/2026-03-02 06:00",)),
        ("Train.false_alarms=1/day", "false_alarms", "1/day"),
        ("Train.false_alarms=0.002", "false_alarms", 0.002),
        ("Train.settings.trend_reach=6", "trend_reach", 6),
    ],
)
def test_values_are_yaml_and_become_what_training_takes(override, key, expected):
    assert settings(read("DLinear_ad", [override])) == {key: expected}


def test_null_takes_a_value_back(path):
    assert "label_col" not in settings(read(path, ["Train.label_col=null"]))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TUTORIAL.replace("epochs_iters", "epoch_iters"), "section Train: epoch_iters is no setting. Did you mea"),
        (TUTORIAL.replace("Train:", "Trian:"), "my.yaml: Trian is no setting. Did you mean Train?"),
        (TUTORIAL.replace("train_percent", "train_precent"), "section CheckDataset.split: train_precent is no s"),
        (TUTORIAL.replace("epochs_iters: 20", "epochs_iters: many"), "my.yaml, section Train: epochs_iters is 'many'"),
        (TUTORIAL.replace("epochs_iters: 20", "epochs_iters: 0"), "epochs_iters is 0, which can't be used"),
        (TUTORIAL.replace("freq: 1", "freq: often"), "freq is 'often', which is no time step"),
        (TUTORIAL.replace("freq: 1", "freq: -1min"), "freq is '-1min', which is no time step"),
        (TUTORIAL.replace("train_percent: null", "train_percent: 90").replace("val_percent: null", "val_percent: 20"),
         "train_percent 90 and val_percent 20 don't add up to 100"),
        (TUTORIAL.replace("mode: check_dataset", "mode: trian"), "Did you mean train?"),
        ("CheckDataset:\n  convert: yes\n", "my.yaml, section CheckDataset: convert is a section, but True was given"),
        (TUTORIAL + "  input: b.csv\n", "my.yaml, line 37: input is given twice"),
        ("Pipeline:\n  model: DLinear_ad\n", "my.yaml is a pipeline file, not a training file"),
        ("- 1\n", "my.yaml has no sections"),
        ("", "my.yaml has no sections"),
        ("Global: {a: [", "this isn't YAML"),
        ("Global: !!python/object/apply:os.getcwd []\n", "this isn't YAML"),
        ("# " + "x" * (1 << 20), "my.yaml is larger than 1 MB"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_named_with_its_place(path, content, expected):
    path.write_text(content)
    assert expected in message("my.yaml")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "Train.epochs_itres=3",
            "-o Train.epochs_itres=3, section Train: epochs_itres is no setting. Did you mean epo",
        ),
        ("Trian.epochs_iters=3", "-o Trian.epochs_iters=3: Trian is no setting. Did you mean Train?"),
        ("Train.epochs_iters", "-o Train.epochs_iters has no value. Write -o Section.key=value"),
        ("epochs_iters=3", "epochs_iters has no section. Write Train.epochs_iters=…"),
        ("=3", "has no value"),
        ("Train=3", "has no section"),
        ("CheckDataset.split=80", "split is a section, but 80 was given"),
        ("Train.epochs_iters.x=3", "epochs_iters is a section, which can't be used"),
        ("Train.epochs_iters=[", "this isn't YAML"),
    ],
)
def test_a_mistake_in_an_override_is_named(override, expected):
    assert expected in message("DLinear_ad", [override])


def test_a_file_that_isnt_there_leads_to_the_built_in_configuration():
    assert "-c DLinear_ad" in message("configs/ts_anomaly_detection/DLinear_ad.yaml")
    assert "Did you mean DLinear_ad?" in message("DLiner_ad")


def test_every_setting_of_training_has_a_key():
    keys = set(Train.__struct_fields__)
    assert {NAMES.get(name, name) for kind in (Training, Plan) for name in kind.__struct_fields__} <= keys
    assert set(Detection.__struct_fields__) <= set(Predict.__struct_fields__)


def test_a_file_that_is_written_explains_every_key_and_is_read_as_the_same(tmp_path):
    file = read("PCA_ad", ["Train.scored=a,b", "Train.exclude=1/2", "Global.dataset_dir='a: b'", "Train.settings.x=é"])
    written = text(file)
    (tmp_path / "config.yaml").write_text(written, encoding="utf-8")
    assert read(tmp_path / "config.yaml") == file
    lines = written.splitlines()
    for above, line in pairwise(lines):
        assert line.endswith(":") or line.strip().startswith("#") or above.strip().startswith("# "), line
    assert not [line for line in lines if "None" in line or line.strip() == "#"]


def test_what_a_training_was_given_comes_back_from_its_file():
    given = {"epochs": 3, "step_s": 60.0, "feature_cols": ("a",), "trend_reach": 4}
    file = training_file.of("DLinear_ad", given, "normal.csv", "runs/pump")
    assert settings(file) == given
    assert (file.Global.dataset_dir, file.Global.output) == ("normal.csv", "runs/pump")


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_override_is_read_or_refused_with_a_message(key, value):
    with suppress(ConfigError):
        assert isinstance(read(None, [f"{key}={value}"]), TrainingFile)
