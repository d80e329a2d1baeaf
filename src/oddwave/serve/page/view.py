"""View: what a chart shows of some rows, at most so many groups of them, each with its smallest and largest value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave.chart import extremes
from oddwave.series import Floats
from oddwave.serve.page.kept import Kept

MOST_GROUPS = 10_000


def view(kept: Kept, first: int, last: int, pixels: int, channels: list[int]) -> dict[str, Any]:
    """Return rows `first` up to `last` as at most `pixels` groups; what is missing is NaN."""
    first = min(max(first, 0), max(len(kept) - 1, 0))
    last = min(max(last, first + 1), len(kept))
    count = max(1, min(last - first, pixels, MOST_GROUPS))
    edges = (np.arange(count + 1, dtype=np.int64) * (last - first)) // count
    label = (
        kept.labels(kept.about.threshold)[first:last] if last - first < len(kept) else kept.labels(kept.about.threshold)
    )
    return {
        "rows": (first + edges[:-1]).tolist(),
        "time": kept.times(first + edges[:-1]),
        "score": _line(kept.score, first, last, edges),
        "channels": {kept.about.channels[i]: _line(kept.values[i], first, last, edges) for i in channels},
        "labels": np.maximum(np.maximum.reduceat(label, edges[:-1]), 0).tolist(),
    }


def _line(values: Floats, first: int, last: int, edges: NDArray[np.int64]) -> dict[str, list[float]]:
    low, high = extremes(np.asarray(values[first:last]), edges)
    return {"min": low.tolist(), "max": high.tolist()}
