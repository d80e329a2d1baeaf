"""The printed form of a result: the tutorial's mapping as pandas prints it, then the events as a table."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from oddwave.errors import visible
from oddwave.events import Event
from oddwave.result import HEAD, TAIL, Summary
from oddwave.series import TimeKind

EVENTS = 50  # more events than this are cut to those with the highest peaks
CELL = 50  # pandas cuts longer texts
DECIMAL = re.compile(r"\s*[+-]?[0-9]+\.[0-9]*")
LABELS = {-1: "<NA>", 0: "0", 1: "1"}


def mapping(summary: Summary) -> str:
    """Return what `print` shows of a dict with the tutorial's keys, without pandas."""
    group = "" if summary.group is None else f"'group': {summary.group!r}, "
    return f"{{'input_path': {summary.input_path!r}, {group}'anomaly': {frame(summary)}}}"


def frame(summary: Summary) -> str:
    """Return pandas' text of a frame with the one column `label`, indexed by time.

    Up to 60 rows are shown whole; of more, the first and the last five, and the size.
    """
    if not summary.rows:
        return "Empty DataFrame\nColumns: [label]\nIndex: []"
    whole = summary.rows <= HEAD
    shown = summary.head if whole else summary.head[:TAIL] + summary.tail
    name = _cell(summary.time_name)
    index = _index([time for time, _ in shown])
    width = max(map(len, [name, *index]))
    lines = [f"{row:<{width}}  {LABELS[label]:>5}" for row, (_, label) in zip(index, shown, strict=True)]
    if not whole:
        dots = "..." if width > 3 else ".."
        lines.insert(TAIL, f"{dots:<{width}}  {'...':>5}")
    lines = [f"{'':<{width}}  label", f"{name:<{width}}  {'':>5}", *lines]
    if not whole:
        lines += ["", f"[{summary.rows} rows x 1 columns]"]
    return _joined(lines)


def report(summary: Summary) -> str:
    """Return the events as a table, then how many rows weren't scored, and why."""
    lines = [f"{_heading(summary)}."] if not summary.events else [f"{_heading(summary)}:", *_table(summary)]
    if summary.unscored:
        why = "; ".join(f"{reason} ({count:,})" for reason, count in summary.unscored.items())
        lines.append(f"{sum(summary.unscored.values()):,} of {_count(summary.rows, 'row')} not scored: {why}.")
    return _joined(lines)


def _joined(lines: list[str]) -> str:
    """Join lines; whatever names the input or the detector brought along, none can command the terminal."""
    return "\n".join(map(visible, lines))


def _heading(summary: Summary) -> str:
    scored = summary.rows - sum(summary.unscored.values())
    if not scored:
        return "No row could be scored"
    if not summary.anomalous:
        return "No anomalies"
    found = _count(summary.anomalous, "anomalous row")
    how = f"threshold {number(summary.threshold)}, {summary.model}, {summary.scoring}"
    if not summary.events:
        return f"No events: {found} in runs shorter than min_length ({how})"
    cut = f", the {EVENTS} highest shown" if len(summary.events) > EVENTS else ""
    return f"{_count(len(summary.events), 'event')}{cut}, {found} of {summary.rows:,} ({how})"


def _table(summary: Summary) -> list[str]:
    numbered = list(enumerate(summary.events, 1))
    if len(numbered) > EVENTS:
        numbered = sorted(sorted(numbered, key=lambda item: -item[1].peak_score)[:EVENTS])
    rows = [("#", "start", "end", "duration", "rows", "peak score", "top channels")]
    rows += [(str(place), *_event(event, summary.kind)) for place, event in numbered]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_align(cells, widths)).rstrip() for cells in rows]


def _event(event: Event, kind: TimeKind) -> tuple[str, str, str, str, str, str]:
    channels = ", ".join(f"{name} {100 * share:.0f} %" for name, share in event.channels)
    long = span(event.duration) if kind == "datetime" else f"{event.duration:g}"
    return _cell(event.start), _cell(event.end), long, f"{event.rows:,}", number(event.peak_score), channels


def _align(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    left = {1, 2, 6}  # times and names; numbers stand right
    return [
        f"{cell:<{width}}" if place in left else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def number(value: float) -> str:
    """Return a score for reading, not for going on with.

    Examples
    --------
    >>> number(12.3456), number(1234567.0), number(0.00123456)
    ('12.35', '1,234,567.00', '0.00123')
    """
    return f"{value:,.2f}" if 0.1 <= abs(value) < 1e9 else f"{value:.3g}"


def span(seconds: float) -> str:
    """Return a duration in its two largest units.

    Examples
    --------
    >>> span(0), span(0.25), span(90), span(3 * 3600), span(90061)
    ('0 s', '0.25 s', '1 min 30 s', '3 h', '1 d 1 h')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    left, parts = round(seconds), list[str]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        whole, left = divmod(left, size)
        if whole or parts:
            parts.append(f"{whole} {unit}" if whole else "")
    return " ".join(filter(None, parts[:2]))


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _index(times: list[Any]) -> list[str]:
    """Format the times of the rows shown, as pandas formats an index."""
    if all(isinstance(time, float) for time in times):
        return _unspaced(_floats(times))
    if all(isinstance(time, int) for time in times):
        return _unspaced([f"{time: d}" for time in times])
    return [_cell(time) for time in times]


def _floats(times: list[float]) -> list[str]:
    cells = _trimmed([f"{time: .6f}" for time in times])
    sizes = [abs(time) for time in times if not math.isnan(time)]
    is_small = any(0 < size < 1e-6 for size in sizes)
    if is_small or (max(map(len, cells)) > 12 and any(size > 1e6 for size in sizes)):
        cells = [f"{time: .6e}" for time in times]
    return [" NaN" if math.isnan(time) else cell for cell, time in zip(cells, times, strict=True)]


def _trimmed(cells: list[str]) -> list[str]:
    """Cut the zeros that all decimals end in, but one after the point."""
    decimals = [cell for cell in cells if DECIMAL.fullmatch(cell)]
    zeros = min((len(cell) - len(cell.rstrip("0")) for cell in decimals), default=0)
    keep = min(zeros, 5)
    return [cell[: len(cell) - keep] if DECIMAL.fullmatch(cell) else cell for cell in cells]


def _unspaced(cells: list[str]) -> list[str]:
    return [cell[1:] for cell in cells] if all(cell.startswith(" ") for cell in cells) else cells


def _cell(value: Any) -> str:
    if value is None:
        return "NaN"
    text = visible(str(value))
    return text if len(text) <= CELL else text[: CELL - 3] + "..."
