"""The training loop: the same seed, the same weights; early stopping; what it refuses."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import torch

from oddwave.errors import TrainingError
from oddwave.train import loop, models
from oddwave.train.dataset import Windows
from oddwave.train.plan import Plan

SIZE = 16
SHORT = Plan(epochs=3, epoch_windows=256, batch_size=64)


def rows(n_rows: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n_rows, 2))
    return (np.sin(np.arange(n_rows)[:, None] / [2.0, 5.0]) + 0.1 * noise).astype(np.float32)


def train(
    name: str = "DLinear_ad",
    fit: list[np.ndarray] | None = None,
    stop: list[np.ndarray] | None = None,
    plan: Plan = SHORT,
    progress: loop.Progress | None = None,
) -> tuple[torch.nn.Module, loop.History]:
    fit = [rows(300)] if fit is None else fit
    stop = [rows(60, seed=1)] if stop is None else stop
    return loop.fit(name, models.settings(name), fit, stop, SIZE, 2, plan, progress)


@pytest.mark.parametrize("name", models.names())
def test_the_same_seed_gives_the_same_weights_to_the_bit(name: str) -> None:
    first, _ = train(name)
    torch.rand(5)  # what happened before must not matter
    second, _ = train(name)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


def test_another_seed_gives_other_weights() -> None:
    first, second = (train(plan=Plan(epochs=1, epoch_windows=64, seed=seed))[0] for seed in (0, 1))
    assert not torch.equal(first.state_dict()["trend.weight"], second.state_dict()["trend.weight"])


def test_training_leaves_torchs_state_as_it_was() -> None:
    def state() -> tuple[bytes, int, bool]:
        random = bytes(torch.random.get_rng_state().tolist())
        return random, torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()

    before = state()
    train()
    assert state() == before


def test_the_loss_falls_and_each_epoch_is_told() -> None:
    told: list[tuple[int, int, float, float | None, float]] = []
    _, history = train(progress=lambda *news: told.append(news))
    assert history.losses[-1] < history.losses[0]
    assert [(news[0], news[1]) for news in told] == [(1, 3), (2, 3), (3, 3)]
    assert tuple(news[2] for news in told) == history.losses
    assert tuple(news[3] for news in told) == history.held_out_losses
    assert all(news[4] > 0 for news in told)


def test_the_weights_of_the_best_epoch_are_kept_and_training_stops() -> None:
    plan = Plan(epochs=50, epoch_windows=256, batch_size=8, learning_rate=0.5, patience=2)
    model, history = train(plan=plan)
    assert history.best_epoch == 1 + int(np.argmin(history.held_out_losses))
    assert len(history.losses) == min(50, history.best_epoch + 2)
    assert loop._held_out_loss(model, Windows([rows(60, seed=1)], SIZE), plan) == min(history.held_out_losses)
    assert not model.training


def test_too_few_held_out_rows_keep_the_last_weights() -> None:
    _, history = train(stop=[rows(SIZE - 1)])
    assert (history.best_epoch, history.held_out_losses) == (3, ())


def test_a_loss_that_is_no_number_ends_with_advice() -> None:
    broken = rows(300)
    broken[100:200] = 1e30
    with pytest.raises(TrainingError, match=r"the loss became \w+ in epoch 1 with learning_rate(.|\n)*smaller"):
        train(fit=[broken])


def test_segments_shorter_than_a_window_are_refused_with_their_length() -> None:
    with pytest.raises(TrainingError, match=r"windows of 16 rows, but the longest .* has 12"):
        train(fit=[rows(12), rows(5)])


def test_a_share_of_the_cells_is_hidden_behind_the_mean_of_the_others() -> None:
    x = torch.randn(50, 40, 3, generator=torch.Generator().manual_seed(0))
    seen, hidden = loop.hide(x, share=0.25, span=4, random=torch.Generator().manual_seed(1))
    assert 0.22 < hidden.mean() < 0.28
    runs = hidden.reshape(50, 10, 4, 3)
    assert torch.equal(runs.amin(dim=2), runs.amax(dim=2))
    for b, c in ((0, 0), (7, 2)):
        is_hidden = hidden[b, :, c] == 1
        mean = x[b, ~is_hidden, c].mean()
        torch.testing.assert_close(seen[b, is_hidden, c], mean.expand(int(is_hidden.sum())))
        enlarged = mean + (x[b, ~is_hidden, c] - mean) * 40 / (~is_hidden).sum()
        torch.testing.assert_close(seen[b, ~is_hidden, c], enlarged)


def test_only_hidden_cells_count() -> None:
    """So a map of visible cells to themselves earns nothing: the identity isn't learned."""
    x, plan = torch.randn(5, SIZE, 2), Plan(mask=0.3)
    seen, hidden = loop.hide(x, 0.3, 1, torch.Generator().manual_seed(0))
    loss = loop._loss(lambda x: x, x, plan, torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss, (seen - x)[hidden == 1].square().mean())


def test_with_nothing_to_hide_every_cell_counts() -> None:
    x = torch.ones(2, 5, 1)
    loss = loop._loss(lambda x: x - 3.0, x, Plan(mask=0.0), torch.Generator())
    assert loss == 9.0


def test_windows_hidden_whole_are_no_trouble() -> None:
    seen, hidden = loop.hide(torch.ones(3, 1, 2), share=0.999, span=1, random=torch.Generator().manual_seed(0))
    assert hidden.all()
    assert not seen.any()


def test_a_longer_training_does_not_lead_to_the_identity() -> None:
    """Trained on every cell, a linear map comes near it: a spike then keeps little of its error."""
    noise = np.random.default_rng(0).standard_normal((500, 2)).astype(np.float32)
    kept = {}
    for mask in (0.0, 0.2):
        model, _ = train(fit=[noise], stop=[], plan=Plan(epochs=20, epoch_windows=2048, learning_rate=0.01, mask=mask))
        spike = torch.zeros(1, SIZE, 2)
        spike[:, 8] = 5.0
        with torch.no_grad():
            kept[mask] = float((spike - model(spike) + model(torch.zeros_like(spike)))[:, 8].mean()) / 5.0
    assert kept[0.0] < 0.3
    assert kept[0.2] > 0.7


@given(st.lists(st.integers(0, 12), max_size=5), st.integers(1, 6))
def test_windows_are_those_of_each_segment_by_itself(lengths: list[int], size: int) -> None:
    segments = [100.0 * i + np.arange(n, dtype=np.float32)[:, None] for i, n in enumerate(lengths)]
    twin = [segment[i : i + size] for segment in segments for i in range(len(segment) - size + 1)]
    windows = Windows(segments, size)
    assert len(windows) == len(twin)
    if twin:
        np.testing.assert_array_equal(windows.read(torch.arange(len(twin))).numpy(), np.stack(twin))


@given(st.integers(1, 40), st.integers(1, 100), st.integers(1, 17))
def test_shuffled_windows_come_once_before_any_comes_again(n_windows: int, count: int, batch_size: int) -> None:
    windows = Windows([np.arange(n_windows, dtype=np.float32)[:, None]], size=1)
    batches = list(windows.shuffled(count, batch_size, torch.Generator().manual_seed(0)))
    seen = torch.cat(batches).flatten().int()
    assert len(seen) == count
    for first in range(0, count, n_windows):
        assert len(set(seen[first : first + n_windows].tolist())) == len(seen[first : first + n_windows])
    assert all(len(batch) == batch_size for batch in batches[:-1])


@given(st.integers(1, 40), st.integers(1, 100))
def test_spaced_windows_are_in_order_without_repeats_from_end_to_end(n_windows: int, count: int) -> None:
    windows = Windows([np.arange(n_windows, dtype=np.float32)[:, None]], size=1)
    seen = torch.cat(list(windows.spaced(count, batch_size=7))).flatten().int().tolist()
    assert len(seen) == min(count, n_windows)
    assert seen == sorted(set(seen))
    assert seen[0] == 0
    assert count == 1 or seen[-1] == n_windows - 1
