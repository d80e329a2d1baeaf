"""Training: rows of normal operation -> a detector. THE ORDER OF TRAINING."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from itertools import pairwise
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

import oddwave
from oddwave import calibrate, classical, clean, config, detector_file, graph
from oddwave.calibrate import FLOOR, rounded
from oddwave.clean import Cleaner
from oddwave.config import Section
from oddwave.detector import FILE_NAME, Detector
from oddwave.errors import ConfigError, DetectorFileError, InputError, MissingExtraError, TrainingError, nearest
from oddwave.metadata import Alarm, Metadata, Time
from oddwave.runtime import Runtime
from oddwave.series import TICKS_PER_S, Columns, Floats, Series, batch

if TYPE_CHECKING:
    from oddwave.train.loop import Progress

# Shares of the rows, in time order: to fit the model, to stop it early, and to calibrate scores and thresholds. What
# isn't stopped early (scaling, the usual spread, the classical models) is fitted to the first two.
FIT, STOP, HOLD = 0.7, 0.1, 0.2
_LEAST_DEVIATION = 1e-8
_USUAL_WINDOWS = 8192
_HIGHEST = 1e25  # what scoring reads at most


class Training(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a detector is trained, whatever its model; the model's own settings are in its module."""

    input_len: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Rows of a window; None: the model's own.")
    ] = None
    stride: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Rows between windows in `full`; None: the model's own."),
    ] = None
    scored: Annotated[
        tuple[str, ...] | None,
        Meta(description="Channels to score; None: all but those that hold only 0 and 1 in training."),
    ] = None
    smoothing: Annotated[int, Meta(ge=1, description="Rows of the moving average over the terms.")] = 31
    rolling: Annotated[int, Meta(ge=2, description="Rows of the rolling mean and deviation.")] = 101
    max_gap: Annotated[int, Meta(ge=0, le=10_000, description="Longest run of missing rows to fill.")] = 3
    step_s: Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="Time step; None: the median.")] = None
    rate: Annotated[float, Meta(gt=0, le=0.1, description="Share of normal rows that the threshold may flag.")] = 0.001
    feature_cols: Annotated[tuple[str, ...] | None, Meta(description="Channels to read; None: all numeric ones.")] = (
        None
    )
    time_col: str | None = None
    label_col: str | None = None
    data_name: Annotated[str, Meta(description="What the data is, for the model card.")] = ""
    licence: Annotated[str, Meta(description="Licence of the data.")] = ""


def names() -> list[str]:
    """Return the models that can be trained."""
    return sorted([*neural(), *classical.SETTINGS])


@cache
def neural() -> tuple[str, ...]:
    """Return the models in the folder `models`, whose names are read and not imported: that would need torch."""
    texts = [file.read_text("utf-8") for file in (Path(__file__).parent / "models").glob("[!_]*.py")]
    return tuple(name for text in texts for name in re.findall(r'^NAME = "(\w+)"', text, re.MULTILINE))


def train(
    data: Any,
    model: str = "DLinear_ad",
    out: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Detector:
    """Train a detector on rows of normal operation.

    Parameters
    ----------
    data
        Anything that holds one series: a path, a frame, an array.
    model
        One of `names()`.
    out
        Folder for the detector file; None: it is only returned.
    progress
        Called after each epoch.
    settings
        Fields of `Training`, of the model's own settings, and of its plan (epochs, batch_size, learning_rate, seed, …).

    Raises
    ------
    InputError
        If the data can't be read, or holds several series.
    ConfigError
        If the model or a setting is unknown.
    TrainingError
        If there are too few rows, or the loss stops being a number.
    """
    if model not in names():
        raise ConfigError(
            f"There is no model {model!r} to train.{nearest(model, names())} Known are {', '.join(names())}."
        )
    if model in neural():
        _need_torch(model)
    training, options = _split_settings(settings, model)
    series = _read(data, training)
    stretches, step, notes = _stretches(series, training)
    fit, stop, hold = split(stretches, (FIT, STOP, HOLD))
    learned = [*fit, *stop]
    center, scale = _scaling(learned, series)
    fitter = _fit_neural if model in neural() else _fit_classical
    size, stride, build, facts = fitter(model, training, options, fit, stop, (center, scale), progress)
    channels = len(series.channels)
    usual = _usual_error(build(np.ones(channels)), hold, size)
    model_bytes = build(usual)
    blank = calibrate.blank(channels)
    metadata = Metadata(
        format=1, model=model, settings=facts.pop("settings"), channels=list(series.channels),
        scored=_scored(series, training), size=size, stride=stride, combine="mean",
        smoothing=training.smoothing, rolling=training.rolling, max_gap=training.max_gap,
        center=rounded(center), scale=rounded(scale), spread_center=[0.0] * channels, spread_scale=[1.0] * channels,
        full=blank, causal=blank, time=Time(name=series.time_name, kind=series.kind, step=step),
        training={"data": training.data_name, "rows": len(series), "fit": sum(map(len, fit)), **facts},
        licence=training.licence, versions=_versions(model), graph_sha256="",
    )  # fmt: skip
    runtime = Runtime(model_bytes, model)
    metadata = calibrate.calibrate(metadata, runtime.errors, learned, hold, training.rate, batch(size))
    detector = Detector(detector_file.encode(model_bytes, metadata), source=str(out or model))
    detector.notes = (*series.notes, *notes, *_few(metadata.full.alarm))
    if out is not None:
        detector_file.save(Path(out) / FILE_NAME, model_bytes, metadata)
    return detector


def split(stretches: Sequence[Floats], shares: Sequence[float]) -> list[list[Floats]]:
    """Cut stretches into blocks of time with these shares of all rows, without copying.

    Examples
    --------
    >>> rows = np.arange(10.0)[:, None]
    >>> [[len(part) for part in block] for block in split([rows[:6], rows[6:]], (0.7, 0.1, 0.2))]
    [[6, 1], [1], [2]]
    """
    n_rows = sum(map(len, stretches))
    edges = np.rint(np.cumsum([0.0, *shares]) * n_rows).astype(int).tolist()
    blocks: list[list[Floats]] = []
    for begin, end in pairwise(edges):
        block, first = [], 0
        for stretch in stretches:
            part = stretch[max(begin - first, 0) : max(end - first, 0)]
            first += len(stretch)
            if len(part):
                block.append(part)
        blocks.append(block)
    return blocks


def scaling(stretches: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each channel; 1 for a constant one."""
    rows = np.concatenate(stretches)
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    # the deviation of a large constant isn't 0 but a rounding error
    return center, np.where(scale <= _LEAST_DEVIATION + 1e-12 * np.abs(center), 1.0, scale)


def _scaling(stretches: Sequence[Floats], series: Series) -> tuple[Floats, Floats]:
    """Return the scaling, or name the channel whose values are too large to have one."""
    highest = np.max([np.abs(stretch).max(axis=0) for stretch in stretches], axis=0)
    if highest.max() > _HIGHEST:
        channel = series.channels[int(np.argmax(highest))]
        raise TrainingError(
            f"{series.source}, channel {channel}: the value {highest.max():g} is too large to train with.\n"
            f"Correct values beyond {_HIGHEST:g}, or leave the channel out with feature_cols."
        )
    return scaling(stretches)


def _split_settings(settings: Mapping[str, Any], model: str) -> tuple[Training, dict[str, Any]]:
    """Separate the settings of every training from the model's own, whose values the model checks."""
    from oddwave.train import models
    from oddwave.train.plan import Plan

    own = (classical.SETTINGS[model],) if model in classical.SETTINGS else (type(models.settings(model)), Plan)
    known = dict.fromkeys(name for kind in (*own, Training) for name in kind.__struct_fields__)
    config.check_known(settings, list(known), f"train {model}")
    common = {key: value for key, value in settings.items() if key in Training.__struct_fields__}
    options = {key: value for key, value in settings.items() if key not in common}
    return config.build(Training, common, f"train {model}", strict=False), options


def _read(data: Any, training: Training) -> Series:
    from oddwave import read

    columns = Columns(training.feature_cols, training.time_col, None, training.label_col)
    found = list(read.read(data, columns))
    if len(found) != 1:
        raise InputError(f"Training takes one series, but got {len(found)}. Give one file of normal rows.")
    return found[0]


def _stretches(series: Series, training: Training) -> tuple[list[Floats], float | None, list[str]]:
    """Return the gap-free stretches in time order, the step in seconds or units of the time, and notes."""
    order = np.argsort(series.ticks, kind="stable")
    ticks, values = series.ticks[order], series.values[order]
    notes = []
    if series.labels is not None and series.labels.any():
        values[series.labels[order] == 1] = np.nan
        notes.append(f"Rows labelled anomalous and left out: {int(series.labels.sum()):,}.")
    unit = TICKS_PER_S if series.kind == "datetime" else 1
    step = None if series.kind == "row" else clean.typical_step(ticks)
    if training.step_s is not None and series.kind != "row":
        step = training.step_s * unit
    cleaner = Cleaner(series.source, values.shape[1], step, training.max_gap)
    stretches = [values for values, _ in cleaner.push(ticks, values).stretches]
    if not stretches:
        raise TrainingError(f"{series.source} has no row in which each channel has a value. Leave empty channels out.")
    return stretches, None if step is None else step / unit, [*notes, *cleaner.notes()]


def _fit_neural(
    model: str,
    training: Training,
    options: dict[str, Any],
    fit: Sequence[Floats],
    stop: Sequence[Floats],
    scaled: tuple[Floats, Floats],
    progress: Progress | None,
) -> tuple[int, int, classical.Build, dict[str, Any]]:
    from oddwave.train import loop, models
    from oddwave.train.export import to_onnx
    from oddwave.train.plan import Plan
    from oddwave.train.scored import Scored

    center, scale = scaled
    size, stride = _window(training, 96)
    plan_options = {key: value for key, value in options.items() if key in Plan.__struct_fields__}
    own = {key: value for key, value in options.items() if key not in plan_options}
    settings, plan = models.settings(model, own), models.plan(model, plan_options)
    _check_size(model, settings, size, len(center))
    z = [[((stretch - center) / scale).astype(np.float32) for stretch in block] for block in (fit, stop)]
    trained, history = loop.fit(
        model, settings, fit=z[0], stop=z[1], size=size, channels=len(center), plan=plan, progress=progress
    )

    def build(usual: Floats) -> bytes:
        return to_onnx(Scored(trained, center, scale, usual), size, len(center))

    facts = {
        "settings": msgspec.to_builtins(getattr(trained, "settings", settings)) | msgspec.to_builtins(plan),
        "epochs": len(history.losses),
        "best_epoch": history.best_epoch,
        "held_out_loss": min(history.held_out_losses, default=None),
    }
    return size, stride, build, facts


def _check_size(model: str, settings: Section, size: int, channels: int) -> None:
    """Refuse what would make a detector that is too large to be used, before it is trained."""
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


def _fit_classical(
    model: str,
    training: Training,
    options: dict[str, Any],
    fit: Sequence[Floats],
    stop: Sequence[Floats],
    scaled: tuple[Floats, Floats],
    progress: Progress | None,  # noqa: ARG001
) -> tuple[int, int, classical.Build, dict[str, Any]]:
    if training.input_len is not None:
        options = {**options, "input_len": training.input_len}
    settings = config.build(classical.SETTINGS[model], options, model, strict=False)
    size, stride = _window(training, settings.input_len)
    build = classical.fit(settings, [*fit, *stop], *scaled)
    return size, stride, build, {"settings": msgspec.to_builtins(settings)}


def _window(training: Training, usual: int) -> tuple[int, int]:
    """Return the rows of a window and the stride, or refuse them before anything is fitted."""
    size = training.input_len or usual
    stride = training.stride or max(1, size // 2)
    if stride > size:
        raise ConfigError(f"stride is {stride}, but a window has {size} rows. Give at most {size}.")
    return size, stride


def _usual_error(graph: bytes, hold: Sequence[Floats], size: int) -> Floats:
    """Return each channel's root mean square error on held-out windows, at least 0.1 deviations."""
    run = Runtime(graph, "the model").errors
    squares, count = np.zeros(1), 0
    views = [np.lib.stride_tricks.sliding_window_view(part, size, axis=0) for part in hold if len(part) >= size]
    stride = max(1, -(-sum(map(len, views)) // _USUAL_WINDOWS))
    for view in (view[::stride] for view in views):
        for i in range(0, len(view), batch(size)):
            windows = np.ascontiguousarray(view[i : i + batch(size)].transpose(0, 2, 1), dtype=np.float32)
            errors = run(windows).astype(np.float64)
            squares = squares + np.square(errors).sum(axis=(0, 1))
            count += errors.shape[0] * errors.shape[1]
    if not count:
        raise TrainingError(
            f"No held-out stretch of normal rows is as long as a window of {size}.\n"
            "Give more rows, or train with a smaller input_len."
        )
    return np.maximum(np.sqrt(squares / count), FLOOR)


def _scored(series: Series, training: Training) -> list[bool]:
    """Say which channels are scored: those named, else all but switches (only 0 and 1), unless nothing is left."""
    if training.scored is not None:
        unknown = [name for name in training.scored if name not in series.channels]
        if unknown:
            raise ConfigError(
                f"scored names {unknown[0]!r}, which is no channel.{nearest(unknown[0], series.channels)}"
            )
        return [name in training.scored for name in series.channels]
    values = series.values
    is_switch = (np.isnan(values) | (values == 0) | (values == 1)).all(axis=0)
    return [True] * values.shape[1] if is_switch.all() else (~is_switch).tolist()


def _few(alarm: Alarm) -> list[str]:
    """Say so if the rows are too few for the threshold's rate."""
    found = f"The threshold for {alarm.rate:g} of normal rows was extrapolated from {alarm.rows:,} held-out ones."
    return [f"{found} More rows make it surer."] if alarm.rows * alarm.rate < 1 else []


def _versions(model: str) -> dict[str, str]:
    """Name what made the numbers."""
    versions = {"oddwave": oddwave.__version__, "numpy": np.__version__}
    return versions | {"torch": version("torch").partition("+")[0]} if model in neural() else versions


def _need_torch(model: str) -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError(f"training {model}", package="torch", extra="train") from None


class _Callable(ModuleType):
    """Lets `oddwave.train(...)` train, though `oddwave.train` is also the name of this package."""

    __call__: Callable[..., Detector] = staticmethod(train)


sys.modules[__name__].__class__ = _Callable
