"""Files: what a visitor uploads, as it came, under a name of ours."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from oddwave import read
from oddwave.errors import InputError
from oddwave.series import Columns, Series
from oddwave.serve.answers import CLOSE, Answer, Refused, answer_json
from oddwave.serve.app import Request, query
from oddwave.serve.bodies import check_columns, check_rows
from oddwave.serve.page.static import EXAMPLE, example_bytes
from oddwave.serve.page.visits import Visit, check_is_page

SUFFIXES = (".csv.gz", ".csv", ".tsv", ".txt", ".xlsx", ".xls", ".parquet")
LETTERS = 200  # of a file's name
MOST_ROWS = 5_000_000
MOST_CELLS = 60_000_000
PATIENCE = 10  # times the service's own, for an upload
_ABOUT, _DATA = "about.json", "data"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


async def open_file(request: Request) -> Answer:
    """Answer `POST /page/files`: keep the body, say what is in it."""
    check_is_page(request)
    asked = query(request)
    is_example = asked.get("example") == "1"
    name = EXAMPLE if is_example else shown_name(asked.get("name", ""))
    suffix = next((one for one in SUFFIXES if name.lower().endswith(one)), None)
    if suffix is None:
        message = f"{name} isn't read: its name ends in none of {', '.join(SUFFIXES)}. Rename it, or save it as a CSV."
        raise Refused(422, message, "bad_data")
    visit = Visit(request)
    most = request.app.settings.max_upload
    draft = visit.draft("files", len(example_bytes()) if is_example else declared(request, most))
    try:
        path = draft / f"{_DATA}{suffix}"
        if is_example:
            path.write_bytes(example_bytes())
        else:
            await receive(request, path, most)
        found = await request.app.aside(request, lambda: _about(path, name))
        (draft / _ABOUT).write_bytes(msgspec.json.encode(found))
        file = visit.keep(draft)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return answer_json({"file": file, **found}, 201)


async def close_file(request: Request) -> Answer:
    """Answer `DELETE /page/files/{id}`."""
    check_is_page(request)
    Visit(request).drop("files", request.path[0])
    return Answer(b"", status=204)


def read_file(folder: Path, columns: Columns) -> Series:
    """Read a kept file; messages and the series have its own name."""
    name = msgspec.json.decode((folder / _ABOUT).read_bytes())["name"]
    return _read(next(folder.glob(f"{_DATA}.*")), name, columns)


def shown_name(text: str) -> str:
    """Return a name as it is shown: without folders, control characters and endless length."""
    last = _CONTROL.sub("", text).replace("\\", "/").rpartition("/")[2].strip()
    return last[-LETTERS:] or "file"


def declared(request: Request, most: int) -> int:
    """Return how many bytes a body says it has, 0 if it doesn't; refuse too many of them unread."""
    length = request.header("content-length")
    n_bytes = int(length) if length.isdecimal() else 0
    if n_bytes > most:
        raise _too_large(most)
    return n_bytes


async def receive(request: Request, path: Path, most: int) -> None:
    """Write a body to a file, piece by piece, with an eye on the clock and on its size."""
    n_bytes, wanted = 0, declared(request, most)
    seconds = PATIENCE * request.app.settings.timeout_s
    try:
        async with asyncio.timeout(seconds):
            with path.open("xb") as file:
                async for piece in request.proto:
                    n_bytes += len(piece)
                    if n_bytes > most:
                        raise _too_large(most)
                    file.write(piece)
    except TimeoutError:
        raise Refused(408, f"The file didn't come within {seconds:g} s. Send it again.", "slow_body", CLOSE) from None
    except RuntimeError:  # the server's name for a connection that broke
        n_bytes = -1
    if n_bytes < wanted:
        raise Refused(400, "The file ended before its end. Send it again.", "broken_body", CLOSE)
    if not n_bytes:
        raise Refused(422, "The file is empty. Check what wrote it.", "bad_data")


def _about(path: Path, name: str) -> dict[str, Any]:
    series = _read(path, name, Columns())
    columns = [{"name": channel, "kind": "number"} for channel in series.channels]
    if series.kind != "row":
        columns.insert(0, {"name": series.time_name, "kind": "time"})
    size = path.stat().st_size
    return {"name": name, "bytes": size, "rows": len(series), "columns": columns, "notes": list(series.notes)}


def _read(path: Path, name: str, columns: Columns) -> Series:
    try:
        series = next(iter(read.read_one(str(path), columns)))
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from None
    check_rows(len(series), MOST_ROWS)
    check_columns(len(series.channels))
    check_rows(len(series) * len(series.channels) // 12, MOST_CELLS // 12)
    notes = tuple(note.replace(str(path), name) for note in series.notes)
    return replace(series, source=name, notes=notes)


def _too_large(most: int) -> Refused:
    message = f"The file is larger than {most:,} bytes. Give a part of it, or raise the service's --max-upload."
    return Refused(413, message, "too_large", CLOSE)
