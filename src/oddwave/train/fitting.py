"""Fitting: rows to learn from -> what builds the model's graph, whether it is neural or classical."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from oddwave import classical, config, graph
from oddwave.calibrate import FLOOR, Run, moments, scaling
from oddwave.config import Section
from oddwave.errors import ConfigError, DetectorFileError, TrainingError
from oddwave.runtime import Runtime
from oddwave.series import Floats, Windows, batch
from oddwave.train import blocks, rows

if TYPE_CHECKING:
    from torch import nn

    from oddwave.train.loop import History, Progress

_USUAL_WINDOWS = 512  # of a stretch
_SHORT, _SMALL = 200, 20_000  # rows and values of a window


@dataclass(frozen=True)
class Task:
    """What to fit, and to which rows.

    Parameters
    ----------
    options
        The model's own settings, and its plan's.
    size
        Rows of a window.
    fit, stop
        Stretches of rows to learn from and to stop by, each (time, channel).
    center, scale
        Scaling of each channel.
    checkpoint
        File to go on from, or to write; None: none is written.
    is_over
        Train no further than the checkpoint.
    start
        Where the first weights come from; None: from random numbers.
    identity
        Tells this data and these settings from others.
    device
        Where a neural model is trained.
    """

    model: str
    options: dict[str, Any]
    size: int
    fit: Sequence[Floats]
    stop: Sequence[Floats]
    center: Floats
    scale: Floats
    progress: Progress | None = None
    checkpoint: Path | None = None
    is_resumed: bool = False
    is_over: bool = False
    start: str | None = None
    identity: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Parameters
    ----------
    run
        Returns the errors of raw windows in units of each channel's deviation.
    build
        Makes the bare ONNX model from the usual error of each channel.
    refit
        Fits the model to other rows, and returns what builds it; None: that would take too long.
    settings
        The model's settings and its plan, as the detector file has them.
    history
        What happened in training; None for a classical model.
    """

    run: Run
    build: Callable[[Floats], bytes]
    settings: dict[str, Any]
    refit: Callable[[Sequence[Floats]], classical.Build] | None = None
    history: History | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def neural(task: Task) -> Fitted:
    """Train a neural model, after making sure that its detector can be used."""
    from oddwave.train import device, loop, models, start as starts
    from oddwave.train.export import to_onnx
    from oddwave.train.scored import Scored

    size, channels = task.size, len(task.center)
    settings, plan = models.sections(task.model, task.options)
    _check_size(task.model, settings, size, channels)
    z = [rows.scaled(stretches, task.center, task.scale) for stretches in (task.fit, task.stop)]
    trained, history = loop.fit(
        task.model, settings, z[0], z[1], size, channels, plan, task.progress, checkpoint=task.checkpoint,
        resume=task.is_resumed, is_over=task.is_over, identity=task.identity, device=device.find(task.device),
        start=starts.weights(task.start, task.model) if task.start else None,
    )  # fmt: skip

    def build(usual: Floats) -> bytes:
        return to_onnx(Scored(trained, task.center, task.scale, usual), size, channels)

    facts = {
        "epochs": len(history.losses),
        "best_epoch": history.best_epoch,
        "held_out_loss": min(history.held_out_losses, default=None),
    }
    chosen = msgspec.to_builtins(getattr(trained, "settings", settings)) | msgspec.to_builtins(plan)
    return Fitted(_in_deviations(trained, task), build, chosen, history=history, facts=facts)


def _in_deviations(trained: nn.Module, task: Task) -> Run:
    """Return what gives the errors of raw windows: to export it would take longer than to run it."""
    import torch

    from oddwave.train.scored import Scored

    module = Scored(trained, task.center, task.scale, np.ones(len(task.center))).folded()

    def run(windows: Windows) -> Windows:
        with torch.inference_mode():
            errors: Windows = module(torch.from_numpy(windows)).numpy()
        return errors

    return run


def fit_classical(task: Task) -> Fitted:
    """Fit a classical model to the rows that a neural one would learn from and stop by."""
    settings = config.build(
        classical.SETTINGS[task.model], {**task.options, "input_len": task.size}, task.model, strict=False
    )

    def refit(stretches: Sequence[Floats]) -> classical.Build:
        return classical.fit(settings, stretches, *scaling(*moments(stretches)))

    build = classical.fit(settings, blocks.spaced([*task.fit, *task.stop]), task.center, task.scale)
    return Fitted(run_of(build, len(task.center)), build, msgspec.to_builtins(settings), refit)


def run_of(build: classical.Build, channels: int) -> Run:
    """Return what gives the errors of raw windows, in units of each channel's deviation."""
    return Runtime(build(np.ones(channels)), "the model").errors


class Usual:
    """A model's usual error: each channel's root mean square over windows of stretches, at least 0.1 deviations."""

    def __init__(self, run: Run, size: int) -> None:
        self.run, self.size = run, size
        self._known: dict[int, tuple[Floats, Floats, int]] = {}  # by id, which is a stretch's own while it is kept here

    def of(self, stretches: Sequence[Floats]) -> Floats | None:
        """Return it; None if no stretch is as long as a window."""
        parts = [self._squares(stretch) for stretch in stretches if len(stretch) >= self.size]
        if not parts:
            return None
        squares, count = sum((part for part, _ in parts), np.zeros(1)), sum(count for _, count in parts)
        return np.maximum(np.sqrt(squares / count), FLOOR)

    def _squares(self, stretch: Floats) -> tuple[Floats, int]:
        """Return the sum of squared errors of each channel, and of how many rows, over evenly spaced windows."""
        if id(stretch) in self._known:
            return self._known[id(stretch)][1:]
        view = np.lib.stride_tricks.sliding_window_view(stretch, self.size, axis=0)
        view = view[:: max(1, -(-len(view) // _USUAL_WINDOWS))]
        squares, count = np.zeros(1), 0
        for i in range(0, len(view), batch(self.size)):
            windows = np.ascontiguousarray(view[i : i + batch(self.size)].transpose(0, 2, 1), dtype=np.float32)
            errors = self.run(windows).astype(np.float64)
            squares = squares + np.square(errors).sum(axis=(0, 1))
            count += errors.shape[0] * errors.shape[1]
        self._known[id(stretch)] = stretch, squares, count
        return squares, count


def window(model: str, options: Mapping[str, Any], input_len: int | None, stride: int | None) -> tuple[int, int]:
    """Return the rows of a window and the stride, or refuse them before anything is read."""
    size = input_len
    if size is None:
        own = model in classical.SETTINGS and config.build(classical.SETTINGS[model], options, model, strict=False)
        size = own.input_len if own else 96
    found = stride or max(1, size // 2)
    if found > size:
        raise ConfigError(f"stride is {found}, but a window has {size} rows. Give at most {size}.")
    return size, found


def _check_size(model: str, settings: Section, size: int, channels: int) -> None:
    """Refuse what would make a detector that is too large to be used, before it is trained; what is small isn't."""
    if size <= _SHORT and size * channels <= _SMALL and settings == type(settings)():
        return
    import torch

    from oddwave.train import models
    from oddwave.train.export import to_onnx
    from oddwave.train.scored import Scored

    ones = np.ones(channels)
    with torch.random.fork_rng(devices=[]):
        untrained = models.build(model, settings, size, channels)
    try:
        graph.inspect(to_onnx(Scored(untrained, ones, ones, ones), size, channels), model, size, channels)
    except DetectorFileError as error:
        reason = str(error).partition(": ")[2].partition(". Get a fresh")[0]
        raise TrainingError(
            f"{model} is too large with windows of {size} rows and {channels} channels: {reason}.\n"
            "Give a smaller input_len, fewer channels, or smaller settings."
        ) from None
