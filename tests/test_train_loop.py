"""The training loop: the same seed, the same weights; early stopping; what it refuses."""

from __future__ import annotations

import os

import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import torch

from oddwave.errors import TrainingError
from oddwave.train import loop, models
from oddwave.train.checkpoint import About, Run
from oddwave.train.dataset import Windows
from oddwave.train.mask import hide
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
    told: list[loop.Epoch] = []
    _, history = train(progress=told.append)
    assert history.losses[-1] < history.losses[0]
    ends = [news for news in told if news.share == 1]
    assert [(news.epoch, news.epochs) for news in ends] == [(1, 3), (2, 3), (3, 3)]
    assert tuple(news.loss for news in ends) == history.losses
    assert tuple(news.held_out_loss for news in ends) == history.held_out_losses
    assert all(news.windows_per_s > 0 for news in ends)
    assert ends[0].seconds_left > ends[2].seconds_left == 0
    assert [news.is_best for news in ends] == [
        loss == min(history.held_out_losses[:i]) for i, loss in enumerate(history.held_out_losses, 1)
    ]


def test_a_long_epoch_is_told_of_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPORT_S", 0.0)
    told: list[loop.Epoch] = []
    train(progress=told.append)
    assert [news.done for news in told] == pytest.approx([i / 12 for i in range(1, 13)])  # four steps an epoch
    assert [news.epoch for news in told] == [1] * 4 + [2] * 4 + [3] * 4
    assert [news.held_out_loss is None for news in told] == [True] * 3 + [False] * 9


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


def test_a_loss_that_becomes_no_number_later_keeps_the_best_so_far() -> None:
    """One enormous row among many is read sooner or later."""
    broken = rows(20_000)
    broken[10_000] = 1e30
    plan = Plan(epochs=50, epoch_windows=256, batch_size=64, patience=50)
    model, history = train(fit=[broken], plan=plan)
    assert history.stopped == "loss"
    assert 1 <= history.best_epoch <= len(history.losses) < 50
    assert f"the loss became inf in epoch {len(history.losses) + 1}" in history.note
    assert f"weights of epoch {history.best_epoch} are kept" in history.note
    assert loop._held_out_loss(model, Windows([rows(60, seed=1)], SIZE), plan) == min(history.held_out_losses)


def test_a_history_says_why_training_ended_and_becomes_json() -> None:
    assert train()[1].stopped == "all epochs"
    plan = Plan(epochs=50, epoch_windows=64, learning_rate=0.5, patience=1)
    history = train(plan=plan)[1]
    assert history.stopped == "patience"
    assert msgspec.json.decode(msgspec.json.encode(history), type=loop.History) == history


def test_segments_shorter_than_a_window_are_refused_with_their_length() -> None:
    with pytest.raises(TrainingError, match=r"windows of 16 rows, but the longest .* has 12"):
        train(fit=[rows(12), rows(5)])


def test_a_share_of_the_cells_is_hidden_behind_the_mean_of_the_others() -> None:
    x = torch.randn(50, 40, 3, generator=torch.Generator().manual_seed(0))
    seen, hidden = hide(x, share=0.25, span=4, random=torch.Generator().manual_seed(1))
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
    seen, hidden = hide(x, 0.3, 1, torch.Generator().manual_seed(0))
    _, error, count = loop._error(lambda x: x, x, plan, torch.Generator().manual_seed(0))
    torch.testing.assert_close(error[hidden == 1], (seen - x)[hidden == 1])
    assert not error[hidden == 0].any()
    assert count == hidden.sum()


def test_with_nothing_to_hide_every_cell_counts() -> None:
    x = torch.ones(2, 5, 1)
    _, error, count = loop._error(lambda x: x - 3.0, x, Plan(mask=0.0), torch.Generator())
    assert (error == -3.0).all()
    assert count == 10


def test_a_step_follows_the_gradient_of_the_mean_squared_error() -> None:
    """The loop writes the gradient down itself: here torch derives it."""
    plan = Plan(mask=0.3, batch_size=5)
    x = torch.randn(5, SIZE, 2, generator=torch.Generator().manual_seed(0))
    model = models.build("AutoEncoder_ad", models.settings("AutoEncoder_ad"), SIZE, 2)
    about = About(model="AutoEncoder_ad", size=SIZE, channels=2, settings={}, chosen={}, plan={})
    seen, hidden = hide(x, 0.3, 1, torch.Generator().manual_seed(plan.seed + 1))
    expected = (model(seen) - x)[hidden == 1].square().mean()
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    loss = loop._step(Run(model, plan, about), x)
    assert loss == pytest.approx(expected.item())
    for weight, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


@given(st.floats(0.001, 0.999), st.integers(1, 9))
def test_the_share_that_is_hidden_is_the_share_asked_for(share: float, seed: int) -> None:
    _, hidden = hide(torch.zeros(16, 100, 10), share, 1, torch.Generator().manual_seed(seed))
    assert abs(hidden.mean().item() - share) < 5 * (share * (1 - share) / hidden.numel()) ** 0.5 + 2**-16


def test_windows_hidden_whole_are_no_trouble() -> None:
    seen, hidden = hide(torch.ones(3, 1, 2), share=0.999, span=1, random=torch.Generator().manual_seed(0))
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
        np.testing.assert_array_equal(windows.read(np.arange(len(twin))).numpy(), np.stack(twin))


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
