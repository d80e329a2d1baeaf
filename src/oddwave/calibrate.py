"""Calibration: what held-out normal rows say of a graph's errors, for both ways to score. THE ORDER OF CALIBRATION."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, get_args

import msgspec
import numpy as np

from oddwave import score, threshold
from oddwave.config import Scoring
from oddwave.errors import TrainingError
from oddwave.metadata import TERMS, Alarm, Calibration, Metadata, Tail
from oddwave.series import Floats, Windows
from oddwave.stretch import StretchScorer
from oddwave.terms import Constants, curve, surprises

_LEAST_DEVIATION = 1e-8
FLOOR = 0.1  # least scale of an error, a distance or a spread, in units of the channel's deviation
_SHARES = np.arange(19) * 0.05  # of the normal rows that lie below each knot: 0 to 90 %
_LEAST_KNOT = 0.1  # terms below a tenth of their usual size never count as rare
_LEAST_SLOPE = 0.1
_ROUNDING = 1e-9  # smaller terms are what rounding leaves of zero, and that differs from machine to machine
_PIECE = 8192
_FLAT = Tail(knots=[1.0], surprise=[0.0], slope=1.0)
_NO_ALARM = Alarm(
    threshold=math.inf, rate=0.5, event_rate=0.5, thresholds=[1.0], rates=[0.5], event_rates=[0.5], mean_excess=1.0,
    rows=1,
)  # fmt: skip

Run = Callable[[Windows], Windows]


class Verified(NamedTuple):
    """How the thresholds do on rows that had no part in them.

    Parameters
    ----------
    scores, held
        Shape (time,), of the rows to verify, and of those that set the thresholds; NaN between stretches.
    """

    alarm: Alarm
    scores: Floats
    held: Floats

    def facts(self) -> dict[str, float]:
        """Count the rows and the events over the threshold, beside those to expect."""
        rows = int((~np.isnan(self.scores)).sum())
        flags = self.scores > self.alarm.threshold
        return {
            "rows": rows,
            "expected_flagged": float(f"{self.alarm.rate * rows:.4g}"),
            "flagged": int(flags.sum()),
            "expected_events": float(f"{self.alarm.event_rate * rows:.4g}"),
            "events": len(threshold.events(self.scores, flags)),
        }


class Fold(NamedTuple):
    """A block of time, as stretches of rows (time, channel), and what the rows of the other blocks say.

    Parameters
    ----------
    metadata
        With center, scale and each way's usual spread, distance and shift of the other blocks.
    others
        The other blocks' stretches.
    """

    rows: list[Floats]
    metadata: Metadata
    others: list[Floats]


def calibrate(
    metadata: Metadata,
    refit: Callable[[Sequence[Floats]], Run],
    blocks: Sequence[list[Floats]],
    held: int,
    budget: threshold.Budget,
    batch: int,
) -> tuple[Metadata, dict[Scoring, Floats]]:
    """Complete a detector's metadata: usual spread, distance and shift, tails of the terms, thresholds.

    What is normal drifts, so rows that say what is usual make themselves look calm. Therefore each block of time is
    scored with what the other blocks say is usual (cross-fitting), and tails and thresholds come from these scores.

    Parameters
    ----------
    metadata
        Used as it is, but for `full` and `causal`: these are `blank`.
    refit
        Returns the graph in units of its usual error on other rows; a neural model isn't trained anew for that.
    blocks
        Blocks of time of normal rows, each as stretches (time, channel).
    held
        Rows at the end of the last block that the model never saw.
    budget
        The false alarms that the thresholds may give.

    Returns
    -------
    tuple
        The metadata, and for each way to score the scores of the blocks, end to end; NaN between stretches.

    Raises
    ------
    TrainingError
        If no stretch is as long as a window.
    """
    metadata = usual(metadata, [stretch for block in blocks for stretch in block])
    apart = folds(metadata, blocks)
    runs = [refit(fold.others) for fold in apart]
    ways: dict[str, Calibration] = {}
    seen: dict[Scoring, Floats] = {}
    for scoring in get_args(Scoring):
        terms = [
            _terms(fold.metadata, others, fold.rows, batch, scoring) for fold, others in zip(apart, runs, strict=True)
        ]
        tails = [tail(column) for column in _known(terms, metadata.size).T]
        scores = [score.fuse(surprises(part, list(map(curve, tails)))) for part in terms]
        alarm = threshold.fit(scores, budget, threshold.seconds_a_row(metadata), scores[-1][-held:] if held else None)
        way: Calibration = getattr(metadata, scoring)
        ways[scoring] = msgspec.structs.replace(way, **dict(zip(TERMS, tails, strict=True)), alarm=alarm)
        seen[scoring] = np.concatenate(scores)
    return msgspec.structs.replace(metadata, full=ways["full"], causal=ways["causal"]), seen


def verify(
    metadata: Metadata, run: Run, rows: Sequence[Floats], held: dict[Scoring, Floats], batch: int
) -> dict[Scoring, Verified]:
    """Try a calibration on stretches of normal rows that had no part in it; what has no scores is left out.

    Parameters
    ----------
    held
        Scores that the thresholds came from, as `calibrate` returns them.
    """
    found: dict[Scoring, Verified] = {}
    for scoring in get_args(Scoring):
        way: Calibration = getattr(metadata, scoring)
        terms = _terms(metadata, run, rows, batch, scoring)
        if not np.isnan(terms).all():
            curves = [curve(getattr(way, term)) for term in TERMS]
            found[scoring] = Verified(way.alarm, score.fuse(surprises(terms, curves)), held[scoring])
    return found


def folds(metadata: Metadata, blocks: Sequence[list[Floats]]) -> list[Fold]:
    """Set each block of time apart from the others; a single one is its own other."""
    found = []
    for i, rows in enumerate(blocks):
        others = [stretch for j, block in enumerate(blocks) if j != i for stretch in block] or rows
        found.append(Fold(rows, usual(metadata, others, is_scaled=len(blocks) == 1), others))
    return found


def usual(metadata: Metadata, stretches: Sequence[Floats], is_scaled: bool = True) -> Metadata:
    """Complete metadata with each way's usual spread, distance and shift; with center and scale if it lacks them."""
    if not is_scaled:
        center, scale = scaling(*moments(stretches))
        metadata = msgspec.structs.replace(metadata, center=rounded(center), scale=rounded(scale))
    ways = {scoring: _usual_way(metadata, stretches, scoring) for scoring in get_args(Scoring)}
    return msgspec.structs.replace(metadata, **ways)


def blank(
    channels: int, error_rows: int = 1, smoothing: int = 1, rolling: int = 1, long_rolling: int = 1
) -> Calibration:
    """Return a calibration that changes nothing, for a detector that has none yet."""
    return Calibration(
        error_rows=error_rows, smoothing=smoothing, rolling=rolling, long_rolling=long_rolling,
        spread_center=[0.0] * channels, spread_scale=[1.0] * channels, distance_scale=[1.0] * channels,
        shift_scale=[1.0] * channels, alarm=_NO_ALARM, **dict.fromkeys(TERMS, _FLAT),
    )  # fmt: skip


def rounded(values: Floats) -> list[float]:
    """Return numbers as the file holds them: nine digits, more than float32 has."""
    return [float(f"{value:.9g}") for value in values.tolist()]


def moments(pieces: Iterable[Floats]) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of the columns of many pieces of rows, one piece in memory at a time.

    Pieces are joined as in Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for piece in pieces:
        center = piece.mean(axis=0)
        gap, total = center - mean, count + len(piece)
        squares = squares + np.square(piece - center).sum(axis=0) + np.square(gap) * (count * len(piece) / total)
        mean = mean + gap * (len(piece) / total)
        count = total
    return mean, np.sqrt(squares / count)


def scaling(center: Floats, deviation: Floats) -> tuple[Floats, Floats]:
    """Return center and scale of channels with this mean and deviation; the scale of a constant one is 1."""
    # the deviation of a large constant isn't 0 but a rounding error
    return center, np.where(deviation <= _LEAST_DEVIATION + 1e-12 * np.abs(center), 1.0, deviation)


def _known(terms: Sequence[Floats], size: int) -> Floats:
    """Return the rows that have all terms."""
    rows = np.concatenate(terms)
    known: Floats = rows[~np.isnan(rows).any(axis=1)]
    if not len(known):
        raise TrainingError(
            f"No held-out stretch of normal rows is as long as a window of {size}.\n"
            "Give more rows, or train with a smaller input_len."
        )
    return known


def _usual_way(metadata: Metadata, stretches: Sequence[Floats], scoring: Scoring) -> Calibration:
    """Complete a way to score with each channel's usual spread, distance and shift."""
    way: Calibration = getattr(metadata, scoring)
    center, deviation = moments(spread for _, spread, _ in _local(metadata, way, stretches, scoring))
    shift = _root_mean_square(shift for _, _, shift in _local(metadata, way, stretches, scoring))
    distance = _root_mean_square(distance for distance, _, _ in _local(metadata, way, stretches, scoring))
    return msgspec.structs.replace(
        way, spread_center=rounded(center), spread_scale=rounded(np.maximum(deviation, FLOOR)),
        distance_scale=rounded(np.maximum(distance, FLOOR)), shift_scale=rounded(np.maximum(shift, FLOOR)),
    )  # fmt: skip


def _root_mean_square(pieces: Iterable[Floats]) -> Floats:
    total, count = np.zeros(1), 0
    for piece in pieces:
        total, count = total + np.square(piece).sum(axis=0), count + len(piece)
    return np.sqrt(total / count)


def _terms(metadata: Metadata, run: Run, stretches: Sequence[Floats], batch: int, scoring: Scoring) -> Floats:
    """Return the terms of stretches, end to end, with a row of NaN between two."""
    pieces: list[Floats] = []
    for stretch in stretches:
        scorer = StretchScorer(Constants(metadata, scoring), run, batch, threshold=math.inf)
        pieces += [np.full((1, len(TERMS)), np.nan)] if pieces else []
        pieces += [scorer.push(stretch[i : i + _PIECE]).terms for i in range(0, len(stretch), _PIECE)]
        pieces.append(scorer.finish().terms)
    return np.concatenate([np.zeros((0, len(TERMS))), *pieces])


def tail(values: Floats) -> Tail:
    """Describe how rare values are by their quantiles, and by Hill's estimate above the last."""
    knots = np.array(rounded(np.quantile(values, _SHARES)))  # rounded first: knots that round to the same are ties
    knots[knots < _ROUNDING] = 0.0
    knots[-1] = max(knots[-1], _LEAST_KNOT)
    # of equal knots only the first stays: the surprise of a tie is that of all rows that reach it
    keep = np.concatenate([[True], knots[1:] > np.maximum.accumulate(knots)[:-1]])
    last = knots[-1]
    above = values[values >= last]
    slope = float(np.mean(np.log(above / last))) if len(above) else 0.0
    surprise = rounded(-np.log1p(-_SHARES[keep]))
    return Tail(knots=knots[keep].tolist(), surprise=surprise, slope=float(f"{max(slope, _LEAST_SLOPE):.9g}"))


def _local(
    metadata: Metadata, way: Calibration, stretches: Sequence[Floats], scoring: str
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield distance, log spread and shift of all channels, before scaling, stretch by stretch in pieces."""
    near, far = score.span(way.rolling, scoring), score.span(way.long_rolling, scoring)
    before, after = map(max, near, far)
    center, scale = np.array(metadata.center), np.array(metadata.scale)
    for stretch in stretches:
        for start in range(0, len(stretch), _PIECE):
            wanted = range(start, min(start + _PIECE, len(stretch)))
            first = max(0, start - before)
            z = (stretch[first : wanted.stop + after] - center) / scale
            mean, mean_square = (
                score.rolling_mean(part, first, 0, len(stretch), wanted, near) for part in (z, np.square(z))
            )
            shift = mean - score.rolling_mean(z, first, 0, len(stretch), wanted, far)
            yield z[start - first : wanted.stop - first] - mean, score.log_spread(mean, mean_square), shift
