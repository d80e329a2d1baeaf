"""CSV: a stream of bytes as blocks of rows, each by the quickest of three ways that is sure of it.

`plain_block` takes plain numbers without polars (where it isn't compiled, small inputs only), `_polars_block` other
large blocks; whatever they aren't sure of goes to `rows_block`, which reads row by row and makes the error messages.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.read.block import Block
from oddwave.read.cells import MISSING, shown
from oddwave.read.header import Layout, check_text, layout, unmarked
from oddwave.read.plain import IS_COMPILED, count, plain_block
from oddwave.read.rows import odd_block, rows_block
from oddwave.read.stream import SMALL, Reader
from oddwave.series import Columns

if TYPE_CHECKING:
    import polars as pl

BLOCK = 4 << 20
MAX_LINE = 64 << 20
_LINE_END = re.compile(rb"\r\n?|\n")
_SECOND = 1 << 16  # bytes of the line below the header that are looked at


def header_of(data: bytes, source: str, columns: Columns) -> tuple[Layout, bytes, int]:
    """Read the header at the start of an input; returns the bytes after it and the line they begin with."""
    body = unmarked(data)
    text = body.lstrip(b"\r\n")
    line = 1 + len(_LINE_END.findall(body[: len(body) - len(text)]))
    body = text
    if not body or body.isspace():
        raise InputError(f"{source} is empty ({len(data):,} bytes).\nGive a CSV with a header line and rows.")
    end = body.find(b"\n") + 1 or len(body)
    header = body[:end]
    if b"\r" in header.rstrip(b"\r\n"):
        raise InputError(f"{source} has lines ended by CR only.\nSave it with line ends LF or CRLF.")
    second = body[end : body.find(b"\n", end) + 1 or len(body)][:_SECOND]
    try:
        return layout(header, second, columns), body[end:], line + 1
    except InputError as error:
        raise InputError(f"{source} {error}") from None


class CsvReader:
    """Reads a CSV stream block by block.

    Parameters
    ----------
    size
        Bytes of a block.
    """

    def __init__(self, stream: Reader, columns: Columns, source: str, size: int = BLOCK) -> None:
        self.stream, self.columns, self.source, self.size = stream, columns, source, size
        self.odd_columns: set[int] = set()
        self.comma = self.point = 0
        self.comma_cell = self.point_cell = ""
        self.pending: list[int] = []
        self.has_words = False
        self.blank_count, self.blank_line = 0, 0
        data, wanted = stream.read(size), size
        while len(data) == wanted <= MAX_LINE and not _holds_header(data):
            data += stream.read(wanted)
            wanted *= 2
        check_text(data[: data.rfind(b"\n") + 1] or data, source, 1)
        self.layout, self.rest, self.line = header_of(data, source, columns)
        self.is_small = len(data) < min(SMALL, size)

    def notes(self) -> tuple[str, ...]:
        """Say what was guessed or skipped in the blocks so far."""
        notes = []
        if self.comma:
            notes.append(f"Decimal commas were read as points (first: line {self.comma}, {shown(self.comma_cell)}).")
        if self.blank_count:
            notes.append(f"Blank lines skipped: {self.blank_count} (first: line {self.blank_line}).")
        return tuple(notes)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows; at least one, or an error."""
        is_any = False
        for data in self._pieces():
            check_text(data, self.source, self.line)
            block = self._block(data)
            self.line += count(data, b"\n")
            if block is not None:
                is_any = True
                self._check_marks(block)
                yield block
        if not is_any:
            raise InputError(f"{self.source} has a header line, but no rows below it.\nCheck what wrote it.")

    def _pieces(self) -> Iterator[bytes]:
        pending, self.rest = self.rest, b""
        while True:
            more = b"" if self.is_small else self.stream.read(self.size)
            if not more:
                if pending.strip(b"\r\n"):
                    yield pending
                return
            if b'"' not in pending and b'"' not in more:
                end = more.rfind(b"\n") + 1
                whole = b"".join((pending, memoryview(more)[:end])) if end else b""
                pending = more[end:] if end else pending + more
            else:
                pending += more
                end = _cut(pending)
                whole, pending = pending[:end], pending[end:]
            if whole:
                yield whole
            elif len(pending) > max(MAX_LINE, self.size):
                raise InputError(
                    f"{self.source}, line {self.line}: the line doesn't end within {MAX_LINE:,} bytes.\n"
                    "Look for a quote that isn't closed."
                )

    def _block(self, data: bytes) -> Block | None:
        block = None
        if not self.pending and not self.comma and (self.is_small or IS_COMPILED):
            block = plain_block(self.layout, data, self.line)
        if block is None and not self.pending and not self.is_small:
            block = self._polars_block(data)
        return self._rows_block(data) if block is None else block

    def _polars_block(self, data: bytes) -> Block | None:
        """Read a large block with polars; None unless every row is sure to be whole."""
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        separator = self.layout.separator
        n_rows = count(data, b"\n") + (not data.endswith(b"\n"))
        has_comma = separator != "," and b"," in data
        has_marks = has_comma or self.comma > 0  # of them, rows_block takes the first and finds both together
        is_unsure = has_marks and (not self.comma or b"." in data or bool(self.odd_columns))
        is_odd = b'"' in data or b"\r" in data or is_unsure
        gaps = self.layout.width - 1
        if is_odd or not gaps or count(data, separator.encode()) != gaps * n_rows:
            return None
        import polars as pl

        roles = self.layout.roles
        plain = [str(at) for at in roles.channels if at not in self.odd_columns]
        kinds = {str(at): pl.Float64 if str(at) in plain else pl.String for at in range(self.layout.width)}
        others = [at for at in (roles.time, roles.group, roles.label) if at is not None]
        frame = self._frame(data, kinds, has_comma)
        if frame is None:
            return None
        texts = {at: frame[str(at)] for at in others}
        if len(frame) != n_rows or any(column.null_count() for column in texts.values()):
            return None
        block = Block(frame.select(plain).to_numpy(order="c"), np.arange(self.line, self.line + n_rows))
        if self.odd_columns:
            texts_of = {at: [text or "" for text in frame[str(at)].to_list()] for at in self.odd_columns}
            block = odd_block(block, roles.channels, texts_of)
        if roles.time is not None:
            block.times = _whole_or_text(texts[roles.time])
        block.groups = None if roles.group is None else texts[roles.group].to_list()
        block.labels = None if roles.label is None else texts[roles.label].to_list()
        return block

    def _frame(self, data: bytes, kinds: Mapping[str, Any], has_comma: bool) -> pl.DataFrame | None:
        """Parse with polars, first without the words for missing cells, which cost time.

        Every column is read, since polars overlooks ragged rows when it reads only some.
        """
        import polars as pl

        for has_words in (self.has_words, True):
            words = [word for word in MISSING if word] if has_words else None
            try:
                frame = pl.read_csv(data, has_header=False, schema=kinds, quote_char=None, null_values=words,
                                    separator=self.layout.separator, decimal_comma=has_comma)  # fmt: skip
            except (pl.exceptions.PolarsError, OSError):
                continue
            self.has_words = has_words
            return frame
        return None

    def _rows(self, data: bytes) -> tuple[list[list[str]], list[int]]:
        """Split into rows of cells, with the line each begins on."""
        width = self.layout.width
        rows: list[list[str]] = []
        lines: list[int] = []
        text = io.StringIO(data.decode(), newline="")
        reader = csv.reader(text, delimiter=self.layout.separator, strict=True)
        before = 0
        try:
            for row in reader:
                line, before = self.line + before, reader.line_num
                if len(row) == width:
                    self._count_blank(rows, lines)
                    rows.append(row)
                    lines.append(line)
                elif len(row) == 0 or (len(row) == 1 and not row[0].strip()):
                    self.pending.append(line)
                elif len(row) < width and not data.endswith(b"\n") and next(reader, None) is None:
                    raise InputError(
                        f"{self.source}, line {line}: the last line isn't whole: {len(row)} of {width} cells.\n"
                        "Is the file still being written? Wait until it is, or take the line out."
                    )
                else:
                    cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
                    raise InputError(
                        f"{self.source}, line {line}: {cells}, but the header names {width} columns "
                        f"(separator {self.layout.separator!r}).\nCorrect the line, or take it out."
                    )
        except csv.Error as error:
            raise InputError(
                f"{self.source}, line {self.line + before}: {error}.\nCheck the quotes of this line."
            ) from None
        return rows, lines

    def _count_blank(self, rows: list[list[str]], lines: list[int]) -> None:
        """Take up blank lines that turn out to stand between rows: a missing cell if there is one column."""
        for line in self.pending:
            if self.layout.width == 1:
                rows.append([""])
                lines.append(line)
                continue
            self.blank_count += 1
            self.blank_line = self.blank_line or line
        self.pending.clear()

    def _rows_block(self, data: bytes) -> Block | None:
        rows, lines = self._rows(data)
        if not rows:
            return None
        block, odd = rows_block(
            rows, lines, self.layout.roles, self.layout.separator != "," and (b"," in data or self.comma > 0)
        )
        self.odd_columns |= {at for at, one in odd.items() if one.text_count or one.has_words}
        for at, one in odd.items():
            if one.comma >= 0 and not self.comma:
                self.comma, self.comma_cell = lines[one.comma], rows[one.comma][at]
            if one.point >= 0 and not self.point:
                self.point, self.point_cell = lines[one.point], rows[one.point][at]
        return block

    def _check_marks(self, block: Block) -> None:
        """Refuse decimal commas beside decimal points."""
        if not self.point and self.layout.separator != "," and not self.comma:
            with np.errstate(invalid="ignore"):
                is_fraction = (block.values % 1 > 0).any(axis=1)
            if is_fraction.any():
                self.point, self.point_cell = int(block.lines[int(np.argmax(is_fraction))]), "a decimal point"
        if self.comma and self.point:
            raise InputError(
                f"{self.source} has decimal commas (line {self.comma}: {shown(self.comma_cell)}) and decimal "
                f"points (line {self.point}: {shown(self.point_cell)}).\nWrite decimal points only."
            )


def _holds_header(data: bytes) -> bool:
    """Tell whether the header line, and as much below it as is looked at, is there."""
    body = unmarked(data).lstrip(b"\r\n")
    return 0 <= body.find(b"\n") < len(body) - _SECOND


def _cut(data: bytes) -> int:
    """Return the position after the last line end that is outside quotes; 0 if there is none."""
    end = data.rfind(b"\n")
    quotes = data.count(b'"', 0, max(end, 0))
    while end > 0 and quotes % 2:
        before = data.rfind(b"\n", 0, end)
        quotes -= data.count(b'"', max(before, 0), end)
        end = before
    return end + 1


def _whole_or_text(column: pl.Series) -> NDArray[np.int64] | list[str]:
    import polars as pl

    whole = column.cast(pl.Int64, strict=False)
    if whole.null_count():
        return column.to_list()
    return np.asarray(whole.to_numpy(), dtype=np.int64)
