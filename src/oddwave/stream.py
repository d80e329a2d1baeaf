"""Rows one at a time, as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from oddwave.errors import InputError
from oddwave.metadata import Metadata
from oddwave.one_pass import Pass
from oddwave.series import TICKS_PER_S, Floats, Series, TimeKind


class Stream:
    """Score rows one at a time as they come; equal to `causal` on the same rows. Made by `Detector.stream`."""

    def __init__(self, metadata: Metadata, start: Callable[[Series], Pass]) -> None:
        self._start = start
        self._pass: Pass | None = None
        self._kind: TimeKind = "number" if metadata.time.kind == "row" else metadata.time.kind
        self._step = (metadata.time.step or 1) * (TICKS_PER_S if self._kind == "datetime" else 1)
        self._last: float | None = None
        self.channels = tuple(metadata.channels)

    def update(self, row: Any, time: float | None = None) -> tuple[float | None, int | None]:
        """Score the next row.

        Parameters
        ----------
        row
            Values in the order of `channels`, or a mapping by channel name; NaN or None where one is missing.
        time
            Time of the row, in seconds or in the units the detector was trained with: gaps are found by it. None: one
            step after the last row.

        Returns
        -------
        tuple
            Score and label; both None while warming up or after a gap that is too long.

        Raises
        ------
        InputError
            If the row doesn't fit, or has the first time after rows without.
        UnsortedError
            If the row is earlier than the one before it.
        """
        cells, tick = self._cells(row), np.array([self._tick(time)])
        series = Series(cells[None], self.channels, tick, self._kind, tick, "time", "the stream")
        if self._pass is None:
            self._pass = self._start(series)
        rows, _ = self._pass.push(series)
        self._last = tick.item()
        self._pass.events.events.clear()  # nobody will ask for them
        if rows.label[0] < 0:
            return None, None
        return float(rows.score[0]), int(rows.label[0])

    def _cells(self, row: Any) -> Floats:
        """Return the values of a row in the detector's order, NaN where one is missing."""
        if hasattr(row, "keys"):
            missing = [name for name in self.channels if name not in row]
            if missing:
                raise InputError(f"The row has no value for {', '.join(missing)}. Give None where it is missing.")
            row = [row[name] for name in self.channels]
        try:
            cells = np.array([np.nan if value is None else float(value) for value in row], dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"The row {row!r} has a value that is no number. Give numbers, or None.") from None
        if len(cells) != len(self.channels):
            raise InputError(f"The row has {len(cells)} values, but this detector reads {len(self.channels)} channels.")
        cells[~np.isfinite(cells)] = np.nan
        return cells

    def _tick(self, time: Any) -> Any:
        """Return the time in ticks; the one after the last row's if none is given."""
        if time is None:
            if self._last is None:
                self._kind = "row"  # and so it stays
            return 0 if self._last is None else self._last + self._step
        if not isinstance(time, float | int | np.number) or not np.isfinite(time):
            raise InputError(f"The time {time!r} is no number. Give seconds, or the units of the training data.")
        if self._kind == "row" and self._last is not None:
            raise InputError(f"The time {time!r} comes after rows without one. Give a time from the first row on.")
        return time * TICKS_PER_S if self._kind == "datetime" else time
