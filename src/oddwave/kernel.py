"""The kernel: what the functions of `terms` do, compiled; without a compiler at installation numpy does it."""

from __future__ import annotations

import numpy as np

from oddwave import _kernel
from oddwave.metadata import TERMS
from oddwave.series import Floats, Windows
from oddwave.terms import Constants, Rare, Rows


def row_terms(constants: Constants, values: Rows, errors: Floats, rows: range, end: int) -> tuple[Floats, Floats]:
    """Compute the terms of rows: `oddwave.terms.row_terms`."""
    data = np.ascontiguousarray(values.data[:, constants.pick])
    parts = np.empty((len(rows), 3, data.shape[1]))
    terms = np.empty((len(rows), len(TERMS)))
    _kernel.terms(
        data, constants.factors, errors, parts, terms, values.first, rows.start, rows.stop, end,
        *constants.rolling, *constants.long_rolling, constants.warm_up,
    )  # fmt: skip
    return parts, terms


def rare(constants: Constants, terms: Rows, rows: range, end: int) -> Rare:
    """Smooth the terms of rows, and say how rare they are."""
    found = Rare(np.empty((len(rows), len(TERMS))), np.empty((len(rows), len(TERMS))), np.empty(len(rows)))
    _kernel.scores(
        terms.data, constants.curves, *found, constants.knots, constants.begin, terms.first, rows.start, rows.stop, end,
        *constants.smoothing,
    )  # fmt: skip
    return found


def contribution(constants: Constants, parts: Rows, rare: Floats, rows: range, end: int) -> Floats:
    """Share out the surprises of rows: `oddwave.terms.contribution`."""
    out = np.empty((len(rows), parts.data.shape[2]))
    _kernel.shares(
        parts.data, np.ascontiguousarray(rare), out, parts.first, rows.start, rows.stop, end,
        *constants.smoothing, constants.warm_up,
    )  # fmt: skip
    return out


def overlap_add(errors: Windows, first: int, stride: int, total: Floats) -> None:
    """Add the errors of evenly spaced windows to the rows that they hold: `oddwave.terms.overlap_add`."""
    windows, size, channels = errors.shape
    _kernel.add_windows(np.ascontiguousarray(errors), total, windows, size, channels, first, stride)
