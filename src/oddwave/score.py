"""Scores: five terms a row, each measured in how rare it is on normal rows, averaged.

The terms are the model's error, the spread (the rolling deviation is larger than usual), the distance from the
rolling mean and the shift of that mean from a longer one, each a mean over channels, and the largest energy
(error² + distance²) of a single channel, which a mean over many would hide; each is smoothed by a moving average.
`docs/detector-format.md` has the formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from oddwave.series import Floats

# Added to the rolling deviation, in units of the channel's deviation, so that its logarithm is finite.
SPREAD_FLOOR = 0.05


class Span(NamedTuple):
    """Rows of a rolling window around a row: so many before it and after it."""

    before: int
    after: int


def span(width: int, scoring: str) -> Span:
    """Return a rolling window of `width` rows: centred for `full`, trailing for `causal`."""
    return Span(width // 2, (width - 1) // 2) if scoring == "full" else Span(width - 1, 0)


def rolling_sum(values: Floats, width: int) -> Floats:
    """Sum each run of `width` rows.

    The sum of a run is built by doubling, always in the same order, so it doesn't depend on the rows around it
    to the last bit, as a running sum would.

    Parameters
    ----------
    values
        Shape (time, ...).

    Returns
    -------
    Floats
        Shape (time - width + 1, ...); row `i` is the sum of rows `i` to `i + width - 1`.

    Examples
    --------
    >>> rolling_sum(np.arange(5.0), width=3).tolist()
    [3.0, 6.0, 9.0]
    """
    n_sums = len(values) - width + 1
    power, run, offset = values, 1, 0
    total: Floats | None = None
    while True:  # `power` holds the sums of `run` rows, `total` those of the first `offset`
        if width & run:
            part = power[offset : offset + n_sums]
            total = part.copy() if total is None else np.add(total, part, out=total)
            offset += run
        if 2 * run > width:
            return values[:0] if total is None else total
        power = power[:-run] + power[run:]
        run *= 2


def rolling_mean(
    values: Floats, first: int, begin: int | Sequence[int], end: int, wanted: range, reach: Span
) -> Floats:
    """Average the rows around each wanted row, with the rows there are at both ends of the series.

    Parameters
    ----------
    values
        Shape (row, ...): rows from number `first` on, at least all that the wanted rows reach.
    begin
        First row that counts, of all columns or of each of `values` (row, column, ...); the values before it are 0.
    end
        The row after the series' last (any row out of reach if it isn't known yet).
    wanted
        Row numbers to compute.

    Returns
    -------
    Floats
        Shape (len(wanted), ...).
    """
    low, high = wanted.start - reach.before, wanted.stop + reach.after
    inside = values[max(low, 0) - first : min(high, end) - first]
    if low < 0 or high > end:
        padded = np.zeros((high - low, *values.shape[1:]))
        padded[max(-low, 0) : max(-low, 0) + len(inside)] = inside
        inside = padded
    sums = rolling_sum(inside, reach.before + reach.after + 1)
    begins = (begin,) if isinstance(begin, int) else tuple(begin)
    if low >= max(begins) and high <= end:
        sums /= reach.before + reach.after + 1
        return sums
    counts = _counts(begins, end, wanted, reach)
    sums /= counts[:, 0] if values.ndim == 1 else counts.reshape(*counts.shape, *[1] * (values.ndim - 2))
    return sums


@lru_cache(maxsize=8)  # inputs often have the same length
def _counts(begins: tuple[int, ...], end: int, wanted: range, reach: Span) -> Floats:
    """Count the rows there are around each wanted row, shape (row, column), as floats, which divide quicker."""
    rows = np.arange(wanted.start, wanted.stop, dtype=np.float64)[:, None]
    return np.minimum(rows + reach.after, end - 1) - np.maximum(rows - reach.before, begins) + 1


def log_spread(mean: Floats, mean_square: Floats) -> Floats:
    """Return the logarithm of the rolling deviation, from the rolling mean and mean square of z."""
    deviation: Floats = np.square(mean)
    np.subtract(mean_square, deviation, out=deviation)
    np.maximum(deviation, 0.0, out=deviation)
    np.sqrt(deviation, out=deviation)
    deviation += SPREAD_FLOOR
    return np.log(deviation, out=deviation)


def surprise(value: Floats, knots: Floats, surprises: Floats, slope: float) -> Floats:
    """Measure how rare values are: -ln of the share of normal rows that reach them.

    Linear between `knots`, 0 below them; above the last a power law, the tail estimate of
    Hill, "A simple general approach to inference about the tail of a distribution", 1975.
    """
    rare: Floats = np.interp(value, knots, surprises, left=0.0)
    rare += beyond(value, knots[-1], slope)
    return rare  # a NaN stays one


def beyond(value: Floats, last: float | Floats, slope: float | Floats) -> Floats:
    """Return how much rarer values are than the last knot."""
    rarer: Floats = np.log(np.maximum(value / last, 1.0)) / slope
    return rarer


def fuse(rare: Floats) -> Floats:
    """Average the surprises of the terms, shape (time, term), to one score a row."""
    mean: Floats = np.add.reduce(rare, axis=1) / rare.shape[1]
    return mean
