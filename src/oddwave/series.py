"""Series: rows in time order as they came from the user, before cleaning."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Windows: TypeAlias = NDArray[np.float32]
Ticks: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
TimeKind: TypeAlias = Literal["row", "number", "datetime"]

TICKS_PER_S = 1_000_000  # ticks of kind "datetime"
_BATCH = 32  # windows a call: as fast as 256 on a CPU, in less memory
_BATCH_ROWS = 3072  # or more of short ones, so that a call has enough to do


@dataclass(frozen=True)
class Series:
    """Rows of one input, in the input's own order.

    Parameters
    ----------
    values
        Shape (time, channel), float64; NaN where a cell is missing or infinite.
    channels
        Channel names, in the order of the columns of `values`.
    ticks
        Time of each row as a number, for order and gaps: the whole or decimal number as given (kind "number"),
        microseconds since 1970 in UTC (kind "datetime"), or the row number (kind "row").
    kind
        What `ticks` counts.
    index
        Time of each row as the user wrote it, shape (time,): numbers, or text. Results carry it.
    time_name
        Name of the time column; "row" if there is none.
    source
        What the user gave: a path, a URL, or "DataFrame" and the like. Messages name it.
    group
        Value of the group column, if the input was split by one.
    labels
        Known labels, 0 or 1, shape (time,), if the input has a label column.
    notes
        What the reader left aside, treated as missing or guessed, one sentence each.
    """

    values: Floats
    channels: tuple[str, ...]
    ticks: Ticks
    kind: TimeKind
    index: NDArray[Any]
    time_name: str
    source: str
    group: str | None = None
    labels: NDArray[np.int8] | None = None
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.values)

    @property
    def title(self) -> str:
        """What messages call it: its source, and its group if it has one."""
        return self.source if self.group is None else f"{self.source}, group {self.group}"

    def rows(self, start: int, stop: int) -> Series:
        """Return the rows from `start` up to `stop` as a series, without copying them."""
        if start == 0 and stop >= len(self):
            return self
        return replace(
            self,
            values=self.values[start:stop],
            ticks=self.ticks[start:stop],
            index=self.index[start:stop],
            labels=None if self.labels is None else self.labels[start:stop],
        )


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List the runs of true values as half-open (start, stop).

    Examples
    --------
    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    padded = np.zeros(len(flags) + 2, dtype=np.bool_)
    padded[1:-1] = flags
    edges = (padded[1:] != padded[:-1]).nonzero()[0].tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True)
class Columns:
    """Which columns of a table to read, and as what.

    Parameters
    ----------
    channels
        The channels to read, matched by name; None: every numeric column but time, group and label.
    time_col, group_col, label_col
        Names of those columns; None: the time column is found by its name (`timestamp`, `time`, `date`, …),
        the table is one series, there is no label.
    known_time_col
        Name the detector was trained with: used if the table has it, never demanded.
    finds_label
        Without `label_col`, a column named `label` holds the labels, also if channels are given.
    """

    channels: tuple[str, ...] | None = None
    time_col: str | None = None
    group_col: str | None = None
    label_col: str | None = None
    known_time_col: str | None = None
    finds_label: bool = False


def batch(size: int) -> int:
    """Return how many windows of `size` rows to run in one call.

    Examples
    --------
    >>> batch(96), batch(1)
    (32, 3072)
    """
    return max(_BATCH, _BATCH_ROWS // size)
