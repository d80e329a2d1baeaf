"""Curves of labels with margins, and the volume under them; counted block by block, so that blocks can be weighted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import ConfigError
from oddwave.series import Floats, runs

Flags = NDArray[np.bool_]
Ints = NDArray[np.intp]

CUTS = 250  # thresholds along each curve, as in the published code


class Areas(NamedTuple):
    """Areas under the ROC curve and under the precision-recall curve."""

    roc: float
    pr: float


class Surface:
    """What the range AUCs of one pair of labels and scores at several windows share.

    `first[row]` is the first of the falling cuts at which the row is flagged: so sums over what is flagged at
    each cut are one cumulated histogram, and no cut needs a pass of its own over the rows.

    Parameters
    ----------
    window
        Rows of the widest margins, both sides together.
    borders
        First row of each block, 0 first; none may lie within half a window of a segment. Each count is kept by
        block, shape (block, cut): the volume of blocks drawn with replacement is a weighted sum away.
    """

    def __init__(self, truth: Flags, values: Floats, window: int, borders: Ints | None = None) -> None:
        if window < 0:
            raise ConfigError(f"window is {window}, but must be 0 or more rows.")
        self.borders = np.zeros(1, dtype=np.intp) if borders is None else borders
        self.n_rows, self.window = len(truth), window
        bounds = np.array(runs(truth), dtype=np.intp)
        self.starts, self.ends = bounds[:, 0], bounds[:, 1] - 1
        falling = -np.sort(-values)
        cuts = falling[np.linspace(0, self.n_rows - 1, CUTS).astype(np.intp)]
        self.first = np.searchsorted(-cuts, -values, side="left")
        self.block = np.repeat(np.arange(len(self.borders)), np.diff(self.borders, append=self.n_rows))
        self.size = np.bincount(self.block).astype(np.float64)
        self.n_anomalous = np.bincount(self.block, truth)
        self.flagged = self._cumulate(self.first, self.block)
        self.hits = self._cumulate(self.first[truth], self.block[truth])
        self._find_margins(truth)

    def _find_margins(self, truth: Flags) -> None:
        """List all pairs of a normal row and a segment at most half a window away, nearest first."""
        reach = np.arange(1, self.window // 2 + 1)
        rows = np.stack([self.ends[None] + reach[:, None], self.starts[None] - reach[:, None]], axis=1)
        distance = np.broadcast_to(reach[:, None, None], rows.shape).ravel()
        rows = rows.ravel()
        kept = (rows >= 0) & (rows < self.n_rows)
        kept[kept] = ~truth[rows[kept]]
        self.distance = distance[kept]
        self.margin, self.margin_index = np.unique(rows[kept], return_inverse=True)

    def _cumulate(self, first: Ints, block: Ints, weights: Floats | None = None) -> Floats:
        """Count rows at or above each cut by block, shape (block, cut)."""
        shape = (len(self.borders), CUTS)
        counts = np.bincount(block * CUTS + first, weights, minlength=shape[0] * CUTS)
        return np.cumsum(counts.reshape(shape), axis=1, dtype=np.float64)

    def _soft(self, window: int) -> Floats:
        """Sum how anomalous the flagged rows of the margins are, from 0 to 1 each."""
        n_pairs = int(np.searchsorted(self.distance, window // 2, side="right"))
        degree = np.sqrt(1 - self.distance[:n_pairs] / max(window, 1))
        summed = np.bincount(self.margin_index[:n_pairs], degree, minlength=len(self.margin))
        return self._cumulate(self.first[self.margin], self.block[self.margin], np.minimum(summed, 1))

    def _met(self, half: int, gap: int) -> tuple[Floats, Floats]:
        """Count the segments with margins, merged if `gap` or less apart: those with a flag at each cut, and all."""
        apart = self.starts[1:] - half - (self.ends[:-1] + half) > gap
        is_first = np.concatenate([[True], apart])
        starts = np.maximum(self.starts[is_first] - half, 0)
        stops = np.minimum(self.ends[np.concatenate([apart, [True]])] + half, self.n_rows - 1) + 1
        between = np.stack([starts, stops], axis=1).ravel()
        earliest = np.minimum.reduceat(np.append(self.first, CUTS), between)[::2]
        block = self.block[self.starts[is_first]]
        return self._cumulate(earliest, block), np.bincount(block, minlength=len(self.borders)).astype(np.float64)

    def volume(self) -> Areas:
        """Mean over the windows, margins counting only where flagged, precision by steps."""
        roc, pr = self.volumes(np.ones((1, len(self.borders))))[0].tolist()
        return Areas(roc, pr)

    def volumes(self, weights: Floats, step: int = 1) -> Floats:
        """Return ROC and PR volumes, shape (draw, 2), of blocks that count so many times, shape (draw, block).

        The cuts stay those of all rows. Of the windows every `step`-th is looked at.
        """
        flagged, sure, expected_least, n_rows = (
            weights @ counts for counts in (self.flagged, self.hits, self.n_anomalous[:, None], self.size[:, None])
        )
        total = np.zeros((len(weights), 2))
        share_met, half = flagged, -1
        windows = range(0, self.window + 1, step)
        for window in windows:
            if window // 2 > half:
                half = window // 2
                met, segments = self._met(half, gap=0)
                share_met = weights @ met / (weights @ segments)[:, None]
            soft = weights @ self._soft(window)
            hits, expected = sure + soft, expected_least + soft / 2
            n_normal = np.where(n_rows > expected, n_rows - expected, np.nan)
            tpr = np.minimum(hits / expected, 1) * share_met
            precision = np.divide(hits, flagged, out=np.zeros_like(hits), where=flagged > 0)
            total[:, 0] += area(tpr, (flagged - hits) / n_normal)
            total[:, 1] += (np.diff(tpr, prepend=0.0) * precision).sum(axis=-1)
        return total / len(windows)

    def range_areas(self) -> Areas:
        """One window, all of the margins counting, precision by trapezoids; of all blocks together."""
        soft, (met, segments) = self._soft(self.window).sum(axis=0), self._met(self.window // 2, gap=1)
        flagged, hits = self.flagged.sum(axis=0), self.hits.sum(axis=0) + soft
        expected = float(self.n_anomalous.sum()) + soft[-1] / 2  # at the last cut all rows are flagged
        tpr = np.minimum(hits / expected, 1) * (met.sum(axis=0) / segments.sum())
        n_normal = self.n_rows - expected if self.n_rows > expected else np.nan
        precision = np.concatenate([[1.0], hits / flagged])
        pr = np.diff(tpr, prepend=0.0) @ (precision[1:] + precision[:-1]) / 2
        return Areas(float(area(tpr, (flagged - hits) / n_normal)), float(pr))


def area(tpr: Floats, fpr: Floats) -> Floats:
    """Area under the curve from (0, 0) through the points of the last axis to (1, 1), by trapezoids."""
    inner = (np.diff(fpr) * (tpr[..., 1:] + tpr[..., :-1])).sum(axis=-1)
    found: Floats = (inner + fpr[..., 0] * tpr[..., 0] + (1 - fpr[..., -1]) * (1 + tpr[..., -1])) / 2
    return found
