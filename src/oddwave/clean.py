"""Cleaning: rows in time order -> gap-free stretches on an even grid, and why a row is on none.

One rule: a missing value takes its channel's last one for at most `max_gap` steps of the grid; missing rows are
filled the same way. Past that, rows can't be scored until each channel has a value again, and a new stretch starts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import UnsortedError
from oddwave.series import Floats, Ticks, runs

SCORED, LONG_GAP, NO_START, WARMING_UP, SHORT_STRETCH = range(5)
NOWHERE = -1  # position of a row that is on no stretch
STEP_ROWS = 10_000  # the step is the median over this many first rows, however long the series
_FOREVER = 1 << 40
_NOTES = {
    "cells": "Missing values filled with the channel's last one: {}.",
    "rows": "Missing rows filled with the last values: {}.",
    "breaks": "Gaps longer than the {1} rows that are filled: {0}. Scoring starts anew after each.",
    "repeats": "Rows that repeat a time: {}. They carry the label and score of the first row of that time.",
}


class Cleaned(NamedTuple):
    """Some rows, cleaned.

    Parameters
    ----------
    stretches
        Gap-free pieces of the grid, each with whether it begins a new stretch (else it goes on with the last one).
    position
        For each input row its row in all stretches laid end to end, or NOWHERE; shape (time,).
    reason
        For each input row why it is nowhere: LONG_GAP or NO_START, else SCORED; shape (time,).
    """

    stretches: list[tuple[Floats, bool]]
    position: NDArray[np.int64]
    reason: NDArray[np.uint8]


def typical_step(ticks: Ticks) -> float | None:
    """Return the median time between neighbouring rows over the first 10,000, or None if time stands still."""
    ticks = ticks[:STEP_ROWS]
    even = ticks[1:] - ticks[:-1]
    if len(even) and (least := even.min()) > 0 and least == even.max():
        return float(least)
    ordered = np.sort(ticks)
    steps = ordered[1:] - ordered[:-1]
    steps = np.sort(steps[steps > 0])
    count = len(steps)  # np.median takes ten times as long on a short series
    return (float(steps[(count - 1) // 2]) + float(steps[count // 2])) / 2 if count else None


class Cleaner:
    """Clean a series that is pushed in pieces; how it is cut in pieces changes nothing.

    Parameters
    ----------
    channels
        Number of channels.
    step
        Time between rows in ticks; None: rows are neighbours whatever their times.
    max_gap
        Longest run of missing values or rows to fill, in rows of the grid.
    """

    def __init__(self, source: str, channels: int, step: float | None, max_gap: int) -> None:
        self.source, self.step, self.max_gap = source, step, max_gap
        self.counts = dict.fromkeys(_NOTES, 0)
        self._last = np.full(channels, np.nan)
        self._age = np.full(channels, _FOREVER)
        self._tick: float | int | None = None
        self._position = 0  # rows on all stretches so far
        self._row = 0
        self._open = False
        self._repeat = (NOWHERE, NO_START)  # where the last row is, for rows that repeat its time

    def is_clean(self, ticks: Ticks, values: Floats) -> bool:
        """Say whether a whole series, in time order, is one stretch as it is: even times, and no value is missing."""
        if self.step is not None and len(ticks) > 1:
            steps = np.subtract(ticks[1:], ticks[:-1], dtype=np.float64)  # whole numbers could overflow
            if steps.min() <= 0 or steps.max() > 1.5 * self.step:
                return False
        return math.isfinite(np.add.reduce(values, axis=None))

    def push(self, ticks: Ticks, values: Floats) -> Cleaned:
        """Clean the next rows, in time order.

        Raises
        ------
        UnsortedError
            If a row is earlier than the one before it.
        """
        gaps = self._gaps(ticks)
        repeats = (gaps == 0) if gaps is not None and not gaps.all() else None
        kept = values if repeats is None else values[~repeats]
        missing = None if gaps is None else (gaps if repeats is None else gaps[~repeats]) - 1
        grid, row_at, dead = self._lay_out(kept, missing)
        position, reason, stretches = self._fill(grid, row_at, dead)
        if repeats is not None:
            position, reason = self._carry_to_repeats(repeats, position, reason)
        if len(position):
            self._repeat = (int(position[-1]), int(reason[-1]))
        self._row += len(values)
        return Cleaned(stretches, position, reason)

    def notes(self) -> list[str]:
        """Say what was filled or left out so far."""
        return [_NOTES[key].format(f"{n:,}", self.max_gap) for key, n in self.counts.items() if n]

    def _gaps(self, ticks: Ticks) -> NDArray[np.int64] | None:
        """Count the steps from each row to the one before it; 0 for a repeated time. None: all are neighbours."""
        if not len(ticks):
            return None
        if isinstance(self._tick, float):
            ticks = ticks.astype(np.float64)  # the last piece's times had fractions
        before = np.empty_like(ticks)
        before[0], before[1:] = ticks[0] if self._tick is None else self._tick, ticks[:-1]
        backwards = ticks < before
        if backwards.any():
            raise UnsortedError(self.source, self._row + int(np.argmax(backwards)) + 1)
        self._tick = ticks[-1].item()  # only now: a refused row leaves no trace
        if self.step is None:
            return None
        differences = np.subtract(ticks, before, dtype=np.float64)  # whole numbers could overflow
        if self._row == 0:
            differences[0] = self.step  # there is none before it
        if differences.max() <= 1.5 * self.step and differences.min() > 0:
            return None
        is_wide, repeats = differences > 1.5 * self.step, ticks == before
        if self._row == 0:
            repeats[0] = False
        gaps = np.ones(len(ticks), dtype=np.int64)
        steps = np.minimum(differences, _FOREVER * self.step) / self.step
        np.rint(steps, out=gaps, where=is_wide, casting="unsafe")
        gaps[repeats] = 0
        return gaps

    def _lay_out(
        self, values: Floats, missing: NDArray[np.int64] | None
    ) -> tuple[Floats, NDArray[np.intp] | slice, NDArray[np.bool_] | None]:
        """Insert missing rows; return the grid, where the rows are on it, and which grid rows end all values."""
        if missing is None or not missing.any():
            return values, slice(None), None
        is_break = missing > self.max_gap
        inserted = np.where(is_break, 1, missing)
        row_at = np.arange(len(values)) + np.cumsum(inserted)
        grid = np.full((len(values) + int(inserted.sum()), values.shape[1]), np.nan)
        grid[row_at] = values
        dead = np.zeros(len(grid), dtype=np.bool_)
        dead[row_at[is_break] - 1] = True
        self.counts["breaks"] += int(is_break.sum())
        self.counts["rows"] += int(inserted[~is_break].sum())
        return grid, row_at, dead

    def _fill(
        self, grid: Floats, row_at: NDArray[np.intp] | slice, dead: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], list[tuple[Floats, bool]]]:
        """Fill the grid forward, and cut it where a channel's last value is too old.

        Returns the position and the reason of the rows, not of the whole grid, and the stretches.
        """
        n_rows = len(grid)
        if dead is None and np.isfinite(grid).all():
            if n_rows:
                self._last, self._age = grid[-1].copy(), np.zeros(len(self._age), dtype=np.int64)
            position = np.arange(self._position, self._position + n_rows)
            self._position += n_rows
            stretches, self._open = ([(grid, not self._open)] if n_rows else []), self._open or n_rows > 0
            return position, np.zeros(n_rows, dtype=np.uint8), stretches
        filled, age = self._fill_forward(grid, dead)
        worst = age.max(axis=1, initial=0)
        usable = worst <= self.max_gap
        reason = np.where(usable, SCORED, np.where(worst >= _FOREVER, NO_START, LONG_GAP)).astype(np.uint8)
        position = np.where(usable, self._position + np.cumsum(usable) - 1, NOWHERE)
        self._position += int(usable.sum())
        self.counts["cells"] += int(np.isnan(grid[row_at][usable[row_at]]).sum())
        return position[row_at], reason[row_at], self._cut(filled, usable)

    def _fill_forward(self, grid: Floats, dead: NDArray[np.bool_] | None) -> tuple[Floats, NDArray[np.int64]]:
        """Give each missing cell its channel's last value; also return how old each cell's value is, in steps."""
        rows = np.arange(len(grid))[:, None]
        known = np.isfinite(grid)
        latest = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
        filled = np.take_along_axis(grid, np.maximum(latest, 0), axis=0)
        age = rows - latest
        is_old = latest < 0
        filled = np.where(is_old, self._last, filled)
        age = np.where(is_old, np.minimum(self._age + rows + 1, _FOREVER), age)
        if dead is not None:
            end = np.maximum.accumulate(np.where(dead, np.arange(len(grid)), -1))[:, None]
            age = np.where((end >= 0) & (latest <= end), self.max_gap + 1, age)
        if len(grid):
            self._last, self._age = filled[-1].copy(), age[-1].copy()
        return filled, age

    def _cut(self, filled: Floats, usable: NDArray[np.bool_]) -> list[tuple[Floats, bool]]:
        stretches = []
        for start, stop in runs(usable):
            goes_on = self._open and start == 0
            stretches.append((filled[start:stop], not goes_on))
        if len(usable):
            self._open = bool(usable[-1])
        return stretches

    def _carry_to_repeats(
        self, repeats: NDArray[np.bool_], position: NDArray[np.int64], reason: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Give each row with a repeated time the place of the first row of that time."""
        self.counts["repeats"] += int(repeats.sum())
        first = np.cumsum(~repeats)  # 0: the last row of the piece before
        last_position, last_reason = self._repeat
        return np.concatenate([[last_position], position])[first], np.concatenate(
            [np.array([last_reason], dtype=np.uint8), reason]
        )[first]
