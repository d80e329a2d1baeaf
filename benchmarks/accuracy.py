"""Accuracy of every model on the multivariate series of a data folder: make accuracy DATA=folder -> docs/accuracy.md.

One configuration a model for all series, three seeds, no labels in training, thresholds from training rows alone. `index.csv` in
the folder names the series: dataset, entity, train, val, channels. Two processes work, a thread each; what is done is kept in
`.accuracy/`, by the source code it was done with, so that a broken run goes on. `accuracy_page.py` writes the page.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before numpy is loaded

import accuracy_page
import numpy as np
import polars as pl

import oddwave
from oddwave import baselines, metrics, metrics_events, score, threshold
from oddwave.detector import Detector
from oddwave.metadata import TERMS
from oddwave.series import Floats
from oddwave.terms import curve, surprises
from oddwave.train import blocks, fitting, names, neural, train

ROOT = Path(__file__).resolve().parent.parent
DATASETS = ("smd", "jumpstarter", "msl", "smap")
WINDOW = 100  # of VUS
BUDGET, RARE = 0.01, 0.001
SEEDS = (0, 1, 2)
PIECE = 96
# Epochs and windows an epoch: less than the default plans, so that all is done within an hour on two cores.
PLANS = {
    "DLinear_ad": (8, 2048),
    "AutoEncoder_ad": (8, 2048),
    "PatchTST_ad": (4, 768),
    "Nonstationary_ad": (4, 1024),
    "TimesNet_ad": (4, 1024),
}
ABLATED = ("PCA_ad", "DLinear_ad")
VARIANTS = ("as it is", "every channel scored", "no smoothing", "errors in deviations")
LENGTHS = {"1 to 10 rows": (1, 10), "11 to 50": (11, 50), "over 50": (51, 1 << 60)}
Figures = dict[str, Any]


class Job(NamedTuple):
    """One training and all that is measured with it."""

    dataset: str
    entity: str
    model: str
    seed: int
    variant: str = VARIANTS[0]

    @property
    def file(self) -> str:
        """Return the name of the file that keeps what was measured."""
        return f"{'.'.join(map(str, self))}.json".replace(" ", "-")


class Series(NamedTuple):
    """Rows to train on, unseen rows, and the labels of these."""

    before: Floats
    after: Floats
    labels: np.ndarray


def read(folder: Path, row: dict[str, str]) -> Series:
    before, after = (pl.read_parquet(folder / row[part]) for part in ("train", "val"))
    channels = [name for name in before.columns if name not in ("timestamp", "label")]
    first, second = (table.select(channels).to_numpy().astype(float) for table in (before, after))
    return Series(first, second, after["label"].to_numpy())


def trained(job: Job, series: Series) -> Detector:
    """Train as the variant says."""
    settings: dict[str, Any] = {"false_alarms": BUDGET}
    if job.model in neural():
        epochs, windows = PLANS[job.model]
        settings |= {"seed": job.seed, "epochs": epochs, "epoch_windows": windows}
    if job.variant == "no smoothing":
        settings |= {"smoothing": 1, "causal_smoothing": 1}
    if job.variant == "errors in deviations":
        ones = np.ones(series.before.shape[1])
        with mock.patch.object(fitting.Usual, "of", return_value=ones):
            return train(series.before, model=job.model, **settings)
    if job.variant == "every channel scored":
        settings["scored"] = train(series.before, model="ZScore_ad").metadata.channels
    return train(series.before, model=job.model, **settings)


def detected(detector: Detector, values: Floats, scoring: str) -> tuple[Floats, float]:
    """Return scores and threshold; rows that are warming up get the least score."""
    result = detector.detect(values, scoring=scoring)
    return np.nan_to_num(result.score), result.threshold


def in_pieces(detector: Detector, values: Floats) -> Floats:
    """Score a series as users with one window of rows would: each piece by itself."""
    scores = np.zeros(len(values))
    for start in range(0, len(values), PIECE):
        last = min(start + PIECE, len(values))
        piece = detector.detect(values[max(last - PIECE, 0) : last]).score
        scores[start:last] = np.nan_to_num(piece)[-(last - start) :]
    return scores


def measured(labels: np.ndarray, scores: Floats, limit: float, rare: float | None = None) -> Figures:
    flags = scores > limit
    delays = metrics_events.delays(labels, flags)
    lengths = np.array([stop - start for start, stop in metrics.segments(labels)])
    found = {
        "vus_pr": metrics.vus(labels, scores, WINDOW).pr,
        "f1": metrics.point(labels, scores, limit).f1,
        "oracle_f1": metrics.oracle_f1(labels, scores),
        "flagged": float(flags[labels == 0].mean()),
        "events": {
            name: delays[(lengths >= low) & (lengths <= high)].tolist() for name, (low, high) in LENGTHS.items()
        },
    }
    return found if rare is None else found | {"rare_f1": metrics.point(labels, scores, rare).f1}


def one(job: Job, series: Series) -> Figures:
    """Train once, and measure."""
    began = time.process_time()
    detector = trained(job, series)
    out: Figures = {"seconds_to_train": time.process_time() - began, "scores": {}}
    out["verified"] = detector.metadata.training.get("verified", {})
    for scoring in ("full", "causal"):
        scores, limit = detected(detector, series.after, scoring)
        alarm = getattr(detector.metadata, scoring).alarm
        out["scores"][f"{job.model}, {scoring}"] = measured(series.labels, scores, limit, threshold.limit(alarm, RARE))
    if job.variant == VARIANTS[0] and job.seed == 0:
        limit = detector.metadata.full.alarm.threshold
        out["scores"][f"{job.model}, pieces"] = measured(series.labels, in_pieces(detector, series.after), limit)
        if job.model in ABLATED:
            out["ablations"] = ablations(detector, series)
    if job.model == "PCA_ad" and job.variant in VARIANTS[:2]:
        out["baselines"] = beside(detector, series)
    return out | {"seconds": time.process_time() - began}


def beside(detector: Detector, series: Series) -> dict[str, dict[str, Figures]]:
    """Measure the baselines: same channels, smoothing, calibration and budget as the detector's."""
    cut = blocks.cut([[series.before]])
    fitted = baselines.fit(detector, cut.learned, [*cut.hold, *cut.verify], BUDGET)
    return {
        scoring: {
            name: measured(series.labels, np.nan_to_num(scores), limit)
            for name, (scores, limit) in fitted.scores(detector, [series.after], scoring).items()
            if name != baselines.ALL
        }
        for scoring in ("full", "causal")
    }


def ablations(detector: Detector, series: Series) -> dict[str, Figures]:
    """Leave out a term, or all but one: what each adds."""
    scorer = detector.stretch_scorer("full", np.inf)
    terms = np.concatenate([scorer.push(series.after).terms, scorer.finish().terms])
    way = detector.metadata.full
    rare = np.nan_to_num(surprises(terms, [curve(getattr(way, term)) for term in TERMS]))
    chosen = {f"without {term}": [i for i in range(len(TERMS)) if i != left] for left, term in enumerate(TERMS)}
    chosen |= {f"{term} alone": [i] for i, term in enumerate(TERMS)}
    return {
        name: measured(series.labels, score.fuse(np.ascontiguousarray(rare[:, columns])), np.inf)
        for name, columns in chosen.items()
    }


def jobs(rows: list[dict[str, str]]) -> Iterator[Job]:
    """List what is to be done: the first seed of all, then variants, then the other seeds."""
    order = sorted(names(), key=lambda name: (name in neural(), name))
    for model in order:
        yield from (Job(row["dataset"], row["entity"], model, 0) for row in rows)
    for model in ABLATED:
        for variant in VARIANTS[1:]:
            yield from (Job(row["dataset"], row["entity"], model, 0, variant) for row in rows)
    for seed in SEEDS[1:]:
        for model in order:
            if model in neural():
                yield from (Job(row["dataset"], row["entity"], model, seed) for row in rows)


def work(job: Job, folder: Path, row: dict[str, str], cache: Path) -> Figures:
    """Do a job, or read what was done; a process of the pool runs this."""
    file = cache / job.file
    if file.is_file():
        found: Figures = json.loads(file.read_text("utf-8"))
        return found
    found = one(job, read(folder, row))
    part = file.with_suffix(".part")
    part.write_text(json.dumps(found), "utf-8")
    part.replace(file)
    return found


def source() -> str:
    """Return a hash of the code that the figures depend on."""
    files = sorted([*Path(oddwave.__file__).parent.rglob("*.py"), Path(__file__)])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "accuracy.md")
    parser.add_argument("--cache", type=Path, default=ROOT / ".accuracy" / source())
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--models", help="only these, with commas between")
    parser.add_argument("--entities", help="only these, with commas between")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    index = pl.read_csv(given.data / "index.csv").filter(pl.col("dataset").is_in(DATASETS) & (pl.col("channels") > 1))
    rows = [row for row in index.iter_rows(named=True) if row["train"]]
    if given.entities:
        rows = [row for row in rows if row["entity"] in given.entities.split(",")]
    by_entity = {row["entity"]: row for row in rows}
    wanted = [job for job in jobs(rows) if job.seed < given.seeds]
    if given.models:
        wanted = [job for job in wanted if job.model in given.models.split(",")]
    given.cache.mkdir(parents=True, exist_ok=True)
    began, found = time.monotonic(), {}
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(work, job, given.data, by_entity[job.entity], given.cache): job for job in wanted}
        for done, future in enumerate(as_completed(running), 1):
            job = running[future]
            found[job] = future.result()
            minutes = (time.monotonic() - began) / 60
            line = f"{done} of {len(wanted)}, {minutes:.1f} min: {' '.join(map(str, job))}"
            print(f"{line} ({found[job]['seconds']:.0f} s)", file=sys.stderr, flush=True)
    page = accuracy_page.written(found, (time.monotonic() - began) / 60)
    given.out.write_text(page, "utf-8")
    print(f"Written: {given.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
