"""Figures of one score: row by row, by curves, and by events; and the same figures of blocks drawn again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave import bootstrap, metrics, metrics_events
from oddwave.bootstrap import Draws
from oddwave.metrics_surface import Surface
from oddwave.series import TICKS_PER_S, Floats, Series

SURE = ("vus_pr", "vus_roc", "f1", "precision", "recall", "event_recall", "false_alarm_rate", "normal_flagged")
"""Figures with an interval."""
_WINDOWS = 10  # of VUS in a draw
MEANING = {
    "precision, recall, f1": "row by row: of flagged rows the share that is labelled, of labelled rows the share "
    "that is flagged, their harmonic mean",
    "adjusted_*": "point-adjusted: a labelled event with one flagged row counts as flagged whole. It flatters: compare "
    "with random",
    "range_*, affiliation_*": "by events: overlap (Tatbul et al., 2018), nearness in time (Huet et al., 2022)",
    "auc_roc, auc_pr, vus_roc, vus_pr": "over all thresholds; VUS forgives flags up to vus_window / 2 rows "
    "beside an event",
    "event_recall": "share of the labelled events with a flagged row: events_found of events",
    "false_alarms": "alarms that touch no labelled row; false_alarm_rate is their number in the time that "
    "false_alarms_per names, of rows that aren't labelled",
    "delay_*": "from the first row of an event to its first flagged one, of events found; only in causal, since full "
    "looks at later rows",
    "flagged, normal_flagged": "share of all rows, and of rows that aren't labelled, that are flagged",
    "oracle_f1": "the largest F1 of any threshold, chosen by these labels: nothing a detector can reach",
    "difference": "the detector minus the baseline on the same rows; low and high: interval of paired draws",
    "null": "not defined, or there is no threshold because no training rows set one",
}


@dataclass(frozen=True)
class Truth:
    """Labelled rows of several series end to end, on which all scores are measured.

    Parameters
    ----------
    series
        In time order, with labels.
    step_s
        Seconds from row to row; None: not known of all series.
    """

    series: tuple[Series, ...]
    window: int
    step_s: float | None

    @property
    def labels(self) -> NDArray[np.bool_]:
        """All labels, shape (time,)."""
        return np.concatenate([_labels(series) for series in self.series])

    @property
    def starts(self) -> list[int]:
        """First row of each series."""
        return list(accumulate(map(len, self.series[:-1]), initial=0))

    @property
    def rate_unit(self) -> tuple[str, float]:
        """What false alarms are counted per, and how many rows that is."""
        return ("1000 rows", 1000.0) if self.step_s is None else ("day", 86_400 / self.step_s)

    def each(self, scores: Floats) -> list[tuple[Series, int, Floats]]:
        """Return each series, the number of its first row, and its part of the scores."""
        starts = self.starts
        return list(zip(self.series, starts, np.split(scores, starts[1:]), strict=True))


def measured(truth: Truth, scores: Floats, threshold: float, has_delay: bool) -> dict[str, float | None]:
    """Return all figures of scores, shape (time,); NaN in the threshold leaves out what needs one."""
    labels = truth.labels
    found = metrics.measure(labels, scores, threshold, truth.window)
    found["oracle_f1"] = metrics.oracle_f1(labels, scores)
    if math.isnan(threshold):
        kept = ("vus_pr", "vus_roc", "auc_pr", "auc_roc", "oracle_f1")
        return {name: _known(found[name]) for name in kept}
    late, seconds, n_false = _events(truth, scores, threshold)
    unit = truth.rate_unit[1]
    n_normal = int((~labels).sum())
    found["events"], found["events_found"] = len(late), int((~np.isnan(late)).sum())
    found["event_recall"] = found["events_found"] / len(late) if len(late) else math.nan
    found["false_alarms"] = n_false
    found["false_alarm_rate"] = n_false / n_normal * unit if n_normal else math.nan
    found["normal_flagged"] = float((scores > threshold)[~labels].mean()) if n_normal else math.nan
    if has_delay:
        found |= _typical("rows", late)
        found |= _typical("s", seconds) if truth.step_s is not None else {}
    return {name: _known(value) for name, value in found.items()}


def drawn(truth: Truth, scores: Floats, threshold: float, draws: Draws) -> dict[str, Floats]:
    """Return the figures of `SURE` for each draw, shape (draw,)."""
    labels = truth.labels
    found = _volumes(Surface(labels, scores, truth.window, draws.borders), draws) if draws.has_events else {}
    if math.isnan(threshold):
        return found
    flagged = scores > threshold
    hits, n_flagged, n_anomalous = (draws.sums(rows) for rows in (labels & flagged, flagged, labels))
    normal_flagged, n_normal = draws.sums(flagged & ~labels), draws.sums(~labels)
    marks = np.zeros((3, len(labels)))  # events, events found, false alarms: each at its first row
    for series, start, part in truth.each(scores):
        own, flags = _labels(series), part > threshold
        events = [start + first for first, _ in metrics.segments(own)]
        marks[0, events] = 1
        marks[1, events] = ~np.isnan(metrics_events.delays(own, flags))
        marks[2, [start + first for first, _ in metrics_events.false_alarms(own, flags)]] = 1
    n_events, n_found, n_false = (draws.sums(rows) for rows in marks)
    if draws.has_events:
        found["precision"] = hits / np.maximum(n_flagged, 1)
        found["recall"] = hits / n_anomalous
        found["f1"] = 2 * hits / (n_flagged + n_anomalous)
        found["event_recall"] = n_found / n_events
    found["false_alarm_rate"] = n_false / n_normal * truth.rate_unit[1]
    found["normal_flagged"] = normal_flagged / n_normal
    return found


def _volumes(surface: Surface, draws: Draws) -> dict[str, Floats]:
    """Return the volumes of each draw, by some windows only: what these miss of all rows' volume is added to each."""
    step = max(1, surface.window // _WINDOWS)
    some = surface.volumes(np.ones((1, len(draws.borders))), step)
    volumes = surface.volumes(draws.weights, step) - some + np.array(surface.volume())
    return {"vus_roc": volumes[:, 0], "vus_pr": volumes[:, 1]}


def with_interval(value: float | None, values: Floats | None) -> dict[str, Any]:
    """Return a figure and its interval of 95 %, null if there is none."""
    found = None if values is None or value is None or not len(values) else bootstrap.interval(values)
    low, high = found or (None, None)
    return {"value": value, "low": low, "high": high}


def at_least_unseen(truth: Truth, rate: dict[str, Any]) -> dict[str, Any]:
    """Give a rate of no false alarms at all the interval of Poisson's law: no draw has one, yet some may come."""
    if rate["value"] != 0:
        return rate
    return rate | {"low": 0.0, "high": -math.log(0.025) / int((~truth.labels).sum()) * truth.rate_unit[1]}


def _labels(series: Series) -> NDArray[np.bool_]:
    return np.zeros(len(series), dtype=np.bool_) if series.labels is None else series.labels == 1


def _events(truth: Truth, scores: Floats, threshold: float) -> tuple[Floats, Floats, int]:
    """Return the delay of each event in rows and in seconds, NaN if missed, and the number of false alarms."""
    rows: list[Floats] = []
    seconds: list[Floats] = []
    n_false = 0
    for series, _, part in truth.each(scores):
        labels, flagged = _labels(series), part > threshold
        late = metrics_events.delays(labels, flagged)
        first = np.array([start for start, _ in metrics.segments(labels)], dtype=np.intp)
        at = first + np.nan_to_num(late).astype(np.intp)
        span = (series.ticks[at] - series.ticks[first]) / TICKS_PER_S
        rows.append(late)
        seconds.append(np.where(np.isnan(late), np.nan, span))
        n_false += len(metrics_events.false_alarms(labels, flagged))
    return np.concatenate(rows), np.concatenate(seconds), n_false


def _typical(unit: str, late: Floats) -> dict[str, float]:
    known = late[~np.isnan(late)]
    mean, median = (float(np.mean(known)), float(np.median(known))) if len(known) else (math.nan, math.nan)
    return {f"delay_{unit}_mean": mean, f"delay_{unit}_median": median}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
