"""Spool: stretches of rows in memory, or on disk when they are many; and passes over them in blocks."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from oddwave.errors import OutputError
from oddwave.series import Floats, Windows

LIMIT = 256 << 20
"""Bytes of rows that are kept in memory; more go to a temporary file."""
BLOCK = 8192
"""Rows of a block."""
_RESIDENT = 32 << 20  # bytes of a mapped file that are read before their memory is given back


class Spool:
    """Stretches, added piece by piece; past `limit` bytes in a file without a name, gone when the last array is.

    Parameters
    ----------
    limit
        None: everything stays in memory.
    """

    def __init__(self, limit: int | None = LIMIT) -> None:
        self.limit = limit
        self.shapes: list[tuple[int, int]] = []
        self._parts: list[list[Floats]] = []
        self._file: IO[bytes] | None = None
        self._bytes = 0

    def add(self, rows: Floats, is_new: bool) -> None:
        """Begin a stretch with these rows, or go on with the last one.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        if is_new:
            self.shapes.append((0, rows.shape[1]))
            self._parts.append([])
        self.shapes[-1] = (self.shapes[-1][0] + len(rows), rows.shape[1])
        self._parts[-1].append(rows)
        self._bytes += rows.nbytes
        if self.limit is not None and self._bytes > self.limit:
            self._write()

    def stretches(self) -> list[Floats]:
        """Return all stretches, once; those of a file are mapped, so that reading them takes memory until `drop`."""
        if self._file is None:
            return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in self._parts]
        flat: Floats = np.memmap(self._file, dtype=np.float64, mode="r")
        self.close()
        ends = np.cumsum([rows * channels for rows, channels in self.shapes]).tolist()
        return [
            flat[end - shape[0] * shape[1] : end].reshape(shape) for end, shape in zip(ends, self.shapes, strict=True)
        ]

    def close(self) -> None:
        """Give up the file; arrays that are mapped from it stay."""
        if self._file is not None:
            with suppress(OSError):  # the disk may be full
                self._file.close()

    def _write(self) -> None:
        folder = _folder()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            for parts in self._parts:
                for part in parts:
                    self._file.write(np.ascontiguousarray(part).data)
                parts.clear()
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"The rows don't fit on the disk of {folder}: {error.strerror or error} after "
                f"{self._bytes >> 20:,} MB.\nFree some space there, or name a folder on another disk in TMPDIR."
            ) from None


def _folder() -> Path:
    """Return where large temporary files go: /tmp is often kept in memory."""
    large = Path("/var/tmp")  # noqa: S108  the file has no name
    return large if "TMPDIR" not in os.environ and os.access(large, os.W_OK) else Path(tempfile.gettempdir())


def drop(rows: Floats) -> None:
    """Give back the memory of rows that are mapped from a file; they are read again when asked for."""
    mapped = getattr(rows, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def blocks(stretches: Sequence[Floats], size: int = BLOCK) -> Iterator[Floats]:
    """Yield all rows in blocks of `size`, the last one shorter: the same ones however the rows are cut in stretches.

    Examples
    --------
    >>> [len(block) for block in blocks([np.zeros((3, 1)), np.zeros((4, 1))], size=2)]
    [2, 2, 2, 1]
    """
    held: list[Floats] = []
    room, resident = size, 0
    for stretch in stretches:
        at = 0
        while at < len(stretch):
            part = stretch[at : at + room]
            held.append(part)
            at, room, resident = at + len(part), room - len(part), resident + part.nbytes
            if not room:
                yield held[0] if len(held) == 1 else np.concatenate(held)
                held, room = [], size
            if resident > _RESIDENT:
                drop(stretch)
                resident = 0
    if held:
        yield np.concatenate(held)
    for stretch in stretches[-1:]:
        drop(stretch)


class Moments(NamedTuple):
    """Of each channel: mean, standard deviation, largest absolute value."""

    mean: Floats
    deviation: Floats
    highest: Floats


def moments(stretches: Sequence[Floats]) -> Moments:
    """Return the moments of all rows, the same to the bit however they are cut, in the memory of a block.

    Examples
    --------
    >>> [part.tolist() for part in moments([np.array([[1.0], [-3.0]]), np.array([[5.0]])])]
    [[1.0], [3.265986323710904], [5.0]]
    """
    count = sum(map(len, stretches))
    channels = stretches[0].shape[1]
    total, highest = np.zeros(channels), np.zeros(channels)
    for block in blocks(stretches):
        total += block.sum(axis=0)
        np.maximum(highest, np.abs(block).max(axis=0), out=highest)
    mean = total / count
    off, squares = np.zeros(channels), np.zeros(channels)
    for block in blocks(stretches):
        distance = block - mean
        off += distance.sum(axis=0)  # what rounding made of zero
        squares += np.square(distance).sum(axis=0)
    variance = np.maximum(squares / count - np.square(off / count), 0.0)
    return Moments(mean + off / count, np.sqrt(variance), highest)


def scaled(stretches: Sequence[Floats], center: Floats, scale: Floats) -> list[Windows]:
    """Return (stretch - center) / scale as float32, one after the other in one array, without a copy in float64."""
    ends = np.cumsum([len(stretch) for stretch in stretches], dtype=np.int64)
    whole = np.empty((int(ends[-1]) if len(ends) else 0, len(center)), dtype=np.float32)
    at = 0
    for block in blocks(stretches):
        whole[at : at + len(block)] = (block - center) / scale
        at += len(block)
    return np.split(whole, ends[:-1]) if len(ends) else []
