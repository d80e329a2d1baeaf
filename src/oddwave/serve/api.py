"""The JSON API: rows or columns, or a plain CSV, in; labels, scores, events and contributions out."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from oddwave import config, read
from oddwave.config import Detection
from oddwave.result import Result
from oddwave.save.json import as_json
from oddwave.series import Series
from oddwave.serve.answers import CSV, Answer, Refused, answer_json
from oddwave.serve.app import Request, query
from oddwave.serve.bodies import check_rows, decoded
from oddwave.serve.detectors import Served

WANTED = 'Send {"rows": [[…], …]} or {"columns": {"name": […], …}}; GET /docs shows all keys.'
SOURCE = "The request"


class DetectRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A series as rows or as columns, and how to score it.

    Parameters
    ----------
    model
        Name of a detector; null: the default one.
    rows
        One list a row, one number or null a channel, in the order of `channels`.
    channels
        Names of the rows' numbers; null: the detector's own, in its order.
    columns
        One list a channel, by name; in place of `rows`.
    time
        One time a row: numbers or texts; null: rows are numbered.
    settings
        Any of scoring, threshold, false_alarms, step_s, max_gap, merge_gap, min_length and contributions.
    """

    model: str | None = None
    rows: list[list[float | None]] | None = None
    channels: list[str] | None = None
    columns: dict[str, list[float | None]] | None = None
    time: list[int | float | str] | None = None
    settings: dict[str, Any] = {}


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
    sent = decoded(_form, body, WANTED)
    request.stage("decode")
    served = request.app.detectors.get(sent.model)
    series = _series(sent, served, request.app.settings.max_rows)
    return _scored(request, served, series, _settings(request, sent.settings))


def _detect_csv(request: Request, body: bytes | bytearray) -> Answer:
    settings = dict(query(request))
    served = request.app.detectors.get(settings.pop("model", None))
    check_rows(body.count(b"\n"), request.app.settings.max_rows + 1)
    series = read.parse_csv(bytes(body), served.columns, "The CSV")
    return _scored(request, served, series, _settings(request, settings, strict=False))


def _settings(request: Request, settings: dict[str, Any], strict: bool = True) -> Detection:
    base = config.detection(request.app.settings.pipeline)
    return config.build(Detection, settings, "The settings", base, strict) if settings else base


def _scored(request: Request, served: Served, series: Series, settings: Detection) -> Answer:
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
