"""Windows of a series cut into gap-free segments, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from oddwave import series


class Windows:
    """Every window of the segments; the rows are held once and copied only for the batch that is read.

    Parameters
    ----------
    segments
        Gap-free runs of rows, each (time, channel), float32. Windows never cross from one into the next.
    size
        Rows a window. Segments with fewer rows have none.

    Examples
    --------
    >>> rows = np.arange(4, dtype=np.float32)[:, None]
    >>> windows = Windows([rows, rows[:2], 10 + rows[:3]], size=3)
    >>> windows.read(torch.tensor([0, 2]))[:, :, 0].tolist()
    [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]]
    """

    def __init__(self, segments: Sequence[series.Windows], size: int) -> None:
        rows = [np.asarray(segment, np.float32) for segment in segments if len(segment) >= size]
        firsts = np.cumsum([0, *map(len, rows)])
        starts = [first + np.arange(len(run) - size + 1) for first, run in zip(firsts, rows, strict=False)]
        self.rows = torch.from_numpy(np.concatenate(rows) if rows else np.empty((0, 0), np.float32))
        self.starts = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *starts]))
        self.offsets = torch.arange(size)

    def __len__(self) -> int:
        return len(self.starts)

    def read(self, which: Tensor) -> Tensor:
        """Copy the windows of these numbers: (batch, size, channel)."""
        return self.rows[self.starts[which, None] + self.offsets]

    def shuffled(self, count: int, batch_size: int, generator: Generator) -> Iterator[Tensor]:
        """Read `count` windows in batches in random order: each once before any comes again."""
        rounds = -(-count // len(self))
        order = torch.cat([torch.randperm(len(self), generator=generator) for _ in range(rounds)])
        for first in range(0, count, batch_size):
            yield self.read(order[first : min(first + batch_size, count)])

    def spaced(self, count: int, batch_size: int) -> Iterator[Tensor]:
        """Read at most `count` windows in batches, evenly spaced, in time order."""
        order = torch.from_numpy(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64))
        for first in range(0, len(order), batch_size):
            yield self.read(order[first : first + batch_size])
