"""Windows of a series cut into gap-free segments, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from oddwave import series


class Windows:
    """Every window of the segments; rows are copied only for the batch that is read.

    Parameters
    ----------
    segments
        Gap-free runs of rows, each (time, channel); they may be memory maps. Windows never cross from one into the
        next.
    size
        Rows a window. Segments with fewer rows have none.

    Examples
    --------
    >>> rows = np.arange(4, dtype=np.float32)[:, None]
    >>> windows = Windows([rows, rows[:2], 10 + rows[:3]], size=3)
    >>> windows.read(np.array([0, 2]))[:, :, 0].tolist()
    [[0.0, 1.0, 2.0], [10.0, 11.0, 12.0]]
    """

    def __init__(self, segments: Sequence[series.Windows], size: int) -> None:
        self.size = size
        self.segments = [np.asarray(segment) for segment in segments if len(segment) >= size]
        self.firsts = np.cumsum([0, *(len(segment) - size + 1 for segment in self.segments)])

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def read(self, which: NDArray[np.int64]) -> Tensor:
        """Copy the windows of these numbers: (batch, size, channel), float32."""
        channels = self.segments[0].shape[1]
        batch = np.empty((len(which), self.size, channels), np.float32)
        found = np.searchsorted(self.firsts, which, side="right") - 1
        for window, segment, first in zip(batch, found.tolist(), (which - self.firsts[found]).tolist(), strict=True):
            window[...] = self.segments[segment][first : first + self.size]
        return torch.from_numpy(batch)

    def shuffled(self, count: int, batch_size: int, generator: Generator) -> Iterator[Tensor]:
        """Read `count` windows in batches in random order: each once before any comes again."""
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        random, n_windows = np.random.default_rng(seed), len(self)
        rounds = [
            random.choice(n_windows, min(n_windows, count - done), replace=False) for done in range(0, count, n_windows)
        ]
        order = np.concatenate(rounds)
        for first in range(0, count, batch_size):
            yield self.read(order[first : first + batch_size])

    def spaced(self, count: int, batch_size: int) -> Iterator[Tensor]:
        """Read at most `count` windows in batches, evenly spaced, in time order."""
        order = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(np.int64)
        for first in range(0, len(order), batch_size):
            yield self.read(order[first : first + batch_size])
