"""Scores that need no trained model, with the same channel rule, smoothing and threshold rule as the detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oddwave import score, threshold
from oddwave.detector import Detector
from oddwave.metadata import Metadata
from oddwave.series import Floats
from oddwave.stretch import curve

Rows = Callable[[Floats], Floats]  # z of all channels (time, channel) -> errors of all channels, same shape


def random(z: Floats) -> Floats:
    return np.random.default_rng(0).random(z.shape)


def pca(fit: Floats) -> Rows:
    """Return the reconstruction error of single rows with 95 % of the variance kept."""
    variances, directions = np.linalg.eigh(fit.T @ fit / len(fit))
    kept = np.cumsum(variances[::-1]) < 0.95 * variances.sum()
    basis = directions[:, ::-1][:, : int(kept.sum()) + 1]
    return lambda z: np.square(z - z @ basis @ basis.T)


def raw_scores(
    metadata: Metadata, fit: Sequence[Floats], hold: Sequence[Floats], unseen: Floats
) -> dict[str, tuple[Floats, Floats]]:
    """Score held-out and unseen rows by each baseline that looks at single rows.

    Returns
    -------
    dict
        By name: scores of the held-out rows end to end, and of the unseen rows; both smoothed as the detector's terms.
    """
    pick = np.flatnonzero(metadata.scored)
    center, scale = np.array(metadata.center), np.array(metadata.scale)
    blocks = [[(rows - center) / scale for rows in block] for block in (fit, hold, [unseen])]
    baselines: dict[str, tuple[Rows, Callable[..., Floats]]] = {
        "random": (random, np.mean),
        "largest z-score of a channel": (np.abs, np.max),
        "mean z-score": (np.abs, np.mean),
        "PCA of single rows": (pca(np.concatenate(blocks[0])), np.mean),
    }
    return {
        name: tuple(
            np.concatenate([_smooth(metadata, over(errors(part)[:, pick], axis=1)) for part in block])
            for block in blocks[1:]
        )
        for name, (errors, over) in baselines.items()
    }


def terms(detector: Detector, stretches: Sequence[Floats], scoring: str = "full") -> Floats:
    """Return the detector's smoothed terms of gap-free stretches, end to end: (time, 4), NaN where there are none."""
    pieces = []
    for stretch in stretches:
        scorer = detector.stretch_scorer(scoring, np.inf)
        pieces += [scorer.push(stretch).terms, scorer.finish().terms]
    return np.concatenate(pieces)


def without_model(detector: Detector, term_rows: Floats, scoring: str = "full") -> Floats:
    """Return the score of spread and distance alone (U + Wm), calibrated as the detector calibrates them."""
    way = getattr(detector.metadata, scoring)
    rare = [score.surprise(term_rows[:, column], *curve(tail)) for column, tail in ((1, way.spread), (2, way.distance))]
    return score.fuse(np.stack(rare, axis=1))


def limit(hold_scores: Floats, rate: float) -> float:
    """Return the threshold for a rate of false alarms by the detectors' own rule."""
    return threshold.fit(hold_scores[~np.isnan(hold_scores)], rate).threshold


def _smooth(metadata: Metadata, rows: Floats) -> Floats:
    reach = score.span(metadata.smoothing, "full")
    return score.rolling_mean(rows, 0, 0, len(rows), range(len(rows)), reach)
