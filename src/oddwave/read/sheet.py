"""Sheet: how far the cells of an .xlsx workbook reach, counted before memory is taken for them."""

from __future__ import annotations

import zipfile
from typing import IO
from xml.parsers import expat

_PIECE = 1 << 20
_MARK = b"sheetData"  # the element that holds the rows of a sheet


def extent(parts: zipfile.ZipFile) -> tuple[int, int, int]:
    """Return the rows and columns of the workbook's largest sheet, from A1 to the last cell that isn't empty.

    The third number is the most characters that its texts can have: cells share them in the file, but not in memory.
    A sheet's own `<dimension>` may say anything, so every cell is looked at.

    Raises
    ------
    xml.parsers.expat.ExpatError
        If a sheet isn't well-formed XML, or has a document type (which could hide cells).
    """
    extents, n_texts, longest = [(0, 0)], 0, 0
    for part in parts.infolist():
        with parts.open(part) as data:
            is_sheet = _is_sheet(data)
        if is_sheet:
            with parts.open(part) as data:
                cells = _Cells(data)
            extents.append(cells.extent)
            n_texts = max(n_texts, cells.n_texts)
        elif part.filename.lower().endswith("sharedstrings.xml"):
            with parts.open(part) as data:
                longest = max(longest, _Texts(data).longest)
    return *max(extents, key=lambda extent: extent[0] * extent[1]), n_texts * longest


def _is_sheet(data: IO[bytes]) -> bool:
    tail = b""
    while piece := data.read(_PIECE):
        if _MARK in tail + piece:
            return True
        tail = piece[-len(_MARK) :]
    return False


def _parse(parser: expat.XMLParserType, data: IO[bytes]) -> None:
    parser.StartDoctypeDeclHandler = _refuse
    while piece := data.read(_PIECE):
        parser.Parse(piece, False)
    parser.Parse(b"", True)


def _refuse(*_: object) -> None:
    raise expat.ExpatError("a document type")


class _Texts:
    """Finds the longest of the texts that cells share."""

    def __init__(self, data: IO[bytes]) -> None:
        self.length = self.longest = 0
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._add
        _parse(parser, data)

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "si":
            self.length = 0

    def _add(self, text: str) -> None:
        self.length += len(text)
        self.longest = max(self.longest, self.length)


class _Cells:
    """Follows the cells of one sheet; rows and cells without a reference count on from the one before."""

    def __init__(self, data: IO[bytes]) -> None:
        self.row = self.column = self.n_texts = 0
        self.extent = (0, 0)
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        _parse(parser, data)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "row":
            self.row = _whole(attributes["r"]) if "r" in attributes else self.row + 1
            self.column = 0
        elif name == "c":
            reference = attributes.get("r", "")
            letters = reference.rstrip("0123456789")
            if reference:
                self.row = _whole(reference[len(letters) :])
            self.column = _column(letters) if reference else self.column + 1
            self.n_texts += attributes.get("t") == "s"
        elif name in ("v", "is", "f"):  # a cell without any of them is empty
            self.extent = (max(self.extent[0], self.row), max(self.extent[1], self.column))


def _whole(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise expat.ExpatError(f"{digits[:20]!r} is no row")
    return int(digits)


def _column(letters: str) -> int:
    """Return a column's number; too large, if in small letters.

    Examples
    --------
    >>> _column("A"), _column("XFD")
    (1, 16384)
    """
    if not (letters.isascii() and letters.isalpha() and len(letters) < 5):
        raise expat.ExpatError(f"{letters[:20]!r} is no column")
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number
