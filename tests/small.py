"""A small machine for tests: its rows, its files, and a real detector trained on them without torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

CHANNELS = ["flow", "heat", "noise"]
SIZE = 16  # rows of a window


def rows(count, start=0, fault=None):
    """Return values (time, channel); from the row `fault` on, ten rows are far off in heat."""
    rng = np.random.default_rng(start + 7)
    time = np.arange(start, start + count)
    values = np.stack([np.sin(time / 9), np.cos(time / 9), np.zeros(count)], axis=1)
    values += rng.normal(0, 0.1, values.shape)
    if fault is not None:
        values[fault : fault + 10, 1] += 9
    return values


def write(path, count=96, start=0, fault=None, values=None):
    """Write rows as a CSV with whole-number times and return its path."""
    values = rows(count, start, fault) if values is None else values
    lines = ["timestamp," + ",".join(CHANNELS)]
    lines += [f"{start + i}," + ",".join(f"{cell:.5f}" for cell in row) for i, row in enumerate(values)]
    path = Path(path)
    path.write_text("\n".join(lines) + "\n")
    return path


def names_in(folder):
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in Path(folder).iterdir())


@cache
def detector_bytes():
    """Return a detector file for these rows."""
    import tempfile

    from oddwave.train import train

    with tempfile.TemporaryDirectory() as folder:
        source = write(f"{folder}/normal.csv", 2000)
        return train(source, model="PCA_ad", input_len=SIZE, smoothing=3, rolling=9).data


def detector(folder):
    """Write the detector as a training output folder does and return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "detector.onnx").write_bytes(detector_bytes())
    return folder
