"""Remake the shipped detectors, what fine-tuning starts from, their model cards, scores and the examples: make weights DATA=folder.

The scenario is eBay's Pooled Server Metrics (PSM), of which the data folder holds a fragment: the first 399 rows of its
training part and the first 8,386 of its test part. We train on the 399 and on the test part's first 3,000
rows, rounded as the example file has them; the last 5,386 are unseen. No label is used but to measure the unseen rows. See
docs/decisions/0005-scenario.md. A second folder, if given, keeps the runs: what was trained in it isn't trained again.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import polars as pl

from oddwave import baselines
from oddwave.detector import Detector
from oddwave.evaluate import Evaluation, evaluate
from oddwave.train import names, neural, train
from oddwave.train.folder import CHECKPOINT
from oddwave.train.start import save_small

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
LISTED = (baselines.TWO_TERMS, baselines.NO_MODEL, baselines.PCA, baselines.RANDOM)  # beside the models in scores.json
NORMAL, UNSEEN = EXAMPLES / "server_metrics_normal.csv.gz", EXAMPLES / "server_metrics.csv.gz"


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
    UNSEEN.write_bytes(gzip.compress(csv(unseen), 9, mtime=0))
    NORMAL.write_bytes(gzip.compress(csv(normal.drop("label")), 9, mtime=0))


def csv(table: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    rounded = table.with_columns(pl.col(pl.Float64).round(DIGITS))
    rounded.write_csv(out)
    return out.getvalue()


def remake(model: str, run: Path) -> tuple[Detector, str]:
    """Train a shipped detector in a run folder; return it, and how long that took.

    A detector that came out as it was keeps the time that its card names: the same training gives the same files.
    """
    file, card_file = WEIGHTS / f"{model}.onnx", WEIGHTS / f"{model}.md"
    before = file.read_bytes() if file.exists() and card_file.exists() else b""
    goes_on, began = (run / CHECKPOINT).exists(), time.process_time()
    detector = train(NORMAL, model=model, out=run, resume=goes_on, data_name=DATA_NAME, licence=LICENCE)
    took = f"{max(1, round(time.process_time() - began))} s of one CPU core (AMD EPYC)"
    said = re.search(r"^\| training time \| (.*) \|$", card_file.read_text(), re.MULTILINE) if before else None
    if said and (goes_on or detector.data == before):
        took = said[1]
    file.write_bytes(detector.data)
    if model in neural():
        save_small(run / CHECKPOINT, WEIGHTS / f"{model}.safetensors")
    return detector, took


def table(found: Evaluation) -> str:
    """Put the detector, in both ways to score, and the baselines into the lines of a table."""
    figures = found.figures
    rows = {f"**{found.metadata.model}**, `{way}`": figures[way]["detector"] for way in ("full", "causal")}
    keys = ("vus_pr", "auc_pr", "precision", "recall", "f1")
    return "\n".join(
        f"| {name} | {' | '.join(f'{row[key]:.3f}' for key in keys)} | {row['normal_flagged']:.1%} | {row['adjusted_f1']:.3f} |"
        for name, row in (rows | figures["full"]["baselines"]).items()
    )


def card(detector: Detector, found: Evaluation, took: str) -> str:
    """Describe a detector: what it learned from, and how well it does on the unseen rows beside the baselines."""
    metadata, facts, data = detector.metadata, detector.metadata.training, found.figures["data"]
    settings = ", ".join(f"{key} {value}" for key, value in metadata.settings.items())
    epochs = f", {facts['epochs']} epochs (best: {facts['best_epoch']})" if "epochs" in facts else ""
    alarms = " / ".join(f"{way.alarm.threshold:.3f}" for way in (metadata.full, metadata.causal))
    seen = "; ".join(
        f"`{way}`: {verified['flagged']:,} of {verified['rows']:,} rows, {verified['expected_flagged']:.0f} expected"
        for way, verified in facts["verified"].items()
    )
    return f"""# {metadata.model}

A detector for one scenario, not for every series: train on your own normal data for yours.

| | |
| --- | --- |
| data | {facts["data"]} |
| licence of the data | {metadata.licence}; see NOTICE |
| trained on | {facts["rows"]:,} rows: {facts["fit"]:,} to fit{epochs}, a tenth to stop by; all to calibrate, after the last tenth verified; no labels |
| channels | {len(metadata.channels)}, scored {sum(metadata.scored)} |
| window, stride | {metadata.size}, {metadata.stride} |
| settings | {settings} |
| file | {len(detector.data):,} bytes |
| training time | {took} |
| threshold, `full` / `causal` | {alarms}, for {metadata.full.alarm.rate:.2g} of normal rows |
| above it, of the normal rows that verify | {seen} |

On the {data["rows"]:,} unseen rows that follow, {data["anomalous"]:,} of them labelled anomalous in \
{found.figures["full"]["detector"]["events"]} events. Every line has the same channels, smoothing and threshold rule; \
`oddwave evaluate` says what each is.

| score | VUS-PR | AUC-PR | precision | recall | F1 | normal rows flagged | point-adjusted F1 |
| --- | --- | --- | --- | --- | --- | --- | --- |
{table(found)}

VUS-PR with window {found.figures["vus_window"]}. The point-adjusted F1 counts an event as found whole if one of its rows is flagged: compare it with
that of the random score, which knows nothing. The labels of this data mark long stretches, and normal rows
that are flagged are mostly their surroundings.
"""


def main() -> None:
    data, *kept = map(Path, sys.argv[1:])
    write_examples(*read(data / "psm_fragment" if (data / "psm_fragment").is_dir() else data))
    scores: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for model in names():
            run = Path(kept[0] if kept else scratch) / model
            detector, took = remake(model, run)
            found = evaluate(UNSEEN, run, resamples=0)
            scores[model] = found.figures["full"]["detector"]
            scores |= {name: found.figures["full"]["baselines"][name] for name in LISTED}  # the same for each model
            (WEIGHTS / f"{model}.md").write_text(card(detector, found, took))
            example = detector.detect(EXAMPLES / "ts_ad.csv")
            events = ", ".join(f"{event.start_row} to {event.end_row}" for event in example.events)
            print(
                f"{model}: {len(detector.data):,} bytes, {took}; in the example the rows {events}\n{table(found)}",
                flush=True,
            )
    order = {name: {key: round(scores[name][key], 3) for key in ("vus_pr", "f1")} for name in (*names(), *LISTED)}
    (WEIGHTS / "scores.json").write_bytes(msgspec.json.format(msgspec.json.encode(order)) + b"\n")


if __name__ == "__main__":
    main()
