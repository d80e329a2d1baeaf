"""Save a result: CSV and JSON, written beside the target and moved into place whole."""

from __future__ import annotations

import errno
import os
import re
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from oddwave.errors import OutputError
from oddwave.result import REASONS, Result, Scored, as_dict

COMPRESSED = {".gz"}
LABELS = [b",,", b",0,", b",1,"]  # by label + 1; a row without a label has an empty cell
NAME_LENGTH = 80  # letters; file systems take 255 bytes
QUOTED = re.compile('[",\r\n]')


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
        "input_path": result.input_path,
        **({} if result.group is None else {"group": result.group}),
        "model": result.model,
        "scoring": result.scoring,
        "threshold": result.threshold,
        "time_name": series.time_name,
        "rows": rows,
        "events": [as_dict(event) for event in result.events],
        "notes": list(result.notes),
    }


def target(save_path: str | PathLike[str], suffix: str, name: str) -> Path:
    """Return the file to write: `save_path` itself, or `name` with the suffix in it if it is a folder.

    A folder is what exists as one, ends in a separator, or has no suffix (`.5` of `v1.5` is none).
    """
    text = os.fspath(save_path)
    if not text:
        raise OutputError("The path to save to is empty. Give a folder, as in save_to_csv('output/').")
    path = Path(text)
    ends_open = text.endswith(("/", os.sep))
    if ends_open or path.is_dir() or not path.suffix or path.suffix[1:].isdigit():
        return path / f"{name}{suffix}"
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

    def new(self, source: str, group: str | None = None) -> str:
        """Take a name for an input: its stem, with a number if that is taken."""
        name = self.peek(source, group)
        self.taken.add(name.casefold())
        return name

    def peek(self, source: str, group: str | None = None) -> str:
        """Return the name that `new` would give."""
        wanted = name = stem(source, group)
        count = 1
        while name.casefold() in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        return name


def protect(path: Path, source: str, inputs: frozenset[str] = frozenset()) -> None:
    """Refuse to write over an input, by whatever path it is reached."""
    try:
        if not path.exists():
            return
        over = os.path.realpath(path) in inputs or (Path(source).exists() and path.samefile(source))
    except (OSError, ValueError) as error:
        raise OutputError(_why(path, error)) from None
    if over:
        raise OutputError(
            f"{path} is an input itself (read as {source}); saving the result there would destroy it.\n"
            "Give another folder or file name to save to."
        )


class Atomic:
    """A file that appears under its name when all of it is written, or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.draft = path.with_name(f".{path.name[:NAME_LENGTH]}.{os.getpid()}.part")

    def __enter__(self) -> IO[bytes]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path = Path(os.path.realpath(self.path))  # a link stays, what it points to is replaced
            self.draft = self.path.with_name(self.draft.name)
            if self.path.exists() and not self.path.is_file():
                raise OutputError(f"{self.path} can't be written: it is not an ordinary file. Give another path.")
            self.file: IO[bytes] = self.draft.open("w+b")
        except OSError as error:
            raise OutputError(_why(self.path, error)) from None
        return self.file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.file.close()
            if error is None:
                self.draft.replace(self.path)
                return
        except OSError as fault:
            self._discard()
            raise OutputError(_why(self.path, fault)) from None
        self._discard()
        if isinstance(error, OSError):
            raise OutputError(_why(self.path, error)) from None

    def _discard(self) -> None:
        self.draft.unlink(missing_ok=True)


def _why(path: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"{path!r} can't be written: {error}. Give another path."
    advice = {
        errno.ENOSPC: "Free some space there, or save to another disk.",
        errno.EDQUOT: "Free some of your quota there, or save to another disk.",
        errno.EFBIG: "The system's limit on a file's size is too low for this result.",
        errno.EACCES: "Give a folder that you may write to.",
        errno.EPERM: "Give a folder that you may write to.",
        errno.EROFS: "Give a folder that you may write to.",
        errno.ENAMETOOLONG: "Give the path of a file with a shorter name.",
    }.get(error.errno or 0, "Give another folder or file name.")
    return f"{path} can't be written: {error.strerror or error}. {advice}"


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
        self.time_name = time_name
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
        longer = Path(f"{self.atomic.draft}2")
        try:
            with longer.open("w+b") as file:
                before.seek(header)
                file.write(self._header())
                while piece := before.read(1 << 22):
                    file.write(piece.replace(b"\n", b",\n"))
            before.close()
            longer.replace(self.atomic.draft)
        except BaseException:
            longer.unlink(missing_ok=True)
            raise
        self.file = self.atomic.file = self.atomic.draft.open("ab")


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
