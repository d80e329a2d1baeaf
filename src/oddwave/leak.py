"""Leak: whether rows to evaluate on are among those that a detector was trained on.

A detector keeps a sketch of its training rows: of all distinct rows' hashes the smallest (bottom-k: Cohen and Kaplan,
"Summarizing data using bottom-k sketches", 2007), which are a random sample of them. A row is hashed by its values,
and once more by its time and values if times are dates. Values alone tell nothing where rows repeat, as
those of an idle machine do; then only dated rows are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.series import Floats, Series, Ticks

KEPT = 128  # hashes of each kind
LEAST_FOUND = 3  # kept hashes that must be found again: one or two can be chance
_MOST_SHARED = 0.005  # of the rows to evaluate on
_DISTINCT = 0.9  # share of rows with values of their own from which on values tell rows apart
_PIECE = 65_536
_BY_VALUES, _BY_TIME = "v", "t"
_SPACE = float(1 << 64)

Hashes = NDArray[np.uint64]


class Shared(NamedTuple):
    """How many rows are training rows, about.

    Parameters
    ----------
    rows
        Of the data, as estimated from the sketch.
    found
        Hashes of the sketch that were found.
    first, last
        Row numbers of the first and the last row found, from 0.
    """

    rows: int
    found: int
    first: int
    last: int


def sketch(ticks: Ticks | None, values: Floats) -> list[str]:
    """Sketch rows, shape (time, channel), as texts that JSON can hold.

    Values are rounded to float32 first, so that a file written and read again has the same sketch.

    Parameters
    ----------
    ticks
        Microseconds since 1970 if the times are dates, else None: counted rows say nothing of when.
    """
    kept: dict[str, Hashes] = {}
    for kind, _, hashes in _hashed(ticks, values):
        kept[kind] = np.unique(np.concatenate([kept.get(kind, hashes[:0]), hashes]))[:KEPT]
    return [f"{kind}{code:016x}" for kind in sorted(kept) for code in kept[kind].tolist()]


def merge(sketches: Iterable[list[str]]) -> list[str]:
    """Return the sketch of the rows of several sketches together."""
    codes = sorted({code for one in sketches for code in one})
    return [code for kind in (_BY_TIME, _BY_VALUES) for code in [c for c in codes if c[0] == kind][:KEPT]]


def share(training: list[str], ticks: Ticks | None, values: Floats) -> Shared | None:
    """Estimate how many of these rows are among those of a sketch; None if it can't be told.

    It can't where more than a tenth of the rows repeat another's values, and one side has no dates.
    """
    found: dict[str, list[NDArray[np.intp]]] = {}
    distinct: dict[str, Hashes] = {}
    kept = {kind: _codes(training, kind) for kind in (_BY_TIME, _BY_VALUES)}
    for kind, first, hashes in _hashed(ticks, values):
        found.setdefault(kind, []).append(first + np.flatnonzero(np.isin(hashes, kept[kind])))
        distinct[kind] = np.unique(np.concatenate([distinct.get(kind, hashes[:0]), hashes]))
    verdicts = []
    for kind, all_codes in distinct.items():
        is_telling = kind == _BY_TIME or len(all_codes) >= _DISTINCT * len(values)
        if len(kept[kind]) and is_telling:
            at = np.concatenate(found[kind])
            n_found = int(np.isin(kept[kind], all_codes).sum())
            rows = round(n_found / len(kept[kind]) * _count(kept[kind]))
            verdicts.append(Shared(min(rows, len(values)), n_found, *(at[[0, -1]].tolist() if len(at) else (0, 0))))
    return max(verdicts, key=lambda shared: shared.found, default=None)


def check(training: list[str], series: Series) -> str | None:
    """Refuse a series with rows that were trained on; return what couldn't be told, or is doubtful.

    Raises
    ------
    InputError
        If some of the rows are training rows.
    """
    ticks = series.ticks if series.kind == "datetime" else None
    shared = share(training, ticks, series.values)
    if not training:
        return "Whether the detector was trained on these rows can't be told: it keeps no sketch of its training rows."
    if shared is None:
        return (
            "Whether the detector was trained on these rows can't be told: "
            "too many repeat each other's values, and they have no dates in common with the training rows."
        )
    if not shared.found:
        return None
    about = f"about {shared.rows:,} of its {len(series):,} rows ({shared.rows / len(series):.0%})"
    if shared.found < LEAST_FOUND or shared.rows < _MOST_SHARED * len(series):
        return f"{series.title}: {about} may be training rows; too few to matter, or chance."
    first, last = (series.index[at] for at in (shared.first, shared.last))
    raise InputError(
        f"{series.title} holds rows that the detector was trained on: {about}, from {first} to {last} or farther.\n"
        "Figures of such rows flatter. Evaluate on rows that training never saw: leave these out, or train on the "
        "first part of the series and evaluate on the rest."
    )


def _codes(training: list[str], kind: str) -> Hashes:
    return np.array([int(code[1:], 16) for code in training if code[:1] == kind], dtype=np.uint64)


def _count(kept: Hashes) -> float:
    """Estimate the number of distinct rows from the smallest hashes of all."""
    return len(kept) if len(kept) < KEPT else (KEPT - 1) * _SPACE / (float(kept.max()) + 1)


def _hashed(ticks: Ticks | None, values: Floats) -> Iterator[tuple[str, int, Hashes]]:
    """Yield hashes of rows piece by piece: their kind, the number of the first row, one a row."""
    for start in range(0, len(values), _PIECE):
        rows = slice(start, start + _PIECE)
        by_values = _row_hashes(np.asarray(values[rows], dtype=np.float64))
        yield _BY_VALUES, start, by_values
        if ticks is not None:
            yield _BY_TIME, start, _mixed(by_values ^ _mixed(np.asarray(ticks[rows]).astype(np.int64).view(np.uint64)))


def _row_hashes(values: Floats) -> Hashes:
    with np.errstate(over="ignore"):
        rounded = values.astype("<f4")
    rounded[rounded == 0] = 0  # -0 is 0
    rounded[np.isnan(rounded)] = np.nan  # there are many
    codes = np.zeros(len(rounded), dtype=np.uint64)
    for column in rounded.T:
        codes = _mixed(codes + np.ascontiguousarray(column).view("<u4"))
    return codes


def _mixed(codes: Hashes) -> Hashes:
    """Spread each number over all 64 bits, one to one: the finalizer of SplitMix64 (Steele et al., 2014)."""
    codes = codes + np.uint64(0x9E3779B97F4A7C15)
    codes = (codes ^ (codes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    codes = (codes ^ (codes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return codes ^ (codes >> np.uint64(31))
