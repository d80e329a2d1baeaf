"""Operations: for each route, what it takes and gives, in words and examples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from oddwave.serve.inference import SIZE_HEADER

TAGS = {
    "The tutorial's API": "What clients written for the tutorial's service send and expect, unchanged.",
    "JSON API": "Rows, columns or a plain CSV in; labels, scores, events and contributions out.",
    "Open Inference Protocol": "Version 2, for the clients of Triton and KServe. A detector has the one version 1.",
    "Operation": "For those who run the service.",
}
TUTORIAL, JSON_API, PROTOCOL, RUN = TAGS
ERRORS = {
    400: "The body isn't JSON, ends too early, or the address holds a setting twice.",
    401: "The service has keys, and the request has none or one that isn't known.",
    403: "A web page of another origin, or the URL of a file that this service doesn't fetch.",
    404: "No such path, or no such detector; the message names the nearest.",
    405: "The path takes another method; the header `Allow` names it.",
    408: "The body didn't come in time.",
    413: "The body is too large, or the series has too many rows.",
    415: "The body is compressed.",
    422: "The data or a setting can't be used: the message says which, where, and what to do.",
    500: "A fault of the service. Report it with its `logId`.",
    503: "Busy, stopping, or it took too long: send it again after `Retry-After` seconds.",
}
ASKED = (401, 403, 500)
WORKED = (400, 401, 403, 404, 408, 413, 415, 422, 500, 503)
URL = "http://127.0.0.1:8080"
SEND_JSON = "--header 'Content-Type: application/json' --data @-"
SEND_BASE64 = f"""\
printf '{{"csv": "%s"}}' "$(base64 < examples/ts_ad.csv | tr -d '\\n')" |
    curl {URL}/time-series-anomaly-detection \\
    {SEND_JSON}"""
SEND_CSV = f"""\
curl '{URL}/v1/detect?false_alarms=0.001' --header 'Content-Type: text/csv' \\
    --data-binary @examples/ts_ad.csv"""
GET_CSV = f"""\
curl {URL}/v1/detect --header 'Content-Type: text/csv' --header 'Accept: text/csv' \\
    --data-binary @examples/ts_ad.csv --output labelled.csv"""
SEND_ROWS = f"""\
python3 -c 'import csv, json
header, *rows = csv.reader(open("examples/ts_ad.csv"))
print(json.dumps({{"rows": [[float(cell) for cell in row[1:]] for row in rows]}}))' |
    curl {URL}/v1/detect {SEND_JSON}"""
SEND_TENSOR = f"""\
python3 -c 'import csv, json
header, *rows = csv.reader(open("examples/ts_ad.csv"))
data = [float(cell) for row in rows for cell in row[1:]]
tensor = {{"name": "rows", "shape": [len(rows), 25], "datatype": "FP64", "data": data}}
print(json.dumps({{"inputs": [tensor]}}))' |
    curl {URL}/v2/models/DLinear_ad/infer \\
    {SEND_JSON}"""
JSON, CSV, BYTES, TEXT = "application/json", "text/csv", "application/octet-stream", "text/plain"
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}, "example": "pump"}
NAME |= {"description": "Name of a detector."}
VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}, "example": "1"}
VERSION |= {"description": "Of the detector; there is only 1."}
SIZE = {"description": "Bytes of JSON at the body's start; the tensors' own follow.", "schema": {"type": "integer"}}


@dataclass(frozen=True)
class Operation:
    """A method on a path.

    Parameters
    ----------
    name
        The `operationId`.
    answer
        What is returned with `status`, in words.
    takes, gives
        Bodies by their types: the name of a form, or a plain type of JSON, or empty for bytes.
    errors
        Statuses beside.
    commands
        That show it, for a shell.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answer: str
    gives: dict[str, str] = field(default_factory=dict)
    text: str = ""
    takes: dict[str, str] = field(default_factory=dict)
    parameters: tuple[dict[str, Any], ...] = ()
    headers: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    errors: tuple[int, ...] = ASKED
    is_open: bool = False
    commands: tuple[str, ...] = ()


BY_VERSION = [
    Operation(
        "get", "/v2/models/{name}", "modelMetadata", PROTOCOL, "A detector's tensors",
        "What it reads and returns.", {JSON: "ModelMetadata"},
        parameters=(NAME,), errors=(401, 403, 404, 500),
        commands=(f"curl {URL}/v2/models/DLinear_ad",),
    ),
    Operation(
        "get", "/v2/models/{name}/ready", "modelReady", PROTOCOL, "Whether a detector can be asked",
        "It can.", {JSON: "ModelReady"},
        parameters=(NAME,), errors=(401, 403, 404, 500),
    ),
    Operation(
        "post", "/v2/models/{name}/infer", "modelInfer", PROTOCOL, "Score rows as tensors",
        "The outputs that were asked for.", {JSON: "TensorAnswer", BYTES: ""},
        text="The protocol's binary extension is understood: tensors may follow the JSON as bytes, and come back so.",
        takes={JSON: "InferRequest", BYTES: ""},
        parameters=(NAME, {"name": SIZE_HEADER, "in": "header", **SIZE}), errors=WORKED, headers={SIZE_HEADER: SIZE},
        commands=(SEND_TENSOR,),
    ),
]  # fmt: skip
OPERATIONS = [
    Operation(
        "post", "/time-series-anomaly-detection", "infer", TUTORIAL, "Label a CSV in base64",
        "The labelled CSV, in base64.", {JSON: "InferAnswer"},
        text=(
            "The body is read as JSON whatever its `Content-Type`. In base64, line ends, missing padding and the "
            "URL-safe alphabet are taken. The default detector is used, with the service's settings."
        ),
        takes={JSON: "Payload"}, errors=tuple(status for status in WORKED if status != 404),
        commands=(SEND_BASE64,),
    ),
    Operation(
        "post", "/v1/detect", "detect", JSON_API, "Label a series",
        "Labels, scores and events; as text/csv, if the header `Accept` begins with it: time, label and score.",
        {JSON: "DetectAnswer", CSV: "string"},
        text=(
            "Give either `rows` or `columns`, with the settings in the body. Or send a CSV as it is, with the type "
            "text/csv and the settings in the address; a CSV has its times in a column."
        ),
        takes={JSON: "DetectRequest", CSV: "string"}, errors=WORKED,
        commands=(SEND_CSV, GET_CSV, SEND_ROWS),
    ),
    Operation(
        "get", "/v1/models", "models", JSON_API, "List the detectors",
        "All that are served, the default one first.", {JSON: "Models"},
        commands=(f"curl {URL}/v1/models",),
    ),
    Operation(
        "get", "/v2", "server", PROTOCOL, "The server", "Its name, version and extensions.", {JSON: "Server"},
    ),
    Operation(
        "get", "/v2/health/live", "live", PROTOCOL, "Whether the process lives", "It does.", {JSON: "Health"},
        errors=(403, 500), is_open=True,
    ),
    Operation(
        "get", "/v2/health/ready", "serverReady", PROTOCOL, "Whether requests are welcome", "They are.",
        {JSON: "Ready"}, errors=(403, 500, 503), is_open=True,
    ),
    *BY_VERSION,
    *(
        replace(
            operation, path=operation.path.replace("{name}", "{name}/versions/{version}"), commands=(),
            name=f"{operation.name}Version", parameters=(NAME, VERSION, *operation.parameters[1:]),
            summary=f"{operation.summary}, of the version 1",
        )
        for operation in BY_VERSION
    ),
    Operation(
        "get", "/health", "health", RUN, "Whether the process lives", "It does.", {JSON: "Health"},
        errors=(403, 500), is_open=True, commands=(f"curl {URL}/health",),
    ),
    Operation(
        "get", "/ready", "ready", RUN, "Whether requests are welcome", "They are.", {JSON: "Ready"},
        text="False from SIGTERM on, a while before the service ends.",
        errors=(403, 500, 503), is_open=True, commands=(f"curl {URL}/ready",),
    ),
    Operation(
        "get", "/metrics", "metrics", RUN, "Metrics for Prometheus", "Of all workers together.", {TEXT: "string"},
        commands=(f"curl {URL}/metrics",),
    ),
    Operation(
        "get", "/openapi.json", "openapi", RUN, "This document", "As OpenAPI 3.1.", {JSON: "object"},
        errors=(403, 500), is_open=True,
    ),
    Operation(
        "get", "/docs", "docs", RUN, "This document as a page", "HTML, without scripts.", {"text/html": "string"},
        errors=(403, 500), is_open=True,
    ),
    Operation(
        "get", "/", "root", RUN, "The page", "HTML. With `--no-page`: 302 to `/docs`.", {"text/html": "string"},
        errors=(403, 500), is_open=True,
    ),
]  # fmt: skip

_ROWS = [[10.1, 60.3], [10.2, 60.1], [10.0, 95.0], [10.3, 60.2]]
_TIMES = ["2026-03-01 06:00", "2026-03-01 06:01", "2026-03-01 06:02", "2026-03-01 06:03"]
_CSV = "time,flow,heat\n2026-03-01 06:00,10.1,60.3\n2026-03-01 06:01,10.2,60.1\n2026-03-01 06:02,10.0,95.0\n"
_LABELLED = "time,label,score\n2026-03-01 06:00,0,1.03\n2026-03-01 06:01,1,8.43\n2026-03-01 06:02,1,10.85\n"
_LOG_ID = "730c27e0-e65f-437d-9038-d1982ec1a605"
_EVENT = {
    "start": _TIMES[1], "end": _TIMES[3], "duration": 120.0, "peak": _TIMES[2], "peak_score": 10.85, "start_row": 1,
    "end_row": 3, "rows": 3, "channels": [{"channel": "heat", "share": 0.98}, {"channel": "flow", "share": 0.02}],
}  # fmt: skip
_TENSOR = {"name": "rows", "shape": [4, 2], "datatype": "FP64", "data": [cell for row in _ROWS for cell in row]}
_SCORE = {"name": "score", "datatype": "FP64", "shape": [4], "data": [1.03, 8.43, 10.85, 8.66]}
_LABEL = {"name": "label", "datatype": "INT8", "shape": [4], "data": [0, 1, 1, 1]}
EXAMPLES: dict[tuple[str, str, str], dict[str, Any]] = {
    ("infer", "request", JSON): {
        "base64": {"csv": "dGltZSxmbG93LGhlYXQKMSwxMC4xLDYwLjMKMiwxMC4yLDYwLjEKMywxMC4wLDk1LjAK"},
    },
    ("infer", "answer", JSON): {
        "labelled": {
            "logId": _LOG_ID, "errorCode": 0, "errorMsg": "Success",
            "result": {"csv": "dGltZSxsYWJlbCxzY29yZQoxLDAsMS4wMwoyLDEsOC40MwozLDEsMTAuODUK"},
        },
    },
    ("detect", "request", JSON): {
        "rows": {"rows": _ROWS, "settings": {"scoring": "causal"}},
        "columns": {
            "columns": {"flow": [row[0] for row in _ROWS], "heat": [row[1] for row in _ROWS]},
            "time": _TIMES, "settings": {"false_alarms": 0.001},
        },
    },
    ("detect", "request", CSV): {"csv": _CSV},
    ("detect", "answer", JSON): {
        "labelled": {
            "logId": _LOG_ID, "model": "pump", "scoring": "full", "threshold": 2.76, "time_name": "time",
            "rows": {"time": _TIMES, "label": [0, 1, 1, 1], "score": [1.03, 8.43, 10.85, 8.66]},
            "events": [_EVENT], "notes": [],
        },
    },
    ("detect", "answer", CSV): {"csv": _LABELLED},
    ("modelInfer", "request", JSON): {"tensors": {"inputs": [_TENSOR]}},
    ("modelInfer", "answer", JSON): {
        "scored": {"model_name": "pump", "model_version": "1", "outputs": [_SCORE, _LABEL]},
    },
}  # fmt: skip
