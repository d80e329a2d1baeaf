"""How good scores are, measured against labels: point, range, affiliation and volume metrics.

All functions take `labels` (time,), 1 or True = anomalous, and `scores` (time,), higher = worse. A row is
flagged when its score is above the threshold. Rows without a score (NaN) are refused: leave them out first.
What isn't defined is NaN: recall without an anomalous row, affiliation precision without a flagged row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oddwave.errors import ConfigError, InputError, nearest
from oddwave.metrics_surface import Areas, Flags, Surface, area
from oddwave.series import Floats, runs

Bias = Literal["flat", "front", "middle", "back"]
Cardinality = Literal["one", "reciprocal"]


class Rates(NamedTuple):
    """Precision, recall and their harmonic mean."""

    precision: float
    recall: float
    f1: float


_UNDEFINED = Areas(float("nan"), float("nan"))


def point(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Rates:
    """Count row by row; with nothing flagged the precision is 0.

    Examples
    --------
    >>> point([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.8], threshold=0.5)
    Rates(precision=0.5, recall=0.5, f1=0.5)
    """
    truth, values = _checked(labels, scores)
    return _point_rates(truth, values > threshold)


def point_adjusted(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Rates:
    """Count row by row after flagging every row of each segment that has one flagged row.

    It flatters: random scores reach high values on long segments. Show it beside `point` only.
    Source: Xu et al., "Unsupervised Anomaly Detection via Variational Auto-Encoder for Seasonal KPIs in Web
    Applications", WWW 2018, arXiv:1802.03903.

    Examples
    --------
    >>> point_adjusted([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.1], threshold=0.5)
    Rates(precision=1.0, recall=1.0, f1=1.0)
    """
    truth, values = _checked(labels, scores)
    flagged = values > threshold
    adjusted = flagged.copy()
    for start, stop in segments(truth):
        adjusted[start:stop] = flagged[start:stop].any()
    return _point_rates(truth, adjusted)


def auc_roc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Chance that an anomalous row scores above a normal one, ties half; NaN with one kind of row only."""
    truth, values = _checked(labels, scores)
    hits, flagged = _counts_by_score(truth, values)
    if truth.all() or not truth.any():
        return float("nan")
    alarms = flagged - hits
    return float(area(hits / hits[-1], alarms / alarms[-1]))


def auc_pr(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: precision at each distinct score, weighted by the recall gained there.

    No interpolation, as in scikit-learn's `average_precision_score`. NaN without an anomalous row.
    """
    truth, values = _checked(labels, scores)
    hits, flagged = _counts_by_score(truth, values)
    return float(np.diff(hits, prepend=0) @ (hits / flagged) / truth.sum()) if truth.any() else float("nan")


def oracle_f1(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the largest F1 of any threshold: chosen by the labels, so no detector reaches it but by luck.

    Examples
    --------
    >>> oracle_f1([0, 1, 1, 0], [0.1, 0.9, 0.2, 0.3])
    0.8
    """
    truth, values = _checked(labels, scores)
    hits, flagged = _counts_by_score(truth, values)
    return float((2 * hits / (flagged + truth.sum())).max()) if truth.any() else float("nan")


def range_auc(labels: ArrayLike, scores: ArrayLike, window: int = 100) -> Areas:
    """Areas under the curves for labels that fade out over half a window on both sides of each segment.

    At distance d from a segment, up to half the window, a row is anomalous to sqrt(1 - d / window);
    those of several segments add up to at most 1. The true positive rate is multiplied by the share of
    segments, with their margins, that hold a flagged row. The precision-recall area is by trapezoids.
    Source: Paparrizos et al., "Volume Under the Surface", PVLDB 15(11), 2022.
    """
    truth, values = _checked(labels, scores)
    return Surface(truth, values, window).range_areas() if truth.any() else _UNDEFINED


def vus(labels: ArrayLike, scores: ArrayLike, window: int = 100) -> Areas:
    """Volume under the surface: the mean of the range AUC over all windows from 0 to `window`.

    Source: as `range_auc`, changed as in the authors' benchmark (Liu and Paparrizos, "The Elephant in the
    Room", NeurIPS 2024): a margin's rows count only when flagged; the precision-recall area is by steps.

    Examples
    --------
    >>> vus([0, 0, 1, 1, 0, 0], [0.1, 0.2, 0.9, 0.8, 0.3, 0.1], window=2)
    Areas(roc=1.0, pr=1.0)
    """
    truth, values = _checked(labels, scores)
    return Surface(truth, values, window).volume() if truth.any() else _UNDEFINED


def affiliation(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Rates:
    """Rate how near flags and segments are in time, against flags thrown at random around each segment.

    Source: Huet, Navarro and Rossi, "Local Evaluation of Time Series Anomaly Detection Algorithms", KDD 2022,
    arXiv:2206.13167. A row i is the interval [i, i + 1); a segment's zone ends halfway to its neighbours.
    Precision is the mean over zones with flags; zones without have none, but a recall of 0.

    All borders are multiples of half a row, or of a quarter where the nearest neighbour changes, and between
    them the integrands are linear: so sums over the middles of quarter rows are the exact integrals.
    """
    truth, values = _checked(labels, scores)
    found = segments(truth)
    middles = [(stop + start) / 2 for (_, stop), (start, _) in pairwise(found)]
    edges = [0.0, *middles, float(len(truth))]
    in_truth, flagged = np.repeat(truth, 4), np.repeat(values > threshold, 4)
    precisions, recalls = [], []
    for (start, stop), (left, right) in zip(found, pairwise(edges), strict=False):
        cells = slice(int(4 * left), int(4 * right))
        zone = _Zone(left, right)
        if flagged[cells].any():
            precisions.append(zone.precision(start, stop, flagged[cells]))
        recalls.append(zone.recall(in_truth[cells], flagged[cells]))
    return _rates(_mean(precisions), _mean(recalls))


def range_based(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    *,
    existence_weight: float = 0.0,
    bias: Bias = "flat",
    cardinality: Cardinality = "reciprocal",
) -> Rates:
    """Precision and recall over segments instead of rows.

    Source: Tatbul et al., "Precision and Recall for Time Series", NeurIPS 2018, arXiv:1803.03639.

    Parameters
    ----------
    existence_weight
        The paper's alpha: what finding any row of a segment is worth, from 0 to 1; for recall only.
    bias
        Which rows of a segment count more.
    cardinality
        "reciprocal": a segment met by k runs of flags counts 1 / k.
    """
    truth, values = _checked(labels, scores)
    if not 0 <= existence_weight <= 1:
        raise ConfigError(f"existence_weight is {existence_weight}, but must be from 0 to 1.")
    for name, given, kind in (("bias", bias, Bias), ("cardinality", cardinality, Cardinality)):
        known = get_args(kind)
        if given not in known:
            hint = nearest(given, known)
            raise ConfigError(f"{name} is {given!r}, but must be one of {', '.join(known)}.{hint}")
    flagged = values > threshold
    precision = _range_reward(flagged, truth, 0.0, bias, cardinality)
    recall = _range_reward(truth, flagged, existence_weight, bias, cardinality)
    return _rates(precision if flagged.any() else 0.0, recall)


def segments(flags: ArrayLike) -> list[tuple[int, int]]:
    """List the runs of true values as half-open (start, stop).

    Examples
    --------
    >>> segments([1, 1, 0, 0, 1])
    [(0, 2), (4, 5)]
    """
    return runs(np.asarray(flags).astype(np.bool_))


def measure(labels: ArrayLike, scores: ArrayLike, threshold: float, window: int = 100) -> dict[str, float]:
    """Take every metric at once, by name; `flagged` is the share of rows over the threshold."""
    truth, values = _checked(labels, scores)
    volume = vus(truth, values, window)
    found = {"vus_pr": volume.pr, "vus_roc": volume.roc, "auc_pr": auc_pr(truth, values)}
    found["auc_roc"] = auc_roc(truth, values)
    rates = {
        "": point(truth, values, threshold),
        "range_": range_based(truth, values, threshold),
        "affiliation_": affiliation(truth, values, threshold),
        "adjusted_": point_adjusted(truth, values, threshold),
    }
    for prefix, rate in rates.items():
        found |= {prefix + name: value for name, value in rate._asdict().items()}
    return found | {"flagged": float(np.mean(values > threshold))}


def compare(
    labels: ArrayLike, scores: ArrayLike, threshold: float, window: int = 100, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Measure the scores, random ones that flag as many rows, and a constant that flags all of them."""
    truth, values = _checked(labels, scores)
    random = np.random.default_rng(seed).random(len(values))
    n_normal = int((values <= threshold).sum())
    same_share = float(np.sort(random)[n_normal - 1]) if n_normal else -1.0
    return {
        "scores": measure(truth, values, threshold, window),
        "random": measure(truth, random, same_share, window),
        "all rows": measure(truth, np.ones(len(values)), 0.5, window),
    }


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Flags, Floats]:
    given: NDArray[Any] = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if given.ndim != 1 or given.shape != values.shape or not given.size:
        shapes = f"labels have shape {given.shape} and scores {values.shape}"
        raise InputError(f"{shapes}, but both must be (time,) and equally long.")
    truth = given.astype(np.bool_)
    if not np.array_equal(truth, given):
        wrong = given[truth != given][0]
        raise InputError(f"labels hold {wrong}. Give 1 for anomalous rows and 0 for normal ones.")
    missing = np.flatnonzero(np.isnan(values))
    if missing.size:
        raise InputError(f"{missing.size} rows have no score, the first is row {missing[0]}. Leave them out.")
    return truth, values


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _rates(precision: float, recall: float) -> Rates:
    total = precision + recall
    return Rates(precision, recall, 2 * precision * recall / total if total else total)


def _point_rates(truth: Flags, flagged: Flags) -> Rates:
    hits, n_flagged, n_anomalous = int((truth & flagged).sum()), int(flagged.sum()), int(truth.sum())
    return _rates(hits / n_flagged if n_flagged else 0.0, hits / n_anomalous if n_anomalous else float("nan"))


def _counts_by_score(truth: Flags, values: Floats) -> tuple[Floats, Floats]:
    """Anomalous rows and rows at or above each distinct score, from the highest down."""
    order = np.argsort(-values, kind="stable")
    falling = values[order]
    last_of_ties = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    hits: Floats = np.cumsum(truth[order], dtype=np.float64)[last_of_ties]
    return hits, (last_of_ties + 1).astype(np.float64)


def _weights(bias: Bias, length: int) -> Floats:
    """Give each row of a segment its weight."""
    rank = np.arange(1, length + 1, dtype=np.float64)
    if bias == "flat":
        return np.ones(length)
    if bias == "front":
        return rank[::-1]
    return rank if bias == "back" else np.minimum(rank, rank[::-1])


def _range_reward(
    segmented: Flags, met_by: Flags, existence_weight: float, bias: Bias, cardinality: Cardinality
) -> float:
    """Mean over the runs of `segmented` of what `met_by` earns there; NaN if there are none."""
    runs = np.array(segments(met_by), dtype=np.intp).reshape(-1, 2)
    rewards = []
    for start, stop in segments(segmented):
        weights = _weights(bias, stop - start)
        overlap = float(weights @ met_by[start:stop] / weights.sum())
        n_runs = int(np.searchsorted(runs[:, 0], stop) - np.searchsorted(runs[:, 1], start, side="right"))
        if cardinality == "reciprocal" and n_runs > 1:
            overlap /= n_runs
        rewards.append(existence_weight * (n_runs > 0) + (1 - existence_weight) * overlap)
    return _mean(rewards)


class _Zone:
    """The surroundings of a segment, from `left` to `right`; `time` holds the middles of its quarter rows."""

    def __init__(self, left: float, right: float) -> None:
        self.left, self.right = left, right
        self.time = np.arange(left, right, 0.25) + 0.125

    def precision(self, start: int, stop: int, flagged: Flags) -> float:
        """Mean over the flags of the chance that a random moment is as far from the segment, or farther."""
        distance = np.maximum(np.maximum(start - self.time, self.time - stop), 0)
        nearer = np.minimum(distance, start - self.left) + np.minimum(distance, self.right - stop)
        chance = np.where(distance > 0, 1 - (nearer + stop - start) / (self.right - self.left), 1.0)
        return float(chance[flagged].mean())

    def recall(self, in_segment: Flags, flagged: Flags) -> float:
        """Mean over the segment of the chance that a random moment is as far as the next flag, or farther."""
        before = np.maximum.accumulate(np.where(flagged, self.time + 0.125, -np.inf))
        after = np.minimum.accumulate(np.where(flagged, self.time - 0.125, np.inf)[::-1])[::-1]
        distance = np.maximum(np.minimum(self.time - before, after - self.time), 0)
        nearer = np.minimum(distance, self.time - self.left) + np.minimum(distance, self.right - self.time)
        return float((1 - nearer / (self.right - self.left))[in_segment].mean())
