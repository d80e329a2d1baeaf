"""An engine: whatever runs a graph, windows in, errors out; several of them as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TypeAlias

import numpy as np

from oddwave.series import Windows

Engine: TypeAlias = Callable[[Windows], Windows]
"""Takes float32 windows (window, size, channel), returns errors of the same shape; any thread may call it."""


def several(engines: Sequence[Engine]) -> Engine:
    """Return an engine that shares the windows of a call out among others, in order, in parts of one size.

    Of calls with fewer windows than engines each goes to one engine, by turns.

    Examples
    --------
    >>> both = several([lambda windows: windows + 1, lambda windows: windows + 2])
    >>> both(np.zeros((4, 1, 1), np.float32)).ravel().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    if len(engines) == 1:
        return engines[0]

    from concurrent.futures import ThreadPoolExecutor

    turns = cycle(engines)
    pool = ThreadPoolExecutor(len(engines), "oddwave-device")

    def run(windows: Windows) -> Windows:
        if len(windows) < len(engines):
            return next(turns)(windows)
        parts = np.array_split(windows, len(engines))
        return np.concatenate(list(pool.map(lambda engine, part: engine(part), engines, parts)))

    return run


def whole_batches(fast: Engine, usual: Engine, batch: int) -> Engine:
    """Return an engine that runs calls of exactly `batch` windows in one way, and all others in the usual one."""
    return lambda windows: (fast if len(windows) == batch else usual)(windows)
