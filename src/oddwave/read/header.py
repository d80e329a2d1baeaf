"""Header: the first line of a CSV: its encoding, its separator, its names."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.read.cells import shown
from oddwave.read.columns import Roles, assign, is_headerless
from oddwave.series import Columns

_UTF8_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"),
               (b"\xfe\xff", "UTF-16"))  # fmt: skip
_HIGH = re.compile(rb"[\x80-\xff]+")


@dataclass(frozen=True)
class Layout:
    """How a CSV is laid out: its separator, and what its columns are for."""

    separator: str
    roles: Roles

    @property
    def width(self) -> int:
        """Cells in a row."""
        return len(self.roles.names)

    @cached_property
    def places(self) -> NDArray[np.int32]:
        """Where each column goes: a channel by its number, the label after them; the time to -1, others to -2."""
        roles = self.roles
        places = np.full(self.width, -2, dtype=np.int32)
        places[list(roles.channels)] = np.arange(len(roles.channels))
        for at, place in ((roles.time, -1), (roles.label, len(roles.channels))):
            if at is not None:
                places[at] = place
        return places


def layout(header: bytes, second: bytes, columns: Columns) -> Layout:
    """Read a header line; `second` is the line after it, or empty, and helps to tell the separator.

    Raises
    ------
    InputError
        Its message goes on after the name of the source ("has …").
    """
    text = header.decode().strip("\r\n")
    return _layout(text, _separator(text, second), columns)


@lru_cache(maxsize=64)
def _layout(text: str, separator: str, columns: Columns) -> Layout:
    try:
        names = next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise InputError(f"has a header line that can't be read: {error}.\nCheck its quotes.") from None
    names = [name.strip() for name in names]
    wanted = columns.channels
    if is_headerless(names) and not (wanted and set(wanted) <= set(names)):
        raise InputError(
            f"has no header: its first line holds numbers ({shown(text)}).\n"
            "Put a first line with the names of the columns."
        )
    filled = [name for name in names if name]
    if len(filled) == 1 and filled[0].lower().startswith(("#", "sep=")):
        raise InputError(f"begins with {shown(text)}, which names no columns.\nTake this line out.")
    if text.lstrip()[:1] in ("<", "{"):
        raise InputError(
            f"isn't a CSV: its first line is {shown(text)}.\nGive a CSV: a line with names, then rows of numbers."
        )
    return Layout(separator, assign(names, columns))


def unmarked(data: bytes) -> bytes:
    """Take the UTF-8 byte order mark off the start of an input."""
    return data.removeprefix(_UTF8_MARK)


def check_text(data: bytes, source: str, first_line: int) -> None:
    """Refuse bytes that aren't UTF-8 text, naming the encoding they seem to have and the line.

    Raises
    ------
    InputError
        For UTF-16, GBK, Latin-1, NUL bytes.
    """
    if first_line == 1:
        for mark, name in _WIDE_MARKS:
            if data.startswith(mark):
                _refuse_encoding(source, name, "")
    if b"\0" in data:
        head = data[:400]
        if first_line == 1 and (head[1::2].count(0) * 3 > len(head) or head[::2].count(0) * 3 > len(head)):
            _refuse_encoding(source, "UTF-16", "")
        line = first_line + data.count(b"\n", 0, data.index(b"\0"))
        raise InputError(
            f"{source}, line {line}: there is a NUL byte, so this isn't a text file or it is damaged.\n"
            "Save it as CSV, or copy it again."
        )
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        _refuse_encoding(source, _eight_bit_name(data[error.start : error.start + 65536]), f", line {line}")


def _refuse_encoding(source: str, name: str, place: str) -> None:
    code = "CP1252" if name.startswith("Windows") else name
    raise InputError(
        f"{source}{place}: the text isn't UTF-8; it looks like {name}.\n"
        f"Save it as UTF-8, for example with: iconv -f {code} -t UTF-8 old.csv > new.csv"
    )


def _eight_bit_name(data: bytes) -> str:
    runs = _HIGH.findall(data)
    paired = sum(len(run) >= 2 for run in runs)
    try:
        data[: data.rfind(b"\n") if b"\n" in data else None].decode("gb18030")
    except UnicodeDecodeError:
        return "Windows-1252 or Latin-1"
    return "GBK" if paired * 2 > len(runs) else "Windows-1252 or Latin-1"


def _separator(header: str, second: bytes) -> str:
    outside = re.sub(r'"[^"]*"', "", header) if '"' in header else header
    counts = {mark: outside.count(mark) for mark in ",;\t"}
    best = max(counts.values())
    if best == 0:
        return ","
    tied = [mark for mark, count in counts.items() if count == best]
    if len(tied) == 1:
        return tied[0]
    below = re.sub(r'"[^"]*"', "", second.decode(errors="replace").strip("\r\n"))
    return next((mark for mark in tied if below.count(mark) == best), tied[0])
