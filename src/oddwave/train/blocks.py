"""Blocks of time: rows to fit a model, to stop it early, to calibrate scores and thresholds, and to verify these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from oddwave.series import Floats

# Shares of the rows, in time order. What isn't stopped early (scaling, the usual spread, the classical models) is
# fitted to the first two.
FIT, STOP, HOLD, VERIFY = 0.7, 0.1, 0.1, 0.1
MOST_LEARNED = 1 << 20
"""Rows of long series that classical models and baselines are fitted to."""
MOST_SCORED = 10_000
"""Rows of a block that are scored to calibrate; each is the last of a window that the model has to read."""
FOLDS = 5
_PIECE = 8192


@dataclass(frozen=True)
class Blocks:
    """Stretches (time, channel) by what they are for, without copies; in each, the series one after the other."""

    fit: list[Floats]
    stop: list[Floats]
    hold: list[Floats]
    verify: list[Floats]

    @property
    def learned(self) -> list[Floats]:
        """The rows of the first two blocks."""
        return [*self.fit, *self.stop]


def cut(series: Sequence[Sequence[Floats]]) -> Blocks:
    """Cut each series, given as its stretches, into blocks of time."""
    parts = [split(stretches, (FIT, STOP, HOLD, VERIFY)) for stretches in series]
    return Blocks(*([stretch for part in parts for stretch in part[i]] for i in range(4)))


def folds(series: Sequence[Sequence[Floats]], size: int, aside: float) -> tuple[list[list[Floats]], int]:
    """Cut all rows but the last share `aside` into blocks of equal time, fewer if there are few windows of `size` rows.

    Returns
    -------
    tuple
        The blocks, and how many rows at the end of the last one are held out, counting one between two stretches.
    """
    used = [split(stretches, (1 - aside, aside))[0] for stretches in series]
    count = min(FOLDS, max(1, sum(len(stretch) for stretches in used for stretch in stretches) // (2 * size)))
    blocks: list[list[Floats]] = [[] for _ in range(count)]
    hold: list[Floats] = []
    for stretches in used:
        seen, unseen = split(stretches, ((FIT + STOP) / (1 - aside), 1 - (FIT + STOP) / (1 - aside)))
        end = sum(map(len, seen)) / max(1, sum(map(len, stretches)))  # the last block ends with the rows held out
        edges = [*(i / count for i in range(count)), end]
        shares = [max(b - a, 0.0) for a, b in pairwise(edges)]
        for block, part in zip(blocks, split(stretches, shares), strict=True):
            block.extend(part)
        hold += unseen
    blocks[-1] = _middle(blocks[-1])
    hold = _middle(hold)
    return [*map(_middle, blocks[:-1]), blocks[-1] + hold], sum(map(len, hold)) + max(0, len(hold) - 1)


def split(stretches: Sequence[Floats], shares: Sequence[float]) -> list[list[Floats]]:
    """Cut stretches into blocks of time with these shares of all rows, without copying.

    Examples
    --------
    >>> rows = np.arange(10.0)[:, None]
    >>> [[len(part) for part in block] for block in split([rows[:6], rows[6:]], (0.7, 0.1, 0.2))]
    [[6, 1], [1], [2]]
    """
    n_rows = sum(map(len, stretches))
    edges = np.rint(np.cumsum([0.0, *shares]) * n_rows).astype(int).tolist()
    blocks: list[list[Floats]] = []
    for begin, end in pairwise(edges):
        block, first = [], 0
        for stretch in stretches:
            part = stretch[max(begin - first, 0) : max(end - first, 0)]
            first += len(stretch)
            if len(part):
                block.append(part)
        blocks.append(block)
    return blocks


def spaced(stretches: Sequence[Floats], most: int = MOST_LEARNED) -> list[Floats]:
    """Return at most about so many rows: all, or evenly spaced pieces of the stretches.

    Examples
    --------
    >>> [len(part) for part in spaced([np.zeros((100_000, 1)), np.zeros((10, 1))], most=25_000)]
    [8192, 8192, 8192, 1696]
    """
    every = max(1, round(sum(map(len, stretches)) / most))
    if every == 1:
        return list(stretches)
    pieces = [stretch[i : i + _PIECE] for stretch in stretches for i in range(0, len(stretch), _PIECE)]
    return pieces[::every]


def _middle(stretches: Sequence[Floats]) -> list[Floats]:
    """Return the rows in the middle, `MOST_SCORED` at most."""
    rest = 1 - MOST_SCORED / max(sum(map(len, stretches)), 1)
    return list(stretches) if rest <= 0 else split(stretches, (rest / 2, 1 - rest))[1]
