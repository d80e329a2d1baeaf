"""Training: rows of normal operation -> a detector. THE ORDER OF TRAINING."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

import oddwave
from oddwave import calibrate, classical, config, detector_file, threshold
from oddwave.calibrate import Run, rounded
from oddwave.config import Scoring, Section
from oddwave.detector import FILE_NAME, Detector
from oddwave.errors import ConfigError, MissingExtraError, TrainingError, nearest
from oddwave.metadata import Alarm, Calibration, Metadata
from oddwave.runtime import Runtime
from oddwave.series import Floats, batch
from oddwave.train import blocks, fitting, rows
from oddwave.train.blocks import FIT, HOLD, STOP, VERIFY, split
from oddwave.train.device import device_of
from oddwave.train.fitting import Task
from oddwave.train.folder import CONFIG, Folder, Made
from oddwave.train.rows import Normal

if TYPE_CHECKING:
    from oddwave.train.loop import Progress

__all__ = ["FIT", "HOLD", "STOP", "VERIFY", "Training", "names", "neural", "scaling", "split", "train"]

LEAST_ROWS = 20
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
    smoothing: Annotated[int, Meta(ge=1, description="Rows of the moving average over the terms, in `full`.")] = 31
    rolling: Annotated[int, Meta(ge=2, description="Rows of the rolling mean and deviation, in `full`.")] = 101
    causal_smoothing: Annotated[int, Meta(ge=1, description="The same in `causal`: fewer, since all lie behind.")] = 7
    causal_rolling: Annotated[int, Meta(ge=2, description="The same in `causal`.")] = 51
    causal_error: Annotated[int, Meta(ge=1, description="Last rows of a window whose errors `causal` averages.")] = 31
    long_rolling: Annotated[int, Meta(ge=2, description="Rows of the longer mean that a shift is measured from.")] = 401
    max_gap: Annotated[int, Meta(ge=0, le=10_000, description="Longest run of missing rows to fill.")] = 3
    step_s: Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="Time step; None: the median.")] = None
    false_alarms: Annotated[
        float | str,
        Meta(description="Budget of false alarms: events in a time, as 1/day, or a share of normal rows, as 0.001."),
    ] = 0.01
    feature_cols: Annotated[tuple[str, ...] | None, Meta(description="Channels to read; None: all numeric ones.")] = (
        None
    )
    time_col: str | None = None
    label_col: str | None = None
    group_col: Annotated[
        str | None, Meta(description="Column that splits the table into series of the same channels; None: one series.")
    ] = None
    per_group: Annotated[
        bool, Meta(description="Train a detector for each group, or file, instead of one for all.")
    ] = False
    exclude: Annotated[
        tuple[str, ...],
        Meta(description="Times to leave out, such as maintenance: start/end, the end not part of it."),
    ] = ()
    mask_col: Annotated[str | None, Meta(description="Column with 1 in rows to leave out; None: there is none.")] = None
    start: Annotated[
        str | None,
        Meta(description="Go on from the weights of a shipped model or a run folder; None: from random weights."),
    ] = None
    resume: Annotated[bool, Meta(description="Go on with the training in the run folder, if one was interrupted.")] = (
        False
    )
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
    device: str = "cpu",
    **settings: Any,
) -> Detector:
    """Train a detector on rows of normal operation.

    Parameters
    ----------
    data
        A file, `-`, a frame or an array; a folder with `train.*`; another folder, a pattern or a list of files, each a
        series of the same channels.
    model
        One of `names()`.
    out
        Run folder, for the detector and all about its training; None: the detector is only returned.
    progress
        Called after each epoch.
    device
        Where a neural model is trained: `cpu`, `gpu:0`, …; `auto` is the first GPU if there is one.
    settings
        Fields of `Training`, of the model's own settings, and of its plan (epochs, batch_size, learning_rate, seed, …).

    Raises
    ------
    InputError
        If the data can't be read.
    ConfigError
        If the model or a setting is unknown.
    DeviceError
        If the device can't be had.
    TrainingError
        If there are too few rows, or the loss stops being a number.
    """
    training, options = settings_of(model, settings)
    device = device_of(model, device, is_neural=model in neural())
    return _trained(data, rows.read(data, training), model, training, options, out, progress, device)


def finish(folder: str | PathLike[str]) -> Detector:
    """Make a detector of the best weights so far in the folder of an interrupted training, as its config.yaml says.

    Raises
    ------
    ConfigError
        If the folder lacks what that needs.
    """
    from oddwave import training_file

    file = training_file.read(Path(folder) / CONFIG)
    if file.Global.dataset_dir is None:
        raise ConfigError(f"{folder}: its {CONFIG} names no data. Train again from the same rows, with resume.")
    training, options = settings_of(file.Global.model, training_file.settings(file) | {"resume": True})
    if training.per_group:
        name, groups = Path(folder).resolve().name, dict(rows.read_groups(file.Global.dataset_dir, training))
        if name not in groups:
            raise ConfigError(f"{folder}: there is no group {name}. Call the folder as the group.")
        normal = groups[name]
    else:
        normal = rows.read(file.Global.dataset_dir, training)
    return _trained(file.Global.dataset_dir, normal, file.Global.model, training, options, folder, None, is_over=True)


def train_groups(
    data: Any,
    model: str = "DLinear_ad",
    out: str | PathLike[str] | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
    **settings: Any,
) -> Iterator[tuple[str, Detector]]:
    """Train a detector for each group of `group_col`, or each file, in a folder of its name; else as `train`."""
    training, options = settings_of(model, settings)
    device = device_of(model, device, is_neural=model in neural())
    for name, normal in rows.read_groups(data, training):
        yield name, _trained(data, normal, model, training, options, out and Path(out) / name, progress, device)


def settings_of(model: str, settings: Mapping[str, Any]) -> tuple[Training, dict[str, Any]]:
    """Check settings before anything is read; separate those of every training from the model's own."""
    if model not in names():
        raise ConfigError(
            f"There is no model {model!r} to train.{nearest(model, names())} Known are {', '.join(names())}."
        )
    if model in neural():
        _need_torch(model)
    from oddwave.train import models
    from oddwave.train.plan import Plan

    own = (classical.SETTINGS[model],) if model in classical.SETTINGS else (type(models.settings(model)), Plan)
    known = dict.fromkeys(name for kind in (*own, Training) for name in kind.__struct_fields__)
    config.check_known(settings, list(known), f"train {model}")
    common = {key: value for key, value in settings.items() if key in Training.__struct_fields__}
    options = {key: value for key, value in settings.items() if key not in common}
    training = config.build(Training, common, f"train {model}", strict=False)
    threshold.budget(training.false_alarms)
    fitting.window(model, options, training.input_len, training.stride)
    return training, options


def _trained(
    data: Any,
    normal: Normal,
    model: str,
    training: Training,
    options: dict[str, Any],
    out: str | PathLike[str] | None,
    progress: Progress | None,
    device: str = "cpu",
    is_over: bool = False,
) -> Detector:
    size, stride = fitting.window(model, options, training.input_len, training.stride)
    n_rows = sum(len(stretch) for stretches in normal.series for stretch in stretches)
    if n_rows < LEAST_ROWS:
        raise TrainingError(
            f"{normal.source} has {n_rows} row{'' if n_rows == 1 else 's'} to learn from, too few to fit, calibrate "
            "and verify a detector.\n"
            f"Give more rows: {LEAST_ROWS} at the very least, better some thousands."
        )
    block = blocks.cut(normal.series)
    center, scale = scaling(block.learned, normal)
    folder = None if out is None else Folder(out, goes_on=training.resume)
    if folder is not None:
        folder.begin(data, model, training, _effective(model, options))
    task = Task(
        model, options, size, block.fit, block.stop, center, scale,
        progress if folder is None else folder.reporting(progress), None if folder is None else folder.checkpoint,
        training.resume, is_over, training.start, _identity(normal, training), device,
    )  # fmt: skip
    fitted = (fitting.neural if model in neural() else fitting.fit_classical)(task)
    channels = len(normal.channels)
    early, held = blocks.folds(normal.series, size, aside=blocks.VERIFY)
    plain = fitting.Usual(fitted.run, size)
    usual = _usual_error(plain, early, block.hold)
    model_bytes = fitted.build(usual)
    metadata = Metadata(
        format=1, model=model, settings=fitted.settings, channels=list(normal.channels),
        scored=_scored(normal, training), size=size, stride=stride, combine="mean",
        max_gap=training.max_gap, center=rounded(center), scale=rounded(scale),
        full=_blank(training, channels, size, "full"), causal=_blank(training, channels, size, "causal"),
        time=normal.time, training=_facts(normal, training, block, fitted.facts), licence=training.licence,
        versions=_versions(model), graph_sha256="",
    )  # fmt: skip

    run = Runtime(model_bytes, model).errors

    def refit(others: Sequence[Floats]) -> Run:
        """Return the graph in units of its usual error on other rows, fitted to these if it is quick to fit."""
        if fitted.refit is None:
            found = plain.of(others)
            factor = (usual / (usual if found is None else found)).astype(np.float32)
            return lambda windows: run(windows) * factor
        anew = fitted.refit(others)
        found = fitting.Usual(fitting.run_of(anew, channels), size).of(others)
        return Runtime(anew(usual if found is None else found), model).errors

    budget, per_run = threshold.budget(training.false_alarms), batch(size)
    tried, scores = calibrate.calibrate(metadata, refit, early, held, budget, per_run)
    verified = calibrate.verify(tried, run, block.verify, scores, per_run)
    metadata, _ = calibrate.calibrate(metadata, refit, *blocks.folds(normal.series, size, aside=0.0), budget, per_run)
    seen = {scoring: found.facts() for scoring, found in verified.items()}
    metadata = msgspec.structs.replace(metadata, training={**metadata.training, "verified": seen})
    detector = Detector(detector_file.encode(model_bytes, metadata), source=str(folder.path if folder else model))
    stopped = [fitted.history.note] if fitted.history and fitted.history.note else []
    detector.notes = (*normal.notes, *stopped, *_few(metadata.full.alarm))
    if folder is not None:
        detector_file.save(folder.path / FILE_NAME, model_bytes, metadata)
        folder.end(detector, Made(data, training, normal, block, fitted, size, verified))
    return detector


def _usual_error(plain: fitting.Usual, folds: Sequence[list[Floats]], hold: Sequence[Floats]) -> Floats:
    """Return each channel's usual error on held-out rows, or on all rows where it is larger: what is normal drifts."""
    everywhere, unseen = plain.of([stretch for fold in folds for stretch in fold]), plain.of(hold)
    if everywhere is None:
        raise TrainingError(
            f"No stretch of normal rows is as long as a window of {plain.size}.\n"
            "Give more rows, or train with a smaller input_len."
        )
    return everywhere if unseen is None else np.maximum(everywhere, unseen)


def _blank(training: Training, channels: int, size: int, scoring: Scoring) -> Calibration:
    """Return a calibration that knows only over how many rows it looks."""
    if scoring == "full":
        return calibrate.blank(channels, 1, training.smoothing, training.rolling, training.long_rolling)
    rows = min(training.causal_error, size)
    return calibrate.blank(channels, rows, training.causal_smoothing, training.causal_rolling, training.long_rolling)


def _effective(model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's own settings and its plan in full: what they are by default may change with the version."""
    if model in classical.SETTINGS:
        return dict(options)
    from oddwave.train import models

    own, plan = models.sections(model, options)
    return {**msgspec.to_builtins(plan), **msgspec.to_builtins(own)}


def _identity(normal: Normal, training: Training) -> str:
    """Tell these rows and settings from others: a checkpoint of other ones isn't gone on with."""
    told = (normal.channels, normal.n_rows, normal.n_left_out, normal.sketch, training.max_gap, training.step_s)
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def scaling(stretches: Sequence[Floats], normal: Normal) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of each channel, 1 for a constant one.

    Raises
    ------
    TrainingError
        If a channel's values are too large to have them.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused below
        center, scale, highest = rows.moments(stretches)
    if highest.max() > _HIGHEST:
        channel = normal.channels[int(np.argmax(highest))]
        raise TrainingError(
            f"{normal.source}, channel {channel}: the value {highest.max():g} is too large to train with.\n"
            f"Correct values beyond {_HIGHEST:g}, or leave the channel out with feature_cols."
        )
    return calibrate.scaling(center, scale)


def _scored(normal: Normal, training: Training) -> list[bool]:
    """Say which channels are scored: those named, else all but switches (only 0 and 1), unless nothing is left."""
    if training.scored is not None:
        unknown = [name for name in training.scored if name not in normal.channels]
        if unknown:
            raise ConfigError(
                f"scored names {unknown[0]!r}, which is no channel.{nearest(unknown[0], normal.channels)}"
            )
        return [name in training.scored for name in normal.channels]
    return [True] * len(normal.channels) if normal.is_switch.all() else (~normal.is_switch).tolist()


def _facts(normal: Normal, training: Training, block: blocks.Blocks, fitted: dict[str, Any]) -> dict[str, Any]:
    """Sum up the training for the detector file."""
    return {
        "data": training.data_name,
        "rows": normal.n_rows,
        "fit": sum(map(len, block.fit)),
        **fitted,
        "sketch": normal.sketch,
    }


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
