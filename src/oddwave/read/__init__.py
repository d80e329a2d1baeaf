"""Read: any input as Series, one input at a time.

sources -> one file's stream, table or sheet -> blocks of rows -> Series
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.read.block import Builder, join
from oddwave.read.csv_text import BLOCK, CsvReader, header_of
from oddwave.read.inputs import SUFFIXES, is_url, sources
from oddwave.read.plain import plain_block
from oddwave.read.stream import MAX_UNPACKED, SMALL, Reader, Stream, Unpacked, kind_of, open_path, standard_input
from oddwave.series import Columns, Series

__all__ = ["parse_csv", "parse_table", "read", "read_chunks", "read_one", "sources"]

ALL = Columns()
_TABLE_KINDS = ("parquet", "zip", "xls")
_KIND_BY_SUFFIX = {".parquet": "Parquet", ".xlsx": "Excel", ".xlsm": "Excel", ".xls": "Excel", ".gz": "gzip"}


def read(data: Any, columns: Columns = ALL) -> Iterator[Series]:
    """Yield one Series per input (per group, if there is a group column), one input at a time in memory.

    Parameters
    ----------
    data
        A path (CSV, CSV.GZ, XLSX, XLS, Parquet), `-` for a CSV on standard input, a URL, a folder or glob of
        files (read in sorted order), a pandas or polars DataFrame, a pyarrow Table, a numpy array of shape
        (time,) or (time, channel), `{"ts": any of these}`, or a list of any of these.

    Raises
    ------
    InputError
        At the first input that can't be read; to go on after it, go through `sources` and `read_one`.
    """
    for source in sources(data):
        yield from read_one(source, columns)


def read_one(source: Any, columns: Columns = ALL) -> Iterator[Series]:
    """Yield the Series of one single input; several only if there is a group column."""
    if not isinstance(source, (str, os.PathLike)):
        yield from _objects(source, columns)
        return
    text = os.fspath(source)
    if text == "-":
        stream = standard_input()
        yield from _stream(stream, columns, "standard input")
    elif is_url(text):
        from oddwave.read.url import fetch  # with its HTTP and TLS, slow to import

        yield from _body(fetch(text), columns, text)
    else:
        path = _existing(text)
        stream, raw = open_path(path)
        with raw:
            yield from _stream(stream, columns, text, path)


def read_chunks(source: str | os.PathLike[str], columns: Columns, rows: int = 65536) -> Iterator[Series]:
    """Yield a CSV, CSV.GZ or Parquet file in its own order, at most `rows` rows at a time, in bounded memory.

    Cells, notes and errors are those of `read_one`. A chunk's notes count what was seen up to its block's
    end, so the last chunk's are those of the whole file. Whole-number times turn to decimals from the first
    block that holds one. A chunk's rows may be out of time order.

    Raises
    ------
    InputError
        As `read_one`, and if `columns` has a group column: groups need the whole table.
    """
    text = os.fspath(source)
    if columns.group_col is not None:
        raise InputError(f"{text} can't be read in chunks by the group column {columns.group_col}.\nRead it whole.")
    if text == "-":
        yield from _csv_chunks(standard_input(), columns, "standard input", rows, None)
        return
    path = _existing(text)
    stream, raw = open_path(path)
    with raw:
        kind = _kind(stream, path)
        if kind == "parquet" and path.is_file():
            yield from _parquet_chunks(path, columns, text, rows)
        elif kind in _TABLE_KINDS:
            for series in _stream(stream, columns, text, path):
                yield from _slices(series, rows)
        else:
            bytes_ = Unpacked(stream, limit=None) if kind == "gzip" else stream
            yield from _csv_chunks(bytes_, columns, text, rows, path if path.is_file() else None)


def parse_csv(body: bytes, columns: Columns, source: str) -> Series:
    r"""Read a small CSV from memory as one series.

    Raises
    ------
    InputError
        If it isn't a CSV that can be read.

    Examples
    --------
    >>> parse_csv(b"time,flow\n1,0.5\n2,0.25\n", Columns(), "body").values.tolist()
    [[0.5], [0.25]]
    """
    return next(_csv(io.BytesIO(body), columns, source, body if len(body) < SMALL else None))


def parse_table(names: Sequence[str], cells: Sequence[Any], columns: Columns, source: str) -> Series:
    """Take named columns, each an array of numbers or a list of texts, as one series.

    Raises
    ------
    InputError
        If a column is missing, or can't be read.
    """
    from oddwave.read.table import Table, roles_of

    table = Table([name.strip() for name in names], cells, source, len(cells[0]) if cells else 0)
    roles = roles_of(table.names, columns, source, table.n_rows)
    return next(Builder(source, roles, "row").groups(table.block(roles)))


def _csv(stream: Reader, columns: Columns, source: str, body: bytes | None = None) -> Iterator[Series]:
    """Read a whole CSV; `body` is all of it, if it is small."""
    if body is not None and b"\0" not in body and body.isascii():
        layout, rest, line = header_of(body, source, columns)
        block = plain_block(layout, rest, line)
        if block is not None:
            yield Builder(source, layout.roles).series(block)
            return
    reader = CsvReader(stream, columns, source)
    blocks = list(reader.blocks())
    builder = Builder(source, reader.layout.roles)
    builder.notes.extend(reader.notes())
    whole = join(blocks)
    del blocks
    yield from builder.groups(whole)


def _csv_chunks(stream: Reader, columns: Columns, source: str, rows: int, path: Path | None) -> Iterator[Series]:
    reader = CsvReader(stream, columns, source, size=min(BLOCK, max(rows * 512, 1 << 16)))
    look_ahead = None if path is None else (lambda: _times(path, columns, source))
    builder = Builder(source, reader.layout.roles, look_ahead=look_ahead)
    header_notes = builder.notes.copy()
    for block in reader.blocks():
        series = builder.series(block)
        guessed = builder.notes[len(header_notes) :]
        notes = (*header_notes, *reader.notes(), *guessed, *builder.clock.notes(), *builder.tally.notes())
        yield from _slices(replace(series, notes=notes), rows)


def _times(path: Path, columns: Columns, source: str) -> Iterator[tuple[list[str], NDArray[np.int64]]]:
    """Yield the time column of a whole CSV file, when its first block doesn't tell day from month."""
    stream, raw = open_path(path)
    with raw:
        bytes_ = Unpacked(stream, limit=None) if kind_of(stream.head) == "gzip" else stream
        for block in CsvReader(bytes_, columns, source).blocks():
            if isinstance(block.times, list):
                yield block.times, block.lines


def _parquet_chunks(path: Path, columns: Columns, source: str, rows: int) -> Iterator[Series]:
    from oddwave.read.table import parquet_tables, roles_of

    builder: Builder | None = None
    first_row = 1
    for table in parquet_tables(path, source, rows):
        if builder is None:
            builder = Builder(source, roles_of(table.names, columns, source, table.n_rows), "row")
        yield builder.series(table.block(builder.roles, first_row))
        first_row += table.n_rows
    if builder is None:
        raise InputError(f"{source} has columns, but no rows.\nCheck what wrote it.")


def _slices(series: Series, rows: int) -> Iterator[Series]:
    for start in range(0, len(series), rows):
        yield series.rows(start, start + rows)


def _stream(stream: Stream, columns: Columns, source: str, path: Path | None = None) -> Iterator[Series]:
    """Read a stream by what it holds, whatever its name says."""
    kind = _kind(stream, path)
    if kind == "gzip":
        yield from _csv(Unpacked(stream, MAX_UNPACKED), columns, source)
    elif kind in _TABLE_KINDS:
        if path is not None and path.is_file():
            yield from _table(path, kind, columns, source)
        else:
            yield from _table(io.BytesIO(stream.read(MAX_UNPACKED)), kind, columns, source)
    else:
        is_small = stream.is_over and len(stream.head) < SMALL
        body = stream.read(SMALL) if is_small else None
        yield from _csv(stream if body is None else io.BytesIO(body), columns, source, body)


def _body(body: bytes, columns: Columns, source: str) -> Iterator[Series]:
    yield from _stream(Stream(io.BytesIO(body), source), columns, source)


def _table(file: Path | io.BytesIO, kind: str, columns: Columns, source: str) -> Iterator[Series]:
    from oddwave.read.table import parquet_tables, roles_of

    if kind == "parquet":
        table = next(parquet_tables(file, source, None))
        roles = roles_of(table.names, columns, source, table.n_rows)
        yield from Builder(source, roles, "row").groups(table.block(roles))
        return
    from oddwave.read.excel import sheet_rows
    from oddwave.read.rows import rows_block

    header, rows, lines = sheet_rows(file, source)
    roles = roles_of(header, columns, source, len(rows))
    yield from Builder(source, roles, "row").groups(rows_block(rows, lines, roles)[0])


def _objects(data: Any, columns: Columns) -> Iterator[Series]:
    from oddwave.read.table import roles_of, table_of

    table = table_of(data, columns)
    if table is None:
        kind = f"of type {type(data).__name__}"
        keys = f"a dict with the keys {sorted(map(str, data))}" if isinstance(data, dict) else ""
        if isinstance(data, (bool, int, float)):  # it stood in a list of rows
            raise InputError("The input is a single number. A list is read as several inputs: give rows as an array.")
        raise InputError(
            f"The input is {keys or kind}, which can't be read.\n"
            "Give a path, a URL, a folder, a glob, '-', a DataFrame, a Table, an array, {'ts': …}, or a list."
        )
    if table.time_name is not None:
        columns = replace(columns, time_col=table.time_name)
    roles = roles_of(table.names, columns, table.source, table.n_rows)
    yield from Builder(table.source, roles, "row").groups(table.block(roles))


def _existing(text: str) -> Path:
    """Return the path of a file or pipe.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(text)
    if os.path.isfile(text):
        return path
    if not text or "\0" in text or not path.exists():
        if any(mark in text for mark in "*?["):
            raise InputError(f"No file matches {text!r}.\nCheck the folder and the pattern.")
        raise InputError(f"There is no file {text!r}.\nCheck the path; the current folder is {Path.cwd()}.")
    if path.is_dir():
        ends = ", ".join(SUFFIXES)
        raise InputError(f"The folder {text} holds no file to read.\nFiles are read that end in {ends}.")
    return path


def _kind(stream: Stream, path: Path | None) -> str:
    """Tell what a stream holds by its first bytes; refuse what can't be read, or isn't what the name says."""
    kind = kind_of(stream.head)
    if kind not in ("text", "gzip", *_TABLE_KINDS):
        raise InputError(f"{stream.source} is a file of the kind {kind}, which isn't read.\nGive it as a CSV.")
    suffix = "" if path is None else path.suffix.lower()
    wanted = _KIND_BY_SUFFIX.get(suffix)
    if kind == "text" and wanted and stream.head:
        raise InputError(
            f"{stream.source} is no {wanted} file, whatever its name says, or it is damaged.\n"
            "Rename it if it is a CSV; else save it again."
        )
    return kind
