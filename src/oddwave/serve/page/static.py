"""The page's own files: what the package holds and nothing else, so that no path leads out of it."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from oddwave.serve.answers import Answer, Refused, answer_json
from oddwave.serve.app import Request

_PACKAGE = Path(__file__).resolve().parent.parent.parent
_FOLDER = _PACKAGE / "page"
_SHARED = ("uplot.min.js", "uplot.min.css")  # the saved page has them too
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
_BYTES = "application/octet-stream"
EXAMPLE = "server_metrics.csv"
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
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


async def service_worker(request: Request) -> Answer:
    """Answer `GET /service-worker.js`: from here it reaches all of the page."""
    return _answer(request, "service-worker.js")


async def file(request: Request) -> Answer:
    """Answer `GET /page/static/{name}`."""
    return _answer(request, request.path[0])


async def example(request: Request) -> Answer:
    """Answer `GET /page/example.csv`."""
    return _answer(request, EXAMPLE)


async def files(request: Request) -> Answer:
    """Answer `GET /page/files.json`: all that the page needs to work without the service."""
    names = sorted(_files())
    static = [f"page/static/{name}" for name in names if name not in ("index.html", "service-worker.js", EXAMPLE)]
    models = [f"page/models/{name}.onnx" for name in request.app.detectors.by_name]
    whole = hashlib.sha256("".join(_files()[name].tag for name in names).encode()).hexdigest()[:16]
    return answer_json({"version": whole, "files": ["./", *static, "page/about", "page/example.csv", *models]})


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
