"""Block bootstrap: how far figures would move if other stretches of the same time had been measured.

Rows near each other are alike, so rows drawn one by one would promise too much: blocks of time are drawn, with
replacement (Kuensch, "The jackknife and the bootstrap for general stationary observations", 1989). A block is as long
as its score remembers, twice over, and no border cuts a labelled event or its margin, so that what is counted in
events adds up over blocks too. All scores are measured on the same draws: differences are paired.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave.series import Floats, runs

LEAST_BLOCKS = 5  # with fewer, or fewer with an event, there is no interval
_TRIES = 20


class Interval(NamedTuple):
    """A percentile interval of 95 %."""

    low: float
    high: float


class Draws:
    """Blocks of time drawn with replacement, again and again.

    Parameters
    ----------
    labels
        Shape (time,); series end to end.
    starts
        First row of each series: a border of blocks if no event with its margin lies over it.
    length
        Rows of a block, at least; the last of a series may be shorter.
    margin
        Rows on each side of an event that stay in its block.
    count
        Draws; those without an anomalous row, or without a normal one, are drawn again.

    Attributes
    ----------
    borders
        First row of each block.
    weights
        How many times each block counts, shape (draw, block); empty if the blocks are too few.
    has_events
        Whether the blocks with an event are enough: else what is counted in events hardly differs between draws, and an
        interval would promise a certainty that isn't there.
    """

    def __init__(
        self, labels: NDArray[np.bool_], starts: list[int], length: int, margin: int, count: int, seed: int
    ) -> None:
        self.borders = borders(labels, starts, length, margin)
        n_blocks = len(self.borders)
        self.weights: Floats = np.zeros((0, n_blocks))
        anomalous, normal = (np.add.reduceat(kind, self.borders) for kind in (labels * 1, ~labels * 1))
        self.n_with_events = int((anomalous > 0).sum())
        self.has_events = self.n_with_events >= LEAST_BLOCKS
        if n_blocks < LEAST_BLOCKS:
            return
        rng = np.random.default_rng(seed)
        for _ in range(_TRIES):
            drawn = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=count).astype(np.float64)
            drawn = drawn[(drawn @ anomalous > 0) & (drawn @ normal > 0)]
            self.weights = np.concatenate([self.weights, drawn])[:count]
            if len(self.weights) == count:
                break

    def sums(self, rows: NDArray[np.generic]) -> Floats:
        """Sum values of rows, shape (time,), over each draw."""
        total: Floats = self.weights @ np.add.reduceat(rows.astype(np.float64), self.borders)
        return total


def borders(labels: NDArray[np.bool_], starts: list[int], length: int, margin: int) -> NDArray[np.intp]:
    """Return the first row of each block.

    Examples
    --------
    >>> borders(np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 0]) == 1, [0], length=3, margin=1).tolist()
    [0, 6]
    """
    n_rows = len(labels)
    is_free = np.ones(n_rows + 1, dtype=np.bool_)
    for start, stop in runs(labels):
        is_free[max(0, start - margin + 1) : stop + margin] = False
    free = np.flatnonzero(is_free[:-1])
    found = [0]
    for begin, end in zip(starts, [*starts[1:], n_rows], strict=True):
        if begin and is_free[begin]:
            found.append(begin)
        while True:
            at = int(np.searchsorted(free, max(found[-1], begin) + length))
            if at == len(free) or free[at] + length > end:  # a short rest stays with the block before it
                break
            found.append(int(free[at]))
    return np.array(found, dtype=np.intp)


def interval(values: Floats) -> Interval | None:
    """Return the middle 95 % of values, leaving out what isn't defined.

    None if most isn't, or if all are equal: draws that don't differ tell nothing of how far others may.
    """
    known = values[~np.isnan(values)]
    if not len(known) or 2 * len(known) < len(values) or known.min() == known.max():
        return None
    low, high = np.quantile(known, (0.025, 0.975)).tolist()
    return Interval(low, high)
