"""The shipped detectors: small, on one scenario, and as good as their cards say."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

import oddwave
from oddwave import leak, metrics, read
from oddwave.detector import shipped
from oddwave.errors import InputError
from oddwave.series import Columns
from oddwave.train import neural

LIMITS = {  # kB; the neural ones the tutorial's
    "AutoEncoder_ad": 52,
    "DLinear_ad": 112,
    "Nonstationary_ad": 1800,
    "PCA_ad": 112,
    "PatchTST_ad": 320,
    "TimesNet_ad": 1300,
    "ZScore_ad": 112,
}


@pytest.fixture(params=sorted(LIMITS))
def name(request):
    return request.param


def test_seven_detectors_are_shipped_with_a_card_each(root):
    weights = root / "src" / "oddwave" / "weights"
    assert shipped() == sorted(LIMITS)
    assert sorted(path.stem for path in weights.glob("*.md")) == sorted(LIMITS)
    assert sum(path.stat().st_size for path in weights.iterdir()) < 3_000_000


def test_a_detector_is_no_larger_than_the_tutorials(name, root):
    assert (root / "src" / "oddwave" / "weights" / f"{name}.onnx").stat().st_size < LIMITS[name] * 1000


def test_weights_to_start_from_are_shipped_for_the_neural_models(root):
    weights = root / "src" / "oddwave" / "weights"
    assert sorted(path.stem for path in weights.glob("*.safetensors")) == sorted(neural())


def test_a_detector_was_trained_on_the_normal_rows_of_the_examples(name, root):
    examples = root / "examples"
    (normal,) = read.read(examples / "server_metrics_normal.csv.gz")
    (unseen,) = read.read(examples / "server_metrics.csv.gz", Columns(label_col="label"))
    sketch = oddwave.load(name).metadata.training["sketch"]
    assert leak.check(sketch, unseen) is None
    with pytest.raises(InputError, match="holds rows that the detector was trained on"):
        leak.check(sketch, normal)


def test_every_row_of_both_examples_gets_a_label(name, root):
    detector = oddwave.load(name)
    for file, count in (("ts_ad.csv", 96), ("server_metrics.csv.gz", 5386)):
        result = detector.detect(root / "examples" / file)
        assert len(result.label) == count
        assert set(result.label.tolist()) <= {0, 1}
        assert not result.reason.any()
    assert (result.label == 1).any()


def test_dlinear_marks_the_event_of_the_example_soon_after_it_begins(root):
    result = oddwave.detect(root / "examples" / "ts_ad.csv", model="DLinear_ad")
    begin = int(np.argmax(result.label == 1))
    assert 35 <= begin <= 65  # rows from 40 on are labelled
    assert (result.label[begin:] == 1).all()
    assert len(result.events) == 1


def test_the_cards_figures_are_those_of_the_shipped_file(name, root):
    path = root / "examples" / "server_metrics.csv.gz"
    labels = next(iter(read.read(path, Columns(label_col="label")))).labels
    result = oddwave.load(name).detect(path)
    found = metrics.measure(labels, np.nan_to_num(result.score), result.threshold)
    card = (root / "src" / "oddwave" / "weights" / f"{name}.md").read_text()
    line = re.search(rf"\| \*\*{name}\*\*, `full` \| (.*) \|", card).group(1)
    said = [float(cell.strip("% ")) for cell in line.split("|")]
    keys = ("vus_pr", "auc_pr", "precision", "recall", "f1")
    assert said[:5] == pytest.approx([found[key] for key in keys], abs=0.0006)
    assert "CC-BY-4.0" in card


def test_the_order_of_columns_changes_no_label(name, root, tmp_path):
    table = pl.read_csv(root / "examples" / "server_metrics.csv.gz").drop("label")[:4800]
    table.write_csv(tmp_path / "a.csv")
    table.select(reversed(table.columns)).write_csv(tmp_path / "b.csv")
    one, other = (oddwave.create_model(name).predict(tmp_path / f"{file}.csv") for file in "ab")
    (one,), (other,) = one, other
    assert len(one.label) == 4800
    assert not one.reason.any()
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_array_equal(one.score, other.score)
