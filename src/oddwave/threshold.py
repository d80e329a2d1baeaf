"""Thresholds: from the scores of held-out normal rows and a rate of false alarms."""

from __future__ import annotations

import math

import numpy as np

from oddwave.metadata import Alarm
from oddwave.series import Floats

SHARE = 0.1  # share of the normal rows that make the tail
# A score is the mean of four terms, each with the tail exp(-term): where one grows alone a quarter of it shows, where
# all do the whole; few held-out rows can show less of it than there is. A third lies between.
_LEAST_EXCESS = 1 / 3
_LEAST_THRESHOLD = math.log(1 / SHARE) / 3


def fit(scores: Floats, rate: float) -> Alarm:
    """Fit an exponential tail to the scores of held-out normal rows, and set the threshold for a false-alarm rate.

    Peaks over a threshold with an exponential excess: Pickands, "Statistical inference using extreme order
    statistics", 1975, with shape 0, since scores are logarithms of rarities already.

    Parameters
    ----------
    scores
        Shape (time,), of normal rows that neither the model nor its early stopping saw.
    rate
        Share of normal rows to flag.
    """
    start = float(np.quantile(scores, 1 - SHARE))
    excess = max(float(np.mean(scores[scores >= start] - start)), _LEAST_EXCESS)
    value = max(start + excess * math.log(SHARE / rate), _LEAST_THRESHOLD)
    return Alarm(threshold=value, rate=rate, share=SHARE, start=start, mean_excess=excess, rows=len(scores))


def at_rate(alarm: Alarm, rate: float) -> float:
    """Return the threshold for another false-alarm rate, at most the share that the tail was fitted to."""
    return max(alarm.start + alarm.mean_excess * math.log(alarm.share / rate), _LEAST_THRESHOLD)
