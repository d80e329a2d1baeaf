"""The page's own files: what the package holds and nothing else, so that no path leads out of it."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from oddwave.serve.answers import Answer, Refused
from oddwave.serve.app import Request

_PACKAGE = Path(__file__).resolve().parent.parent.parent
_FOLDER = _PACKAGE / "page"
_SHARED = ("uplot.min.js", "uplot.min.css")  # the saved page has them too
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
}
_BYTES = "application/octet-stream"
EXAMPLE = "server_metrics.csv"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
)


class _File(NamedTuple):
    body: bytes
    kind: str
    tag: str


async def index(request: Request) -> Answer:
    """Answer `GET /`."""
    return _answer(request, "index.html")


async def file(request: Request) -> Answer:
    """Answer `GET /page/static/{name}`."""
    return _answer(request, request.path[0])


def _answer(request: Request, name: str) -> Answer:
    found = _files().get(name)
    if found is None:
        raise Refused(404, "The page has no such file.", "no_route")
    headers = (*HEADERS, ("etag", found.tag), ("cache-control", "no-cache"))
    if request.header("if-none-match") == found.tag:
        return Answer(b"", found.kind, 304, headers)
    return Answer(found.body, found.kind, headers=headers)


@cache
def _files() -> dict[str, _File]:
    """Read all of the page's files by their names."""
    paths = [path for path in _FOLDER.iterdir() if path.is_file()]
    paths += [_PACKAGE / "save" / "page" / name for name in _SHARED]
    found = {path.name: _file(path.read_bytes(), path.suffix) for path in paths}
    found[EXAMPLE] = _file(gzip.decompress(found.pop(f"{EXAMPLE}.gz").body), ".csv")
    return found


def example_bytes() -> bytes:
    """Return the example that the page offers."""
    return _files()[EXAMPLE].body


def _file(body: bytes, suffix: str) -> _File:
    return _File(body, _KINDS.get(suffix, _BYTES), f'"{hashlib.sha256(body).hexdigest()[:16]}"')
