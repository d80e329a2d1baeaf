"""Export a detector as C99: one library file without a runtime, and a program that scores a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oddwave.atomic import Atomic
from oddwave.detector import Detector
from oddwave.errors import ConfigError, OutputError
from oddwave.export_c import constants, graph, loops

MODELS = ("AutoEncoder_ad", "DLinear_ad")
FILES = ("detector.h", "detector.c", "main.c", "Makefile", "README.md")
_TEMPLATES = Path(__file__).parent / "templates"


def export_c(detector: Detector, folder: Path, is_forced: bool = False) -> None:
    """Write a folder that `make` turns into the program `detect`.

    Raises
    ------
    ConfigError
        If the detector's model has no export to C.
    OutputError
        If a file of another detector is in the way.
    """
    found = sources(detector)
    for name, text in found.items():
        path = folder / name
        if path.exists() and path.read_bytes() != text.encode() and not is_forced:
            raise OutputError(f"{path} is another file, which would be lost. Give another --out, or --force.")
    for name, text in found.items():
        with Atomic(folder / name) as draft:
            draft.write(text.encode())


def sources(detector: Detector) -> dict[str, str]:
    """Return the text of each file by its name."""
    about = detector.metadata
    if about.model not in MODELS:
        raise ConfigError(
            f"{about.model} has no export to C; those that have are {' and '.join(MODELS)}. Use --target onnx."
        )
    try:
        steps = graph.read(detector.data, about.size, len(about.channels))
    except graph.UnsupportedError as error:
        raise ConfigError(
            f"{detector.source} can't be exported to C: {error}. Train it again, or use --target onnx."
        ) from None
    _prove(steps, detector)
    words = constants.words(about) | {"weights": loops.weights(steps), "graph": loops.function(steps)}
    return {name: _filled((_TEMPLATES / name).read_text("utf-8"), words) for name in FILES}


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text


def _prove(steps: graph.Steps, detector: Detector) -> None:
    """Refuse a graph that, as it was read, gives other errors than the detector does."""
    about = detector.metadata
    random = np.random.default_rng(0)
    shape = (8, about.size, len(about.channels))
    z = random.standard_normal(shape) * np.geomspace(0.1, 30, shape[0])[:, None, None]
    windows = (z * np.array(about.scale) + np.array(about.center)).astype(np.float32)
    for window, expected in zip(windows, detector.stretch_scorer("full", np.inf).run(windows), strict=True):
        if np.abs(graph.run(steps, window[None])[0] - expected).max() > 1e-5 * expected.max():
            raise ConfigError(
                f"{detector.source} can't be exported to C: its graph isn't read right. Use --target onnx."
            )
