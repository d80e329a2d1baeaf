"""The training loop, read top to bottom."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from oddwave import series
from oddwave.config import Section
from oddwave.errors import TrainingError
from oddwave.train import models
from oddwave.train.dataset import Windows
from oddwave.train.plan import Plan

HELD_OUT_WINDOWS = OBSERVED_WINDOWS = 1024

Progress = Callable[[int, int, float, float | None, float], None]
"""Called after each epoch: its number from 1, of how many, loss, held-out loss or None, windows a second."""


@dataclass(frozen=True)
class History:
    """What happened in training.

    Parameters
    ----------
    losses
        Mean loss of each epoch.
    held_out_losses
        Loss on the held-out rows after each epoch; empty if they were too few to hold a window.
    best_epoch
        The epoch whose weights were kept, from 1.
    """

    losses: tuple[float, ...]
    held_out_losses: tuple[float, ...]
    best_epoch: int


def fit(
    name: str,
    settings: Section,
    fit: Sequence[series.Windows],
    stop: Sequence[series.Windows],
    size: int,
    channels: int,
    plan: Plan,
    progress: Progress | None = None,
) -> tuple[nn.Module, History]:
    """Train a model to fill in hidden cells; keep the weights that do it best on held-out normal rows.

    Parameters
    ----------
    fit, stop
        Segments of z-scaled rows, each (time, channel): to learn from, and to stop by. No labels are read.

    Returns
    -------
    tuple
        The model in eval mode, and what happened. Same seed and thread count, same weights to the bit.

    Raises
    ------
    TrainingError
        If no segment holds a window, or the loss stops being a number.
    """
    windows, held_out = Windows(fit, size), Windows(stop, size)
    if not len(windows):
        longest = max(map(len, fit), default=0)
        raise TrainingError(
            f"{name} reads windows of {size} rows, but the longest gap-free run to train on has {longest}.\n"
            f"Give more rows, a larger max_gap, or an input_len of {longest} or less."
        )
    with _reproducible(plan.seed, plan.threads):
        model = models.build(name, settings, size, channels)
        if observe := getattr(model, "observe", None):
            observe(torch.cat(list(windows.spaced(OBSERVED_WINDOWS, plan.batch_size))))
        try:
            history = _train(model, plan, windows, held_out, progress)
        except FloatingPointError as error:
            raise TrainingError(
                f"{name} stopped learning: {error} with learning_rate {plan.learning_rate}.\n"
                "Train with a smaller learning_rate, and look for enormous values in the training rows."
            ) from None
    return model, history


def _train(model: nn.Module, plan: Plan, windows: Windows, held_out: Windows, progress: Progress | None) -> History:
    random = Generator().manual_seed(plan.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, plan.epochs)
    losses: list[float] = []
    held_out_losses: list[float] = []
    lowest, best_epoch, best_weights = math.inf, 0, copy.deepcopy(model.state_dict())

    for epoch in range(1, plan.epochs + 1):
        model.train()
        began, total = time.perf_counter(), 0.0
        for x in windows.shuffled(plan.epoch_windows, plan.batch_size, random):
            loss = _loss(model, x, plan, random)
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"the loss became {loss.item()} in epoch {epoch}")
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item() * len(x)
        schedule.step()
        losses.append(total / plan.epoch_windows)
        speed = plan.epoch_windows / (time.perf_counter() - began)

        if len(held_out):
            held_out_losses.append(_held_out_loss(model, held_out, plan))
        if progress:
            progress(epoch, plan.epochs, losses[-1], held_out_losses[-1] if held_out_losses else None, speed)
        if not held_out_losses or held_out_losses[-1] < lowest:  # without held-out rows the last weights stay
            lowest = held_out_losses[-1] if held_out_losses else math.inf
            best_epoch, best_weights = epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= plan.patience:
            break

    model.load_state_dict(best_weights)
    model.eval()
    return History(tuple(losses), tuple(held_out_losses), best_epoch)


@torch.no_grad()
def _held_out_loss(model: nn.Module, held_out: Windows, plan: Plan) -> float:
    """Ask what training asks, with the same windows and the same hidden cells each time."""
    model.eval()
    random = Generator().manual_seed(plan.seed)
    total = count = 0.0
    for x in held_out.spaced(HELD_OUT_WINDOWS, plan.batch_size):
        total += _loss(model, x, plan, random).item() * len(x)
        count += len(x)
    if not math.isfinite(total):
        raise FloatingPointError(f"the loss on the held-out rows became {total}")
    return total / count


def _loss(model: nn.Module, x: Tensor, plan: Plan, random: Generator) -> Tensor:
    """Mean squared error of the hidden cells; of all cells if none is to be hidden.

    Cells that the model sees don't count: to give them back is to learn the identity, and a linear map comes
    the nearer to it the longer it is trained, until it gives back anomalies as well.
    """
    if plan.mask == 0:
        return functional.mse_loss(model(x), x)
    seen, hidden = hide(x, plan.mask, plan.mask_span, random)
    error: Tensor = (model(seen) - x).square() * hidden
    return error.sum() / hidden.sum().clamp(min=1)


def hide(x: Tensor, share: float, span: int, random: Generator) -> tuple[Tensor, Tensor]:
    """Hide a share of the cells, in runs of `span` rows, behind the mean of their channel's other cells.

    The others' deviations from that mean are enlarged to make up for the hidden ones: a sum over the window
    is then as large as with nothing hidden. Without this the model overshoots when used on whole windows.

    Returns
    -------
    tuple
        What the model sees, and 1 for each hidden cell, else 0; both (batch, size, channel).
    """
    batch, size, channels = x.shape
    visible = (torch.rand(batch, -(-size // span), channels, generator=random) >= share).float()
    if span > 1:
        visible = visible.repeat_interleave(span, dim=1)[:, :size]
    n_visible = visible.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (x * visible).sum(dim=1, keepdim=True) / n_visible
    return mean + (x - mean) * visible * (size / n_visible), 1 - visible


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    """Fix torch's random numbers, algorithms and threads for a while."""
    threads_before, strict_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(strict_before)
