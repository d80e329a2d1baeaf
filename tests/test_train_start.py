"""Fine-tuning: which weights a training may start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import safetensors.torch
import torch

from oddwave.errors import ConfigError
from oddwave.train import checkpoint, loop, models, start
from oddwave.train.plan import Plan

SIZE = 16
ANY_CHANNELS = ("AutoEncoder_ad", "DLinear_ad", "PatchTST_ad")


def rows(n_rows: int, channels: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    turn = np.arange(n_rows)[:, None] / random.uniform(2, 5, channels)
    return (np.sin(turn) + 0.1 * random.standard_normal((n_rows, channels))).astype(np.float32)


def train(
    name: str, channels: int = 3, size: int = SIZE, seed: int = 0, options: dict[str, Any] | None = None, **more: Any
) -> tuple[torch.nn.Module, loop.History]:
    plan = Plan(epochs=1, epoch_windows=256, batch_size=32, seed=seed, **more.pop("plan", {}))
    settings = models.settings(name, options or {})
    return loop.fit(
        name, settings, [rows(400, channels, seed)], [rows(60, channels, seed)], size, channels, plan, **more
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A training's folder for each model."""
    found = {name: tmp_path_factory.mktemp(name) for name in models.names()}
    for name, folder in found.items():
        train(name, checkpoint=folder / checkpoint.FILE_NAME)
    return found


@pytest.mark.parametrize("name", models.names())
def test_a_training_starts_from_the_best_weights_of_another(name, folders):
    first, _ = train(name)
    found = start.weights(str(folders[name]), name)
    still = {"plan": {"learning_rate": 1e-12}}
    second, _ = train(name, seed=1, start=found, **still)
    for key, value in first.named_parameters():
        torch.testing.assert_close(dict(second.named_parameters())[key], value)
    fresh, _ = train(name, seed=1, **still)
    assert any(
        not torch.allclose(value, dict(fresh.named_parameters())[key]) for key, value in first.named_parameters()
    )


@pytest.mark.parametrize("name", models.names())
def test_what_a_model_takes_from_its_rows_is_taken_from_the_new_ones(name, folders):
    still = {"plan": {"learning_rate": 1e-12}}
    started, _ = train(name, seed=1, start=start.weights(str(folders[name]), name), **still)
    fresh, _ = train(name, seed=1, **still)
    assert getattr(started, "settings", None) == getattr(fresh, "settings", None)
    for key, value in fresh.named_buffers():
        if (
            ".running_" not in key and ".num_batches" not in key
        ):  # the batch normalisations of PatchTST learn by counting
            assert torch.equal(dict(started.named_buffers())[key], value), key


@pytest.mark.parametrize("name", models.names())
def test_channel_independent_models_start_with_any_number_of_channels(name, folders):
    found = start.weights(str(folders[name]), name)
    if name in ANY_CHANNELS:
        model, _ = train(name, channels=5, start=found)
        assert model(torch.zeros(2, SIZE, 5)).shape == (2, SIZE, 5)
    else:
        with pytest.raises(ConfigError) as error:
            train(name, channels=5, start=found)
        assert str(error.value) == (
            f"start: the weights of {folders[name]} learned from a number of channels of 3, but here it is 5.\n"
            "Give the same channels, or train anew. With any number of channels start "
            "AutoEncoder_ad, DLinear_ad, PatchTST_ad."
        )


@pytest.mark.parametrize("name", models.names())
def test_half_as_many_bytes_do_as_well(name, folders, tmp_path):
    run, small = folders[name] / checkpoint.FILE_NAME, tmp_path / "small.safetensors"
    start.save_small(run, small)
    assert small.stat().st_size < run.stat().st_size / 5
    whole, half = (start.weights(str(path), name) for path in (run, small))
    assert whole.sha256 != half.sha256
    losses = [train(name, seed=1, start=found)[1].losses[0] for found in (whole, half)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"size": 12}, "were trained with input_len 16, but here it is 12.\nGive input_len 16, or train anew."),
        (
            {"options": {"trend_reach": 3}},
            "were trained with trend_reach 12, but here it is 3.\nGive trend_reach 12, or train anew.",
        ),
    ],
)
def test_another_window_or_setting_is_refused_with_both_values(more, message, folders):
    with pytest.raises(ConfigError) as error:
        train("DLinear_ad", start=start.weights(str(folders["DLinear_ad"]), "DLinear_ad"), **more)
    assert str(error.value) == f"start: the weights of {folders['DLinear_ad']} {message}"


def test_weights_of_another_model_are_refused(folders):
    with pytest.raises(ConfigError, match=r"are of AutoEncoder_ad, but here it is DLinear_ad\.\nTrain AutoEncoder_ad"):
        start.weights(str(folders["AutoEncoder_ad"]), "DLinear_ad")


def test_a_start_that_is_nowhere_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean DLinear_ad"):
        start.weights("DLiner_ad", "DLinear_ad")
    with pytest.raises(ConfigError, match=r"no weights at .*checkpoint\.safetensors\.(.|\n)*folder of a training"):
        start.weights(str(tmp_path), "DLinear_ad")


def test_a_foreign_file_is_refused_in_one_message(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors.torch.save({"weight": torch.ones(3)}))
    with pytest.raises(ConfigError, match=r"start: .* is damaged or no checkpoint of Oddwave"):
        start.weights(str(path), "DLinear_ad")


def test_a_training_is_resumed_from_the_same_start_only(folders, tmp_path):
    from oddwave.errors import TrainingError

    path, found = tmp_path / "checkpoint.safetensors", start.weights(str(folders["DLinear_ad"]), "DLinear_ad")
    train("DLinear_ad", seed=1, start=found, checkpoint=path)
    train("DLinear_ad", seed=1, start=found, checkpoint=path, resume=True)
    with pytest.raises(TrainingError, match="it started from other weights"):
        train("DLinear_ad", seed=1, checkpoint=path, resume=True)
