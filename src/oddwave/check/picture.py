"""The picture of a check: how the values of each channel are spread, in train and in val."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from oddwave.atomic import Atomic
from oddwave.check.seen import Seen

_MOST = 24  # channels
_COLUMNS = 4
_COLOURS = ("#2563eb", "#f97316")
_BINS = 40


def can_draw() -> bool:
    """Say whether the package that draws is installed."""
    return find_spec("matplotlib") is not None


def draw(seen: Mapping[str, Seen], path: Path) -> None:
    """Write a PNG with a histogram of each channel, the first 24.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(seen.values())).series
    names = first.channels[:_MOST]
    n_rows = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(3.2 * min(_COLUMNS, len(names)), 2.2 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    for at, name in enumerate(names):
        axes = figure.add_subplot(n_rows, min(_COLUMNS, len(names)), at + 1)
        parts = {
            which: one.series.values[:, one.series.channels.index(name)]
            for which, one in seen.items()
            if name in one.series.channels
        }
        known = {which: part[np.isfinite(part)] for which, part in parts.items()}
        known = {which: part for which, part in known.items() if len(part)}
        if known:
            edges = np.histogram_bin_edges(np.concatenate(list(known.values())), _BINS)
            for (which, part), colour in zip(known.items(), _COLOURS, strict=False):
                weights = np.full(len(part), 1 / len(part))
                axes.hist(part, edges.tolist(), weights=weights, label=which, color=colour, alpha=0.55)
        axes.set_title(name.replace("$", r"\$"), fontsize=8)
        axes.tick_params(labelsize=6)
        if at == 0 and len(known) > 1:
            axes.legend(fontsize=7)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, metadata={"Software": None})
    with Atomic(path) as file:
        file.write(drawn.getvalue())
