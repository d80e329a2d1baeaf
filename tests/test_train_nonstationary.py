"""The non-stationary transformer: its paper's formulas written out, and what bounds it far out of range."""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import onnxruntime
import torch

from oddwave.train import models
from oddwave.train.export import to_onnx
from oddwave.train.models import nonstationary
from oddwave.train.scored import Scored

SIZE, CHANNELS, HEADS = 12, 3, 2


def fresh(size: int = SIZE) -> nonstationary.Model:
    """Return a small model whose every weight counts, and that knows the range of normal windows."""
    torch.manual_seed(0)
    settings = models.settings("Nonstationary_ad", {"heads": HEADS, "head_width": 4, "hidden": 6, "projector": 5})
    model = nonstationary.Model(settings, size, CHANNELS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model.observe(normal(50, size))
    return model


def normal(count: int, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, size, CHANNELS, generator=torch.Generator().manual_seed(1))


@functools.cache
def exported(size: int = SIZE) -> onnxruntime.InferenceSession:
    ones = np.ones(CHANNELS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = to_onnx(Scored(fresh(size), 0 * ones, ones, ones), size, CHANNELS)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def errors_of(windows: torch.Tensor) -> np.ndarray:
    """Return the errors that the exported graph gives."""
    return exported(windows.shape[1]).run(["error"], {"window": windows.numpy()})[0]


class Twin:
    """One window after another, one row and one head at a time, in float64, by the paper's formulas."""

    def __init__(self, model: nonstationary.Model) -> None:
        self.weights = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        self.n_layers = len(model.layers)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.weights[f"{name}.weight"] @ x + self.weights.get(f"{name}.bias", 0.0)

    def layer_norm(self, name: str, row: np.ndarray) -> np.ndarray:
        steady = (row - row.mean()) / np.sqrt(row.var() + 1e-5)
        return steady * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def projected(self, x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> tuple[float, np.ndarray]:
        summary = sum(weight * row for weight, row in zip(self.weights["projector.summary.weight"][0], x, strict=True))
        hidden = np.concatenate([summary, mean, deviation])
        for name in ("first", "second"):
            hidden = np.maximum(self.linear(f"projector.{name}", hidden), 0.0)
        return np.exp(self.linear("projector.scale", hidden)[0]), self.linear("projector.shift", hidden)

    def attention(self, name: str, rows: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
        query, key, value = (
            np.array([self.linear(f"{name}.{part}", row) for row in rows]) for part in ("query", "key", "value")
        )
        part = rows.shape[1] // HEADS
        out = np.zeros_like(rows)
        for head in range(HEADS):
            own = slice(head * part, (head + 1) * part)
            for i in range(len(rows)):
                relation = (scale * key[:, own] @ query[i, own] + shift * np.sqrt(part)) / np.sqrt(part)
                share = np.exp(relation) / np.exp(relation).sum()
                out[i, own] = share @ value[:, own]
        return np.array([self.linear(f"{name}.joined", row) for row in out])

    def layer(self, name: str, rows: np.ndarray, scale: float, shift: np.ndarray) -> np.ndarray:
        rows = rows + self.attention(name, rows, scale, shift)
        rows = np.array([self.layer_norm(f"{name}.first_norm", row) for row in rows])
        wide = [np.maximum(self.linear(f"{name}.wide", row), 0.0) for row in rows]
        rows = rows + np.array([self.linear(f"{name}.narrow", row) for row in wide])
        return np.array([self.layer_norm(f"{name}.second_norm", row) for row in rows])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        mean, deviation = x.mean(axis=0), np.sqrt(x.var(axis=0) + 1e-5)
        steady = (x - mean) / deviation
        scale, shift = self.projected(x, mean, deviation)
        padded = np.pad(steady, ((1, 1), (0, 0)))  # (size + 2, channel)
        embed = self.weights["embed.weight"]  # (width, channel, 3)
        rows = np.array([np.einsum("wck,kc->w", embed, padded[i : i + 3]) for i in range(len(x))])
        rows += self.weights["embed.bias"] + self.weights["position"]
        for i in range(self.n_layers):
            rows = self.layer(f"layers.{i}", rows, scale, shift)
        return np.array([self.linear("out", row) for row in rows]) * deviation + mean


def test_it_computes_the_papers_formulas() -> None:
    model = fresh()
    windows = normal(50)[:3]  # within the range that it has seen: nothing is muted
    twin = Twin(model)
    expected = np.stack([twin(window) for window in windows.double().numpy()])
    with torch.no_grad():
        np.testing.assert_allclose(model(windows).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_tau_and_delta_are_no_idle_parts() -> None:
    model = fresh()
    windows = normal(3)
    with torch.no_grad():
        before = model(windows)
        for part in (model.projector.scale, model.projector.shift):
            kept = part.weight.clone()
            part.weight.zero_()
            assert (model(windows) - before).abs().max() > 1e-3
            part.weight.copy_(kept)


@pytest.mark.parametrize("far", [1e6, -1e6, 1e18, 3e38])
def test_values_far_out_of_range_give_finite_reconstructions_and_most_of_their_error(far: float) -> None:
    windows = normal(4)
    windows[1, 3:6, 1] = windows[2, 0, 2] = windows[3, 7] = far
    errors = errors_of(windows)
    assert np.isfinite(errors).all()
    assert (errors[windows.numpy() == np.float32(far)] > 0.7 * abs(far)).all()


def test_the_projectors_read_values_out_of_range_as_the_nearest_that_training_had() -> None:
    model = fresh()
    highest = normal(50).amax(dim=(0, 1))
    lowest = normal(50).amin(dim=(0, 1))
    within = model.within(torch.stack([highest + 5.0, lowest - 5.0, 0 * highest])[None])[0]
    assert torch.equal(within, torch.stack([highest, lowest, 0 * highest]))


def test_a_channel_that_never_moved_in_training_tells_the_others_next_to_nothing() -> None:
    model = fresh()
    windows = normal(50)
    windows[:, :, 1] = 0.0
    model.observe(windows)
    broken = windows.clone()
    broken[:, 3:, 1] = 4.0
    with torch.no_grad():
        change = (model(windows) - model(broken))[:, :, [0, 2]].abs()
    assert change.max() < 0.03


@pytest.mark.parametrize("size", [1, 2, 20])
def test_short_windows_are_the_same_to_the_bit_in_any_batch(size: int) -> None:
    windows = 5 * normal(33, size)
    alone = np.concatenate([errors_of(window[None]) for window in windows])
    np.testing.assert_array_equal(errors_of(windows), alone)
    np.testing.assert_array_equal(errors_of(windows[:2]), alone[:2])


def test_the_default_widths_are_the_published_ones() -> None:
    model = models.build("Nonstationary_ad", models.settings("Nonstationary_ad"), 96, 25)
    assert isinstance(model, nonstationary.Model)
    assert len(model.layers) == 2
    assert model.position.shape == (96, 64)
    assert model.layers[0].wide.weight.shape == (64, 64)
    assert model.projector.second.weight.shape == (32, 32)
