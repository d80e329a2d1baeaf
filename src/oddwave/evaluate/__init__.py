"""Evaluation: labelled rows that training never saw -> how good a detector is, beside baselines.

THE ORDER OF EVALUATION: read -> refuse training rows -> score -> baselines on the same rows -> figures -> draw again.

Nothing is chosen by the labels. A row without a score (warming up, in a gap) can raise no alarm: it counts as not
flagged and takes the lowest rank, for the detector and for every baseline, so an anomalous one counts as missed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np

from oddwave import baselines, config, leak, threshold
from oddwave.baselines import Baselines
from oddwave.bootstrap import Draws
from oddwave.config import Detection, Scoring
from oddwave.detector import Detector
from oddwave.errors import ConfigError, InputError
from oddwave.evaluate.evaluation import FILE_NAME, Evaluation
from oddwave.evaluate.figures import MEANING, SURE, Truth, at_least_unseen, drawn, measured, with_interval
from oddwave.one_pass import Pass
from oddwave.result import Result
from oddwave.series import TICKS_PER_S, Floats, Series

__all__ = ["FILE_NAME", "Evaluation", "evaluate"]

_MOST_WINDOW = 10_000
_NO_TRAINING_ROWS = (
    "The baselines have no thresholds, and PCA is left out: that takes training rows. Have them as train.* beside "
    "val.* in one folder, or give them as `train`."
)

Scores = dict[str, tuple[Floats, float]]  # scores of all rows and the threshold, by name; the first is the detector


def evaluate(
    data: Any,
    model: str | PathLike[str] | Detector,
    *,
    train: Any = None,
    out: str | PathLike[str] | None = None,
    scoring: str = "full",
    threshold: float | None = None,
    false_alarms: str | float | None = None,
    time_col: str | None = None,
    group_col: str | None = None,
    label_col: str = "label",
    window: int = 100,
    resamples: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Measure a detector on labelled rows, beside baselines on the same rows, with intervals.

    Parameters
    ----------
    data
        A file, a frame, several of them, or a folder with `val.*`; its label column holds 1 (anomalous) and 0.
    model
        A shipped detector, a detector file, a run folder, or a detector.
    train
        Training rows for the baselines, if the run folder has no baselines.json.
    out
        Folder for evaluate_result.json and evaluate_report.html; None: it is only returned.
    scoring
        The way to score that the first figures are of; the other one stands beside it.
    threshold
        Set by hand instead of the detector's own.
    false_alarms
        Another budget, as in `threshold.budget`.
    group_col
        Column that splits the table into series: figures are of all together, and of each.
    window
        Of VUS, in rows.
    resamples
        Draws of the bootstrap; 0: no intervals.
    seed
        Of the random baseline and of the bootstrap.

    Raises
    ------
    InputError
        If the data has no labels of both kinds, or holds rows that the detector was trained on.
    ConfigError
        If a setting can't be used.
    """
    given = {"scoring": scoring, "threshold": threshold, "false_alarms": false_alarms}
    chosen = config.build(Detection, {key: value for key, value in given.items() if value is not None}, "evaluate")
    _check("window", window, _MOST_WINDOW)
    _check("resamples", resamples, 10_000)
    detector = model if isinstance(model, Detector) else Detector.load(model)
    labelled, rows = _files(data, train)
    series = _read(labelled, detector, time_col, group_col, label_col)
    beside, notes = _baselines(detector, model, rows, series)
    notes += _leaks(detector, series)
    beside = _with_budget(beside, detector, chosen)
    ways: dict[str, dict[str, Scores]] = {}
    results: dict[str, list[Result]] = {}
    for way in get_args(Scoring):
        settings = Detection(scoring=way, threshold=chosen.threshold, false_alarms=chosen.false_alarms)
        scored = [_scored(detector, beside, one, settings, seed + at) for at, one in enumerate(series)]
        results[way] = [result for result, _ in scored]
        ways[way] = {one.title: scores for one, (_, scores) in zip(series, scored, strict=True)}
    truth = Truth(tuple(series), window, _step_s(detector, series, chosen))
    length = _block_rows(detector, len(truth.labels))
    draws = Draws(truth.labels, truth.starts, length, window // 2, resamples, seed)
    found = _found(truth, ways, results, draws, chosen, detector)
    found["bootstrap"] = {
        "resamples": len(draws.weights), "blocks": len(draws.borders), "block_rows": length, "share": 0.95, "seed": seed
    }  # fmt: skip
    found["notes"] = [*dict.fromkeys([*notes, *_notes(truth, draws, chosen, detector, beside)])]
    found["meaning"] = MEANING
    evaluation = Evaluation(found, tuple(results[chosen.scoring]), detector.metadata)
    if out is not None:
        evaluation.save(out)
    return evaluation


def _check(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ConfigError(f"evaluate: {name} is {value!r}, but must be a whole number from 0 to {most:,}.")


def _files(data: Any, train: Any) -> tuple[Any, Any]:
    """Return the labelled data and the training rows: of a folder `val.*` and, if none are given, `train.*`."""
    if not isinstance(data, (str, PathLike)) or not Path(data).is_dir():
        return data, train
    from oddwave.train import rows

    labelled = rows.val_file(data)
    if labelled is None:
        raise InputError(
            f"The folder {data} holds no file val.csv (.xlsx, .parquet) to evaluate on.\n"
            "Name the labelled file so, or give its path."
        )
    return labelled, rows.train_file(data) if train is None else train


def _read(data: Any, detector: Detector, time_col: str | None, group_col: str | None, label_col: str) -> list[Series]:
    """Return the series in time order, or say that their labels can't be measured against."""
    from oddwave import read

    series = [_ordered(one) for one in read.read(data, detector.columns(time_col, group_col, label_col))]
    known = np.concatenate([np.zeros(0, dtype=np.int8), *(one.labels for one in series if one.labels is not None)])
    if not known.any() or known.all():
        source = series[0].source if series else "The data"
        kind, other = ("1", "normal") if len(known) and known.all() else ("0", "anomalous")
        raise InputError(
            f"{source}: each of the {len(known):,} rows has the label {kind}: there is nothing to find.\n"
            f"Give rows of which some are labelled {other}."
        )
    return series


def _ordered(series: Series) -> Series:
    order = np.argsort(series.ticks, kind="stable")
    labels = None if series.labels is None else series.labels[order]
    return replace(
        series, values=series.values[order], ticks=series.ticks[order], index=series.index[order], labels=labels
    )


def _leaks(detector: Detector, series: Sequence[Series]) -> list[str]:
    sketch = detector.metadata.training.get("sketch", [])
    return [note for one in series if (note := leak.check(sketch, one))]


def _baselines(detector: Detector, model: Any, train: Any, series: Sequence[Series]) -> tuple[Baselines, list[str]]:
    """Return the run's baselines, or fit them to the training rows, or say what is missing without these."""
    if isinstance(model, (str, PathLike)):
        path = Path(model)
        found = baselines.read(path if path.is_dir() else path.parent, detector)
        if found is not None:
            return found, []
    if train is None:
        return baselines.bare(detector), [_NO_TRAINING_ROWS]
    from oddwave.train import Training, blocks, rows

    time = detector.metadata.time
    normal = rows.read(
        train, Training(feature_cols=tuple(detector.metadata.channels), max_gap=detector.metadata.max_gap)
    )
    for one in series:
        leak.check(normal.sketch, one)
    block = blocks.cut(normal.series)
    notes = (
        []
        if time.kind == normal.time.kind
        else [f"The times of {normal.source} are of another kind than the detector's."]
    )
    return baselines.fit(detector, blocks.spaced(block.learned), block.hold), notes


def _with_budget(beside: Baselines, detector: Detector, chosen: Detection) -> Baselines:
    if chosen.false_alarms is None:
        return beside
    return beside.with_budget(threshold.budget(chosen.false_alarms), threshold.seconds_a_row(detector.metadata))


def _scored(
    detector: Detector, beside: Baselines, series: Series, settings: Detection, seed: int
) -> tuple[Result, Scores]:
    """Score one series by the detector and by each baseline, rows that the detector can't score last of all."""
    result = detector.detect_series(series, settings)
    cleaned = _pass(detector, series, settings).cleaner.push(series.ticks, result.series.values)
    stretches = [values for values, _ in cleaned.stretches]
    is_known = ~np.isnan(result.score)
    place = cleaned.position[is_known]
    found: Scores = {detector.metadata.model: (np.where(is_known, result.score, -np.inf), result.threshold)}
    for name, (values, limit) in beside.scores(detector, stretches, settings.scoring, seed).items():
        score = np.full(len(series), -np.inf)
        score[is_known] = values[place]
        found[name] = (score, limit)
    flagged = float(np.mean(result.label[is_known] == 1)) if is_known.any() else 0.0
    found[baselines.ALL] = (np.ones(len(series)), 0.5)
    chance = np.full(len(series), -np.inf)
    chance[is_known] = baselines.as_many(flagged, len(place), seed)
    found[baselines.AS_MANY] = (chance, 0.0)
    return result, {name: found[name] for name in (detector.metadata.model, *baselines.MEANS) if name in found}


def _pass(detector: Detector, series: Series, settings: Detection) -> Pass:
    return Pass(detector.metadata, lambda limit: detector.stretch_scorer(settings.scoring, limit), settings, series)


def _step_s(detector: Detector, series: Sequence[Series], settings: Detection) -> float | None:
    """Return the mean seconds from row to row, if all times are dates."""
    steps = [_pass(detector, one, settings).cleaner.step for one in series if one.kind == "datetime"]
    known = [step / TICKS_PER_S for step in steps if step]
    return float(np.mean(known)) if len(known) == len(series) else None


def _block_rows(detector: Detector, n_rows: int) -> int:
    """Return the least rows of a block: rows as far apart as that share no row that either score read."""
    about = detector.metadata
    reach = about.size + about.full.long_rolling + about.full.smoothing
    return max(reach, min(2 * reach, n_rows // 20))


def _found(
    truth: Truth, ways: dict[str, dict[str, Scores]], results: dict[str, list[Result]], draws: Draws,
    chosen: Detection, detector: Detector,
) -> dict[str, Any]:  # fmt: skip
    labels, about = truth.labels, detector.metadata
    pooled = {way: _pooled(list(scores.values())) for way, scores in ways.items()}
    tables = {way: _table(truth, scores, way, draws) for way, scores in pooled.items()}
    first = tables[chosen.scoring]["detector"]
    unscored = {way: np.concatenate([np.isnan(one.score) for one in found]) for way, found in results.items()}
    groups = [
        {"series": one.title, "rows": len(one), "anomalous": int(np.sum(one.labels)) if one.labels is not None else 0}
        | {way: _values(Truth((one,), truth.window, truth.step_s), ways[way][one.title], way) for way in ways}
        for one in truth.series
        if len(truth.series) > 1
    ]
    return {
        "done_flag": True,
        **{name: first[name] for name in ("f1", "recall", "precision")},
        "model": about.model,
        "scoring": chosen.scoring,
        "data": {
            "series": [one.title for one in truth.series],
            "rows": len(labels),
            "anomalous": int(labels.sum()),
            "step_s": truth.step_s,
            "false_alarms_per": truth.rate_unit[0],
            "without_score": {way: int(rows.sum()) for way, rows in unscored.items()},
            "anomalous_without_score": {way: int((rows & labels).sum()) for way, rows in unscored.items()},
        },
        "threshold": {
            "set_by": _set_by(chosen),
            **{way: scores[about.model][1] for way, scores in pooled.items()},
            "expected_flagged": {
                way: threshold.row_rate(getattr(about, way).alarm, scores[about.model][1])
                for way, scores in pooled.items()
            },
            "expected_false_alarm_rate": {
                way: threshold.event_rate(getattr(about, way).alarm, scores[about.model][1]) * truth.rate_unit[1]
                for way, scores in pooled.items()
            },
        },
        "vus_window": truth.window,
        **tables,
        "groups": groups,
    }


def _set_by(chosen: Detection) -> str:
    if chosen.threshold is not None:
        return "hand"
    return "the detector, for another budget of false alarms" if chosen.false_alarms is not None else "the detector"


def _pooled(each: list[Scores]) -> Scores:
    """Lay the scores of several series end to end."""
    names = [name for name in each[0] if all(name in scores for scores in each)]
    return {name: (np.concatenate([scores[name][0] for scores in each]), each[0][name][1]) for name in names}


def _values(truth: Truth, scores: Scores, way: str) -> dict[str, Any]:
    found = {name: measured(truth, *pair, has_delay=way == "causal") for name, pair in scores.items()}
    model = next(iter(scores))
    return {"detector": found.pop(model), "baselines": found}


def _table(truth: Truth, scores: Scores, way: str, draws: Draws) -> dict[str, Any]:
    """Measure the detector and the baselines, with intervals, and the detector's difference from each."""
    found = _values(truth, scores, way)
    again = {name: drawn(truth, *pair, draws) if len(draws.weights) else {} for name, pair in scores.items()}
    model, *names = scores
    values = {model: found["detector"], **found["baselines"]}
    intervals = {
        name: {key: with_interval(row[key], again[name].get(key)) for key in SURE if key in row}
        for name, row in values.items()
    }
    for figures in intervals.values():
        if "false_alarm_rate" in figures:
            figures["false_alarm_rate"] = at_least_unseen(truth, figures["false_alarm_rate"])
    difference: dict[str, Any] = {}
    for name in names:
        difference[name] = {}
        for key in (key for key in SURE if values[name].get(key) is not None and values[model].get(key) is not None):
            paired = again[model][key] - again[name][key] if key in again[model] and key in again[name] else None
            difference[name][key] = with_interval((values[model][key] or 0.0) - (values[name][key] or 0.0), paired)
    return {**found, "intervals": intervals, "difference": difference}


def _notes(truth: Truth, draws: Draws, chosen: Detection, detector: Detector, beside: Baselines) -> list[str]:
    notes = [note for one in truth.series for note in one.notes]
    if chosen.threshold is not None:
        notes.append(
            "The threshold was set by hand: figures at it are not what the detector promises, and if labels helped "
            "to choose it, they flatter."
        )
    if not len(draws.weights):
        notes.append(f"No intervals: the rows make {len(draws.borders)} blocks of time, too few to draw from.")
    elif not draws.has_events:
        count = f"{draws.n_with_events} block{'s' if draws.n_with_events > 1 else ''}"
        notes.append(f"No intervals for what is measured on events: they lie in {count} of time, too few to draw from.")
    kinds = {one.kind for one in truth.series}
    if detector.metadata.time.kind not in kinds:
        notes.append("The times are of another kind than those the detector was trained with.")
    if beside.full and math.isinf(detector.metadata.full.alarm.threshold):
        notes.append("The detector has no threshold.")
    return notes


class _Callable(ModuleType):
    """Lets `oddwave.evaluate(...)` evaluate, though `oddwave.evaluate` is also the name of this package."""

    __call__: Callable[..., Evaluation] = staticmethod(evaluate)


sys.modules[__name__].__class__ = _Callable
