"""Routes of the page, and what it is told first."""

from __future__ import annotations

from typing import Any

from oddwave import __version__
from oddwave.errors import MissingExtraError
from oddwave.save.paths import need
from oddwave.serve.answers import Answer, answer_json
from oddwave.serve.app import Request, Route
from oddwave.serve.page import detectors, files, results, static, training
from oddwave.serve.page.visits import MOST_KEPT, Visit, cookie


async def about(request: Request) -> Answer:
    """Answer `GET /page/about`: detectors, formats and limits; a visit begins."""
    app, begun = request.app, cookie(request)
    models = [detectors.about(served) for served in app.detectors.by_name.values()]
    if not begun:
        models += detectors.own(request, Visit(request))
    found: dict[str, Any] = {
        "version": __version__, "place": "service", "models": models, "default": app.detectors.default,
        "example": static.EXAMPLE, "formats": [kind for kind in results.FORMATS if _is_had(f".{kind}")],
        "limits": {"max_bytes": app.settings.max_upload, "max_rows": files.MOST_ROWS, "files": MOST_KEPT["files"]},
        "training": training.about(request), "keys": app.keys is not None,
    }  # fmt: skip
    answer = answer_json(found)
    return Answer(answer.body, answer.content_type, headers=(*begun, ("cache-control", "no-store")))


def _is_had(suffix: str) -> bool:
    try:
        need(suffix)
    except MissingExtraError:
        return False
    return True


PAGE_ROUTES = [
    Route("GET", "/", static.index),
    Route("GET", "/page/static/{}", static.file),
    Route("GET", "/page/about", about),
    Route("GET", "/page/models/{}", detectors.model_file),
    Route("POST", "/page/files", files.open_file),
    Route("DELETE", "/page/files/{}", files.close_file),
    Route("POST", "/page/results", results.detect),
    Route("GET", "/page/results/{}/view", results.look),
    Route("GET", "/page/results/{}/events", results.events),
    Route("GET", "/page/results/{}/row", results.row),
    Route("GET", "/page/results/{}/download", results.download),
    Route("POST", "/page/trainings", training.begin),
    Route("GET", "/page/trainings/{}", training.look),
    Route("DELETE", "/page/trainings/{}", training.cancel),
    Route("POST", "/page/detectors", detectors.add),
    Route("GET", "/page/detectors/{}", detectors.own_file),
    Route("DELETE", "/page/detectors/{}", detectors.remove),
]
