"""Events: runs of anomalous rows, with their peak and the channels that contribute most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave.series import TICKS_PER_S, Floats, Ticks, TimeKind, runs

TOP = 3  # channels named in an event


@dataclass(frozen=True)
class Event:
    """A run of anomalous rows.

    Parameters
    ----------
    start, end
        Time of the first and of the last row, as the user wrote it.
    duration
        From `start` to `end` in seconds (datetime), else in units of the time column.
    peak, peak_score
        Time and score of the row with the highest score.
    start_row, end_row
        Row numbers from 0, in time order; `end_row` is the last row of the event.
    rows
        Number of rows from the first to the last.
    channels
        Up to three channel names with their shares of the score, largest first.
    """

    start: Any
    end: Any
    duration: float
    peak: Any
    peak_score: float
    start_row: int
    end_row: int
    rows: int
    channels: tuple[tuple[str, float], ...]


@dataclass
class _Run:
    """An event that may go on."""

    start: Any
    end: Any
    start_tick: float
    end_tick: float
    start_row: int
    end_row: int
    peak: Any
    peak_score: float
    contribution: Floats


class EventBuilder:
    """Collect the events of a series that is pushed in pieces, in time order.

    Parameters
    ----------
    merge_gap
        Events with at most this many rows between them become one.
    min_length
        Events with fewer rows are dropped.
    """

    def __init__(self, channels: tuple[str, ...], kind: TimeKind, merge_gap: int, min_length: int) -> None:
        self.channels, self.kind, self.merge_gap, self.min_length = channels, kind, merge_gap, min_length
        self.events: list[Event] = []
        self._open: _Run | None = None
        self._row = 0

    def push(self, index: NDArray[Any], ticks: Ticks, score: Floats, label: NDArray[np.int8], parts: Floats) -> None:
        """Add rows; `parts` are the contributions of the anomalous ones only, shape (anomalous row, channel)."""
        is_odd = label == 1
        if not is_odd.any():
            self._row += len(label)
            return
        used = 0
        for start, stop in runs(is_odd):
            peak = start + int(score[start:stop].argmax())
            first, last, highest = index[[start, stop - 1, peak]].tolist()
            run = _Run(
                first, last, ticks[start].item(), ticks[stop - 1].item(), self._row + start, self._row + stop - 1,
                highest, float(score[peak]), parts[used : used + stop - start].sum(axis=0),
            )  # fmt: skip
            used += stop - start
            self._add(run)
        self._row += len(label)

    def finish(self) -> list[Event]:
        """Return all events."""
        self._close()
        return self.events

    def _add(self, run: _Run) -> None:
        last = self._open
        # rows of one event that were pushed in two pieces touch, whatever the merge gap
        if last is None or run.start_row - last.end_row - 1 > self.merge_gap:
            self._close()
            self._open = run
            return
        last.end, last.end_tick, last.end_row = run.end, run.end_tick, run.end_row
        last.contribution = last.contribution + run.contribution
        if run.peak_score > last.peak_score:
            last.peak, last.peak_score = run.peak, run.peak_score

    def _close(self) -> None:
        run, self._open = self._open, None
        if run is None or run.end_row - run.start_row + 1 < self.min_length:
            return
        duration = float(run.end_tick - run.start_tick) / (TICKS_PER_S if self.kind == "datetime" else 1)
        self.events.append(
            Event(
                start=run.start,
                end=run.end,
                duration=duration,
                peak=run.peak,
                peak_score=run.peak_score,
                start_row=run.start_row,
                end_row=run.end_row,
                rows=run.end_row - run.start_row + 1,
                channels=self._top(run.contribution),
            )
        )

    def _top(self, contribution: Floats) -> tuple[tuple[str, float], ...]:
        share = contribution / (contribution.sum() or 1.0)
        best = (-share).argsort(kind="stable")[:TOP].tolist()
        return tuple((self.channels[i], float(share[i])) for i in best if share[i] > 0)
