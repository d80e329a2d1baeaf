"""The test vectors for other languages: the package and the twin both agree with them, as the page defines it."""

from __future__ import annotations

import json

import made
import make_vectors
import numpy as np
import pytest
import twin

from oddwave.config import Detection
from oddwave.detector import Detector

DATA = (make_vectors.FOLDER / "detector.onnx").read_bytes()
TEXT = (make_vectors.FOLDER / "vectors.json").read_text("utf-8")
VECTORS = json.loads(TEXT)
ways = pytest.mark.parametrize("scoring", ["full", "causal"])


@pytest.fixture(scope="module")
def detector():
    return Detector.load(make_vectors.FOLDER)


def series():
    rows = VECTORS["series"]
    values = np.array([[np.nan if cell is None else cell for cell in row] for row in rows["values"]])
    return made.series_of(values, rows["time"], "number", rows["channels"])


def assert_agrees(score, label, scoring):
    """Check the page's definition: all labels the same, scores within 1e-5 of the larger of score and threshold."""
    expected = VECTORS[scoring]
    assert label == expected["label"]
    for one, other in zip(score, expected["score"], strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert abs(one - other) <= 1e-5 * max(other, expected["threshold"])


@ways
def test_the_package_agrees_with_the_vectors(detector, scoring):
    result = detector.detect_series(series(), Detection(scoring=scoring))
    assert result.threshold == VECTORS[scoring]["threshold"]
    score = [None if np.isnan(value) else value for value in result.score.tolist()]
    label = [None if value < 0 else value for value in result.label.tolist()]
    assert_agrees(score, label, scoring)


@ways
def test_the_twin_agrees_with_the_vectors(scoring):
    rows = VECTORS["series"]
    found = twin.detect(DATA, rows["time"], rows["values"], kind="number", scoring=scoring)
    assert_agrees(found.score, found.label, scoring)


def test_the_graph_agrees_with_the_vectors(detector):
    windows = np.array(VECTORS["windows"], dtype=np.float32)
    got = detector._runtime.errors(windows)
    # float32 numbers some thousand deviations from the usual lose digits where large ones cancel
    size = np.abs(VECTORS["errors"]).max(axis=(1, 2), keepdims=True)
    assert (np.abs(got - VECTORS["errors"]) <= 1e-5 * size).all()


def test_the_rows_come_in_any_order_of_channels(detector):
    rows = series()
    frame = {
        "time": rows.ticks,
        **{name: rows.values[:, c] for c, name in reversed(list(enumerate(rows.channels)))},
    }
    polars = pytest.importorskip("polars")
    result = detector.detect(polars.DataFrame(frame))
    assert [None if value < 0 else value for value in result.label.tolist()] == VECTORS["full"]["label"]


def test_the_vectors_hold_all_that_can_go_wrong():
    rows = VECTORS["series"]
    steps = np.diff(rows["time"])
    assert (steps == 0).any()
    assert ((steps > 1.5) & (steps <= 4)).any()
    assert (steps > 4.5).any()
    assert (steps % 1 != 0).any()
    assert any(None in row for row in rows["values"])
    for scoring in ("full", "causal"):
        assert {None, 0, 1} == set(VECTORS[scoring]["label"])
        assert (
            len(VECTORS[scoring]["score"]) == len(VECTORS[scoring]["label"]) == len(rows["time"]) == len(rows["values"])
        )


def test_the_vectors_are_json_of_any_language():
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(TEXT, parse_constant=refuse) == VECTORS
    assert make_vectors.text_of(VECTORS) == TEXT


def test_the_vectors_are_those_that_the_script_makes():
    made_now = make_vectors.vectors(DATA)
    assert made_now["windows"] == VECTORS["windows"]
    assert made_now["series"] == VECTORS["series"]
    for scoring in ("full", "causal"):
        assert_agrees(made_now[scoring]["score"], made_now[scoring]["label"], scoring)


def test_the_twin_knows_nothing_of_the_package():
    source = (make_vectors.FOLDER.parent.parent / "twin.py").read_text("utf-8")
    assert "import oddwave" not in source
    assert "from oddwave" not in source
