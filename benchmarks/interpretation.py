"""Whether contributions name the right channels: python benchmarks/interpretation.py DATA LABELS [MODEL ...].

DATA/smd holds machines of the Server Machine Dataset as train.parquet and val.parquet; LABELS holds the dataset's own
interpretation labels, MACHINE.txt, with lines such as 246-252:1,2,9 (rows from 0, channels from 1). Each labelled segment's
contributions are summed over its rows and ranked; beside them stand chance and the mean absolute z-score of the channel.

top 1: how often the first channel is one of those labelled; top 3: the share of the first three that are;
hit rate: the share of the labelled channels among as many first ones (HitRate@100 %: Su et al., "Robust Anomaly Detection for
Multivariate Time Series through Stochastic Recurrent Neural Network", KDD 2019).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl

from oddwave.series import Floats
from oddwave.train import names, train

Segment = tuple[int, int, set[int]]


def segments(file: Path) -> list[Segment]:
    """Return each segment's first row, the row after its last, and its channels from 0."""
    found = []
    for line in file.read_text().split():
        rows, channels = line.split(":")
        first, last = map(int, rows.split("-"))
        found.append((first, last + 1, {int(channel) - 1 for channel in channels.split(",")}))
    return found


def measured(evidence: Floats, labelled: list[Segment]) -> list[tuple[float, float, float]]:
    """Rank the channels of each segment by the sum of their evidence (time, channel)."""
    figures = []
    for start, stop, channels in labelled:
        order = np.argsort(-np.nansum(evidence[start:stop], axis=0), kind="stable").tolist()
        share = [len(channels & set(order[:n])) / min(n, len(channels)) for n in (1, 3, len(channels))]
        figures.append((share[0], share[1], share[2]))
    return figures


def chance(n_channels: int, labelled: list[Segment]) -> list[tuple[float, float, float]]:
    """Return what a ranking by lot is expected to reach."""
    shares = [(len(channels), len(channels) / n_channels) for _, _, channels in labelled]
    return [(share, 3 * share / min(3, n), share) for n, share in shares]


def main() -> None:
    data, labels = Path(sys.argv[1]), Path(sys.argv[2])
    figures: dict[str, list[tuple[float, float, float]]] = {}
    for folder in sorted((data / "smd").iterdir()):
        labelled = segments(labels / f"{folder.name}.txt")
        tables = [pl.read_parquet(folder / f"{part}.parquet").drop("timestamp", "label") for part in ("train", "val")]
        before, after = (table.to_numpy().astype(float) for table in tables)
        scale = before.std(axis=0)
        z = (after - before.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        evidence = {"mean absolute z-score": np.abs(z)}
        for model in sys.argv[3:] or names():
            evidence[model] = train(before, model=model).detect(after, contributions=True).contribution
            print(f"{folder.name} {model}", file=sys.stderr, flush=True)
        figures.setdefault("chance", []).extend(chance(before.shape[1], labelled))
        for name, found in evidence.items():
            figures.setdefault(name, []).extend(measured(found, labelled))
    print(
        f"{len(figures['chance'])} labelled segments\n\n| ranking by | top 1 | top 3 | hit rate |\n| --- | --- | --- | --- |"
    )
    for name, rows in figures.items():
        print(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
