"""Kept: a result on disk as plain arrays in time order, of which any worker maps into memory what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from oddwave.detector import Detector
from oddwave.events import Event, EventBuilder
from oddwave.metadata import Alarm
from oddwave.result import REASONS, Result, zone_of
from oddwave.series import TICKS_PER_S, Floats, Series, TimeKind
from oddwave.threshold import budget, limit, row_rate, seconds_a_row


class About(msgspec.Struct):
    """What a result holds beside its arrays."""

    name: str
    model: str
    mode: str
    channels: list[str]
    time_name: str
    kind: TimeKind
    ahead_us: int
    is_ordered: bool
    threshold: float
    alarm: Alarm
    step_s: float | None
    merge_gap: int
    min_length: int
    notes: list[str]


def write(folder: Path, result: Result, detector: Detector, merge_gap: int, min_length: int) -> None:
    """Write a result, which has contributions, into an empty folder."""
    series = result.series
    ticks = series.ticks
    order = None if len(ticks) < 2 or (ticks[1:] >= ticks[:-1]).all() else np.argsort(ticks, kind="stable")

    def save(name: str, rows: NDArray[Any]) -> None:
        np.save(folder / f"{name}.npy", rows if order is None else rows[order], allow_pickle=False)

    save("ticks", ticks)
    save("index", _plain(series.index))
    save("score", result.score)
    save("reason", result.reason)
    save("parts", (result.contribution if result.contribution is not None else series.values).astype(np.float32))
    np.save(folder / "values.npy", (series.values if order is None else series.values[order]).T.copy())
    if order is not None:
        np.save(folder / "order.npy", order)
    about = About(
        series.source, result.model, result.scoring, list(series.channels), series.time_name, series.kind,
        zone_of(series.index[[0, -1]], series.kind)[0], order is None, result.threshold,
        getattr(detector.metadata, result.scoring).alarm, seconds_a_row(detector.metadata),
        merge_gap, min_length, list(result.notes),
    )  # fmt: skip
    (folder / "about.json").write_bytes(msgspec.json.encode(about))


def _plain(index: NDArray[Any]) -> NDArray[Any]:
    """Turn texts into bytes of one width: arrays of objects can't be mapped."""
    return index if index.dtype.kind in "iuf" else np.array([str(time).encode() for time in index.tolist()])


class Kept:
    """A result that was written into a folder; all rows are in time order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.about = msgspec.json.decode((folder / "about.json").read_bytes(), type=About)

    def __len__(self) -> int:
        return len(self.score)

    def _array(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = np.load(self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return found

    @cached_property
    def score(self) -> Floats:
        """Shape (time,), NaN where a row has none."""
        return self._array("score")

    @cached_property
    def reason(self) -> NDArray[np.uint8]:
        """Shape (time,)."""
        return self._array("reason")

    @cached_property
    def values(self) -> Floats:
        """Shape (channel, time): a channel's values lie together."""
        return self._array("values")

    @cached_property
    def parts(self) -> NDArray[np.float32]:
        """Contributions, shape (time, channel)."""
        return self._array("parts")

    def labels(self, threshold: float) -> NDArray[np.int8]:
        """Return the labels at a threshold, shape (time,)."""
        above = np.asarray(self.score) > threshold
        return np.where(self.reason > 0, np.int8(-1), above.astype(np.int8))

    def times(self, rows: NDArray[np.int64] | list[int]) -> list[float]:
        """Return times as numbers: seconds by the clock of the input's zone, or the number or the row itself."""
        ticks = self._array("ticks")[rows].astype(np.float64)
        if self.about.kind == "datetime":
            ticks = (ticks + self.about.ahead_us) / TICKS_PER_S
        found: list[float] = ticks.tolist()
        return found

    def text(self, row: int) -> Any:
        """Return a row's time as the user wrote it."""
        time = self._array("index")[row].item()
        return time.decode() if isinstance(time, bytes) else time

    def events(self, threshold: float) -> list[Event]:
        """Return the events at a threshold; their times are row numbers."""
        about, label = self.about, self.labels(threshold)
        rows = np.arange(len(self))
        builder = EventBuilder(tuple(about.channels), about.kind, about.merge_gap, about.min_length)
        parts = np.asarray(self.parts[label == 1], dtype=np.float64)
        builder.push(rows, self._array("ticks"), np.asarray(self.score), label, parts)
        return builder.finish()

    def limit(self, false_alarms: str) -> float:
        """Return the threshold of a budget of false alarms."""
        return limit(self.about.alarm, budget(false_alarms), self.about.step_s)

    def expected(self, threshold: float) -> float:
        """Return the share of normal rows to expect above a threshold."""
        return row_rate(self.about.alarm, threshold)

    def unscored(self) -> dict[str, Any]:
        """Return how many rows have no score, and why."""
        counts = np.bincount(self.reason, minlength=len(REASONS))[1:].tolist()
        return {"rows": sum(counts), "why": [why for why, count in zip(REASONS[1:], counts, strict=True) if count]}

    def result(self, threshold: float) -> Result:
        """Return the result at a threshold, in the order of the input, for the writers."""
        about, label = self.about, self.labels(threshold)
        index = self._array("index")
        texts = index if index.dtype.kind in "iuf" else np.array([t.decode() for t in index.tolist()], dtype=object)
        events = [_told(event, self.text) for event in self.events(threshold)]
        back = slice(None) if about.is_ordered else np.argsort(self._array("order"))
        series = Series(
            np.ascontiguousarray(self.values.T[back]), tuple(about.channels), self._array("ticks")[back], about.kind,
            texts[back], about.time_name, about.name,
        )  # fmt: skip
        return Result(
            series, np.array(self.score[back]), label[back], np.array(self.reason[back]), events, threshold,
            about.model, about.mode, tuple(about.notes),
        )  # fmt: skip


def _told(event: Event, text: Callable[[int], Any]) -> Event:
    """Put the times as the user wrote them in place of row numbers."""
    return replace(event, start=text(event.start), end=text(event.end), peak=text(event.peak))
