"""PCA_ad and ZScore_ad: fitted with numpy in seconds, written as the same graphs as the neural models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta

from oddwave import graph
from oddwave.config import Section
from oddwave.errors import TrainingError
from oddwave.series import Floats

Build = Callable[[Floats], bytes]  # each channel's usual error, in deviations -> a bare ONNX model

_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_LEAST_DEVIATION = 1e-8


class PCASettings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of PCA_ad."""

    input_len: Annotated[int, Meta(ge=1, le=256, description="Rows of a window.")] = 8
    variance: Annotated[float, Meta(gt=0, lt=1, description="Share of the variance that the components keep.")] = 0.95
    components: Annotated[int, Meta(ge=1, description="Most components to keep.")] = 32
    fit_windows: Annotated[int, Meta(ge=100, description="Most windows to fit to, evenly spread.")] = 50_000


class ZScoreSettings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of ZScore_ad."""

    input_len: Annotated[int, Meta(ge=1, le=1, description="Rows of a window: a row is scored by itself.")] = 1


SETTINGS: dict[str, type[PCASettings | ZScoreSettings]] = {
    "PCA_ad": PCASettings,
    "ZScore_ad": ZScoreSettings,
}


def fit(settings: Section, stretches: Sequence[Floats], center: Floats, scale: Floats) -> Build:
    """Fit a classical model to stretches of normal rows, each (time, channel); return what builds its graph."""
    if isinstance(settings, PCASettings):
        return _fit_pca(settings, stretches, center, scale)
    return _fit_z_score(stretches)


def _fit_pca(settings: PCASettings, stretches: Sequence[Floats], center: Floats, scale: Floats) -> Build:
    """Keep the principal components of a window's rows and channels: Pearson, "On lines and planes", 1901."""
    size, channels = settings.input_len, len(center)
    windows = _windows([(stretch - center) / scale for stretch in stretches], size, settings.fit_windows)
    variances, directions = np.linalg.eigh(windows.T @ windows / len(windows))
    kept = np.cumsum(variances[::-1]) < settings.variance * variances.sum()
    count = min(int(kept.sum()) + 1, settings.components, size * channels - 1) if size * channels > 1 else 0
    basis = directions[:, ::-1][:, :count]
    # eigenvectors have no sign of their own: fix it, so that a file doesn't depend on the linear algebra library's
    basis = basis * np.where(basis[np.abs(basis).argmax(axis=0), np.arange(count)] < 0, -1.0, 1.0)

    def build(usual: Floats) -> bytes:
        weights = {
            "center": center,
            "factor": 1 / scale,
            "flat": np.array([-1, size * channels]),
            "back": np.array([-1, size, channels]),
            "basis": basis,
            "transposed": basis.T,
            "per_usual": 1 / usual,
        }
        nodes = [
            graph.node("Sub", ["window", "center"], "shifted"),
            graph.node("Mul", ["shifted", "factor"], "z"),
            graph.node("Reshape", ["z", "flat"], "row"),
            graph.node("MatMul", ["row", "basis"], "components"),
            graph.node("MatMul", ["components", "transposed"], "rebuilt"),
            graph.node("Sub", ["row", "rebuilt"], "residual"),
            graph.node("Reshape", ["residual", "back"], "residuals"),
            graph.node("Abs", ["residuals"], "sizes"),
            graph.node("Mul", ["sizes", "per_usual"], "error"),
        ]
        return graph.model(nodes, weights, size, channels)

    return build


def _fit_z_score(stretches: Sequence[Floats]) -> Build:
    """Measure the distance from the median in median absolute deviations; in deviations where those are 0."""
    rows = np.concatenate(stretches)
    center = np.median(rows, axis=0)
    deviation = _MAD_TO_DEVIATION * np.median(np.abs(rows - center), axis=0)
    deviation = np.where(deviation < _LEAST_DEVIATION, rows.std(axis=0), deviation)
    deviation = np.where(deviation < _LEAST_DEVIATION, 1.0, deviation)

    def build(usual: Floats) -> bytes:
        nodes = [
            graph.node("Sub", ["window", "center"], "shifted"),
            graph.node("Abs", ["shifted"], "distance"),
            graph.node("Mul", ["distance", "factor"], "error"),
        ]
        return graph.model(nodes, {"center": center, "factor": 1 / (deviation * usual)}, 1, rows.shape[1])

    return build


def _windows(stretches: Sequence[Floats], size: int, most: int) -> Floats:
    """Cut at most so many windows, evenly spread, each flattened: shape (window, size * channel)."""
    views = [
        np.lib.stride_tricks.sliding_window_view(stretch, size, axis=0) for stretch in stretches if len(stretch) >= size
    ]
    if not views:
        raise TrainingError(
            f"No stretch of normal rows is as long as a window of {size}.\n"
            "Give more rows, or train with a smaller input_len."
        )
    stride = max(1, -(-sum(map(len, views)) // most))
    return np.concatenate([view[::stride].transpose(0, 2, 1).reshape(-1, size * view.shape[1]) for view in views])
