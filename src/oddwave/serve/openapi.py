"""OpenAPI: what the service answers, as a document.

Forms of bodies come from the structs that are decoded (`api`, `inference`, `oddwave.config`) and from `forms`, with
their descriptions; which path takes and gives what is in `operations`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from oddwave import __version__
from oddwave.config import Detection
from oddwave.serve import forms, tutorial
from oddwave.serve.api import DetectRequest
from oddwave.serve.inference import InferRequest
from oddwave.serve.operations import ERRORS, EXAMPLES, OPERATIONS, TAGS, Operation

TITLE = "Oddwave"
ABOUT = """\
Send a series, get a label and a score for every row, and the events with the channels behind them.

The examples are of a detector named `pump` that reads the channels `flow` and `heat`; the commands are for the
detectors that come along, and for `examples/ts_ad.csv` of the project. `GET` also answers `HEAD`.

If the service has keys, each request needs one, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; only the probes
`/health`, `/ready`, `/v2/health/live` and `/v2/health/ready`, and this reference itself, don't. A web page of another
origin needs the operator's leave."""
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
RETRY_AFTER = {"description": "Seconds to wait before the request is sent again.", "schema": {"type": "integer"}}
FORMS = (
    forms.Error, tutorial.Payload, forms.InferAnswer, DetectRequest, Detection, forms.DetectAnswer, forms.Models,
    forms.Server, forms.ModelMetadata, forms.ModelReady, InferRequest, forms.TensorAnswer, forms.Health, forms.Ready,
)  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document.

    Examples
    --------
    >>> sorted(document()["paths"])[:3]
    ['/', '/docs', '/health']
    """
    _, schemas = msgspec.json.schema_components(FORMS, ref_template="#/components/schemas/{name}")
    settings = schemas["DetectRequest"]["properties"]["settings"]
    settings |= {"$ref": "#/components/schemas/Detection"}
    del settings["type"]
    schemas["Detection"]["description"] = "How to score. What the service was started with comes before these defaults."
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": __version__, "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}, {}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error(status, text) for status, text in ERRORS.items()},
            "securitySchemes": SECURITY,
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {str(operation.status): _answer(operation)}
    answers |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in operation.errors}
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.text} if operation.text else {}),
        "parameters": _parameters(operation, schemas),
        "responses": answers,
    }
    if operation.takes:
        found["requestBody"] = {"required": True, "content": _content(operation.name, operation.takes, "request")}
    if operation.is_open:
        found["security"] = []
    if operation.commands:
        found["x-codeSamples"] = [{"lang": "Shell", "source": command} for command in operation.commands]
    return found


def _parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the path and the headers hold; and behind the question mark, the settings of a CSV."""
    found: list[dict[str, Any]] = list(operation.parameters)
    if "text/csv" in operation.takes:
        properties = {"model": schemas["DetectRequest"]["properties"]["model"], **schemas["Detection"]["properties"]}
        for name, schema in properties.items():
            plain = {key: value for key, value in schema.items() if key not in ("description", "default")}
            if "anyOf" in plain:  # null can't be written in an address
                plain["anyOf"] = [kind for kind in plain["anyOf"] if kind != {"type": "null"}]
            text = schema["description"].replace("null:", "absent:")
            found.append({"name": name, "in": "query", "description": text, "schema": plain})
    return found


def _answer(operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": operation.answer}
    if operation.gives:
        answer["content"] = _content(operation.name, operation.gives, "answer")
    if operation.headers:
        answer["headers"] = operation.headers
    return answer


def _content(name: str, kinds: dict[str, str], side: str) -> dict[str, Any]:
    """Return the forms of a body by its type: the name of a schema, or the plain type of JSON, or nothing for bytes."""
    content: dict[str, Any] = {}
    for kind, form in kinds.items():
        schema = {"$ref": f"#/components/schemas/{form}"} if form[:1].isupper() else {"type": form} if form else {}
        examples = EXAMPLES.get((name.removesuffix("Version"), side, kind), {})
        content[kind] = {"schema": schema}
        if examples:
            content[kind]["examples"] = {title: {"value": value} for title, value in examples.items()}
    return content


def _error(status: int, text: str) -> dict[str, Any]:
    body = {"schema": {"$ref": "#/components/schemas/Error"}}
    answer: dict[str, Any] = {"description": text, "content": {"application/json": body}}
    if status == 503:
        answer["headers"] = {"Retry-After": RETRY_AFTER}
    return answer
