"""Compound file, the container of an .xls: whether it is whole, and how far its cells reach.

A damaged one can send its reader round for ever, and a crafted one makes it take memory for cells that aren't there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_HEADER = 512
_SMALL = 4096  # bytes of a stream below which it stands in small sectors
_SMALL_SECTOR = 64
_END, _SHEET, _DIMENSIONS, _SEVERAL = 0x0A, 0x85, 0x200, 0xBD
_CELLS = {0x02, 0x03, 0x04, 0x05, 0x06, 0xBD, 0xD6, 0xFD, 0x203, 0x204, 0x205, 0x206, 0x27E, 0x406}
_ENTRIES = 109  # of the allocation table's sectors, listed in the header itself


def is_whole(data: bytes) -> bool:
    r"""Tell whether no chain of sectors bites its own tail, as [MS-CFB] demands.

    Examples
    --------
    >>> is_whole(b"\xd0\xcf\x11\xe0" + bytes(2000))
    False
    """
    parts = _table(data)
    if parts is None:
        return False
    table, sectors = parts
    small = _chain(int.from_bytes(data[60:64], "little"), table, sectors)
    return _ends(table) and (small is None or _ends(small))


def _table(data: bytes) -> tuple[NDArray[np.uint32], NDArray[np.uint32]] | None:
    """Return the allocation table and the sectors; None if there is none."""
    shift = int.from_bytes(data[30:32], "little")
    if len(data) < _HEADER or shift not in (9, 12):
        return None
    sectors = _units(data[1 << shift :], 1 << shift)
    listed = _listed(np.frombuffer(data[:_HEADER], dtype="<u4"), sectors)
    if listed is None or (listed >= len(sectors)).any():
        return None
    return sectors[listed].ravel(), sectors


def extent(data: bytes) -> tuple[int, int]:
    """Return the rows and columns of the largest sheet of an .xls that is whole, from A1 to its last cell."""
    book = _workbook(data)
    found = [(0, 0)]
    for kind, record in _records(book, 0):
        if kind == _SHEET and len(record) >= 4:
            found.append(_sheet_extent(book, int.from_bytes(record[:4], "little")))
    return max(found, key=lambda extent: extent[0] * extent[1])


def _sheet_extent(book: bytes, start: int) -> tuple[int, int]:
    n_rows = n_columns = 0
    for kind, record in _records(book, start):
        numbers = np.frombuffer(record[: len(record) // 2 * 2], dtype="<u2")
        if kind == _DIMENSIONS and len(numbers) >= 6:
            row, column = int(numbers[2]) + (int(numbers[3]) << 16), int(numbers[5])
        elif kind == _DIMENSIONS and len(numbers) >= 4:
            row, column = int(numbers[1]), int(numbers[3])
        elif kind in _CELLS and len(numbers) >= 2:
            row, column = int(numbers[0]) + 1, int(numbers[-1 if kind == _SEVERAL else 1]) + 1
        else:
            continue
        n_rows, n_columns = max(n_rows, row), max(n_columns, column)
    return n_rows, n_columns


def _records(book: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the content of each record from a place on, to the end of its part."""
    while at + 4 <= len(book):
        kind, size = int.from_bytes(book[at : at + 2], "little"), int.from_bytes(book[at + 2 : at + 4], "little")
        if kind == _END:
            return
        yield kind, book[at + 4 : at + 4 + size]
        at += 4 + size


def _workbook(data: bytes) -> bytes:
    """Return the stream that holds the sheets; empty if there is none."""
    parts = _table(data)
    if parts is None:
        return b""
    table, sectors = parts
    directory = _joined(int.from_bytes(data[48:52], "little"), table, sectors)
    entries = [directory[at : at + 128] for at in range(0, len(directory) - 127, 128)]
    for wanted in ("Workbook", "Book"):
        for entry in entries:
            if entry[:64].decode("utf-16-le", "replace").partition("\0")[0] != wanted:
                continue
            start, length = (int.from_bytes(entry[at : at + 4], "little") for at in (116, 120))
            if length >= _SMALL:
                return _joined(start, table, sectors)[:length]
            small = _units(_joined(int.from_bytes(entries[0][116:120], "little"), table, sectors), _SMALL_SECTOR)
            return _joined(start, _chain(int.from_bytes(data[60:64], "little"), table, sectors), small)[:length]
    return b""


def _units(body: bytes, size: int) -> NDArray[np.uint32]:
    """Cut into sectors, a row each."""
    return np.frombuffer(body[: len(body) // size * size], dtype="<u4").reshape(-1, size // 4)


def _joined(start: int, table: NDArray[np.uint32] | None, sectors: NDArray[np.uint32]) -> bytes:
    found = None if table is None else _chain(start, table, sectors)
    return b"" if found is None else found.tobytes()


def _listed(header: NDArray[np.uint32], sectors: NDArray[np.uint32]) -> NDArray[np.uint32] | None:
    """Return the sectors of the allocation table; None if their list doesn't end."""
    parts, following = [header[19 : 19 + _ENTRIES]], int(header[17])
    for _ in range(len(sectors)):
        if following >= len(sectors):
            break
        parts.append(sectors[following, :-1])
        following = int(sectors[following, -1])
    else:
        return None
    count = int(header[11])
    return np.concatenate(parts)[:count] if count else None


def _chain(start: int, table: NDArray[np.uint32], sectors: NDArray[np.uint32]) -> NDArray[np.uint32] | None:
    """Return the sectors of one chain, joined; None if it is empty."""
    found: list[int] = []
    while start < min(len(table), len(sectors)) and len(found) <= len(table):
        found.append(start)
        start = int(table[start])
    return sectors[found].ravel() if found else None


def _ends(table: NDArray[np.uint32]) -> bool:
    """Tell whether every chain ends, by going 1, 2, 4, … sectors at a time."""
    end = len(table)
    following = np.append(np.minimum(table, end), end).astype(np.int64)
    for _ in range(end.bit_length()):
        following = following[following]
    return bool((following == end).all())
