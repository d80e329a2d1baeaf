"""Detectors of the page: those that are served, and those that visitors bring."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from oddwave.detector import Detector
from oddwave.detector_file import MAX_BYTES
from oddwave.errors import DetectorFileError
from oddwave.serve.answers import Answer, Refused, answer_json
from oddwave.serve.app import Request, query
from oddwave.serve.detectors import Served
from oddwave.serve.page.files import declared, receive, shown_name
from oddwave.serve.page.visits import Visit, check_is_page

OWN = "own:"
_FILE, _NAME = "detector.onnx", "name.json"
_KIND = "application/octet-stream"


def about(served: Served, title: str | None = None) -> dict[str, Any]:
    """Say what a detector reads and how it labels; a visitor's own has the title of its file."""
    data = served.detector.metadata
    return {
        "name": served.name, "title": title, "own": title is not None, "model": data.model,
        "channels": list(data.channels), "scored": list(data.scored), "window": data.size, "stride": data.stride,
        "threshold": {"full": data.full.alarm.threshold, "causal": data.causal.alarm.threshold},
    }  # fmt: skip


def get(request: Request, visit: Visit, name: str | None) -> Served:
    """Return a served detector, or the visitor's own."""
    if name is None or not name.startswith(OWN):
        return request.app.detectors.get(name)
    return _load(request, visit.get("detectors", name.removeprefix(OWN)))


def own(request: Request, visit: Visit) -> list[dict[str, Any]]:
    """List the visitor's own."""
    folders = [visit.get("detectors", name) for name in visit.names("detectors")]
    return [about(_load(request, folder), _title(folder)) for folder in folders]


def own_about(request: Request, visit: Visit, name: str) -> dict[str, Any] | None:
    """Describe one of the visitor's own; None if it is gone."""
    if name not in visit.names("detectors"):
        return None
    folder = visit.get("detectors", name)
    return about(_load(request, folder), _title(folder))


async def add(request: Request) -> Answer:
    """Answer `POST /page/detectors`: inspect a detector file and keep it."""
    check_is_page(request)
    title = shown_name(query(request).get("name", ""))
    visit = Visit(request)
    draft = visit.draft("detectors", declared(request, MAX_BYTES))
    try:
        await receive(request, draft / _FILE, MAX_BYTES)
        (draft / _NAME).write_bytes(msgspec.json.encode(title))
        await request.app.aside(request, lambda: _checked(draft / _FILE, title))
        folder = visit.get("detectors", visit.keep(draft))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return answer_json(about(_load(request, folder), title), 201)


async def remove(request: Request) -> Answer:
    """Answer `DELETE /page/detectors/{id}`."""
    check_is_page(request)
    Visit(request).drop("detectors", request.path[0])
    return Answer(b"", status=204)


async def own_file(request: Request) -> Answer:
    """Answer `GET /page/detectors/{id}`: the file's bytes."""
    return Answer((Visit(request).get("detectors", request.path[0]) / _FILE).read_bytes(), _KIND)


async def model_file(request: Request) -> Answer:
    """Answer `GET /page/models/{name}`: the bytes of a served detector."""
    return Answer(request.app.detectors.get(request.path[0].removesuffix(".onnx")).detector.data, _KIND)


def _checked(path: Path, title: str) -> None:
    try:
        Detector(path.read_bytes(), title, threads=1)
    except DetectorFileError as error:
        raise Refused(422, str(error), "bad_data") from None


def _load(request: Request, folder: Path) -> Served:
    detector = Detector((folder / _FILE).read_bytes(), _title(folder), request.app.settings.pipeline.device, threads=1)
    time_col = request.app.settings.pipeline.time_col
    return Served(f"{OWN}{folder.name}", detector, detector.columns(time_col=time_col), folder / _FILE, (0, 0, 0))


def _title(folder: Path) -> str:
    title: str = msgspec.json.decode((folder / _NAME).read_bytes())
    return title
