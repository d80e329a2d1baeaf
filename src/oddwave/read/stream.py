"""Stream: the bytes of a file, a pipe or standard input, unpacked if they are gzip, with limits."""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
import sys
import zlib
from pathlib import Path
from typing import IO, Protocol, cast

from oddwave.errors import InputError

PIPE_WAIT_S = 60.0
"""How long a named pipe may stay silent before its first byte."""
MAX_UNPACKED = 4 << 30
"""Most bytes that a gzip file read in one piece, or a pipe, may give."""
MAX_RATIO = 200
"""Most bytes unpacked from one packed byte, once `RATIO_FROM` are unpacked; real CSV stays far below."""
RATIO_FROM = 64 << 20
SMALL = 1 << 20
"""Bytes read at first; an input that ends within them is small."""
CHECK = "Check that you may read it, and that it is whole."
KINDS = (
    (b"\x1f\x8b", "gzip"), (b"PAR1", "parquet"), (b"PK\x03\x04", "zip"), (b"\xd0\xcf\x11\xe0", "xls"),
    (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"7z\xbc\xaf", "7-Zip"),
    (b"%PDF", "PDF"), (b"Rar!", "RAR"), (b"\x89HDF", "HDF5"), (b"\x93NUMPY", "NumPy"), (b"ARROW1", "Arrow"),
)  # fmt: skip


class Reader(Protocol):
    """Anything to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


def kind_of(head: bytes) -> str:
    """Name a file's format by its first bytes; "text" if none is known."""
    return next((kind for magic, kind in KINDS if head.startswith(magic)), "text")


class Stream:
    """Bytes read forward only, whose first ones can be looked at beforehand.

    Parameters
    ----------
    limit
        Most bytes to give; None: no limit.
    """

    def __init__(self, raw: Reader, source: str, limit: int | None = None) -> None:
        self.raw, self.source, self.limit = raw, source, limit
        self.is_over = False
        self.head = self._take(SMALL)
        self._ahead = io.BytesIO(self.head)
        self.count = 0

    def _take(self, size: int) -> bytes:
        parts = []
        while size > 0 and not self.is_over:
            try:
                part = self.raw.read(size)
            except OSError as error:
                raise InputError(f"{self.source} can't be read: {error.strerror or error}.\n{CHECK}") from None
            if not part:
                self.is_over = True
                break
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes; fewer only at the end."""
        data = self._ahead.read(size)
        if len(data) < size:
            data += self._take(size - len(data))
        self.count += len(data)
        if self.limit is not None and self.count > self.limit:
            raise InputError(
                f"{self.source} goes on after {self.limit:,} bytes, the most that is read from a pipe.\n"
                "Write it to a file first."
            )
        return data


class Unpacked:
    """The unpacked bytes of a gzip stream, but not a bomb's: at most `limit`, if there is one, and `MAX_RATIO`."""

    def __init__(self, packed: Stream, limit: int | None) -> None:
        self.packed, self.limit = packed, limit
        self.file = gzip.GzipFile(fileobj=cast("IO[bytes]", packed), mode="rb")  # it only reads
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""
        source = self.packed.source
        try:
            data = self.file.read(size)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            why = "it ends too early" if isinstance(error, EOFError) else str(error)
            raise InputError(f"{source}: the gzip file is damaged: {why}.\nPack or download it again.") from None
        self.count += len(data)
        is_bomb = self.count > RATIO_FROM and self.count > MAX_RATIO * max(self.packed.count, 1)
        if is_bomb or (self.limit is not None and self.count > self.limit):
            limits = "" if self.limit is None else f"{self.limit:,} bytes or "
            raise InputError(
                f"{source} unpacks to more than {self.count:,} bytes from {self.packed.count:,}, "
                f"over the limit of {limits}{MAX_RATIO} times its size.\n"
                "If that is meant, unpack it first and give the unpacked file."
            )
        return data


def standard_input() -> Stream:
    """Open standard input."""
    source = "standard input"
    if sys.stdin is None:
        raise InputError("standard input is closed.\nGive a file, or pipe a CSV into the command.")
    return Stream(getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode()), source, MAX_UNPACKED)


def open_path(path: Path) -> tuple[Stream, io.BufferedReader]:
    """Open a file or a named pipe; returns its stream and what is to be closed.

    Raises
    ------
    InputError
        If it can't be read, or nothing is written into the pipe for `PIPE_WAIT_S` seconds.
    """
    try:
        mode = path.stat().st_mode
        raw = _open_pipe(path) if stat.S_ISFIFO(mode) else path.open("rb")
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}.\n{CHECK}") from None
    limit = None if stat.S_ISREG(mode) else MAX_UNPACKED
    try:
        return Stream(raw, str(path), limit), raw
    except InputError:
        raw.close()
        raise


def _open_pipe(path: Path) -> io.BufferedReader:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # blocking, it would wait for a writer for ever
    is_ready, _, _ = select.select([descriptor], [], [], PIPE_WAIT_S)
    if not is_ready:
        os.close(descriptor)
        raise InputError(
            f"{path} is a named pipe, and nothing was written into it for {PIPE_WAIT_S:g} s.\nStart its writer first."
        )
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")
