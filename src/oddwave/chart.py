"""Chart: what the pictures of a result are drawn from, at most so many places whatever the number of rows.

Rows come in time order and are put in buckets, each with its smallest and its largest value, so that no spike is lost.
Within and around events, and at the borders of what wasn't scored, buckets are as narrow as the number of them allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave.events import Event
from oddwave.result import REASONS, Result, Summary, zone_of
from oddwave.series import Floats, TimeKind, runs

Rows = NDArray[np.int64]

_ONE = 1 << 32  # a whole bucket; widths are counted in whole numbers, so that they add up exactly
_CONTEXT = 32  # rows each side of an event that are narrow too, at least
_SEEN = 0.1  # a channel matters if in some event it has at least this part of the first one's share
_FAR = 1e150  # times beyond are taken for this
_LEAP = 10  # usual steps from row to row that are a leap
_VISIBLE = 500  # a leap is seen if it is a larger part of the time than 1 / this
_MOSTLY_EMPTY = 4  # a time axis is so many times longer than with every step cut to a leap


@dataclass(frozen=True)
class Line:
    """One line of a picture.

    Parameters
    ----------
    low, high
        Shape (bucket,): smallest and largest value of each bucket, NaN where there is none.
    share
        This channel's share of an event's score, in the mean over the events (0 where it isn't among the first
        three); None without events, and of the score.
    """

    name: str
    low: Floats
    high: Floats
    share: float | None = None


@dataclass(frozen=True)
class Span:
    """Neighbouring buckets of one kind, from the row `start` up to `stop`; `reason` says why they weren't scored."""

    start: int
    stop: int
    reason: str = ""


@dataclass(frozen=True)
class Chart:
    """What the pictures of a result are drawn from.

    Parameters
    ----------
    edges
        Shape (bucket + 1,): first row of each bucket, in time order from 0, and at the end the number of rows.
    ticks
        Shape (bucket + 1,): time of these rows as a number, and at the end the last row's. Kind "datetime":
        microseconds since 1970 by the clock of `zone`; else the number itself.
    times
        Shape (bucket + 1,): the same as the user wrote it.
    kind, zone
        What `ticks` counts; zone is "" (none), "+02:00" or the like (that of the input), or "UTC" (it has several).
    is_sparse
        Most of the time from first to last holds no rows: they are better placed by their number than by time.
    leaps
        Buckets before which time leaps: no line leads to them.
    channels
        Those that matter, the most important first.
    anomalous, unscored
        Spans of buckets with an anomalous row, and of buckets most of whose rows weren't scored.
    """

    edges: Rows
    ticks: Floats
    times: NDArray[Any]
    kind: TimeKind
    zone: str
    is_sparse: bool
    leaps: Rows
    score: Line
    threshold: float
    channels: tuple[Line, ...]
    events: tuple[Event, ...]
    anomalous: tuple[Span, ...]
    unscored: tuple[Span, ...]


def chart(result: Result, buckets: int, channels: int) -> Chart:
    """Return what a picture of a result is drawn from.

    Parameters
    ----------
    buckets
        Places for values from left to right, at most.
    channels
        Channels, at most: those with the largest share in the events, every event counting the same; without events
        those that contribute most, if contributions were asked for, else the first ones.
    """
    series = result.series
    ticks = series.ticks
    order = None if len(ticks) < 2 or (ticks[1:] >= ticks[:-1]).all() else np.argsort(ticks, kind="stable")

    def in_order(rows: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(rows) if order is None else rows[order]

    score, label, reason = (in_order(rows) for rows in (result.score, result.label, result.reason))
    ticks = np.clip(in_order(ticks).astype(np.float64), -_FAR, _FAR)
    leaps, is_sparse = _leaps(ticks)
    edges = _edges(len(ticks), _borders(reason, result.events, leaps, buckets // 4), result.events, buckets)
    at = np.minimum(edges, len(ticks) - 1) if len(ticks) else edges[:0]
    times = series.index[at if order is None else order[at]]
    ahead, zone = zone_of(times, series.kind)
    lines = [
        Line(series.channels[i], *extremes(in_order(series.values[:, i]), edges), share)
        for i, share in islice(_matter(result).items(), channels)
    ]

    return Chart(
        edges, ticks[at] + ahead, times, series.kind, zone, is_sparse,
        np.flatnonzero(np.isin(edges[:-1], leaps)),
        Line("score", *extremes(score, edges)), result.threshold, tuple(lines), tuple(result.events),
        tuple(_spans(edges, _any(label == 1, edges))), tuple(_unscored(reason, edges)),
    )  # fmt: skip


def headline(summary: Summary) -> str:
    """Say in a few words what was found.

    Examples
    --------
    >>> headline(Summary("a.csv", "time", "row", 1.0, "M", "full", rows=5386))
    'No anomaly found in 5,386 rows'
    """
    scored = summary.rows - sum(summary.unscored.values())
    if not scored:
        return "No row could be scored"
    if not summary.anomalous:
        rest = "" if scored == summary.rows else f" of {summary.rows:,}"
        return f"No anomaly found in {scored:,}{rest} row{'s' if summary.rows > 1 else ''}"
    found = f"{summary.anomalous:,} of {summary.rows:,} rows anomalous"
    if not summary.events:
        return f"No event, but {found}"
    return f"{len(summary.events):,} event{'s' if len(summary.events) > 1 else ''}, {found}"


def title(summary: Summary) -> str:
    """Return what a picture is called: the input's own name, and its group if it has one."""
    name = Path(summary.input_path).name or summary.input_path
    return name if summary.group is None else f"{name}, {summary.group}"


def extremes(values: Floats, edges: Rows) -> tuple[Floats, Floats]:
    """Return the smallest and the largest value of each bucket, NaN where there is none."""
    if not len(values):
        return np.zeros(0), np.zeros(0)
    return np.fmin.reduceat(values, edges[:-1]), np.fmax.reduceat(values, edges[:-1])


def _leaps(ticks: Floats) -> tuple[Rows, bool]:
    """Return the rows before which time leaps visibly, the longest leap first, and whether leaps are most of it."""
    steps = np.diff(ticks)
    usual = np.median(steps[steps > 0]) if (steps > 0).any() else 0.0
    total = steps.sum()
    rows = np.flatnonzero((steps > _LEAP * usual) & (steps > total / _VISIBLE))
    is_sparse = total > _MOSTLY_EMPTY * np.minimum(steps, _LEAP * usual).sum()
    return rows[np.argsort(-steps[rows], kind="stable")] + 1, bool(is_sparse)


def _edges(n_rows: int, borders: Rows, events: list[Event], buckets: int) -> Rows:
    """Return the first row of each bucket, and the number of rows.

    Every row gets a width, the part of a bucket that it fills; where their sum passes a whole number, a bucket begins.
    """
    if n_rows <= buckets:
        return np.arange(n_rows + 1)
    spare = (buckets - len(borders) - 1) * _ONE
    inside = [(event.start_row, event.end_row + 1) for event in events]
    around = []
    for start, stop in inside:
        context = max(_CONTEXT, (stop - start) // 4)
        around += [(start - context, start), (stop, stop + context)]
    width = np.zeros(n_rows, dtype=np.int64)
    _widen(width, inside, spare // 2)
    _widen(width, around, (spare - int(width.sum())) // 2)
    np.maximum(width, (spare - int(width.sum())) // n_rows, out=width)
    bucket = np.cumsum(width) >> 32
    begins = np.flatnonzero(np.diff(bucket, prepend=-1))
    return np.unique(np.concatenate([[0, n_rows], begins, borders])).astype(np.int64)


def _widen(width: Rows, stretches: list[tuple[int, int]], budget: int) -> None:
    """Give the rows of stretches their width: a whole bucket a row in the short ones, as even as may be in long ones.

    All stretches get the same number of buckets, as far as they can use it.
    """
    n_rows = len(width)
    clipped = ((max(start, 0), min(stop, n_rows)) for start, stop in stretches)
    places = [(start, stop) for start, stop in clipped if start < stop]
    left = budget
    for nth, (start, stop) in enumerate(sorted(places, key=lambda place: place[1] - place[0])):
        rows = stop - start
        each = min(left // (len(places) - nth), rows * _ONE)
        np.maximum(width[start:stop], each // rows, out=width[start:stop])
        left -= each


def _borders(reason: NDArray[np.uint8], events: list[Event], leaps: Rows, count: int) -> Rows:
    """Return rows that a bucket begins with: at both ends of events and of what wasn't scored, and after leaps.

    Of too many the highest events, the longest spans and the longest leaps.
    """
    highest = sorted(events, key=lambda event: -event.peak_score)[: count // 6]
    changes = np.flatnonzero(np.diff(reason, prepend=0, append=0))
    longest = np.argsort(-np.diff(changes), kind="stable")[: count // 6]
    rows = [row for event in highest for row in (event.start_row, event.end_row + 1)]
    return np.unique(np.concatenate([rows, changes[longest], changes[longest + 1], leaps[: count // 3]])).astype(
        np.int64
    )


def _matter(result: Result) -> dict[int, float | None]:
    """Return the channels that matter, the most important first, with their mean share in the events."""
    names = result.series.channels
    if not result.events:
        mean = np.zeros(len(names)) if result.contribution is None else np.nansum(result.contribution, axis=0)
        return dict.fromkeys(np.argsort(-mean, kind="stable").tolist())
    place = {name: i for i, name in enumerate(names)}
    total, is_seen = np.zeros(len(names)), np.zeros(len(names), dtype=np.bool_)
    for event in result.events:
        for name, share in event.channels:
            total[place[name]] += share
            is_seen[place[name]] |= share >= _SEEN * event.channels[0][1]
    order = np.argsort(-total, kind="stable")
    return {i: total[i] / len(result.events) for i in order[is_seen[order]].tolist()}


def _any(flags: NDArray[np.bool_], edges: Rows) -> NDArray[np.bool_]:
    return np.logical_or.reduceat(flags, edges[:-1]) if len(flags) else flags


def _unscored(reason: NDArray[np.uint8], edges: Rows) -> Iterable[Span]:
    for code, why in enumerate(REASONS):
        if code and (found := reason == code).any():
            count = np.add.reduceat(found, edges[:-1], dtype=np.int64)
            yield from _spans(edges, 2 * count > np.diff(edges), why)


def _spans(edges: Rows, flags: NDArray[np.bool_], reason: str = "") -> Iterable[Span]:
    return (Span(int(edges[start]), int(edges[stop]), reason) for start, stop in runs(flags))
