"""Save a result: CSV and JSON, written beside the target and moved into place whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from oddwave.atomic import Atomic, cant_write
from oddwave.errors import OutputError
from oddwave.result import REASONS, Result, Scored, as_dict, time_column

COMPRESSED = {".gz"}
OTHERS = {".csv", ".json", ".xlsx", ".xls", ".parquet", ".html", ".png", ".gz"}  # no format goes under another's name
LABELS = [b",,", b",0,", b",1,"]  # by label + 1; a row without a label has an empty cell
NAME_LENGTH = 80  # letters; file systems take 255 bytes
QUOTED = re.compile('[",\r\n]')
FileId: TypeAlias = tuple[int, int]  # device and number on it


def to_csv(result: Result, save_path: str | PathLike[str]) -> Path:
    """Write time, label and score of every row, and the reason if some rows weren't scored."""
    path = target(save_path, ".csv", result.name or stem(result.input_path, result.group))
    protect(path, result.input_path, result.inputs)
    with CsvWriter(path, result.series.time_name) as writer:
        writer.append(result.rows)
    return path


def to_json(result: Result, save_path: str | PathLike[str]) -> Path:
    """Write one JSON object; what has no value is null."""
    path = target(save_path, ".json", result.name or stem(result.input_path, result.group))
    protect(path, result.input_path, result.inputs)
    with Atomic(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(as_json(result)), indent=0))
        file.write(b"\n")
    return path


def as_json(result: Result) -> dict[str, Any]:
    """Return a result as plain lists, texts and numbers; NaN is left for the encoder to write as null."""
    series = result.series
    rows: dict[str, Any] = {
        "time": series.index.tolist(),
        "label": [None if label < 0 else label for label in result.label.tolist()],
        "score": result.score.tolist(),
    }
    if result.reason.any():
        rows["reason"] = [REASONS[code] or None for code in result.reason.tolist()]
    if result.contribution is not None:
        columns = zip(series.channels, result.contribution.T, strict=True)
        rows["contribution"] = {channel: column.tolist() for channel, column in columns}
    return {
        "input_path": _utf8(result.input_path),
        **({} if result.group is None else {"group": _utf8(result.group)}),
        "model": result.model,
        "scoring": result.scoring,
        "threshold": result.threshold,
        "time_name": series.time_name,
        "rows": rows,
        "events": [as_dict(event) for event in result.events],
        "notes": [_utf8(note) for note in result.notes],
    }


def _utf8(text: str) -> str:
    """Write as escapes what UTF-8 can't hold: the bytes of a file name in another encoding."""
    return text.encode("utf-8", "backslashreplace").decode()


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
        self.file.write(self._header())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.atomic.__exit__(kind, error, trace)

    def append(self, rows: Scored) -> None:
        """Write the next rows."""
        if not self.has_reasons and rows.reason.any():
            self._add_reasons()
        label = np.array(LABELS, dtype=object)[rows.label + 1]
        end = np.array([f",{_quoted(reason)}\n".encode() for reason in REASONS], dtype=object)
        cells: list[bytes] = [b"\n"] * (4 * len(rows))
        cells[0::4] = _times(rows.index)
        cells[1::4] = label.tolist()
        cells[2::4] = _numbers(rows.score)
        if self.has_reasons:
            cells[3::4] = end[rows.reason].tolist()
        self.file.write(b"".join(cells))

    def _header(self) -> bytes:
        return f"{_quoted(self.time_name)},label,score{',reason' if self.has_reasons else ''}\n".encode()

    def _add_reasons(self) -> None:
        """Write the fourth column into the lines so far: only now is it known that there is one."""
        self.has_reasons = True
        before = self.file
        header = len(f"{_quoted(self.time_name)},label,score\n".encode())
        size = before.tell()
        if size == header:
            before.seek(0)
            before.truncate()
            before.write(self._header())
            return
        self.file = self.atomic.restart()
        with before:
            before.seek(header)
            self.file.write(self._header())
            is_quoted = False
            while piece := before.read(1 << 22):
                parts = piece.split(b'"')  # a line end between quotes belongs to a time
                parts[is_quoted::2] = [part.replace(b"\n", b",\n") for part in parts[is_quoted::2]]
                is_quoted ^= len(parts) % 2 == 0
                self.file.write(b'"'.join(parts))


def _numbers(values: NDArray[Any]) -> list[bytes]:
    """Return each number in the fewest digits that read back as the same number; NaN is empty."""
    if not len(values):
        return []
    cells = msgspec.json.encode(values.tolist())[1:-1]
    return cells.replace(b"null", b"").split(b",")


def _times(index: NDArray[Any]) -> list[bytes]:
    if index.dtype.kind in "iuf":
        return _numbers(index)
    texts = ["" if time is None else str(time) for time in index.tolist()]
    return [_quoted(text).encode() for text in texts]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text
