"""Remake the shipped detectors, their model cards, their scores and the example files: make weights DATA=folder.

The scenario is eBay's Pooled Server Metrics (PSM), of which the data folder holds a fragment: the first 399 rows of its
training part and the first 8,386 of its test part. We train on the 399 and on the test part's first 3,000
rows; the last 5,386 are unseen. No label is used but to measure the unseen rows. See docs/decisions/0005-scenario.md.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from oddwave import baselines, metrics
from oddwave.detector import Detector
from oddwave.series import Floats
from oddwave.train import FIT, HOLD, STOP, VERIFY, names, split, train

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "src" / "oddwave" / "weights"
EXAMPLES = ROOT / "examples"
TRAINED_ROWS = 3000  # of the test part
DIGITS = 6  # decimals in the example files
EXAMPLE_START = 4759  # of the unseen rows: 96 rows in which an anomaly begins at row 40
DATA_NAME = (
    "eBay Pooled Server Metrics (PSM), a fragment: rows 0-398 of train, 0-2999 of test; 25 metrics, a row a minute"
)
LICENCE = "CC-BY-4.0"
WINDOW = 100  # of VUS
WITHOUT = "no model: spread + distance"
BESIDE = {  # baselines by the names that the cards and scores.json give them
    WITHOUT: baselines.TWO_TERMS,
    "random": baselines.RANDOM,
    "largest z-score of a channel": baselines.Z_MAX,
    "mean z-score": baselines.Z_MEAN,
    "PCA of single rows": baselines.PCA,
}
LISTED = (WITHOUT, "PCA of single rows", "random")  # those in scores.json


def read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to train on and the unseen ones with their labels, time column `timestamp`."""
    first = pl.read_csv(folder / "train_0_398_rounded9.csv", infer_schema_length=None)
    rest = pl.read_csv(folder / "test_132480_140865.csv", infer_schema_length=None)
    labels = pl.read_csv(folder / "test_label_full.csv", infer_schema_length=None)
    time = rest.columns[0]
    rest = rest.join(labels, on=time, how="left")
    if rest["label"].null_count():
        raise SystemExit(f"{folder}: rows without a label")
    tables = [first.with_columns(label=pl.lit(0, pl.Int64)), rest]
    tables = [
        table.rename({time: "timestamp"}).with_columns(
            pl.col("timestamp").cast(pl.Int64), pl.exclude("timestamp", "label").cast(float)
        )
        for table in tables
    ]
    whole = [table.select("timestamp", *sorted_features(table), "label") for table in tables]
    return pl.concat([whole[0], whole[1][:TRAINED_ROWS]]), whole[1][TRAINED_ROWS:]


def sorted_features(table: pl.DataFrame) -> list[str]:
    return sorted((name for name in table.columns if name.startswith("feature_")), key=lambda name: int(name[8:]))


def write_examples(normal: pl.DataFrame, unseen: pl.DataFrame) -> None:
    """Write the 96-row example, the unseen rows with labels, and the training rows."""
    EXAMPLES.mkdir(exist_ok=True)
    example = unseen[EXAMPLE_START : EXAMPLE_START + 96].drop("label")
    (EXAMPLES / "ts_ad.csv").write_bytes(csv(example))
    # mtime 0: the same rows give the same bytes
    (EXAMPLES / "server_metrics.csv.gz").write_bytes(gzip.compress(csv(unseen), 9, mtime=0))
    (EXAMPLES / "server_metrics_normal.csv.gz").write_bytes(gzip.compress(csv(normal.drop("label")), 9, mtime=0))


def csv(table: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    rounded = table.with_columns(pl.col(pl.Float64).round(DIGITS))
    rounded.write_csv(out)
    return out.getvalue()


Measured = dict[str, dict[str, float]]  # figures by the name of the score


def measure(detector: Detector, normal: Floats, unseen: Floats, labels: np.ndarray) -> Measured:
    """Measure a detector and the baselines on the unseen rows, each with its own threshold from the held-out rows."""
    metadata = detector.metadata
    # the two parts of the training rows are months apart: two stretches
    fit, stop, hold = split([normal[:-TRAINED_ROWS], normal[-TRAINED_ROWS:]], (FIT, STOP, HOLD + VERIFY))
    scores: dict[str, tuple[Floats, float]] = {}
    for scoring in ("full", "causal"):
        result = detector.detect(unseen, scoring=scoring)
        scores[f"**{metadata.model}**, `{scoring}`"] = (np.nan_to_num(result.score), result.threshold)
    found, threshold = scores[f"**{metadata.model}**, `full`"]
    beside = baselines.fit(detector, [*fit, *stop], hold).scores(detector, [unseen], "full")
    scores |= {title: beside[name] for title, name in BESIDE.items()}
    chance = np.random.default_rng(1).random(len(labels))
    flagged = float((found > threshold).mean())
    scores["random, unsmoothed, as many rows flagged"] = (chance, float(np.quantile(chance, 1 - flagged)))
    return {name: _measure(*pair, labels) for name, pair in scores.items()}


def _measure(score: Floats, threshold: float, labels: np.ndarray) -> dict[str, float]:
    return metrics.measure(labels, score, threshold, WINDOW) | {
        "flagged": float((score > threshold)[labels == 0].mean())
    }


def card(detector: Detector, found: Measured, labels: np.ndarray, took: str) -> str:
    """Describe a detector: what it learned from, and how well it does on the unseen rows beside the baselines."""
    metadata, facts = detector.metadata, detector.metadata.training
    keys = ("vus_pr", "auc_pr", "precision", "recall", "f1")
    lines = [
        (name, *(f"{row[key]:.3f}" for key in keys), f"{row['flagged']:.1%}", f"{row['adjusted_f1']:.3f}")
        for name, row in found.items()
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    settings = ", ".join(f"{key} {value}" for key, value in metadata.settings.items())
    epochs = f", {facts['epochs']} epochs (best: {facts['best_epoch']})" if "epochs" in facts else ""
    size = len(detector.data)
    return f"""# {metadata.model}

A detector for one scenario, not for every series: train on your own normal data for yours.

| | |
| --- | --- |
| data | {metadata.training["data"]} |
| licence of the data | {metadata.licence}; see NOTICE |
| trained on | {facts["rows"]:,} rows: {facts["fit"]:,} to fit{epochs}, a tenth to stop by, a fifth to calibrate; no labels |
| channels | {len(metadata.channels)}, scored {sum(metadata.scored)} |
| window, stride | {metadata.size}, {metadata.stride} |
| settings | {settings} |
| file | {size:,} bytes |
| training time | {took} |
| threshold, `full` / `causal` | {metadata.full.alarm.threshold:.3f} / {metadata.causal.alarm.threshold:.3f}, for {metadata.full.alarm.rate:g} of normal rows |

On the {len(labels):,} unseen rows that follow, {int(labels.sum()):,} of them labelled anomalous in \
{len(metrics.segments(labels))} events. Every line has the same channels, smoothing and threshold rule.

| score | VUS-PR | AUC-PR | precision | recall | F1 | normal rows flagged | point-adjusted F1 |
| --- | --- | --- | --- | --- | --- | --- | --- |
{table}

VUS-PR with window {WINDOW}. The point-adjusted F1 counts an event as found whole if one of its rows is flagged: compare it with
that of the random score, which knows nothing. The labels of this data mark long stretches, and part of the
normal rows that are flagged are their surroundings; the rest is drift, which a threshold from the past can't know.
"""


def remake(model: str, normal: pl.DataFrame) -> tuple[Detector, str]:
    """Train a shipped detector; return it, and how long that took.

    A detector that came out as it was keeps the time that its card names: the same training gives the same files.
    """
    file, card_file = WEIGHTS / f"{model}.onnx", WEIGHTS / f"{model}.md"
    before = file.read_bytes() if file.exists() and card_file.exists() else b""
    began = time.process_time()
    detector = train(normal.drop("label"), model=model, false_alarms=0.001, data_name=DATA_NAME, licence=LICENCE)
    took = f"{max(1, round(time.process_time() - began))} s of one CPU core (AMD EPYC)"
    if detector.data == before and (
        said := re.search(r"^\| training time \| (.*) \|$", card_file.read_text(), re.MULTILINE)
    ):
        took = said[1]
    file.write_bytes(detector.data)
    return detector, took


def main() -> None:
    normal, unseen = read(Path(sys.argv[1]) / "psm_fragment")
    write_examples(normal, unseen)
    features = sorted_features(normal)
    values = {name: table.select(features).to_numpy() for name, table in (("normal", normal), ("unseen", unseen))}
    labels = unseen["label"].to_numpy()
    scores: Measured = {}
    for model in names():
        detector, took = remake(model, normal)
        found = measure(detector, values["normal"], values["unseen"], labels)
        scores[model] = found[f"**{model}**, `full`"]
        scores |= {name: found[name] for name in LISTED}  # the same for each model
        text = card(detector, found, labels, took)
        (WEIGHTS / f"{model}.md").write_text(text)
        example = detector.detect(EXAMPLES / "ts_ad.csv")
        print(
            f"{model}: {len(detector.data):,} bytes, {took}; example: {int((example.label == 1).sum())} of 96 rows "
            f"anomalous, from row {int(np.argmax(example.label == 1))}; events {len(example.events)}"
        )
        print(text[text.index("| score") : text.index("VUS-PR with")], flush=True)
    listed = {name: {key: round(row[key], 3) for key in ("vus_pr", "f1")} for name, row in scores.items()}
    order = {name: listed[name] for name in (*names(), *LISTED)}
    (WEIGHTS / "scores.json").write_bytes(msgspec.json.format(msgspec.json.encode(order)) + b"\n")


if __name__ == "__main__":
    main()
