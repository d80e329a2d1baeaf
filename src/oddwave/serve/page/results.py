"""Results: score a visitor's file, and answer what the page asks about the result."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from oddwave import config
from oddwave.config import Detection
from oddwave.errors import OddwaveError
from oddwave.events import Event
from oddwave.save.paths import stem
from oddwave.serve.answers import CSV, JSON, Answer, Refused, answer_json
from oddwave.serve.app import Request
from oddwave.serve.bodies import check_filled, decoded
from oddwave.serve.page import detectors, files, kept, view
from oddwave.serve.page.kept import Kept
from oddwave.serve.page.visits import Visit, check_is_page

FORMATS = {
    "csv": CSV,
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "png": "image/png",
    "html": "text/html; charset=utf-8",
    "json": JSON,
}
WANTED = 'Send {"file": …, "model": …, "mode": "full", "settings": {}}.'


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What to score, with what."""

    file: str
    model: str | None = None
    mode: Literal["full", "causal"] = "full"
    settings: dict[str, Any] = {}


_wish = msgspec.json.Decoder(Wish)


async def detect(request: Request) -> Answer:
    """Answer `POST /page/results`."""
    check_is_page(request)
    return await request.app.work(request, _detect, lambda _: True)


def _detect(request: Request, body: bytes | bytearray) -> Answer:
    began = perf_counter()
    wish = decoded(_wish, body, WANTED)
    visit = Visit(request)
    served = detectors.get(request, visit, wish.model)
    base = msgspec.structs.replace(config.detection(request.app.settings.pipeline), scoring=wish.mode)
    settings = config.build(Detection, {**wish.settings, "contributions": True}, "The settings", base)
    series = files.read_file(visit.get("files", wish.file), served.columns)
    check_filled(series, settings, served.detector, files.MOST_ROWS)
    result = served.detector.detect_series(series, settings)
    request.note(result, replace(served, name="own") if served.name.startswith(detectors.OWN) else served)
    draft = visit.draft("results", 8 * series.values.size + 40 * len(series))
    try:
        kept.write(draft, result, served.detector, settings.merge_gap, settings.min_length)
        name = visit.keep(draft)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    found = Kept(visit.get("results", name))
    about, n_rows = found.about, len(found)
    first, last = found.times([0, n_rows - 1])
    scores = result.score[result.reason == 0]
    return answer_json({
        "result": name, "model": served.name, "file": wish.file, "mode": about.mode, "rows": n_rows,
        "channels": about.channels, "time": {"name": about.time_name, "kind": about.kind, "first": first, "last": last},
        "max_score": float(scores.max()) if len(scores) else None, "unscored": found.unscored(), "notes": about.notes,
        **_at(found, about.threshold), "seconds": perf_counter() - began,
    }, 201)  # fmt: skip


async def look(request: Request) -> Answer:
    """Answer `GET /page/results/{id}/view`."""
    asked = _asked(request)
    first, last, pixels = (_whole(asked, name) for name in ("first", "last", "pixels"))

    def work() -> Answer:
        found = _kept(request)
        numbers = {name: i for i, name in enumerate(found.about.channels)}
        strangers = [name for name in asked.get("channel", []) if name not in numbers]
        if strangers:
            raise Refused(422, f"The result has no channel {strangers[0][:100]!r}.", "bad_request")
        channels = [numbers[name] for name in dict.fromkeys(asked.get("channel", []))]
        return answer_json(view.view(found, first, last, pixels, channels))

    return await request.app.aside(request, work)


async def events(request: Request) -> Answer:
    """Answer `GET /page/results/{id}/events`, at a threshold or at a budget of false alarms."""
    asked = _asked(request)

    def work() -> Answer:
        found = _kept(request)
        threshold = found.limit(asked["false_alarms"][0]) if "false_alarms" in asked else _number(asked, "threshold")
        return answer_json(_at(found, threshold))

    return await request.app.aside(request, work)


async def row(request: Request) -> Answer:
    """Answer `GET /page/results/{id}/row`: which channels contribute to a row's score."""
    at = _whole(_asked(request), "row")

    def work() -> Answer:
        found = _kept(request)
        if not 0 <= at < len(found):
            raise Refused(422, f"row is {at}, but the result has rows 0 to {len(found) - 1}.", "bad_request")
        parts = found.parts[at].tolist() if not found.reason[at] else []
        whole = sum(parts) or 1.0
        shares = [
            {"name": name, "share": part / whole} for name, part in zip(found.about.channels, parts, strict=False)
        ]
        return answer_json(sorted(shares, key=lambda one: -float(one["share"])))

    return await request.app.aside(request, work)


async def download(request: Request) -> Answer:
    """Answer `GET /page/results/{id}/download`."""
    asked = _asked(request)
    kind = asked.get("format", [""])[0]
    if kind not in FORMATS:
        raise Refused(422, f"format is {kind[:100]!r}; there are {', '.join(FORMATS)}.", "bad_request")

    def work() -> Answer:
        result = _kept(request).result(_number(asked, "threshold"))
        with TemporaryDirectory(dir=request.app.settings.state_dir) as folder:
            path = Path(folder) / f"result.{kind}"
            try:
                getattr(result, f"save_to_{kind}")(path)
            except OddwaveError as error:
                raise Refused(422, str(error).replace(str(path), path.name), "bad_request") from None
            body = path.read_bytes()
        name = f"{stem(result.input_path)}_anomalies.{kind}".encode("ascii", "replace").decode()
        attachment = f'attachment; filename="{name.replace(chr(34), "_").replace("?", "_")}"'
        return Answer(
            body, FORMATS[kind], headers=(("content-disposition", attachment), ("x-content-type-options", "nosniff"))
        )

    return await request.app.aside(request, work)


def _at(found: Kept, threshold: float) -> dict[str, Any]:
    label = found.labels(threshold)
    return {
        "threshold": threshold,
        "anomalous": int((label == 1).sum()),
        "expected": found.expected(threshold),
        "events": [_event(found, event) for event in found.events(threshold)],
    }


def _event(found: Kept, event: Event) -> dict[str, Any]:
    start, end, peak = found.times([event.start_row, event.end_row, event.peak])
    return {
        "start": start, "end": end, "start_text": str(found.text(event.start)), "end_text": str(found.text(event.end)),
        "first_row": event.start_row, "last_row": event.end_row, "rows": event.rows, "peak_row": event.peak,
        "peak_time": peak, "peak_score": event.peak_score,
        "channels": [{"name": name, "share": share} for name, share in event.channels],
    }  # fmt: skip


def _kept(request: Request) -> Kept:
    return Kept(Visit(request).get("results", request.path[0]))


def _asked(request: Request) -> dict[str, list[str]]:
    return parse_qs(request.scope.query_string, keep_blank_values=True)


def _whole(asked: dict[str, list[str]], name: str) -> int:
    number = _number(asked, name)
    return int(max(-1e9, min(number, 1e9)))


def _number(asked: dict[str, list[str]], name: str) -> float:
    text = asked.get(name, [""])[0]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refused(422, f"{name} is {text[:100]!r}, which is no number.", "bad_request")
    return number
