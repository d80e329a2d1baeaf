"""use_hpip: is another engine faster for this detector on this machine, and does it give the same? Asked once, kept."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from oddwave import __version__, machine
from oddwave.atomic import Atomic
from oddwave.config import Detection
from oddwave.errors import OutputError
from oddwave.metadata import Metadata
from oddwave.result import Result
from oddwave.runtime import Runtime, compiled
from oddwave.runtime.engine import Engine, whole_batches
from oddwave.series import Floats, Series, Windows, batch
from oddwave.threads import processors

TOLERANCE = 1e-5  # of the score, or of the threshold if that is larger; of a window's largest error, or of a usual one
CLEARLY = 1.05  # times as fast
ROUNDS, LEAST_ROUNDS, SECONDS = 15, 5, 0.7  # the time that all rounds take, about
ROUND_S = 0.06  # what the graph takes in a round, about
_CELLS = 1 << 20  # rows x channels to measure with, at most
# Noise, in usual deviations: of some 0.3 the scores are about at the threshold.
_USUAL, _NEAR = (0.2,), (0.1, 0.2, 0.25, 0.3, 0.25, 0.4)
_MAGNITUDES = (*_NEAR, 1.0, 0.2, 5.0, 100.0, 0.2, 1e4, 0.1, 1e25)  # to anomalous and absurd
Detect = Callable[[Series, Detection], Result]


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found out about a detector on a machine.

    Parameters
    ----------
    is_equal
        Whether OpenVINO gives the same labels, and equal scores.
    gain
        How many times as fast it is; 1 where that wasn't measured.
    """

    is_equal: bool
    gain: Annotated[float, Meta(gt=0, lt=1000)]

    @property
    def is_fast(self) -> bool:
        """Whether it is used."""
        return self.is_equal and self.gain >= CLEARLY


def hasten(runtime: Runtime, model: bytes, metadata: Metadata, threads: int, detect: Detect) -> tuple[str, ...]:
    """Give a runtime the fastest engine; return notes that say which, and how much faster it is.

    Parameters
    ----------
    model
        Bytes of the detector file.
    threads
        How many call the runtime at once.
    detect
        Scores a series with this runtime.
    """
    if runtime.device != "cpu":
        return (f"use_hpip: {runtime.device} is used as without it: other engines are known for the CPU only.",)
    if not compiled.is_there():
        return ('use_hpip: ONNX Runtime is used as without it. Another engine: pip install "oddwave[openvino]".',)
    path, notes = _path(model, threads), []
    choice = None
    try:
        choice = msgspec.json.decode(path.read_bytes(), type=Choice) if path.exists() else None
    except (OSError, msgspec.MsgspecError):
        notes.append(f"use_hpip: {path} can't be read, so it was measured anew.")
    if choice is not None and not choice.is_fast:
        return (*notes, _told(choice))
    usual, size = runtime.run, metadata.size
    shape = (batch(size), size, len(metadata.channels))
    try:
        fast = whole_batches(compiled.engine(model, shape, threads), usual, shape[0])
    except Exception as error:  # noqa: BLE001 (OpenVINO has no common base for what it raises)
        reason = str(error).strip().splitlines()[-1]
        return (*notes, f"use_hpip: ONNX Runtime is used as without it: OpenVINO can't run this detector: {reason}")
    if choice is None:
        choice = _measured(runtime, fast, metadata, detect)
        notes += _kept(path, choice)
    runtime.run = fast if choice.is_fast else usual
    return (*notes, _told(choice))


def _told(choice: Choice) -> str:
    if not choice.is_equal:
        return "use_hpip: ONNX Runtime is used as without it: OpenVINO gives other scores on this machine."
    if choice.is_fast:
        return f"use_hpip: OpenVINO was chosen: {choice.gain:.2f} times as fast as ONNX Runtime on this machine."
    return f"use_hpip: ONNX Runtime was chosen: OpenVINO is {choice.gain:.2f} times as fast on this machine."


def _path(model: bytes, threads: int) -> Path:
    """Return the file in the user's cache for this detector on this machine with this software."""
    packages = [machine.version(name) for name in ("onnxruntime", "openvino")]
    told = [hashlib.sha256(model).hexdigest(), machine.processor(), len(processors()), threads, __version__, *packages]
    name = hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(os.path.expanduser(folder)) / "oddwave" / "hpip" / f"{name}.json"


def _kept(path: Path, choice: Choice) -> list[str]:
    """Keep a choice; if that can't be, say so."""
    try:
        with Atomic(path) as file:
            file.write(msgspec.json.encode(choice))
        return []
    except OutputError as error:
        return [f"use_hpip: what was measured isn't kept, and will be measured again: {error}"]


def _measured(runtime: Runtime, fast: Engine, metadata: Metadata, detect: Detect) -> Choice:
    """Compare and time two engines by turns; a gain counts only if three rounds of four have it."""
    usual = runtime.run
    if not _is_equal(runtime, fast, metadata, detect):
        return Choice(is_equal=False, gain=1.0)
    batches = max(2, min(8, int(ROUND_S / _batch_s(runtime, metadata))))
    series = _noise(metadata, batches * batch(metadata.size) * metadata.stride + metadata.size)
    gains: list[float] = []
    began = time.perf_counter()
    while len(gains) < ROUNDS and (len(gains) < LEAST_ROUNDS or time.perf_counter() - began < SECONDS):
        seconds = []
        for engine in (usual, fast):
            runtime.run = engine
            start = time.perf_counter()
            detect(series, Detection())
            seconds.append(time.perf_counter() - start)
        gains.append(seconds[0] / seconds[1])
        if time.perf_counter() - began > 2 * SECONDS:
            break
    low, middle, _ = statistics.quantiles(gains, n=4) if len(gains) > 1 else (1.0, 1.0, 1.0)
    return Choice(is_equal=True, gain=round(middle if low > 1 else min(middle, 1.0), 3))


def _batch_s(runtime: Runtime, metadata: Metadata) -> float:
    windows = _windows(metadata, batch(metadata.size))
    start = time.perf_counter()
    runtime.errors(windows)
    return time.perf_counter() - start


def _is_equal(runtime: Runtime, fast: Engine, metadata: Metadata, detect: Detect) -> bool:
    """Say whether an engine gives the errors, scores and labels of the usual one, at all magnitudes."""
    usual, count, size = runtime.run, batch(metadata.size), metadata.size
    long, short = 2 * count * metadata.stride + size, 4 * count + size
    try:
        errors, full, causal = [], [], []
        for engine in (usual, fast):
            runtime.run = engine
            errors.append(runtime.errors(_windows(metadata, count)))
            full.append(detect(_noise(metadata, long, _MAGNITUDES), Detection(scoring="full")))
            causal.append(detect(_noise(metadata, short, _NEAR), Detection(scoring="causal")))
    finally:
        runtime.run = usual
    apart = np.abs(errors[0].astype(np.float64) - errors[1])
    size = np.maximum(errors[0].max(axis=(1, 2), keepdims=True), 1)  # a cell's error is a small difference of those
    return bool((apart <= TOLERANCE * size).all()) and all(_are_equal(*results) for results in (full, causal))


def _are_equal(first: Result, second: Result) -> bool:
    """Say whether two results are equal: the same labels, and scores as near as `TOLERANCE` says."""
    apart, size = np.abs(first.score - second.score), np.maximum(first.score, first.threshold)
    is_near = (apart <= TOLERANCE * size) | (np.isnan(first.score) & np.isnan(second.score))
    return bool(is_near.all()) and np.array_equal(first.label, second.label)


def _windows(metadata: Metadata, count: int) -> Windows:
    """Make windows of all magnitudes."""
    shape = (count, metadata.size, len(metadata.channels))
    rows = _noise(metadata, count * metadata.size, _MAGNITUDES).values
    return np.resize(rows, shape).astype(np.float32)


def _noise(metadata: Metadata, n_rows: int, magnitudes: tuple[float, ...] = _USUAL) -> Series:
    """Make rows around the usual values, in as many parts as magnitudes; the same ones each time.

    Those to compare by, of several magnitudes, have channels that stand still, too.
    """
    channels = len(metadata.channels)
    n_rows = max(min(n_rows, _CELLS // channels), 2 * metadata.size)
    times = np.array(magnitudes).repeat(-(-n_rows // len(magnitudes)))[:n_rows, None]
    noise = np.random.default_rng(0).normal(size=(n_rows, channels)) * times
    if magnitudes != _USUAL:
        _hold(noise, metadata.size)
    with np.errstate(over="ignore"):
        values = np.clip(np.array(metadata.center) + np.array(metadata.scale) * noise, -1e25, 1e25)
    rows = np.arange(n_rows)
    return Series(values, tuple(metadata.channels), rows, "row", rows, "row", "made to measure with")


def _hold(noise: Floats, size: int) -> None:
    """Let each fourth channel, by turns, keep its value for three windows: what is divided by its deviation shows."""
    for turn, first in enumerate(range(0, len(noise), 3 * size)):
        noise[first : first + 3 * size, turn % 4 :: 4] = noise[first, turn % 4 :: 4]
