"""Compound file: is the container of an .xls whole? A damaged one can send its reader round for ever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HEADER = 512
_ENTRIES = 109  # of the allocation table's sectors, listed in the header itself


def is_whole(data: bytes) -> bool:
    r"""Tell whether no chain of sectors bites its own tail, as [MS-CFB] demands.

    Examples
    --------
    >>> is_whole(b"\xd0\xcf\x11\xe0" + bytes(2000))
    False
    """
    if len(data) < _HEADER:
        return False
    shift = int.from_bytes(data[30:32], "little")
    if shift not in (9, 12):
        return False
    size = 1 << shift
    body = data[size:]
    sectors = np.frombuffer(body[: len(body) // size * size], dtype="<u4").reshape(-1, size // 4)
    listed = _listed(np.frombuffer(data[:_HEADER], dtype="<u4"), sectors)
    if listed is None or (listed >= len(sectors)).any():
        return False
    table = sectors[listed].ravel()
    small = _chain(int.from_bytes(data[60:64], "little"), table, sectors)
    return _ends(table) and (small is None or _ends(small))


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
    """Return the table of small sectors, if there is one."""
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
