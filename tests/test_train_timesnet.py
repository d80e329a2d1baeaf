"""TimesNet: the paper's formulas written out, the periods it chooses, and its file."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional

from oddwave import graph
from oddwave.errors import ConfigError
from oddwave.train import models
from oddwave.train.export import to_onnx
from oddwave.train.models import timesnet
from oddwave.train.scored import Scored

SHAPES = [(1, 1), (2, 1), (20, 200), (96, 25), (200, 3)]


def build(size: int, channels: int, **settings: object) -> timesnet.Model:
    """Return a model that knows some windows; its weights are as large as learned ones."""
    torch.manual_seed(0)
    model = models.build("TimesNet_ad", models.settings("TimesNet_ad", settings), size, channels)
    assert isinstance(model, timesnet.Model)
    model.observe(windows(200, size, channels))
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return model.eval()


def windows(count: int, size: int, channels: int) -> Tensor:
    return torch.randn(count, size, channels, generator=torch.Generator().manual_seed(count))


def waves(*periods: int, size: int = 96) -> Tensor:
    """Return windows of one channel, each wave half as large as the one before."""
    t = torch.arange(size) + 7.0 * torch.arange(30)[:, None]
    return sum(torch.sin(2 * torch.pi * t / period) / 2**i for i, period in enumerate(periods))[..., None]


def parallel(inception: timesnet.Inception, grid: Tensor) -> Tensor:
    """Convolve a grid (feature, period, phase) as the paper does."""
    seen = [functional.conv2d(grid, part.weight, part.bias, padding=i) for i, part in enumerate(inception.parallel)]
    return torch.stack(seen).mean(dim=0)


def slow_block(block: timesnet.Block, rows: Tensor, periods: Sequence[int]) -> Tensor:
    """Map the features (size, feature) of one window."""
    size, width = rows.shape
    spectrum = torch.fft.fft(rows, dim=0).abs().mean(dim=1)
    shares = torch.softmax(torch.stack([spectrum[round(size / period) % size] for period in periods]), dim=0)
    out = rows
    for share, period in zip(shares, periods, strict=True):
        missing = -size % period
        grid = torch.cat([rows, torch.zeros(missing, width)]).reshape(-1, period, width).permute(2, 0, 1)
        grid = parallel(block.narrow, functional.gelu(parallel(block.widen, grid)))
        out = out + share * grid.permute(1, 2, 0).reshape(-1, width)[:size]
    return functional.layer_norm(out, [width], block.norm.weight, block.norm.bias)


def slow(model: timesnet.Model, window: Tensor) -> Tensor:
    """Reconstruct one window (size, channel) whose level and amplitude training knew."""
    mean, deviation = window.mean(dim=0), torch.sqrt(window.var(dim=0, correction=0) + 1e-5)
    rows = functional.linear((window - mean) / deviation, model.embedding.weight) + model.position.T
    for block in model.blocks:
        rows = slow_block(block, rows, model.settings.periods)
    return model.projection(rows) * deviation + mean


@pytest.mark.parametrize("settings", [{}, {"layers": 2, "width": 5}, {"kernels": 1, "top": 1}])
@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_a_window_is_reconstructed_as_the_formulas_say(size: int, channels: int, settings: dict[str, int]) -> None:
    model = build(size, channels, **settings)
    known = windows(200, size, channels)[:3]
    with torch.no_grad():
        expected = torch.stack([slow(model, window) for window in known])
        torch.testing.assert_close(model(known), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("grid", [(1, 96), (96, 1), (12, 8), (3, 40), (1, 1)])
def test_one_merged_and_cut_convolution_is_the_mean_of_the_parallel_ones(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    inception = timesnet.Inception(3, 4, kernels=6).double()
    x = torch.randn(3, *grid, dtype=torch.float64)
    torch.testing.assert_close(inception(x[None])[0], parallel(inception, x))


def test_the_periods_are_those_of_the_largest_waves() -> None:
    model = models.build("TimesNet_ad", models.settings("TimesNet_ad", {"top": 2}), 96, 1)
    model.observe(waves(12, 32, 6))
    assert model.settings.periods == (12, 32)


def test_a_level_is_no_period() -> None:
    model = models.build("TimesNet_ad", models.settings("TimesNet_ad", {"top": 1}), 96, 1)
    model.observe(1000 + waves(24))
    assert model.settings.periods == (24,)


def test_no_period_is_chosen_twice() -> None:
    model = models.build("TimesNet_ad", models.settings("TimesNet_ad", {"top": 16}), 40, 1)
    model.observe(windows(50, 40, 1))
    assert sorted(model.settings.periods, reverse=True) == [40, 20, 13, 10, 8, 6, 5, 4, 3, 2]


def test_given_periods_are_kept() -> None:
    model = build(96, 1, periods=(24, 7))
    assert model.settings.periods == (24, 7)
    assert [block.periods for block in model.blocks] == [(24, 7)]


def test_what_it_chose_builds_the_same_model_again() -> None:
    model = build(96, 2)
    again = models.build("TimesNet_ad", model.settings, 96, 2)
    again.load_state_dict(model.state_dict())
    x = windows(3, 96, 2)
    assert torch.equal(again(x), model(x))


def test_a_period_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="periods holds 120, but a window has 96 rows") as error:
        build(96, 1, periods=(24, 120))
    assert "Give periods of 96 rows or fewer" in str(error.value)


def test_each_window_shares_out_one_whole_among_the_periods() -> None:
    model = build(96, 1, periods=(24, 8), width=1)
    x = torch.cat([waves(24), waves(8)]).transpose(1, 2)
    shares = model.blocks[0].shares(x)[:, 0]
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(60))
    assert shares[:30, 0].min() > 0.99
    assert shares[30:, 1].min() > 0.99


@pytest.mark.parametrize(("size", "channels"), SHAPES)
def test_a_windows_errors_from_the_file_are_the_modules_and_the_same_to_the_bit_in_any_batch(
    size: int, channels: int
) -> None:
    scored = Scored(build(size, channels), np.full(channels, 5.0), np.full(channels, 3.0), np.full(channels, 0.5))
    x = 5 + 6 * windows(33, size, channels)
    data = to_onnx(scored, size, channels)
    graph.inspect(data, "the test", size, channels)
    run = session(data)
    alone = np.concatenate([run(x[i : i + 1]) for i in range(33)])
    with torch.no_grad():
        np.testing.assert_allclose(alone, scored(x).numpy(), rtol=1e-4, atol=1e-4)
    for count in (2, 32, 33):
        np.testing.assert_array_equal(run(x[:count]), alone[:count])


def test_grids_on_end_and_lines_farther_apart_than_a_kernel_reaches_give_the_same_errors() -> None:
    scored = Scored(build(96, 3, periods=(96, 48, 13, 10, 9, 8, 7, 2, 1)), np.zeros(3), np.ones(3), np.ones(3))
    x = torch.randn(4, 96, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        np.testing.assert_allclose(session(to_onnx(scored, 96, 3))(x), scored(x).numpy(), rtol=1e-5, atol=1e-5)


def test_the_file_holds_one_kernel_for_all_periods_and_only_what_they_reach() -> None:
    model = build(96, 38, periods=(96, 48, 32))
    made = onnx.load_from_string(to_onnx(Scored(model, np.zeros(38), np.ones(38), np.ones(38)), 96, 38)).graph
    kernels = [list(item.dims) for item in made.initializer if len(item.dims) == 4]
    assert kernels == [[16, 8, 5, 11], [8, 16, 5, 11]]
    assert sum(node.op_type == "Conv" for node in made.node) == 6


def session(data: bytes):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    found = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda x: found.run(["error"], {"window": x.numpy()})[0]
