"""Seen: one series as far as checking keeps it: all its times, labels and hashes, and at least a sample of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave.series import Floats, Series, Ticks

MOST_CELLS = 1 << 24
"""Rows times channels whose values are kept: 128 MB."""

HEAD = 10
"""First rows that are kept as they are."""


@dataclass(frozen=True)
class Seen:
    """One series, read.

    Parameters
    ----------
    series
        Every `every`-th row, in time order.
    head
        The first rows of the input.
    ticks, labels, hashes
        Of all rows, in the input's own order; a hash is that of the row's values.
    """

    series: Series
    head: Series
    every: int
    ticks: Ticks
    labels: NDArray[np.int8] | None
    hashes: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.ticks)


def see(chunks: Iterator[Series], most_cells: int = MOST_CELLS) -> Seen:
    """Read a series from its pieces; of more than `most_cells` cells only every second, fourth, … row is kept."""
    kept: list[Series] = []
    ticks: list[Ticks] = []
    labels: list[NDArray[np.int8] | None] = []
    hashes: list[NDArray[np.uint64]] = []
    every, n_rows, n_kept = 1, 0, 0
    head: Series | None = None
    for chunk in chunks:
        head = head or chunk.rows(0, HEAD)
        ticks.append(chunk.ticks)
        labels.append(chunk.labels)
        hashes.append(hashed(chunk.values))
        thin = _thin(chunk, -n_rows % every, every)
        kept.append(thin)
        n_rows, n_kept = n_rows + len(chunk), n_kept + len(thin)
        while n_kept * max(1, len(chunk.channels)) > most_cells and n_kept > 1:
            kept, every = [_thin(_joined(kept), 0, 2)], every * 2
            n_kept = len(kept[0])
    if head is None:
        raise ValueError("a series has at least one piece")
    series = replace(_in_order(_joined(kept)), notes=chunk.notes)
    known = [part for part in labels if part is not None]
    all_ticks: NDArray[Any] = np.concatenate(ticks)
    return Seen(series, head, every, all_ticks, np.concatenate(known) if known else None, np.concatenate(hashes))


def hashed(values: Floats) -> NDArray[np.uint64]:
    """Return a number for each row; equal rows have equal ones, others hardly ever."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # -0 becomes 0
    found = np.zeros(len(values), dtype=np.uint64)
    for column in range(values.shape[1]):  # an odd multiplier and a shift mix all bits, column by column
        found = (found ^ bits[:, column]) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


def _thin(series: Series, start: int, every: int) -> Series:
    # a copy of the few: views would keep the whole chunk
    return series if every == 1 else _taken(series, np.arange(start, len(series), every))


def _in_order(series: Series) -> Series:
    is_sorted = (series.ticks[1:] >= series.ticks[:-1]).all()
    return series if is_sorted else _taken(series, np.argsort(series.ticks, kind="stable"))


def _taken(series: Series, at: NDArray[np.intp]) -> Series:
    labels = None if series.labels is None else series.labels[at]
    values, ticks, index = series.values[at], series.ticks[at], series.index[at]
    return replace(series, values=values, ticks=ticks, index=index, labels=labels)


def _joined(parts: list[Series]) -> Series:
    if len(parts) == 1:
        return parts[0]
    known = [part.labels for part in parts if part.labels is not None]
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        ticks=np.concatenate([part.ticks for part in parts]),
        index=np.concatenate([part.index for part in parts]),
        labels=np.concatenate(known) if known else None,
    )
