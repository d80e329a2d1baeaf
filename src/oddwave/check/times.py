"""Findings about the time column: order, repeats, gaps, a varying step, a clock that was set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave import clean
from oddwave.check.finding import Finding, clock, counted, span
from oddwave.check.seen import Seen
from oddwave.series import TICKS_PER_S, Ticks, runs
from oddwave.train.blocks import HOLD

_HOUR = 3600 * TICKS_PER_S
_OLDEST = 315_532_800 * TICKS_PER_S  # 1980
_JITTER = 0.1  # of the step
_MANY = 0.05  # share of rows
_SURE = 75  # windows from which rows aren't called few


def findings(seen: Seen, window: int, max_gap: int) -> Iterator[Finding]:
    """Yield what is odd about the times of a series, or too short."""
    kind, ticks = seen.series.kind, seen.ticks
    if kind == "row":
        yield Finding(
            "time", "note", "There is no time column: rows count as evenly spaced, in the order of the file.",
            "If there is one, name it with time_col.",
        )  # fmt: skip
        yield from _length(np.array([len(seen)]), len(seen), window)
        return
    yield from _clock(seen)
    yield from _order(seen)
    ordered: NDArray[Any] = np.sort(ticks, kind="stable")
    steps: Ticks = ordered[1:] - ordered[:-1]
    yield from _repeats(seen, ordered, steps)
    step = clean.typical_step(ordered)
    if step is None:
        yield from _length(np.array([len(seen)]), len(seen), window)
        return
    yield from _gaps(seen, ordered, steps, step, max_gap)
    yield from _jitter(seen, steps, step)
    ends = np.flatnonzero(np.rint(steps / step) - 1 > max_gap) + 1
    yield from _length(np.diff(ends, prepend=0, append=len(ordered)), len(ordered), window)


def _order(seen: Seen) -> Iterator[Finding]:
    kind, ticks = seen.series.kind, seen.ticks
    is_early = ticks[1:] < ticks[:-1]
    if is_early.any():
        at = int(np.argmax(is_early)) + 1
        yield Finding(
            "order", "warning",
            f"{counted(int(is_early.sum()), 'row')} earlier than the row before, first row {at + 1:,}: "
            f"{clock(ticks[at].item(), kind)} after {clock(ticks[at - 1].item(), kind)}.",
            "They are sorted by time when read. Large files must be written in time order. If the table holds several "
            "machines, name the column that tells them apart with group_col.",
        )  # fmt: skip


def _repeats(seen: Seen, ordered: Ticks, steps: Ticks) -> Iterator[Finding]:
    is_repeat = steps == 0
    count = int(is_repeat.sum())
    if not count:
        return
    first = clock(ordered[int(np.argmax(is_repeat))].item(), seen.series.kind)
    if count > 0.3 * len(ordered):
        aside = [note for note in seen.series.notes if note.startswith("Column")]
        hint = f" {aside[0]}" if aside else ""
        yield Finding(
            "repeats", "error",
            f"{counted(count, 'row')} of {len(ordered):,} with the time of another (first: {first}): "
            f"the table seems to hold several series.{hint}",
            "Name the column that tells them apart (host, device, service) with group_col.",
        )  # fmt: skip
        return
    yield Finding(
        "repeats", "warning", f"{counted(count, 'row')} with the time of another (first: {first}).",
        "Only the first row of a time is learned from. Take out the copies if they are none.",
    )  # fmt: skip


def _gaps(seen: Seen, ordered: Ticks, steps: Ticks, step: float, max_gap: int) -> Iterator[Finding]:
    kind = seen.series.kind
    is_gap = steps > 1.5 * step
    if not is_gap.any():
        return
    missing = np.rint(steps[is_gap] / step) - 1
    longest = int(np.argmax(steps))
    n_long = int((missing > max_gap).sum())
    yield Finding(
        "gaps", "warning" if n_long else "note",
        f"{counted(int(is_gap.sum()), 'gap')} in the times, {counted(int(missing.sum()), 'missing row')} at a step of "
        f"{span(step, kind)}; {n_long:,} longer than {counted(max_gap, 'row')}. "
        f"The longest: {span(steps[longest].item(), kind)} from {clock(ordered[longest].item(), kind)} "
        f"to {clock(ordered[longest + 1].item(), kind)}.",
        f"Gaps of up to max_gap ({max_gap}) rows are filled with the last values; no window spans a longer one. "
        "If rows were lost on export, export them again.",
    )  # fmt: skip


def _jitter(seen: Seen, steps: Ticks, step: float) -> Iterator[Finding]:
    moved = steps[steps > 0] / step
    whole = np.maximum(np.rint(moved), 1)
    is_off = np.abs(moved - whole) > _JITTER
    share = float(is_off.mean()) if len(is_off) else 0.0
    if share > _MANY:
        low, high = np.quantile(steps[steps > 0], (0.05, 0.95)).tolist()
        kind = seen.series.kind
        yield Finding(
            "step", "warning",
            f"The time step varies: {share:.0%} of the steps are off the median of {span(step, kind)} by more than "
            f"a tenth (from {span(low, kind)} to {span(high, kind)}).",
            "Rows count as neighbours whatever lies between them. Average the data to a fixed step before, or give "
            "step_s if the median isn't the step that is meant.",
        )  # fmt: skip


def _clock(seen: Seen) -> Iterator[Finding]:
    if seen.series.kind != "datetime":
        return
    ticks = seen.ticks.astype(np.int64)
    if (ticks < _OLDEST).any():
        count, first = int((ticks < _OLDEST).sum()), clock(int(ticks.min()), "datetime")
        yield Finding(
            "clock", "warning", f"{counted(count, 'row')} before 1980 (first: {first}): a clock that wasn't set?",
            "Correct or take out these rows.",
        )  # fmt: skip
    repeated = _repeated_hours(ticks)
    if len(repeated) and not _has_zone(seen):
        yield Finding(
            "clock", "warning",
            f"An hour of local time comes twice, as when clocks are set back: {clock(int(repeated[0]), 'datetime')}"
            f"{f' and {len(repeated) - 1} more' if len(repeated) > 1 else ''}.",
            "Its rows are mixed up when sorted. Write times in UTC, or with their offset (2026-10-25T02:30:00+01:00).",
        )  # fmt: skip


def _repeated_hours(ticks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the starts of hours that come twice: in the order of the file, or as a run of repeats once sorted."""
    steps = np.diff(ticks)
    step = clean.typical_step(np.sort(ticks)) or 0.0
    back = ticks[1:][(steps < 0) & (np.abs(steps + _HOUR - step) <= max(1.0, 0.1 * step))]
    if len(back) or (steps < 0).any() or not step or step > _HOUR / 2:
        return back
    is_repeat = np.concatenate([[False], steps == 0])
    starts = []
    for start, stop in _near_runs(is_repeat):
        length = ticks[stop - 1] - ticks[start] + step
        if abs(length - _HOUR) < 0.1 * _HOUR and is_repeat[start:stop].sum() * step > 0.9 * _HOUR:
            starts.append(ticks[start])
    return np.array(starts, dtype=np.int64)


def _near_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List runs of true values that single false ones may interrupt."""
    joined = flags.copy()
    joined[1:-1] |= flags[:-2] & flags[2:]
    return runs(joined)


def _has_zone(seen: Seen) -> bool:
    text = str(seen.series.index[0]).strip() if len(seen.series) else ""
    clock_part = text[10:]
    return clock_part.endswith(("Z", "z", "UTC", "GMT")) or "+" in clock_part or "-" in clock_part


def _length(lengths: NDArray[np.int64], n_rows: int, window: int) -> Iterator[Finding]:
    """Say whether there are enough rows for windows in each of the three blocks of training."""
    least = math.ceil(window / HOLD)
    if n_rows < least:
        yield Finding(
            "length", "error",
            f"{counted(n_rows, 'row')}: too few for windows of {window}, for the {HOLD:.0%} of the rows "
            "that set the threshold must hold one.",
            f"Give at least {least:,} rows, better ten times as many, or train with input_len "
            f"{max(1, int(n_rows * HOLD))}.",
        )  # fmt: skip
        return
    if n_rows < _SURE * window:
        yield Finding(
            "length", "note", f"{counted(n_rows, 'row')}: enough to train, but few to set a threshold with.",
            f"With {_SURE * window:,} rows or more the threshold is surer.",
        )  # fmt: skip
    short = int(lengths[lengths < window].sum())
    if short > _MANY * n_rows:
        yield Finding(
            "stretches", "warning" if short < 0.8 * n_rows else "error",
            f"{counted(short, 'row')} of {n_rows:,} are on stretches between gaps that are shorter than a window of "
            f"{window}, so no window reads them.",
            "Close the gaps, fill longer ones with max_gap, give step_s if the step was guessed wrongly, or train "
            "with a smaller input_len.",
        )  # fmt: skip
