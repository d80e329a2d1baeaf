"""Bench: how fast a detector is on this machine, and whether a device or a faster engine gives what the CPU gives."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oddwave import __version__, read
from oddwave.detector import Detector
from oddwave.errors import InputError
from oddwave.machine import processor, version
from oddwave.result import Result
from oddwave.series import Series
from oddwave.stretch import IS_COMPILED
from oddwave.threads import processors

LONG = 100_000  # rows in memory
PUSHED = 300  # rows into a stream
TOLERANCE = 1e-5  # of the score, or of the threshold if that is larger
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "polars")


class Row(NamedTuple):
    """A line of the table."""

    what: str
    time: str
    speed: str


class Way(NamedTuple):
    """A way to run the detector: its name in the table, and the detector."""

    name: str
    detector: Detector


def table(ways: list[Way], path: str | None, runs: int) -> str:
    """Measure and return the table as Markdown, with a checksum of all above it as the last line.

    Parameters
    ----------
    ways
        The first one is what the others are compared with.
    path
        A file to read and score; None: rows like those the detector was trained on.
    runs
        Of each measurement; the table has their medians.

    Raises
    ------
    InputError
        If the file can't be read, or holds several series.
    """
    first = ways[0].detector
    series = _made(first) if path is None else _read(first, path)
    rows = list(_reading(first, path, runs))
    for name, detector in ways:
        rows += [Row(f"{what}, {name}", *figures) for what, *figures in _scoring(detector, series, runs)]
    rows += [
        _equality(name, first.detect_series(series), detector.detect_series(series)) for name, detector in ways[1:]
    ]
    lines = [
        *_about(first, path, series),
        "",
        "| what | median | speed |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    text = "\n".join(lines)
    return f"{text}\nchecksum: {hashlib.sha256(text.encode()).hexdigest()}"


def _about(detector: Detector, path: str | None, series: Series) -> list[str]:
    """Describe the machine, the software, the detector and the data."""
    packages = [f"{name} {found}" for name in PACKAGES if (found := version(name))]
    metadata = detector.metadata
    kernel = "compiled" if IS_COMPILED else "not compiled, numpy computes"
    data = "rows made like those it was trained on" if path is None else Path(path).name
    model = f"{metadata.model} ({hashlib.sha256(detector.data).hexdigest()[:12]})"
    return [
        f"Oddwave {__version__} (kernel {kernel}), Python {platform.python_version()}, {', '.join(packages)}",
        f"{processor()}, {len(processors())} processors, {platform.system()} {platform.machine()}",
        f"{model}, {len(metadata.channels)} channels, windows of {metadata.size}; {data}: {len(series):,} rows",
    ]


def _made(detector: Detector) -> Series:
    """Make rows of noise around the usual values, so that nearly all are normal; the same ones each time."""
    metadata = detector.metadata
    noise = np.random.default_rng(0).normal(size=(max(LONG // 10, metadata.size), len(metadata.channels)))
    return _series(detector, np.array(metadata.center) + np.array(metadata.scale) * noise)


def _read(detector: Detector, path: str) -> Series:
    found = list(islice(read.read(path, detector.columns()), 2))
    if len(found) != 1:
        raise InputError(f"{path} holds {'several' if found else 'no'} series. Give a file with one.")
    return found[0]


def _series(detector: Detector, values: Any) -> Series:
    rows = np.arange(len(values))
    return Series(values, tuple(detector.metadata.channels), rows, "row", rows, "row", "memory")


def _reading(detector: Detector, path: str | None, runs: int) -> Iterable[Row]:
    """Measure the machine, so that the rest can be compared, and how long it takes to read the file."""
    matrix = np.ones((1024, 1024), dtype=np.float32)
    seconds = median(lambda: matrix @ matrix, runs)
    yield Row("a matrix product, numpy", _ms(seconds), f"{2 * 1024**3 / seconds / 1e9:,.0f} GFLOP/s")
    memory = np.ones(1 << 24)
    seconds = median(memory.copy, runs)
    yield Row("a copy of 128 MB, numpy", _ms(seconds), f"{2 * memory.nbytes / seconds / 1e9:,.0f} GB/s")
    if path is not None:
        seconds = median(lambda: _read(detector, path), runs)
        n_bytes = os.stat(path).st_size if Path(path).is_file() else 0
        yield Row("read the file", _ms(seconds), f"{n_bytes / seconds / 1e6:,.0f} MB/s")


def _scoring(detector: Detector, series: Series, runs: int) -> Iterable[Row]:
    """Measure scoring: a window, a long series, single rows."""
    window = _series(detector, series.values[: detector.metadata.size].copy())
    seconds = median(lambda: detector.detect_series(window), 20 * runs)
    yield Row(f"{len(window)} rows in memory", _ms(seconds), f"{len(window) / seconds:,.0f} rows/s")
    long = _series(detector, np.resize(series.values, (LONG, series.values.shape[1])))
    seconds = median(lambda: detector.detect_series(long), runs)
    yield Row(f"{LONG:,} rows in memory", _ms(seconds), f"{LONG / seconds:,.0f} rows/s")
    stream = detector.stream()
    rows = np.resize(series.values, (PUSHED, series.values.shape[1])).tolist()
    seconds = statistics.median(_seconds(partial(stream.update, row)) for row in rows)
    yield Row("a row into a stream", _ms(seconds), f"{1 / seconds:,.0f} rows/s")


def _equality(name: str, expected: Result, found: Result) -> Row:
    """Compare labels and scores with those of the first way."""
    is_scored = ~np.isnan(expected.score)
    size = np.maximum(np.abs(expected.score[is_scored]), expected.threshold)
    apart = np.abs(found.score[is_scored] - expected.score[is_scored]) / size
    worst = float(apart.max(initial=0.0))
    others = int((found.label != expected.label).sum())
    verdict = "equal" if worst <= TOLERANCE and not others else "NOT EQUAL"
    return Row(f"{name} beside the first", verdict, f"scores within {worst:.1e}, {others:,} other labels")


def median(work: Callable[[], object], runs: int) -> float:
    """Return the median seconds of some runs, after one that isn't counted."""
    work()
    return statistics.median(_seconds(work) for _ in range(runs))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.3g} ms"
