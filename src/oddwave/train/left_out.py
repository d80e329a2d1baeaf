"""Left out: rows that training must not learn from, by label, by time, or by a mask column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import ConfigError, InputError
from oddwave.read.cells import NUMBER
from oddwave.read.dates import instant
from oddwave.series import Floats, Series

_FORM = "Write start/end, such as 2026-03-01/2026-03-02 06:00, or 100/200; the end isn't part of it."


class Range(NamedTuple):
    """Times from `start` on and before `end`, in ticks; `text` is how the user wrote it."""

    start: float
    end: float
    text: str


class Kept(NamedTuple):
    """Some rows, with the mask column taken out of the values.

    Parameters
    ----------
    is_out
        Rows to leave out, shape (time,).
    counts
        How many by label, by time and by mask, then by each range.
    """

    values: Floats
    is_out: NDArray[np.bool_]
    counts: NDArray[np.int64]


def ranges(exclude: Sequence[str], first: Series) -> list[Range]:
    """Read time ranges as the time column of a series has its times; a side left empty is open.

    Raises
    ------
    ConfigError
        If one can't be read.
    """
    found = []
    for text in exclude:
        sides = text.split("/")
        middle = len(sides) // 2  # dates may hold slashes too
        if len(sides) % 2:
            raise ConfigError(f"exclude: {text!r} is no range of times. {_FORM}")
        start, end = ("/".join(part).strip() for part in (sides[:middle], sides[middle:]))
        low = _tick(start, first, text) if start else -np.inf
        high = _tick(end, first, text) if end else np.inf
        if not low < high:
            raise ConfigError(f"exclude: {text!r} ends before it starts. {_FORM}")
        found.append(Range(low, high, text))
    return found


def keep(series: Series, excluded: Sequence[Range], mask: int | None) -> Kept:
    """Say which rows of a series are left out.

    Parameters
    ----------
    mask
        Position of the mask column among the channels.

    Raises
    ------
    InputError
        If the mask holds something else than 0 and 1.
    """
    is_labelled = np.zeros(len(series), dtype=np.bool_) if series.labels is None else series.labels == 1
    is_inside = [(series.ticks >= one.start) & (series.ticks < one.end) for one in excluded]
    is_excluded = np.logical_or.reduce([np.zeros_like(is_labelled), *is_inside])
    values, is_masked = series.values, np.zeros_like(is_labelled)
    if mask is not None:
        column, values = values[:, mask], np.delete(values, mask, axis=1)
        is_masked = column == 1
        is_wrong = ~(is_masked | (column == 0) | np.isnan(column))
        if is_wrong.any():
            at = int(np.argmax(is_wrong))
            raise InputError(
                f"{series.title}: the mask column {series.channels[mask]!r} holds {column[at]:g} at "
                f"{series.index[at]}.\nWrite 1 where rows are left out, 0 elsewhere, or name another mask_col."
            )
    counts = np.array([part.sum() for part in (is_labelled, is_excluded, is_masked, *is_inside)], dtype=np.int64)
    return Kept(values, is_labelled | is_excluded | is_masked, counts)


def _tick(text: str, series: Series, whole: str) -> float:
    """Read one side of a range as a tick."""
    shown = f"such as {str(series.index[0])!r}"
    if series.kind != "datetime":
        if not NUMBER.fullmatch(text):
            what = "numbers" if series.kind == "number" else "row numbers, there being no time column"
            raise ConfigError(f"exclude: {whole!r} can't be read, for the times of {series.source} are {what}. {_FORM}")
        return int(text) if text.isdecimal() else float(text)
    read = instant(text, _is_day_first(series))
    if read is None:
        raise ConfigError(f"exclude: {text!r} in {whole!r} is no time that can be read. {_FORM}")
    known = instant(str(series.index[0]).strip(), is_day_first=False)
    if known is not None and (known[1] is None) != (read[1] is None):
        one = "has a zone, but the times have none" if read[1] else "has no zone, but the times have one"
        raise ConfigError(f"exclude: {text!r} {one}, {shown} in {series.source}. Write both alike.")
    return read[0]


def _is_day_first(series: Series) -> bool:
    """Tell how the reader took dates such as 03/04/2026, from rows that tell."""
    for at in range(0, len(series), max(1, len(series) // 1000)):
        text, tick = series.index[at], series.ticks[at]
        one, other = (instant(str(text).strip(), is_day_first) for is_day_first in (True, False))
        if one != other:
            return one is not None and one[0] == tick
    return False
