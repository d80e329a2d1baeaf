"""Excel: the first sheet of a workbook as rows of text, read with python-calamine."""

from __future__ import annotations

import io
import zipfile
import zlib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from xml.parsers.expat import ExpatError

from oddwave.errors import InputError, MissingExtraError
from oddwave.read import compound, sheet
from oddwave.read.cells import shown
from oddwave.read.columns import is_headerless

MAX_UNPACKED = 2 << 30
"""Most bytes that a workbook may unpack to, and most letters that its cells may have."""
MAX_CELLS = 1 << 25
"""Most rows times columns of a sheet, empty cells too: calamine takes memory for all of them at once."""
_OTHER_KINDS = {"xl/workbook.bin", "content.xml"}  # .xlsb and .ods, whose cells aren't counted here
_DAMAGES = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ExpatError)
_ADVICE = "Open and save it again, or export a CSV."


def sheet_rows(file: Path | IO[bytes], source: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the first sheet's header, its rows as text, and the rows' numbers in the sheet.

    Raises
    ------
    InputError
        If the workbook is damaged, locked or too large, or the sheet is empty.
    MissingExtraError
        If python-calamine isn't installed.
    """
    try:
        import python_calamine as calamine
    except ImportError:
        raise MissingExtraError(f"Reading the Excel file {source}", "python-calamine", "excel") from None

    _check(file, source)
    try:
        book = calamine.load_workbook(str(file) if isinstance(file, Path) else file)
        typed = book.get_sheet_by_index(0).to_python(skip_empty_area=False)
    except calamine.PasswordError:
        raise InputError(f"{source} is locked with a password.\nSave a copy without one.") from None
    except (calamine.CalamineError, OSError, IndexError, ValueError) as error:
        raise InputError(f"{source} is no Excel workbook that can be read: {error}.\n{_ADVICE}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # how Rust's faults come, outside of Exception
            raise
        raise InputError(f"{source} is a damaged Excel workbook.\n{_ADVICE}") from None
    timed = {at for row in typed for at, cell in enumerate(row) if isinstance(cell, datetime)}
    cells = [[_text(cell, at in timed) for at, cell in enumerate(row)] for row in typed]
    rows = [(at, row) for at, row in enumerate(cells, start=1) if any(cell.strip() for cell in row)]
    if not rows:
        raise InputError(f"{source} has nothing on its first sheet.\nPut the table there, with a header row.")
    width = max(at for _, row in rows for at, cell in enumerate(row, start=1) if cell.strip())
    rows = [(at, row[:width]) for at, row in rows]
    header = [name.strip() for name in rows[0][1]]
    if is_headerless(header):
        raise InputError(
            f"{source} has no header: its first row holds numbers ({shown(', '.join(header))}).\n"
            "Put a first row with the names of the columns."
        )
    return header, [row for _, row in rows[1:]], [at for at, _ in rows[1:]]


def _check(file: Path | IO[bytes], source: str) -> None:
    """Refuse what isn't a workbook, and what calamine would choke on."""
    data = file.read_bytes() if isinstance(file, Path) else file.read()
    if not isinstance(file, Path):
        file.seek(0)
    if data.startswith(b"\xd0\xcf"):
        if not compound.is_whole(data):
            raise InputError(f"{source} is a damaged Excel workbook.\n{_ADVICE}")
        _check_extent(*compound.extent(data), source)
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            size = sum(part.file_size for part in parts.infolist())
            names = {name.lower() for name in parts.namelist()}
            is_workbook = "xl/workbook.xml" in names and not names & _OTHER_KINDS
            n_rows, n_columns, n_letters = sheet.extent(parts) if is_workbook and size <= MAX_UNPACKED else (0, 0, 0)
    except _DAMAGES:
        raise InputError(f"{source} is a damaged Excel workbook.\n{_ADVICE}") from None
    if not is_workbook:
        raise InputError(f"{source} is a zip archive without an Excel workbook in it (.xlsx).\nUnpack it first.")
    if size > MAX_UNPACKED:
        raise InputError(f"{source} unpacks to {size:,} bytes, over the limit of {MAX_UNPACKED:,}.\nExport it as CSV.")
    if n_letters > MAX_UNPACKED:
        raise InputError(f"{source} has a very long text and very many texts.\nShorten it, or export it as CSV.")
    _check_extent(n_rows, n_columns, source)


def _check_extent(n_rows: int, n_columns: int, source: str) -> None:
    if n_rows * n_columns > MAX_CELLS:
        raise InputError(
            f"{source} has a sheet of {n_rows:,} rows and {n_columns:,} columns, more than {MAX_CELLS:,} cells.\n"
            "Delete what stands far outside the table, or export it as CSV."
        )


def _text(cell: Any, is_timed: bool) -> str:
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        nearest = (cell + timedelta(microseconds=500)).replace(microsecond=0)  # days as floats are off by some us
        return str(nearest if abs(nearest - cell) <= timedelta(microseconds=500) else cell)
    if isinstance(cell, date):
        return f"{cell} 00:00:00" if is_timed else str(cell)
    return str(cell)
