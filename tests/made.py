"""Detectors and series made for tests, through the code that makes real ones."""

from __future__ import annotations

from functools import cache

import numpy as np

from oddwave import calibrate, detector_file, graph, protobuf
from oddwave.detector import Detector
from oddwave.metadata import Metadata, Time
from oddwave.runtime import Runtime
from oddwave.series import Series, batch
from oddwave.threshold import Budget
from oddwave.train import train


def rows(count, channels=3, seed=0):
    """Return values (time, channel): waves and noise, each channel in its own units."""
    rng = np.random.default_rng(seed)
    time = np.arange(count)[:, None]
    waves = np.sin(time / 7 + np.arange(channels)) + rng.normal(0, 0.2, (count, channels))
    return 5.0 * np.arange(channels) + waves * 2.0 ** (np.arange(channels) % 8)


def names(channels):
    return tuple(f"c{i}" for i in range(channels))


def series_of(values, ticks=None, kind="row", channels=None):
    values = np.asarray(values, dtype=np.float64)
    ticks = np.arange(len(values)) if ticks is None else np.asarray(ticks)
    channels = channels or names(values.shape[1])
    return Series(values, tuple(channels), ticks, kind, ticks, "time", "the test")


def join(pieces):
    """Return the fields of several `Scored` as one, for comparison to the bit."""
    pieces = list(pieces)
    return [
        np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("index", "score", "label", "reason")
    ]


def pieces_of(series, lengths):
    """Cut a series in pieces of these lengths, over and over."""
    start, at = 0, 0
    while start < len(series):
        stop = min(start + lengths[at % len(lengths)], len(series))
        yield series.rows(start, stop)
        start, at = stop, at + 1


def chunked(detector, chunks, settings=None):
    """Run detect_chunks; return its joined rows, its events and its notes."""
    generator = detector.detect_chunks(chunks, settings)
    pieces = []
    while True:
        try:
            pieces.append(next(generator))
        except StopIteration as end:
            return join(pieces), *end.value


@cache
def trained(model="PCA_ad", channels=3, count=900, **settings):
    """Train a detector on rows one time unit apart; short averages, so that small series reach everything."""
    import polars as pl

    values = rows(count, channels)
    table = {"time": np.arange(count), **{name: values[:, i] for i, name in enumerate(names(channels))}}
    short = {"smoothing": 5, "rolling": 12, "causal_smoothing": 3, "causal_rolling": 9, "long_rolling": 30}
    return train(pl.DataFrame(table), model=model, **{**short, **settings})


def bare_graph(size, channels):
    """Return a graph by hand: how far each row is from half the mean of its window."""
    half_mean = np.kron(np.full((size, size), 0.5 / size), np.eye(channels))
    weights = {
        "center": 5.0 * np.arange(channels),
        "flat": np.array([-1, size * channels]),
        "back": np.array([-1, size, channels]),
        "half_mean": half_mean,
        "factor": 0.5 ** (np.arange(channels) % 8),
    }
    nodes = [
        graph.node("Sub", ["window", "center"], "shifted"),
        graph.node("Reshape", ["shifted", "flat"], "row"),
        graph.node("MatMul", ["row", "half_mean"], "expected"),
        graph.node("Sub", ["row", "expected"], "residual"),
        graph.node("Reshape", ["residual", "back"], "residuals"),
        graph.node("Abs", ["residuals"], "distance"),
        graph.node("Mul", ["distance", "factor"], "error"),
    ]
    return graph.model(nodes, weights, size, channels)


@cache
def handmade(
    size=8,
    stride=3,
    channels=2,
    scored=None,
    smoothing=4,
    rolling=7,
    long_rolling=17,
    max_gap=2,
    kind="number",
    step=1.0,
):
    """Return a calibrated detector with the graph above; `causal` looks at about half as many rows as `full`."""
    normal = rows(600, channels)
    full = calibrate.blank(channels, 1, smoothing, rolling, long_rolling)
    causal = calibrate.blank(channels, min(3, size), -(-smoothing // 2), -(-rolling // 2), long_rolling)
    model = bare_graph(size, channels)
    metadata = Metadata(
        format=1, model="Handmade_ad", settings={}, channels=list(names(channels)),
        scored=list(scored or [True] * channels), size=size, stride=stride, combine="mean", max_gap=max_gap,
        center=calibrate.rounded(normal.mean(axis=0)), scale=calibrate.rounded(normal.std(axis=0)), full=full,
        causal=causal, time=Time(name="time", kind=kind, step=step), training={}, licence="none", versions={},
        graph_sha256="",
    )  # fmt: skip
    run = Runtime(model, "the test").errors
    metadata, _ = calibrate.calibrate(metadata, lambda _: run, [[normal]], 200, Budget(0.01), batch(size))
    return Detector(detector_file.encode(model, metadata), "handmade.onnx")


def fixed32(field, value):
    """Encode a 4-byte field of a protobuf message, such as a float."""
    return protobuf.varint(field << 3 | protobuf.FIXED32) + value
