"""The JSON API: rows or columns, or a plain CSV, in; labels, scores, events and contributions out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from oddwave import config, read
from oddwave.config import Detection
from oddwave.result import Result
from oddwave.save.json import as_json
from oddwave.series import Series
from oddwave.serve.answers import CSV, Answer, Refused, answer_json
from oddwave.serve.app import Request, query
from oddwave.serve.bodies import check_columns, check_csv, check_filled, check_rows, decoded
from oddwave.serve.detectors import Served

WANTED = 'Send {"rows": [[…], …]} or {"columns": {"name": […], …}}; GET /docs shows all keys.'
SOURCE = "The request"


Whole = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class DetectRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A series as rows or as columns, and how to score it."""

    model: Annotated[str | None, Meta(description="Name of a detector; null: the default one.")] = None
    rows: Annotated[
        list[list[float | None]] | None,
        Meta(description="One list a row, in it one number or null a channel, in the order of `channels`."),
    ] = None
    channels: Annotated[
        list[str] | None, Meta(description="Names of the rows' numbers; null: the detector's own, in its order.")
    ] = None
    columns: Annotated[
        dict[str, list[float | None]] | None, Meta(description="One list a channel, by name; in place of `rows`.")
    ] = None
    time: Annotated[
        list[Whole | float | str] | None,
        Meta(description="One time a row, all numbers or all texts; null: rows are numbered."),
    ] = None
    settings: Annotated[dict[str, Any], Meta(description="How to score; what is left out is the service's own.")] = {}


_form = msgspec.json.Decoder(DetectRequest)


async def detect(request: Request) -> Answer:
    """Answer `POST /v1/detect`."""
    is_csv = request.header("content-type").partition(";")[0].strip().lower() == "text/csv"
    return await request.app.work(request, _detect_csv if is_csv else _detect_json)


async def models(request: Request) -> Answer:
    """Answer `GET /v1/models`."""
    detectors = request.app.detectors
    return answer_json({"default": detectors.default, "models": [about(one) for one in detectors.by_name.values()]})


def about(served: Served) -> dict[str, Any]:
    """Say what a detector reads and how it labels."""
    metadata = served.detector.metadata
    return {
        "name": served.name,
        "model": metadata.model,
        "channels": list(metadata.channels),
        "window": metadata.size,
        "stride": metadata.stride,
        "threshold": {"full": metadata.full.alarm.threshold, "causal": metadata.causal.alarm.threshold},
    }


def _detect_json(request: Request, body: bytes | bytearray) -> Answer:
    if request.scope.query_string:
        message = "Settings in the address are for a body of text/csv. With JSON, put them in the body."
        raise Refused(422, message, "bad_request")
    sent = decoded(_form, body, WANTED)
    request.stage("decode")
    served = request.app.detectors.get(sent.model)
    series = _series(sent, served, request.app.settings.max_rows)
    return _scored(request, served, series, _settings(request, sent.settings))


def _detect_csv(request: Request, body: bytes | bytearray) -> Answer:
    settings = dict(query(request))
    served = request.app.detectors.get(settings.pop("model", None))
    check_csv(body, request.app.settings.max_rows)
    series = read.parse_csv(bytes(body), served.columns, "The CSV")
    return _scored(request, served, series, _settings(request, settings, strict=False))


def _settings(request: Request, settings: dict[str, Any], strict: bool = True) -> Detection:
    base = config.detection(request.app.settings.pipeline)
    return config.build(Detection, settings, "The settings", base, strict) if settings else base


def _scored(request: Request, served: Served, series: Series, settings: Detection) -> Answer:
    check_filled(series, settings, served.detector, request.app.settings.max_rows)
    request.stage("parse")
    result = served.detector.detect_series(series, settings)
    request.note(result, served)
    request.stage("score")
    if request.header("accept").startswith("text/csv"):
        answer = Answer(result.to_csv(), CSV)
    else:
        answer = answer_json({"logId": request.log_id, **_content(result, served)})
    request.stage("encode")
    return answer


def _content(result: Result, served: Served) -> dict[str, Any]:
    content = as_json(result)
    del content["input_path"]
    return {**content, "model": served.name}


def _series(sent: DetectRequest, served: Served, max_rows: int) -> Series:
    """Make a series of what was sent."""
    if (sent.rows is None) == (sent.columns is None):
        raise Refused(422, f"The body has either rows or columns, not both and not neither. {WANTED}", "bad_request")
    names, cells = _by_row(sent, served) if sent.columns is None else (list(sent.columns), list(sent.columns.values()))
    check_columns(len(names))
    lengths = {len(column) for column in cells}
    if len(lengths) > 1:
        raise Refused(422, f"The columns have different lengths, from {min(lengths)} to {max(lengths)}.", "bad_request")
    n_rows = lengths.pop() if lengths else 0
    check_rows(n_rows, max_rows)
    table: list[Any] = [np.array(column, dtype=np.float64) for column in cells]
    if sent.time is not None:
        if len(sent.time) != n_rows:
            raise Refused(422, f"There are {len(sent.time):,} times for {n_rows:,} rows.", "bad_request")
        kinds = {isinstance(one, str) for one in sent.time}
        if len(kinds) > 1:
            raise Refused(422, "Some times are numbers and some are texts. Send them all alike.", "bad_request")
        if "time" in names:
            raise Refused(422, "A channel is called time, as the times are. Rename it.", "bad_request")
        names.append("time")
        table.append(sent.time if True in kinds else np.array(sent.time))
    return read.parse_table(names, table, served.columns, SOURCE)


def _by_row(sent: DetectRequest, served: Served) -> tuple[list[str], list[Any]]:
    """Turn rows into columns."""
    names = sent.channels if sent.channels is not None else list(served.detector.metadata.channels)
    for number, row in enumerate(sent.rows or ()):
        if len(row) != len(names):
            message = f"rows[{number}] has {len(row)} numbers for the {len(names)} channels {', '.join(names)[:500]}."
            raise Refused(422, message, "bad_request")
    return list(names), [list(column) for column in zip(*(sent.rows or ()), strict=True)] or [[] for _ in names]
