"""Threads that share the work on large pieces; onnxruntime, numpy and the kernel work without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Job = TypeVar("Job")
Found = TypeVar("Found")


class Threads:
    """So many threads, started when they are first needed.

    Parameters
    ----------
    count
        None: one for each processor that this process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or len(processors())
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Job], Found], jobs: Iterable[Job]) -> Iterator[Found]:
        """Yield what comes of each job, in their order."""
        jobs = list(jobs)
        if self.count == 1 or len(jobs) < 2:
            return map(work, jobs)
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.count, "oddwave")
        return self._pool.map(work, jobs)


def processors() -> list[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def stay_on(numbers: Iterable[int]) -> None:
    """Keep this thread, and those it starts, on some processors, where the system allows to say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)
