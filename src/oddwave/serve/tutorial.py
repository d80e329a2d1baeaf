"""The tutorial's route: a CSV in base64, or its address, in; a CSV in base64 out.

The body is read as JSON whatever type it is said to have: the tutorial's own clients send none, or that of a form.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import pybase64
from msgspec import Meta

from oddwave import config, read
from oddwave.serve import urls
from oddwave.serve.answers import Answer
from oddwave.serve.app import Request, is_large
from oddwave.serve.bodies import check_csv, decoded, from_base64

SUCCESS = '{{"logId":"{}","errorCode":0,"errorMsg":"Success","result":{{"csv":"'
WANTED = 'Send {"csv": "<a UTF-8 CSV in base64>"}.'


class Payload(msgspec.Struct):
    """What is sent; other keys are left alone."""

    csv: Annotated[
        str,
        Meta(description="A UTF-8 CSV in base64; or, if the service fetches files, the URL of one on an allowed host."),
    ]


_decoder = msgspec.json.Decoder(Payload)


async def infer(request: Request) -> Answer:
    """Answer `POST /time-series-anomaly-detection`."""
    app = request.app
    return await app.work(request, _infer, _may_fetch if app.settings.allow_url_hosts else is_large)


def _may_fetch(body: bytes | bytearray) -> bool:
    """Say whether a body is large, or may hold the address of a file to fetch: base64 has no colon."""
    return is_large(body) or body.count(b":") > 1 or b"\\u" in body


def _infer(request: Request, body: bytes | bytearray) -> Answer:
    app = request.app
    text = decoded(_decoder, body, WANTED).csv
    csv = urls.fetch(text, app.settings) if urls.is_url(text) else from_base64(text)
    request.stage("decode")
    check_csv(csv, app.settings.max_rows)
    served = app.detectors.get()
    series = read.parse_csv(csv, served.columns, "The CSV")
    request.stage("parse")
    result = served.detector.detect_series(series, config.detection(app.settings.pipeline), names_channels=False)
    request.note(result, served)
    request.stage("score")
    coded = pybase64.b64encode(result.to_csv())
    answer = Answer(b"".join((SUCCESS.format(request.log_id).encode(), coded, b'"}}')))
    request.stage("encode")
    return answer
