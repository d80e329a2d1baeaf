"""The training loop, read top to bottom."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from oddwave import series
from oddwave.config import Section
from oddwave.errors import OutputError, TrainingError
from oddwave.train import models, start as starts
from oddwave.train.checkpoint import About, Run, plain
from oddwave.train.dataset import Windows
from oddwave.train.mask import hide
from oddwave.train.plan import Plan

HELD_OUT_WINDOWS = OBSERVED_WINDOWS = 1024
SAVE_S = 30.0  # seconds between checkpoints within an epoch
REPORT_S = 2.0  # and between reports

Stopped = Literal["all epochs", "patience", "interrupted", "loss"]


class Epoch(NamedTuple):
    """How far training is: reported after each epoch, and every two seconds within a longer one.

    Parameters
    ----------
    epoch, epochs
        Number of this epoch from 1, and of how many.
    loss, held_out_loss
        Mean loss of the epoch's windows so far, and the last on the held-out rows; None if there is none.
    windows_per_s
        Windows trained on a second of this epoch, all of training's steps included.
    seconds_left
        If all epochs are trained: it may stop earlier.
    is_best
        Its weights are the best so far.
    share
        How much of the epoch is done: 1 at its end.
    """

    epoch: int
    epochs: int
    loss: float
    held_out_loss: float | None
    windows_per_s: float
    seconds_left: float
    is_best: bool
    share: float = 1.0

    @property
    def done(self) -> float:
        """Share of the whole training.

        Examples
        --------
        >>> Epoch(3, 20, 0.1, None, 1000.0, 60.0, False, share=0.5).done
        0.125
        """
        return (self.epoch - 1 + self.share) / self.epochs


Progress = Callable[[Epoch], None]


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
    stopped
        Why it ended: after all epochs; by `patience`; by Ctrl-C; or because the loss was no number any more.
    note
        What the user should know of that; mostly empty.
    """

    losses: tuple[float, ...]
    held_out_losses: tuple[float, ...]
    best_epoch: int
    stopped: Stopped = "all epochs"
    note: str = ""

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.stopped == "interrupted"


def fit(
    name: str,
    settings: Section,
    fit: Sequence[series.Windows],
    stop: Sequence[series.Windows],
    size: int,
    channels: int,
    plan: Plan,
    progress: Progress | None = None,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    is_over: bool = False,
    start: starts.Weights | None = None,
    identity: str = "",
    device: torch.device = torch.device("cpu"),  # noqa: B008 (it can't change)
) -> tuple[nn.Module, History]:
    """Train a model to fill in hidden cells; keep the weights that do it best on held-out normal rows.

    The first Ctrl-C ends training after the step, with the best weights so far; a second interrupts as usual.

    Parameters
    ----------
    fit, stop
        Segments of z-scaled rows, each (time, channel): to learn from, and to stop by. No labels are read.
    checkpoint
        File to save the run to after each epoch, and every 30 seconds within a longer one.
    resume
        Go on from that file, if it is there, to the same weights to the bit as without a break.
    is_over
        Train no further than the checkpoint, if it has a best epoch.
    start
        Weights to start from instead of fresh ones.
    identity
        Hash of data and settings: a checkpoint of another one is refused.

    Returns
    -------
    tuple
        The model in eval mode, and what happened. Same seed and thread count, same weights to the bit.

    Raises
    ------
    TrainingError
        If no segment holds a window, the loss stops being a number before there is a best, or the checkpoint
        can't be used.
    ConfigError
        If `start` doesn't fit the model.
    OutputError
        If the checkpoint can't be written; the last one stays.
    KeyboardInterrupt
        If Ctrl-C comes before the first epoch's end.
    """
    windows, held_out = Windows(fit, size), Windows(stop, size)
    if not len(windows):
        longest = max(map(len, fit), default=0)
        raise TrainingError(
            f"{name} reads windows of {size} rows, but the longest gap-free run to train on has {longest}.\n"
            f"Give more rows, a larger max_gap, or an input_len of {longest} or less."
        )
    with _reproducible(plan.seed, plan.threads, is_strict=device.type == "cpu"):
        model = models.build(name, settings, size, channels)
        if start is not None:
            starts.give(start, model, name, settings, size, channels)
        if observe := getattr(model, "observe", None):
            observe(torch.cat(list(windows.spaced(OBSERVED_WINDOWS, plan.batch_size))))
        about = About(
            model=name, size=size, channels=channels, settings=plain(settings), plan=plain(plan),
            chosen=plain(getattr(model, "settings", settings)), windows=(len(windows), len(held_out)),
            start=start.sha256 if start else "", identity=identity,
        )  # fmt: skip
        run = Run(model.to(device), plan, about)
        if checkpoint and resume and checkpoint.exists():
            run.load(checkpoint)
        if is_over and run.about.best_epoch:
            history = _history(run, _stopped(run) or "interrupted")
        else:
            history = _train(run, windows, held_out, _Watch(run, checkpoint, progress))
    model.load_state_dict(run.best)
    return model.cpu().eval(), history


def _train(run: Run, windows: Windows, held_out: Windows, watch: _Watch) -> History:
    plan, about, note = run.plan, run.about, ""
    stopped = _stopped(run)
    try:
        with _ctrl_c() as is_interrupted:
            while stopped is None:
                stopped = _epoch(run, windows, held_out, watch, is_interrupted) or _stopped(run)
    except FloatingPointError as error:
        stopped, note = "loss", f"{error} with learning_rate {plan.learning_rate:g}"
        advice = "Train with a smaller learning_rate, and look for enormous values in the training rows."
        if not about.best_epoch:
            raise TrainingError(f"{about.model} stopped learning: {note}.\n{advice}") from None
        note = f"{about.model} stopped learning: {note}. The weights of epoch {about.best_epoch} are kept.\n{advice}"
    if stopped == "interrupted" and not about.best_epoch:
        raise KeyboardInterrupt
    return _history(run, stopped, note)


def _history(run: Run, stopped: Stopped, note: str = "") -> History:
    about = run.about
    return History(tuple(about.losses), tuple(about.held_out_losses), about.best_epoch, stopped, note)


def _stopped(run: Run) -> Stopped | None:
    """Say why training is over; None: it isn't."""
    if run.epoch >= run.plan.epochs:
        return "all epochs"
    return "patience" if run.epoch - run.about.best_epoch >= run.plan.patience else None


def _epoch(
    run: Run, windows: Windows, held_out: Windows, watch: _Watch, is_interrupted: Callable[[], bool]
) -> Literal["interrupted"] | None:
    """Train the rest of an epoch, see how good it is, and keep the weights if they are the best."""
    plan, about, number = run.plan, run.about, run.epoch + 1
    for group in run.optimizer.param_groups:
        group["lr"] = plan.learning_rate * (1 + math.cos(math.pi * run.epoch / plan.epochs)) / 2
    run.order.set_state(run.order_before)
    run.model.train()
    watch.begin()
    for x in islice(windows.shuffled(plan.epoch_windows, plan.batch_size, run.order), about.step, None):
        loss = _step(run, x.to(run.device))
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in epoch {number}")
        about.total += loss * len(x)
        about.step += 1
        interrupted = is_interrupted()
        watch.step(is_last=interrupted)
        if interrupted:
            return "interrupted"
    speed = watch.windows_per_s()

    if len(held_out):
        held_out_loss = _held_out_loss(run.model, held_out, plan)
        if not math.isfinite(held_out_loss):
            raise FloatingPointError(f"the loss on the held-out rows became {held_out_loss} in epoch {number}")
        about.held_out_losses.append(held_out_loss)
    about.losses.append(about.total / plan.epoch_windows)
    about.step, about.total = 0, 0.0
    run.order_before = run.order.get_state()
    *before, last = about.held_out_losses or [0.0]  # without held-out rows the last weights are the best
    if last < min(before, default=math.inf):
        run.keep()
    watch.end(speed)
    return None


def _step(run: Run, x: Tensor) -> float:
    """Return the loss of a batch, and take a step against it if it is a number.

    The loss's gradient is written down here, not derived: it is the error times a number, and the derivation
    of it took a quarter of the time of a small model's step.
    """
    y, error, count = _error(run.model, x, run.plan, run.masks)
    loss = float(error.square().sum() / count)
    if math.isfinite(loss):
        run.optimizer.zero_grad()
        torch.autograd.backward(y, error.mul_(2 / count))
        run.optimizer.step()
    return loss


@torch.no_grad()
def _held_out_loss(model: nn.Module, held_out: Windows, plan: Plan) -> float:
    """Ask what training asks, with the same windows and the same hidden cells each time."""
    device = next(model.parameters()).device
    model.eval()
    random = Generator().manual_seed(plan.seed)
    total = n_windows = 0.0
    for x in held_out.spaced(HELD_OUT_WINDOWS, plan.batch_size):
        _, error, count = _error(model, x.to(device), plan, random)
        total += float(error.square().sum() / count) * len(x)
        n_windows += len(x)
    return total / n_windows


def _error(
    model: Callable[[Tensor], Tensor], x: Tensor, plan: Plan, random: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a model's output, its error of the hidden cells, and how many they are; of all if none is to be hidden.

    Cells that the model sees don't count: to give them back is to learn the identity, and a linear map comes
    the nearer to it the longer it is trained, until it gives back anomalies as well.
    """
    if plan.mask == 0:
        y = model(x)
        return y, y.detach() - x, torch.tensor(float(x.numel()))
    seen, hidden = hide(x, plan.mask, plan.mask_span, random)
    y = model(seen)
    return y, (y.detach() - x).mul_(hidden), hidden.sum().clamp_(min=1)


class _Watch:
    """Sees to what happens by the clock: checkpoints and reports."""

    def __init__(self, run: Run, path: Path | None, progress: Progress | None) -> None:
        self.run, self.path, self.progress = run, path, progress
        self.first = self.epoch_first = self._windows()
        self.began = self.epoch_began = self.saved = self.reported = time.monotonic()

    def begin(self) -> None:
        """Begin an epoch, or the rest of one."""
        self.epoch_first, self.epoch_began = self._windows(), time.monotonic()

    def step(self, is_last: bool) -> None:
        """Save and report if it is time, or if training ends here."""
        now = time.monotonic()
        if is_last or now - self.saved >= SAVE_S:
            self._save()
        if now - self.reported >= REPORT_S:
            about, plan = self.run.about, self.run.plan
            trained = self._windows() - self.run.epoch * plan.epoch_windows
            if trained < plan.epoch_windows:
                held_out_loss = about.held_out_losses[-1] if about.held_out_losses else None
                share = trained / plan.epoch_windows
                self._report(about.total / trained, held_out_loss, self.windows_per_s(), False, share)

    def windows_per_s(self) -> float:
        """Return the speed of this epoch so far."""
        return (self._windows() - self.epoch_first) / max(time.monotonic() - self.epoch_began, 1e-9)

    def end(self, windows_per_s: float) -> None:
        """End an epoch."""
        self._save()
        about, is_best = self.run.about, self.run.about.best_epoch == self.run.epoch
        held_out_loss = about.held_out_losses[-1] if about.held_out_losses else None
        self._report(about.losses[-1], held_out_loss, windows_per_s, is_best, 1.0)

    def _windows(self) -> int:
        """Return how many windows were trained on since the first epoch."""
        run, plan = self.run, self.run.plan
        return run.epoch * plan.epoch_windows + min(run.about.step * plan.batch_size, plan.epoch_windows)

    def _save(self) -> None:
        if self.path is None:
            return
        try:
            self.run.save(self.path)
        except OutputError as error:
            stays = "\nThe last checkpoint is still there: resume goes on from it." if self.path.exists() else ""
            raise OutputError(f"{error}{stays}") from None
        self.saved = time.monotonic()

    def _report(
        self, loss: float, held_out_loss: float | None, windows_per_s: float, is_best: bool, share: float
    ) -> None:
        self.reported = time.monotonic()
        if self.progress:
            epoch, plan, windows = self.run.epoch + (share < 1), self.run.plan, self._windows()
            left = (self.reported - self.began) * (plan.epochs * plan.epoch_windows - windows) / (windows - self.first)
            self.progress(Epoch(epoch, plan.epochs, loss, held_out_loss, windows_per_s, left, is_best, share))


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], bool]]:
    """Take the first Ctrl-C as a wish to end; the second interrupts. Elsewhere than in a plain main thread: neither."""
    came: list[bool] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return

    def first(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        came.append(True)

    signal.signal(signal.SIGINT, first)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _reproducible(seed: int, threads: int, is_strict: bool) -> Iterator[None]:
    """Fix torch's random numbers, algorithms and threads for a while."""
    threads_before, strict_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=not is_strict)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.use_deterministic_algorithms(strict_before)
