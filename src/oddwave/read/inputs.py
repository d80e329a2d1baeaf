"""Sources: a folder, a glob, a list or a dict as single inputs, one after another."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".xlsx", ".xlsm", ".xls", ".parquet")
"""Files of a folder that are read, in upper or lower case; hidden ones aren't."""


def is_url(text: str) -> bool:
    """Tell whether a text has the form of a URL, of whatever scheme."""
    scheme, mark, _ = text.partition("://")
    return bool(mark) and len(scheme) > 1 and scheme.replace("+", "").isalnum()


def sources(data: Any) -> Iterator[Any]:
    """Yield the single inputs that `data` stands for, in order; a folder's or glob's files sorted by name.

    Never raises: what can't be read is yielded as it is; `read_one` tells about it, and the rest goes on.

    Examples
    --------
    >>> list(sources({"ts": ["a.csv", ["b.csv"]]}))
    ['a.csv', 'b.csv']
    """
    if isinstance(data, dict) and set(data) == {"ts"}:
        yield from sources(data["ts"])
    elif isinstance(data, (list, tuple, Iterator)):
        for part in data:
            yield from sources(part)
    elif isinstance(data, (str, os.PathLike)) and isinstance(os.fspath(data), str):
        yield from _files(data, os.fspath(data))
    else:
        yield data


def _files(data: Any, text: str) -> Iterator[Any]:
    if text == "-" or is_url(text):
        yield data
    elif os.path.isdir(text):
        files = data_files(text)
        yield from files or [data]
    elif glob.has_magic(text) and not os.path.exists(text):
        files = sorted(path for path in glob.iglob(text, recursive=True) if os.path.isfile(path))
        yield from files or [data]
    else:
        yield data


def data_files(folder: str | Path) -> list[str]:
    """List the data files of a folder, not of the folders in it."""
    try:
        with os.scandir(folder) as entries:
            data = [entry for entry in entries if entry.name.lower().endswith(SUFFIXES) and entry.is_file()]
            return sorted(entry.path for entry in data if not entry.name.startswith((".", "~$")))
    except OSError:
        return []
