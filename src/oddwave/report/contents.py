"""What a report tells, as simple data: training and evaluation fill it in, all of it but the title may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from oddwave.metadata import Alarm, Metadata
from oddwave.result import Result
from oddwave.series import Floats

if TYPE_CHECKING:
    from oddwave.check.finding import Finding

STRETCHES = 60  # of time in a channel's small picture
_PIECE = 65_536  # rows looked at together


@dataclass(frozen=True)
class Rows:
    """The rows that the detector was trained on.

    Parameters
    ----------
    source
        What they are called: a file's name.
    first, last
        Times of the first and the last row, as the user wrote them.
    parts
        What they were used for, with the number of rows: (("learned from", 2379), ("checked on", 680), …).
    left_out
        Rows that were left out, labelled or in maintenance.
    """

    source: str
    count: int
    first: str = ""
    last: str = ""
    parts: tuple[tuple[str, int], ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Channel:
    """A channel's values: extremes, mean, share of rows without one, and extremes of equal stretches of time."""

    name: str
    minimum: float
    mean: float
    maximum: float
    missing: float
    is_scored: bool
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Loss:
    """How learning went: losses by epoch, the epoch kept (from 1), and in a sentence why it ended."""

    losses: tuple[float, ...]
    held_out_losses: tuple[float, ...] = ()
    best_epoch: int = 0
    stopped: str = ""


@dataclass(frozen=True)
class Way:
    """One way to score: how its threshold was set, and what it flags on normal rows that had no part in that.

    Parameters
    ----------
    budget
        False alarms that were asked for, as the user gave them.
    held
        Scores of the normal rows that the threshold was set on; NaN between two stretches.
    verify
        Scores of the normal rows to verify it on.
    rows_seen, events_seen
        Interval of the share of rows, and of the number of events, that were flagged on the rows to verify it on.
    """

    scoring: Literal["full", "causal"]
    budget: str
    alarm: Alarm
    held: Floats | None = field(default=None, repr=False, compare=False)
    verify: Floats | None = field(default=None, repr=False, compare=False)
    rows_seen: tuple[float, float] | None = None
    events_seen: tuple[float, float] | None = None


class Figure(NamedTuple):
    """A measured value with its interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Report:
    """All that a report tells.

    Parameters
    ----------
    title
        What it is about.
    detector
        The detector's metadata: model, settings, channels, licence and versions come from there.
    kind
        What was done.
    verdict
        The answer, in one to three sentences.
    trained_on
        The rows that the detector learned from.
    findings, channels
        What checks found in the data (`check.findings`), and a line for each channel, see `channels`.
    result
        What the detector says of a series; if the series has labels, found and missed stretches are told.
    metrics
        What was measured: by score ("DLinear_ad, full", "random", …), then by name as `metrics.measure` has it; the
        first score is the detector's own.
    limits
        What the detector can't see, one sentence each, beside what holds for all.
    run
        How the user names the detector: what to write after --model.
    command
        The command that does all this again.
    """

    title: str
    detector: Metadata
    kind: Literal["training", "evaluation"] = "training"
    verdict: str = ""
    trained_on: Rows | None = None
    findings: Sequence[Finding] = ()
    channels: Sequence[Channel] = ()
    loss: Loss | None = None
    ways: Sequence[Way] = ()
    result: Result | None = None
    metrics: Mapping[str, Mapping[str, Figure | float]] = field(default_factory=dict)
    limits: Sequence[str] = ()
    notes: Sequence[str] = ()
    run: str = "output"
    command: str = ""


def channels(names: Sequence[str], series: Sequence[Floats], is_scored: Sequence[bool]) -> tuple[Channel, ...]:
    """Return a line for each channel, from rows that may be far more than fit in memory.

    Parameters
    ----------
    series
        Arrays of shape (time, channel), in time order; NaN where a value is missing.
    """
    edges = _edges([len(rows) for rows in series])
    width = len(names)
    low, high = np.full((2, STRETCHES, width), np.nan)
    total, known, count = np.zeros(width), np.zeros(width), 0
    for rows, starts in zip(series, edges, strict=True):
        for first, stop, stretch in starts:
            for start in range(first, stop, _PIECE):
                piece = np.asarray(rows[start : min(start + _PIECE, stop)], dtype=np.float64)
                low[stretch] = np.fmin(low[stretch], np.fmin.reduce(piece))
                high[stretch] = np.fmax(high[stretch], np.fmax.reduce(piece))
                total += np.nansum(piece, axis=0)
                known += np.count_nonzero(~np.isnan(piece), axis=0)
                count += len(piece)
    with np.errstate(invalid="ignore"):
        mean = total / known
    used = ~np.isnan(low).all(axis=1) if count else np.zeros(STRETCHES, dtype=np.bool_)
    return tuple(
        Channel(
            name, float(np.fmin.reduce(low[:, i])), float(mean[i]), float(np.fmax.reduce(high[:, i])),
            float(1 - known[i] / max(count, 1)), bool(is_scored[i]),
            tuple(low[used, i].tolist()), tuple(high[used, i].tolist()),
        )
        for i, name in enumerate(names)
    )  # fmt: skip


def _edges(lengths: Sequence[int]) -> list[list[tuple[int, int, int]]]:
    """Return for each array the rows, from first up to stop, that belong to each stretch of time."""
    total, before, found = max(sum(lengths), 1), 0, []
    for length in lengths:
        cuts = [-(-stretch * total // STRETCHES) - before for stretch in range(STRETCHES + 1)]
        cuts = [min(max(cut, 0), length) for cut in cuts]
        found.append([(a, b, i) for i, (a, b) in enumerate(pairwise(cuts)) if b > a])
        before += length
    return found
