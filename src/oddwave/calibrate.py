"""Calibration: what held-out normal rows say of a graph's errors, for both ways to score. THE ORDER OF CALIBRATION."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from oddwave import score, threshold
from oddwave.config import Scoring
from oddwave.errors import TrainingError
from oddwave.metadata import Alarm, Calibration, Metadata, Tail
from oddwave.series import Floats, Windows
from oddwave.stretch import TERMS, Constants, StretchScorer, curve, surprises

FLOOR = 0.1  # least scale of an error, a distance or a spread, in units of the channel's deviation
_SHARES = np.arange(19) * 0.05  # of the normal rows that lie below each knot: 0 to 90 %
_LEAST_KNOT = 0.1  # terms below a tenth of their usual size never count as rare
_LEAST_SLOPE = 0.1
_PIECE = 8192
_FLAT = Tail(knots=[1.0], surprise=[0.0], slope=1.0)
_NO_ALARM = Alarm(threshold=math.inf, rate=0.5, share=0.5, start=0.0, mean_excess=1.0, rows=1)


def calibrate(
    metadata: Metadata,
    run: Callable[[Windows], Windows],
    fit: Sequence[Floats],
    hold: Sequence[Floats],
    rate: float,
    batch: int,
) -> Metadata:
    """Complete a detector's metadata: usual spread and distance, tails of the terms, thresholds.

    Parameters
    ----------
    metadata
        All but `spread_center`, `spread_scale`, `full` and `causal` is used as it is.
    run
        The exported graph: its numbers are those that the detector will compute.
    fit
        Stretches of rows that the model was fitted to, each (time, channel).
    hold
        Stretches of normal rows that neither fitting nor early stopping saw.
    rate
        Share of normal rows that the thresholds may flag.

    Raises
    ------
    TrainingError
        If no held-out stretch is as long as a window.
    """
    spreads = np.concatenate([spread for _, spread in _local(metadata, fit, "full")])
    metadata = msgspec.structs.replace(
        metadata,
        spread_center=rounded(spreads.mean(axis=0)),
        spread_scale=rounded(np.maximum(spreads.std(axis=0), FLOOR)),
    )
    return msgspec.structs.replace(
        metadata,
        full=_way(metadata, run, hold, rate, batch, "full"),
        causal=_way(metadata, run, hold, rate, batch, "causal"),
    )


def blank(channels: int) -> Calibration:
    """Return a calibration that changes nothing, for a detector that has none yet."""
    tails = dict.fromkeys(TERMS, _FLAT)
    return Calibration(**tails, distance_scale=[1.0] * channels, alarm=_NO_ALARM)


def rounded(values: Floats) -> list[float]:
    """Return numbers as the file holds them: nine digits, more than float32 has."""
    return [float(f"{value:.9g}") for value in values.tolist()]


def _way(
    metadata: Metadata,
    run: Callable[[Windows], Windows],
    hold: Sequence[Floats],
    rate: float,
    batch: int,
    scoring: Scoring,
) -> Calibration:
    squares = np.concatenate([np.square(distance) for distance, _ in _local(metadata, hold, scoring)])
    usual = rounded(np.maximum(np.sqrt(squares.mean(axis=0)), FLOOR))
    way = msgspec.structs.replace(blank(len(metadata.channels)), distance_scale=usual)
    metadata = msgspec.structs.replace(metadata, full=way, causal=way)
    terms = np.concatenate([_terms(metadata, run, stretch, batch, scoring) for stretch in hold])
    terms = terms[~np.isnan(terms).any(axis=1)]
    if not len(terms):
        raise TrainingError(
            f"No held-out stretch of normal rows is as long as a window of {metadata.size}.\n"
            "Give more rows, or train with a smaller input_len."
        )
    tails = [_tail(column) for column in terms.T]
    alarm = threshold.fit(score.fuse(surprises(terms, [curve(tail) for tail in tails])), rate)
    return msgspec.structs.replace(way, **dict(zip(TERMS, tails, strict=True)), alarm=alarm)


def _terms(
    metadata: Metadata, run: Callable[[Windows], Windows], stretch: Floats, batch: int, scoring: Scoring
) -> Floats:
    scorer = StretchScorer(Constants(metadata, scoring), run, batch, threshold=math.inf)
    pieces = [scorer.push(stretch[i : i + _PIECE]).terms for i in range(0, len(stretch), _PIECE)]
    return np.concatenate([*pieces, scorer.finish().terms])


def _tail(values: Floats) -> Tail:
    """Describe how rare values are by their quantiles, and by Hill's estimate above the last."""
    knots = np.array(rounded(np.quantile(values, _SHARES)))  # rounded first: knots that round to the same are ties
    knots[-1] = max(knots[-1], _LEAST_KNOT)
    # of equal knots only the first stays: the surprise of a tie is that of all rows that reach it
    keep = np.concatenate([[True], knots[1:] > np.maximum.accumulate(knots)[:-1]])
    last = knots[-1]
    above = values[values >= last]
    slope = float(np.mean(np.log(above / last))) if len(above) else 0.0
    surprise = rounded(-np.log1p(-_SHARES[keep]))
    return Tail(knots=knots[keep].tolist(), surprise=surprise, slope=float(f"{max(slope, _LEAST_SLOPE):.9g}"))


def _local(metadata: Metadata, stretches: Sequence[Floats], scoring: str) -> Iterator[tuple[Floats, Floats]]:
    """Yield the distance from the rolling mean and the log spread of all channels, stretch by stretch in pieces."""
    reach = score.span(metadata.rolling, scoring)
    center, scale = np.array(metadata.center), np.array(metadata.scale)
    for stretch in stretches:
        for start in range(0, len(stretch), _PIECE):
            wanted = range(start, min(start + _PIECE, len(stretch)))
            first = max(0, start - reach.before)
            z = (stretch[first : wanted.stop + reach.after] - center) / scale
            mean = score.rolling_mean(z, first, 0, len(stretch), wanted, reach)
            mean_square = score.rolling_mean(np.square(z), first, 0, len(stretch), wanted, reach)
            yield z[start - first : wanted.stop - first] - mean, score.log_spread(mean, mean_square)
