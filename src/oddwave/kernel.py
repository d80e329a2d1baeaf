"""The kernel: what the functions of `terms` do, compiled; without a compiler at installation numpy does it."""

from __future__ import annotations

import numpy as np

from oddwave import _kernel
from oddwave.series import Floats, Windows
from oddwave.terms import Constants, Rows


def row_terms(
    constants: Constants, values: Rows, end: int, rows: range, errors: Floats, parts: Floats, terms: Floats
) -> None:
    """Compute the terms of rows: `oddwave.terms.row_terms`."""
    data = np.ascontiguousarray(values.data[:, constants.pick])
    _kernel.terms(
        data, constants.factors, errors, parts, terms, values.first, rows.start, rows.stop, end,
        *constants.rolling, *constants.long_rolling, constants.warm_up,
    )  # fmt: skip


def rare(
    constants: Constants, terms: Rows, end: int, rows: range, smooth: Floats, rare: Floats, result: Floats
) -> None:
    """Smooth the terms of rows, and say how rare they are: `oddwave.terms.rare`."""
    _kernel.scores(
        terms.data, constants.curves, smooth, rare, result, constants.knots, constants.begin, terms.first,
        rows.start, rows.stop, end, *constants.smoothing,
    )  # fmt: skip


def contribution(constants: Constants, parts: Rows, end: int, rows: range, rare: Floats, out: Floats) -> None:
    """Share out the surprises of rows: `oddwave.terms.contribution`."""
    _kernel.shares(
        parts.data, rare, out, parts.first, rows.start, rows.stop, end, *constants.smoothing, constants.warm_up
    )


def overlap_add(errors: Windows, first: int, stride: int, total: Floats) -> None:
    """Add the errors of evenly spaced windows to the rows that they hold: `oddwave.terms.overlap_add`."""
    windows, size, channels = errors.shape
    _kernel.add_windows(np.ascontiguousarray(errors), total, windows, size, channels, first, stride)
