"""What every neural model must do, and what DLinear and the autoencoder promise beside it."""

from __future__ import annotations

import os

import numpy as np
import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import torch
from torch.nn import functional

from oddwave.errors import ConfigError
from oddwave.train import loop, models
from oddwave.train.dataset import Windows
from oddwave.train.models import autoencoder, dlinear
from oddwave.train.models._layers import InstanceNorm
from oddwave.train.scored import Scored

SIZE, CHANNELS = 48, 3


def waves(n_rows: int, first: int = 0) -> np.ndarray:
    """Return three channels of two mixed sines with a little noise, about one deviation large."""
    t = np.arange(first, first + n_rows)[:, None] + np.array([0, 5, 11])
    noise = 0.05 * np.random.default_rng(first).standard_normal((n_rows, CHANNELS))
    return (np.sin(t / 4) + 0.5 * np.sin(t / 2) + noise).astype(np.float32)


@pytest.fixture(scope="module", params=models.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(name: str) -> torch.nn.Module:
    count = 4096 if name in ("AutoEncoder_ad", "DLinear_ad") else 768  # transformers take longer, and learn from fewer
    plan = models.plan(name, {"epochs": 20, "epoch_windows": count, "batch_size": 64, "learning_rate": 0.005})
    model, _ = loop.fit(name, models.settings(name), [waves(800)], [waves(200, 900)], SIZE, CHANNELS, plan)
    return model


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.randn(7, SIZE, CHANNELS, generator=torch.Generator().manual_seed(0))


def fresh(name: str, size: int = SIZE, channels: int = CHANNELS) -> torch.nn.Module:
    torch.manual_seed(0)
    return models.build(name, models.settings(name), size, channels)


@pytest.mark.parametrize(("size", "channels"), [(1, 1), (2, 5), (96, 1), (20, 200)])
def test_a_reconstruction_has_the_shape_of_its_windows(name: str, size: int, channels: int) -> None:
    assert fresh(name, size, channels)(torch.randn(4, size, channels)).shape == (4, size, channels)


def test_a_window_scores_the_same_alone_as_in_company(trained: torch.nn.Module, batch: torch.Tensor) -> None:
    alone = torch.cat([trained(window[None]) for window in batch])
    torch.testing.assert_close(trained(batch), alone)


def test_a_window_does_not_change_when_its_companions_do(trained: torch.nn.Module, batch: torch.Tensor) -> None:
    others = torch.cat([batch[:1], 100 * batch[1:]])
    assert torch.equal(trained(others)[0], trained(batch)[0])


def test_gradients_reach_every_parameter(name: str, batch: torch.Tensor) -> None:
    model = fresh(name)
    model(batch).square().sum().backward()
    for parameter, tensor in model.named_parameters():
        assert tensor.grad is not None, parameter
        assert tensor.grad.abs().sum() > 0, parameter


def test_it_reconstructs_what_it_learned(trained: torch.nn.Module) -> None:
    """Whole windows, though it was trained on ones with hidden cells: it must not overshoot."""
    x = torch.from_numpy(waves(SIZE, 2000))[None]
    with torch.no_grad():
        assert (trained(x) - x).square().mean() < 0.03 * x.square().mean()


def test_an_anomaly_stands_out(trained: torch.nn.Module) -> None:
    normal = Windows([waves(200, 2000)], SIZE).read(np.arange(150))
    broken = normal.clone()
    broken[:, 12:20, 1] = -broken[:, 12:20, 1] + 1.5
    with torch.no_grad():
        usual, errors = ((trained(x) - x).abs()[:, 12:20, 1].mean() for x in (normal, broken))
    assert errors > 3 * usual


def test_a_spike_keeps_most_of_its_error(trained: torch.nn.Module) -> None:
    """The identity, the best map without hidden cells, would keep nothing of it."""
    normal = Windows([waves(200, 2000)], SIZE).read(np.arange(150))
    spiked = normal.clone()
    spiked[:, 16] += 5.0
    with torch.no_grad():
        kept = ((spiked - trained(spiked)) - (normal - trained(normal)))[:, 16].mean() / 5.0
    assert kept > 0.5


@pytest.mark.parametrize("fault", ["amplitude", "level"])
def test_what_an_instance_normalisation_would_hide_keeps_its_error(trained: torch.nn.Module, fault: str) -> None:
    normal = Windows([waves(200, 2000)], SIZE).read(np.arange(150))
    broken = normal.clone()
    if fault == "amplitude":
        broken[:, :, 1] *= 6.0
    else:
        broken[:, SIZE // 2 :, 1] += 6.0
    with torch.no_grad():
        usual, errors = ((trained(x) - x).abs()[:, :, 1].mean() for x in (normal, broken))
    assert errors > 3 * usual


def test_the_folded_module_computes_the_same_errors(trained: torch.nn.Module, batch: torch.Tensor) -> None:
    scored = Scored(trained, np.array([5.0, -1e4, 0.0]), np.array([2.0, 300.0, 1e-3]), np.array([0.1, 1.0, 3.0]))
    window = batch * torch.tensor([20.0, 3000.0, 1e-2]) + torch.tensor([5.0, -1e4, 0.0])
    with torch.no_grad():
        torch.testing.assert_close(scored.folded()(window), scored(window), rtol=1e-5, atol=2e-5)


def test_an_unknown_setting_is_refused_with_the_nearest_name(name: str) -> None:
    key = models.settings(name).__struct_fields__[0]
    with pytest.raises(ConfigError, match=f"Did you mean {key}"):
        models.settings(name, {f"{key}s": 1})


def test_a_value_out_of_bounds_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"DLinear_ad: epochs is '0', which can't be used: expected int >= 1"):
        models.plan("DLinear_ad", {"epochs": "0"})


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean DLinear_ad"):
        models.settings("DLinaer_ad")


def test_every_setting_says_what_it_is(name: str) -> None:
    for section in (models.settings(name), models.plan(name)):
        for field in section.__annotations__.values():
            assert "description=" in field


def test_windows_are_read_from_the_rows_where_they_are() -> None:
    rows = np.arange(20.0).reshape(10, 2)  # float64, as a memory map may be
    windows = Windows([rows[:2], rows], size=3)
    assert np.shares_memory(windows.segments[0], rows)
    read = windows.read(np.array([7, 0]))
    assert read.dtype == torch.float32
    np.testing.assert_array_equal(read.numpy(), np.stack([rows[7:], rows[:3]]))


def test_few_windows_of_many_are_drawn_without_repeats_and_the_same_by_seed() -> None:
    windows = Windows([np.arange(1e6)[:, None]], size=1)
    first, again = (
        torch.cat(list(windows.shuffled(1000, 300, torch.Generator().manual_seed(3)))).flatten() for _ in range(2)
    )
    assert torch.equal(first, again)
    assert len(first.unique()) == 1000
    assert first.std() > 2e5


def test_dlinear_is_a_moving_average_and_two_layers(batch: torch.Tensor) -> None:
    model = fresh("DLinear_ad")
    assert isinstance(model, dlinear.Model)
    x = batch.transpose(1, 2)
    trend = functional.avg_pool1d(functional.pad(x, (12, 12), mode="replicate"), 25, stride=1)
    twin = (model.trend(trend) + model.remainder(x - trend)).transpose(1, 2)
    torch.testing.assert_close(model(batch), twin, rtol=1e-5, atol=1e-5)


def test_the_autoencoder_gives_back_each_channels_level(batch: torch.Tensor) -> None:
    model = fresh("AutoEncoder_ad")
    level = torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(model(batch + level), model(batch) + level, rtol=1e-5, atol=1e-5)


def test_the_autoencoder_has_the_published_widths() -> None:
    model = fresh("AutoEncoder_ad", size=96)
    assert isinstance(model, autoencoder.Model)
    assert [len(layer.bias) for layer in model.layers if isinstance(layer, torch.nn.Linear)] == [
        32,
        16,
        32,
        96,
    ]


def test_the_autoencoder_reads_clipped_values_but_shows_the_whole_error(batch: torch.Tensor) -> None:
    model = fresh("AutoEncoder_ad")
    scored = Scored(model, np.zeros(CHANNELS), np.ones(CHANNELS), np.ones(CHANNELS))
    batch[:, 4, 1] = 1000.0
    clipped = batch.clamp(max=10.0)
    torch.testing.assert_close(model(batch), model(clipped))
    torch.testing.assert_close(scored(batch)[:, 4, 1], scored(clipped)[:, 4, 1] + 990.0)


@pytest.mark.parametrize("level", [0.1, -7.3, 123.456, 98765.4])
def test_a_channel_that_stands_still_is_nothing_but_its_mean(level):
    norm = InstanceNorm(SIZE, 1)
    still = torch.full((2, SIZE, 1), level)
    normal, mean, deviation = norm(still)
    assert normal.abs().max() < 1e-5  # its mean's rounding alone, over the least deviation, would be up to 1
    np.testing.assert_allclose(mean.numpy(), np.full((2, 1, 1), level, np.float32), rtol=2e-7)
    assert deviation.max() < 0.004
