"""Routes: all that the service answers, and the small answers themselves."""

from __future__ import annotations

from oddwave import __version__
from oddwave.serve import api, inference, tutorial
from oddwave.serve.answers import Answer, Refused, answer_json
from oddwave.serve.app import Request, Route

METRICS = "text/plain; version=0.0.4; charset=utf-8"


async def health(request: Request) -> Answer:  # noqa: ARG001 (every handler takes it)
    """Answer `GET /health`: the process lives."""
    return answer_json({"status": "ok", "version": __version__})


async def ready(request: Request) -> Answer:
    """Answer `GET /ready`: new requests are welcome."""
    if not request.app.is_ready:
        raise Refused(503, "The service is stopping.", "busy")
    return answer_json({"status": "ready", "models": list(request.app.detectors.by_name)})


async def metrics(request: Request) -> Answer:
    """Answer `GET /metrics`."""
    return Answer(request.app.metrics.text(), METRICS)


async def openapi(request: Request) -> Answer:  # noqa: ARG001
    """Answer `GET /openapi.json`."""
    from oddwave.serve.openapi import document

    return answer_json(document())


async def docs(request: Request) -> Answer:  # noqa: ARG001
    """Answer `GET /docs`."""
    from oddwave.serve.docs_page import page

    return Answer(page(), "text/html; charset=utf-8", headers=(("content-security-policy", CONTENT_POLICY),))


async def root(request: Request) -> Answer:  # noqa: ARG001
    """Answer `GET /`."""
    return Answer(b"", "text/plain; charset=utf-8", 302, (("location", "/docs"),))


CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
ROUTES = [
    Route("POST", "/time-series-anomaly-detection", tutorial.infer),
    Route("POST", "/v1/detect", api.detect),
    Route("GET", "/v1/models", api.models),
    Route("GET", "/v2", inference.server),
    Route("GET", "/v2/health/live", health),
    Route("GET", "/v2/health/ready", ready),
    Route("GET", "/v2/models/{}", inference.model),
    Route("GET", "/v2/models/{}/ready", inference.model_ready),
    Route("POST", "/v2/models/{}/infer", inference.infer),
    Route("GET", "/v2/models/{}/versions/{}", inference.model),
    Route("GET", "/v2/models/{}/versions/{}/ready", inference.model_ready),
    Route("POST", "/v2/models/{}/versions/{}/infer", inference.infer),
    Route("GET", "/health", health),
    Route("GET", "/ready", ready),
    Route("GET", "/metrics", metrics),
    Route("GET", "/openapi.json", openapi),
    Route("GET", "/docs", docs),
    Route("GET", "/", root),
]


def routes(has_page: bool) -> list[Route]:
    """Return all there are; with the page, `/` is no longer a way to `/docs`."""
    from oddwave.serve.page.routes import PAGE_ROUTES

    return [*ROUTES, *PAGE_ROUTES] if has_page else ROUTES
