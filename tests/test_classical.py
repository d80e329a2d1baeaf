"""PCA_ad and ZScore_ad: their graphs compute what their definitions say."""

from __future__ import annotations

import made
import numpy as np
import pytest

from oddwave import classical, graph
from oddwave.errors import ConfigError, TrainingError
from oddwave.runtime import Runtime
from oddwave.train import train


def scaled(values):
    center, scale = values.mean(axis=0), values.std(axis=0)
    return (values - center) / scale, center, scale


def windows_of(values, size):
    return np.stack([values[i : i + size] for i in range(len(values) - size + 1)])


@pytest.mark.parametrize(("size", "channels", "variance"), [(1, 3, 0.9), (4, 3, 0.95), (8, 2, 0.5), (4, 1, 0.99)])
def test_the_error_of_pca_is_what_the_main_components_leave_of_a_window(size, channels, variance):
    values = made.rows(400, channels)
    z, center, scale = scaled(values)
    options = classical.PCASettings(input_len=size, variance=variance)
    usual = np.linspace(0.5, 2, channels)
    model = classical.fit(options, [values], center, scale)(usual)
    graph.inspect(model, "x", size, channels)
    # the slow way: components by the singular values of all windows
    rows = windows_of(z, size).reshape(-1, size * channels)
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    explained = np.cumsum(singular**2) / (singular**2).sum()
    count = min(int(np.argmax(explained >= variance)) + 1, size * channels - 1)
    basis = directions[:count]
    fresh = made.rows(40, channels, seed=5)
    flat = windows_of((fresh - center) / scale, size).reshape(-1, size * channels)
    expected = np.abs(flat - flat @ basis.T @ basis).reshape(-1, size, channels) / usual
    got = Runtime(model, "x").errors(windows_of(fresh, size).astype(np.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_pca_keeps_no_more_components_than_asked():
    values = np.random.default_rng(0).normal(size=(500, 6))
    _, center, scale = scaled(values)
    model = classical.fit(classical.PCASettings(input_len=2, variance=0.99, components=3), [values], center, scale)
    assert len(model(np.ones(6))) < len(
        classical.fit(classical.PCASettings(input_len=2, variance=0.99), [values], center, scale)(np.ones(6))
    )


def test_pca_learns_from_all_stretches_and_across_none():
    values = made.rows(400)
    _, center, scale = scaled(values)
    options = classical.PCASettings(input_len=4)
    windows = classical._windows([values[:3], values[3:100], values[100:]], 4, 50_000)
    assert len(windows) == (97 - 3) + (300 - 3)
    np.testing.assert_array_equal(windows[0], values[3:7].reshape(-1))
    assert classical.fit(options, [values[:3], values[3:]], center, scale)(np.ones(3))


def test_of_many_windows_evenly_spread_ones_are_taken():
    values = np.arange(1000.0)[:, None]
    windows = classical._windows([values], 1, 100)
    assert windows[:, 0].tolist() == list(range(0, 1000, 10))


def test_the_error_of_the_z_score_is_the_distance_from_the_median_in_median_deviations():
    values = np.random.default_rng(0).normal(size=(301, 3)) * [1, 20, 0.01] + [0, 7, -5]
    values[5] = 1e6  # one wild row doesn't matter
    usual = np.array([1.0, 2.0, 0.5])
    model = classical.fit(classical.ZScoreSettings(), [values[:100], values[100:]], *scaled(values)[1:])(usual)
    graph.inspect(model, "x", 1, 3)
    middle = np.median(values, axis=0)
    deviation = 1.4826 * np.median(np.abs(values - middle), axis=0)
    fresh = np.random.default_rng(1).normal(size=(50, 1, 3))
    expected = np.abs(fresh - middle) / deviation / usual
    np.testing.assert_allclose(Runtime(model, "x").errors(fresh.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)


def test_a_channel_that_seldom_moves_is_measured_in_deviations_and_a_constant_one_as_it_is():
    values = np.zeros((200, 2))
    values[:20, 0] = 3.0
    model = classical.fit(classical.ZScoreSettings(), [values], values.mean(axis=0), np.ones(2))(np.ones(2))
    got = Runtime(model, "x").errors(np.array([[[3.0, 2.0]]], dtype=np.float32))
    np.testing.assert_allclose(got[0, 0], [3.0 / values[:, 0].std(), 2.0], rtol=1e-6)


@pytest.mark.parametrize("model", ["PCA_ad", "ZScore_ad"])
def test_training_twice_gives_the_same_bytes(model):
    _, center, scale = scaled(made.rows(300))
    build = classical.fit(classical.SETTINGS[model](), [made.rows(300)], center, scale)
    again = classical.fit(classical.SETTINGS[model](), [made.rows(300)], center, scale)
    assert build(np.ones(3)) == again(np.ones(3))


def test_a_sign_of_the_components_does_not_reach_the_file():
    values = made.rows(300)
    _, center, scale = scaled(values)
    options = classical.PCASettings(input_len=2)
    one = classical.fit(options, [values], center, scale)(np.ones(3))
    mirrored = classical.fit(options, [2 * center - values], center, scale)(np.ones(3))
    window = made.rows(2, seed=3)[None].astype(np.float32)
    np.testing.assert_allclose(
        Runtime(one, "x").errors(window), Runtime(mirrored, "x").errors(window), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 16])
def test_pca_trains_with_any_length_of_window(size):
    detector = train(made.rows(400, 1), model="PCA_ad", input_len=size)
    assert detector.metadata.size == size
    assert detector.metadata.stride <= size
    assert (detector.detect(made.rows(60, 1)).label >= 0).all()


@pytest.mark.parametrize(("model", "least"), [("PCA_ad", 20), ("ZScore_ad", 20)])
def test_too_few_rows_are_refused_with_what_to_do(model, least):
    for count in (1, 2, 3, 4, 5, 10, 20, 25, 35):
        if count < least:
            with pytest.raises(TrainingError, match="Give more rows"):
                train(made.rows(count), model=model)
    for count in (least, least + 1, least + 20):
        assert train(made.rows(count), model=model).metadata.full.alarm.rows > 0


@pytest.mark.parametrize(
    ("model", "setting", "message"),
    [
        ("PCA_ad", {"componets": 3}, "PCA_ad: componets is no setting. Did you mean components"),
        ("PCA_ad", {"variance": 1.5}, "variance"),
        ("PCA_ad", {"input_len": 0}, "input_len"),
        ("ZScore_ad", {"input_len": 4}, "input_len"),
        ("ZScore_ad", {"epochs": 4}, "train ZScore_ad: epochs is no setting"),
        ("KNN_ad", {}, "no model 'KNN_ad' to train"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_by_name(model, setting, message):
    with pytest.raises(ConfigError, match=message):
        train(made.rows(100), model=model, **setting)
