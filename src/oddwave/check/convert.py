"""Convert: Excel workbooks to CSV files beside them."""

from __future__ import annotations

import csv
import io
from os import PathLike
from pathlib import Path

from oddwave.atomic import Atomic
from oddwave.errors import InputError, OutputError
from oddwave.read.inputs import data_files

_SUFFIXES = (".xlsx", ".xlsm", ".xls")


def convert(data: str | PathLike[str]) -> list[Path]:
    """Write the first sheet of a workbook, or of each in a folder, as a CSV beside it; the workbook stays.

    Returns
    -------
    list[Path]
        The CSV files; one that was there already with the same content isn't written again.

    Raises
    ------
    InputError
        If there is no workbook, or one can't be read; nothing is written then.
    OutputError
        If a CSV of that name is there with another content.
    """
    path = Path(data)
    books = [Path(file) for file in data_files(path)] if path.is_dir() else [path]
    books = [book for book in books if book.suffix.lower() in _SUFFIXES]
    if not books or not all(book.is_file() for book in books):
        raise InputError(f"There is no Excel workbook to convert in {path}.\nWorkbooks end in {', '.join(_SUFFIXES)}.")
    bodies: dict[Path, bytes] = {}
    for book in books:
        target = book.with_suffix(".csv")
        body = _csv(book)
        before = bodies.get(target, target.read_bytes() if target.exists() else body)
        if before != body:
            raise OutputError(
                f"{target} is there already and isn't what {book.name} holds, so it is left as it is.\n"
                "Take one of the two away, or rename it."
            )
        bodies[target] = body
    for target, body in bodies.items():
        if not target.exists():
            with Atomic(target) as file:
                file.write(body)
    return list(bodies)


def _csv(book: Path) -> bytes:
    from oddwave.read.excel import sheet_rows

    header, rows, _ = sheet_rows(book, str(book))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
