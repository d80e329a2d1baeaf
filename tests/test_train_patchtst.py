"""PatchTST as its paper has it, number by number; and the same as few matrix products."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from hypothesis import given, strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import onnx
import onnxruntime
import torch

from oddwave.train import models
from oddwave.train.export import to_onnx
from oddwave.train.models import patchtst
from oddwave.train.scored import Scored

Weights = dict[str, np.ndarray]
SMALL = {"layers": 2, "heads": 2, "head_width": 3, "feed_forward": 5, "patch_rows": 4, "patch_step": 3}


def model(size: int, channels: int, **settings: int) -> patchtst.Model:
    """Return a model that knows normal windows, each weight and count drawn at random."""
    torch.manual_seed(0)
    built = models.build("PatchTST_ad", models.settings("PatchTST_ad", settings), size, channels)
    assert isinstance(built, patchtst.Model)
    built.observe(torch.randn(64, size, channels))
    with torch.no_grad():
        for part in built.modules():
            if isinstance(part, patchtst.Norm):
                part.weight.normal_()
                part.bias.normal_()
                part.get_buffer("running_mean").normal_()
                part.get_buffer("running_var").uniform_(0.1, 2.0)
    return built.eval()


def scored(built: patchtst.Model, channels: int) -> Scored:
    random = np.random.default_rng(0)
    center, scale, usual = random.normal(0, 100, channels), random.uniform(0.1, 10, channels), np.full(channels, 0.5)
    return Scored(built, center, scale, usual)


def windows(module: Scored, count: int, size: int) -> np.ndarray:
    """Return windows in the user's units, now and then with a value far outside the usual."""
    z = np.random.default_rng(1).standard_t(3, (count, size, len(module.get_buffer("center"))))
    return (z * module.get_buffer("scale").numpy() + module.get_buffer("center").numpy()).astype(np.float32)


def one_series(x: np.ndarray, weights: Weights, settings: patchtst.Settings) -> np.ndarray:
    """Reconstruct one normalised channel of one window, step by step as the paper tells it."""
    rows = min(settings.patch_rows, max(1, len(x) // 2))
    firsts = [*range(0, len(x) - rows, min(settings.patch_step, rows)), len(x) - rows]
    patches = np.stack([x[first : first + rows] for first in firsts])
    y = patches @ weights["embed.weight"].T + weights["position"]
    for i in range(settings.layers):
        own = {name.removeprefix(f"layers.{i}."): value for name, value in weights.items()}
        y = batch_norm(y + attention(y, own, settings), own, "attention_norm")
        hidden = y @ own["hidden.weight"].T + own["hidden.bias"]
        gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        y = batch_norm(y + gelu @ own["shown.weight"].T, own, "feed_forward_norm")
    return weights["head.weight"] @ y.flatten() + weights["head.bias"]


def attention(y: np.ndarray, own: Weights, settings: patchtst.Settings) -> np.ndarray:
    query = y @ own["query.weight"].T + own["query.bias"]
    key, value = y @ own["key.weight"].T, y @ own["value.weight"].T
    heads = []
    for h in range(settings.heads):
        part = slice(h * settings.head_width, (h + 1) * settings.head_width)
        scores = np.exp(query[:, part] @ key[:, part].T / math.sqrt(settings.head_width))
        heads.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, part])
    return np.concatenate(heads, axis=1) @ own["out.weight"].T


def batch_norm(y: np.ndarray, own: Weights, name: str) -> np.ndarray:
    mean, variance = own[f"{name}.running_mean"], own[f"{name}.running_var"]
    return (y - mean) / np.sqrt(variance + 1e-5) * own[f"{name}.weight"] + own[f"{name}.bias"]


@pytest.mark.parametrize(("size", "settings"), [(14, SMALL), (40, {}), (1, SMALL), (2, {}), (5, {"patch_step": 100})])
def test_it_is_the_papers_encoder_with_the_batch_norm_of_training(size: int, settings: dict[str, int]) -> None:
    built = model(size, 2, **settings)
    weights = {name: value.double().numpy() for name, value in built.state_dict().items()}
    x = torch.randn(3, size, 2)
    with torch.no_grad():
        normal, mean, deviation = built.norm(x)
        y = built.norm.back(torch.zeros_like(x), mean, deviation), built.norm.back(torch.ones_like(x), mean, deviation)
        found = ((built(x) - y[0]) / (y[1] - y[0])).numpy()
    section = models.settings("PatchTST_ad", settings)
    assert isinstance(section, patchtst.Settings)
    for window in range(3):
        for channel in range(2):
            twin = one_series(normal[window, :, channel].double().numpy(), weights, section)
            np.testing.assert_allclose(found[window, :, channel], twin, rtol=1e-3, atol=1e-4 * np.abs(twin).max())


@pytest.mark.parametrize(("size", "channels"), [(96, 25), (20, 200), (1, 1), (2, 3), (200, 2)])
def test_a_few_products_do_the_same_whatever_the_batch_norms_counted(size: int, channels: int) -> None:
    module = scored(model(size, channels), channels)
    window = torch.from_numpy(windows(module, 4, size))
    with torch.no_grad():
        expected, found = module(window), module.folded()(window)
    assert (found - expected).abs().max() < 1e-5 * expected.max()


@pytest.mark.parametrize(("size", "channels"), [(96, 25), (96, 1), (20, 200), (1, 1)])
def test_the_exported_file_gives_a_window_the_same_bits_in_any_batch(size: int, channels: int) -> None:
    module = scored(model(size, channels), channels)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(to_onnx(module, size, channels), options, providers=["CPUExecutionProvider"])
    window = windows(module, 33, size)

    def errors(first: int, last: int) -> np.ndarray:
        return session.run(["error"], {"window": window[first:last]})[0]

    alone = np.concatenate([errors(i, i + 1) for i in range(33)])
    for batch_size in (2, 3, 32, 33):
        together = np.concatenate([errors(i, i + batch_size) for i in range(0, 33, batch_size)])
        np.testing.assert_array_equal(together, alone)


def test_the_file_has_few_operators_and_is_smaller_than_the_incumbents() -> None:
    data = to_onnx(scored(model(96, 25), 25), 96, 25)
    assert len(data) < 300_000
    operators = [node.op_type for node in onnx.load_from_string(data).graph.node]
    layers = models.settings("PatchTST_ad").layers
    assert operators.count("MatMul") == 5 + 6 * layers  # mean, what it left, deviation, embedding, head; six a layer
    assert operators.count("Transpose") == 2 + layers
    assert not {"BatchNormalization", "Concat", "Expand", "Gather", "Shape", "Split"} & set(operators)


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 40))
def test_patches_hold_every_row_and_end_with_the_window(size: int, rows: int, step: int) -> None:
    found = patchtst.patches(size, rows, step)
    assert torch.equal(found.unique(), torch.arange(size))
    assert torch.equal(found.diff(dim=1), torch.ones(len(found), found.shape[1] - 1, dtype=torch.int64))
    assert found[-1, -1] == size - 1
    assert (found[1:, 0] > found[:-1, 0]).all()


def test_a_channel_is_read_by_itself() -> None:
    built = model(24, 3)
    x = torch.randn(4, 24, 3)
    other = x.clone()
    other[:, :, 1] *= 7
    with torch.no_grad():
        torch.testing.assert_close(built(other)[:, :, [0, 2]], built(x)[:, :, [0, 2]])


def test_attention_carries_a_value_from_one_end_of_the_window_to_the_other() -> None:
    """The head mixes patches too: so it is asked to read the last patch only."""
    built = model(96, 1)
    with torch.no_grad():
        built.head.weight[:, : -built.position.shape[1]] = 0
        x = torch.randn(1, 96, 1)
        other = x.clone()
        other[:, 2:4] = x[:, [3, 2]]  # same mean, same deviation
        assert (built(other) - built(x)).abs().max() > 1e-4


def test_a_batch_of_one_patch_can_be_learned_from() -> None:
    built = model(1, 1).train()
    built(torch.ones(1, 1, 1)).sum().backward()
    assert built.head.bias.grad is not None
