"""A result as CSV, row by row: time, label, score, and the reason if some rows weren't scored."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
from numpy.typing import NDArray

from oddwave.atomic import Atomic
from oddwave.result import REASONS, Result, Scored, time_column
from oddwave.save.paths import place

LABELS = (b",0,", b",1,", b",,")  # by label; the last, -1, is a row without one
QUOTED = re.compile('[",\r\n]')


def encode(result: Result) -> bytes:
    """Return what `to_csv` writes."""
    rows, name = result.rows, time_column(result.series.time_name)
    has_reasons = bool(rows.reason.any())
    return _header(name, has_reasons) + _lines(rows, has_reasons)


def to_csv(result: Result, save_path: str | PathLike[str]) -> Path:
    """Write time, label and score of every row, and the reason if some rows weren't scored."""
    path = place(result, save_path, ".csv")
    with CsvWriter(path, result.series.time_name) as writer:
        writer.append(result.rows)
    return path


class CsvWriter:
    """Write rows as they come; the file appears when all are in, with a fourth column if rows weren't scored.

    Examples
    --------
    >>> with CsvWriter(Path("out.csv"), "timestamp") as writer:  # doctest: +SKIP
    ...     for rows in chunks:
    ...         writer.append(rows)
    """

    def __init__(self, path: Path, time_name: str) -> None:
        self.atomic = Atomic(path)
        self.time_name = time_column(time_name)
        self.has_reasons = False
        self.file: IO[bytes]

    def __enter__(self) -> Self:
        self.file = self.atomic.__enter__()
        self.file.write(_header(self.time_name, self.has_reasons))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.atomic.__exit__(kind, error, trace)

    def append(self, rows: Scored) -> None:
        """Write the next rows."""
        if not self.has_reasons and rows.reason.any():
            self._add_reasons()
        self.file.write(_lines(rows, self.has_reasons))

    def _add_reasons(self) -> None:
        """Write the fourth column into the lines so far: only now is it known that there is one."""
        self.has_reasons = True
        before = self.file
        header = len(_header(self.time_name, has_reasons=False))
        size = before.tell()
        if size == header:
            before.seek(0)
            before.truncate()
            before.write(_header(self.time_name, has_reasons=True))
            return
        self.file = self.atomic.restart()
        with before:
            before.seek(header)
            self.file.write(_header(self.time_name, self.has_reasons))
            is_quoted = False
            while piece := before.read(1 << 22):
                parts = piece.split(b'"')  # a line end between quotes belongs to a time
                parts[is_quoted::2] = [part.replace(b"\n", b",\n") for part in parts[is_quoted::2]]
                is_quoted ^= len(parts) % 2 == 0
                self.file.write(b'"'.join(parts))


def _header(time_name: str, has_reasons: bool) -> bytes:
    return f"{_quoted(time_name)},label,score{',reason' if has_reasons else ''}\n".encode()


def _lines(rows: Scored, has_reasons: bool) -> bytes:
    if not len(rows):
        return b""
    cells: list[bytes] = [b"\n"] * (4 * len(rows))
    cells[0::4] = _times(rows.index)
    cells[1::4] = map(LABELS.__getitem__, rows.label.tolist())
    cells[2::4] = _numbers(rows.score)
    if has_reasons:
        end = [f",{_quoted(reason)}\n".encode() for reason in REASONS]
        cells[3::4] = [end[reason] for reason in rows.reason.tolist()]
    return b"".join(cells)


def _numbers(values: NDArray[Any]) -> list[bytes]:
    """Return each number in the fewest digits that read back as the same number; NaN is empty."""
    cells = msgspec.json.encode(values.tolist())[1:-1]
    return cells.replace(b"null", b"").split(b",")


def _times(index: NDArray[Any]) -> list[bytes]:
    if index.dtype.kind in "iuf":
        return _numbers(index)
    texts = ["" if time is None else str(time) for time in index.tolist()]
    if not QUOTED.search("".join(texts)):
        return "\n".join(texts).encode().split(b"\n")
    return [_quoted(text).encode() for text in texts]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text
