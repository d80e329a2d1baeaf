"""Where a result is saved: the file that a path means, names for many results, files that must not be overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from oddwave.atomic import cant_write
from oddwave.errors import MissingExtraError, OutputError
from oddwave.result import Result

COMPRESSED = {".gz"}
OTHERS = {".csv", ".json", ".xlsx", ".xls", ".parquet", ".html", ".png", ".gz"}
OTHERS |= {".htm", ".pdf", ".svg", ".jpg", ".jpeg"}  # no format goes under another's name
NAME_LENGTH = 80  # letters; file systems take 255 bytes
PACKAGES = {".xlsx": ("xlsxwriter", "excel"), ".png": ("matplotlib", "plot")}  # by suffix: package, extra
FileId: TypeAlias = tuple[int, int]  # device and number on it


def need(suffix: str) -> None:
    """Refuse a format whose package isn't installed.

    Raises
    ------
    MissingExtraError
        Naming the package and the extra.
    """
    package, extra = PACKAGES.get(suffix, ("", ""))
    if package and find_spec(package) is None:
        raise MissingExtraError(f"saving as {suffix}", package=package, extra=extra)


def place(result: Result, save_path: str | PathLike[str], suffix: str) -> Path:
    """Return the file to write a result to; see `target` and `protect`."""
    need(suffix)
    path = target(save_path, suffix, result.name or stem(result.input_path, result.group))
    protect(path, result.input_path, result.inputs)
    return path


def target(save_path: str | PathLike[str], suffix: str, name: str) -> Path:
    """Return the file to write: `save_path` itself, or `name` with the suffix in it if it is a folder.

    A folder is what exists as one, ends in a separator, or has no suffix (`.5` of `v1.5` is none).

    Raises
    ------
    OutputError
        If `save_path` is empty, or has the suffix of another format.
    """
    text = os.fspath(save_path)
    if not text:
        raise OutputError("The path to save to is empty. Give a folder, as in save_to_csv('output/').")
    path = Path(text)
    ends_open = text.endswith(("/", os.sep))
    if ends_open or path.is_dir() or not path.suffix or path.suffix[1:].isdigit():
        return path / f"{name}{suffix}"
    if path.suffix.lower() in OTHERS - {suffix}:
        raise OutputError(
            f"{text} ends in {path.suffix}, but what is saved there is {suffix[1:].upper()}.\n"
            f"Give a folder, or a name that ends in {suffix}."
        )
    return path


def stem(source: str, group: str | None = None) -> str:
    """Return what a result's files are called after: the input's name without folder and suffix.

    Examples
    --------
    >>> stem("data/ts_ad.csv"), stem("https://host/a/ts_ad.csv.gz?key=1"), stem("-"), stem("DataFrame")
    ('ts_ad', 'ts_ad', 'stdin', 'result')
    >>> stem("data/hosts.csv", group="rack 1/a")
    'hosts_rack_1_a'
    """
    if source in ("-", "standard input"):
        name = "stdin"
    else:
        path = Path(_url_path(source) if re.match(r"https?://", source, re.IGNORECASE) else source)
        path = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
        name = _clean(path.stem) if path.suffix or Path(source).exists() else "result"
    if group is not None:
        name = f"{name}_{_clean(group)}"
    return name[:NAME_LENGTH] or "result"


def _url_path(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)


def _clean(text: str) -> str:
    """Keep what every file system takes."""
    return re.sub(r"[^\w.+=@-]+", "_", text).strip(". ") or "_"


class Names:
    """File names of one call, each given once: two inputs of one name don't share a file."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.counts: dict[str, int] = {}  # by stem: the smaller numbers are all taken

    def new(self, source: str, group: str | None = None) -> str:
        """Take a name for an input: its stem, with a number if that is taken."""
        name = self.peek(source, group)
        self.taken.add(name.casefold())
        return name

    def peek(self, source: str, group: str | None = None) -> str:
        """Return the name that `new` would give."""
        wanted = stem(source, group)
        count = self.counts.get(wanted.casefold(), 1)
        while (name := wanted if count == 1 else f"{wanted}_{count}").casefold() in self.taken:
            count += 1
        self.counts[wanted.casefold()] = count
        return name


def protect(path: Path, source: str, inputs: frozenset[FileId] = frozenset()) -> None:
    """Refuse to write over an input or the detector in use, by whatever path or link it is reached."""
    try:
        found = file_ids([path])
    except (OSError, ValueError) as error:
        raise cant_write(path, error) from None
    if found & (inputs | file_ids([source], strict=False)):
        raise OutputError(
            f"{path} is an input itself, or the detector in use (with the input {source}).\n"
            "Saving the result there would destroy it. Give another folder or file name to save to."
        )


def file_ids(paths: Iterable[Any], strict: bool = True) -> frozenset[FileId]:
    """Return what tells files apart, however they are reached; what is no file, or no longer there, is left out.

    Raises
    ------
    OSError, ValueError
        If a path can't be looked at, unless not `strict`.
    """
    found = set()
    for path in paths:
        if not isinstance(path, (str, os.PathLike)):
            continue
        try:
            about = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError):
            if strict:
                raise
            continue
        found.add((about.st_dev, about.st_ino))
    return frozenset(found)


def utf8(text: str) -> str:
    """Write as escapes what UTF-8 can't hold: the bytes of a file name in another encoding."""
    return text.encode("utf-8", "backslashreplace").decode()
