"""Accuracy of every model on the multivariate series of a data folder: make accuracy DATA=folder.

One configuration a model for all series, no labels in training, thresholds from held-out training rows. The baselines have the
same channels, smoothing and threshold rule. `index.csv` in the folder names the series: dataset, entity, train, val.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from baselines import limit, raw_scores, terms, without_model

from oddwave import metrics
from oddwave.detector import Detector
from oddwave.series import Floats
from oddwave.train import FIT, HOLD, STOP, names, split, train

DATASETS = ("smd", "jumpstarter", "msl", "smap")
WINDOW = 100  # of VUS
RATE = 0.001
Figures = dict[str, float]


def scored(detector: Detector, values: Floats) -> dict[str, tuple[Floats, float]]:
    """Return scores and threshold by name, both ways; rows that are warming up get the least score."""
    found = {}
    for scoring in ("full", "causal"):
        result = detector.detect(values, scoring=scoring)
        found[f"{detector.metadata.model}, {scoring}"] = (np.nan_to_num(result.score), result.threshold)
    return found


def baselines(detector: Detector, train_values: Floats, values: Floats) -> dict[str, tuple[Floats, float]]:
    """Score the same rows without a model; `detector` gives channels, smoothing and calibration."""
    fit, stop, hold = split([train_values], (FIT, STOP, HOLD))
    held, found = (without_model(detector, terms(detector, part)) for part in (hold, [values]))
    out = {"no model: spread + distance": (found, limit(held, RATE))}
    for name, (held, found) in raw_scores(detector.metadata, [*fit, *stop], hold, values).items():
        out[name] = (found, limit(held, RATE))
    return out


def measured(labels: np.ndarray, score: Floats, threshold: float) -> Figures:
    return {
        "vus_pr": metrics.vus(labels, score, WINDOW).pr,
        "f1": metrics.point(labels, score, threshold).f1,
        "flagged": float((score > threshold)[labels == 0].mean()),
    }


def one_series(folder: Path, row: dict[str, str]) -> dict[str, Figures]:
    tables = [pl.read_parquet(folder / row[part]) for part in ("train", "val")]
    labels = tables[1]["label"].to_numpy()
    channels = [name for name in tables[0].columns if name not in ("timestamp", "label")]
    before, after = (table.select(channels).to_numpy().astype(float) for table in tables)
    scores: dict[str, tuple[Floats, float]] = {}
    for model in names():
        detector = train(before, model=model, rate=RATE)
        if not scores:
            scores = baselines(detector, before, after)
        scores |= scored(detector, after)
    return {name: measured(labels, score, threshold) for name, (score, threshold) in scores.items()}


def table(found: dict[tuple[str, str], dict[str, Figures]], key: str) -> str:
    """Average over the series of a dataset, then over datasets."""
    lines = [f"| {key} | " + " | ".join(DATASETS) + " | mean |", "| --- |" + " --- |" * (len(DATASETS) + 1)]
    for name in next(iter(found.values())):
        means = [np.mean([rows[name][key] for (dataset, _), rows in found.items() if dataset == d]) for d in DATASETS]
        lines.append(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in [*means, np.mean(means)]) + " |")
    return "\n".join(lines)


def main() -> None:
    folder = Path(sys.argv[1])
    index = pl.read_csv(folder / "index.csv").filter(pl.col("dataset").is_in(DATASETS) & (pl.col("channels") > 1))
    found = {}
    for row in index.iter_rows(named=True):
        found[row["dataset"], row["entity"]] = one_series(folder, row)
        print(f"{row['dataset']} {row['entity']}", file=sys.stderr, flush=True)
    print(f"{len(found)} series, thresholds for {RATE:g} of held-out rows, VUS window {WINDOW}\n")
    for key in ("vus_pr", "f1", "flagged"):
        print(table(found, key) + "\n")


if __name__ == "__main__":
    main()
