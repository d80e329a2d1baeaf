"""The tutorial's route: a CSV in base64, or its address, in; a CSV in base64 out.

The body is read as JSON whatever type it is said to have: the tutorial's own clients send none, or that of a form.
"""

from __future__ import annotations

import msgspec
import pybase64

from oddwave import config, read
from oddwave.serve import urls
from oddwave.serve.answers import Answer
from oddwave.serve.app import Request, is_large
from oddwave.serve.bodies import check_rows, decoded, from_base64

SUCCESS = '{{"logId":"{}","errorCode":0,"errorMsg":"Success","result":{{"csv":"'
WANTED = 'Send {"csv": "<a UTF-8 CSV in base64>"}.'


class Payload(msgspec.Struct):
    """What is sent; other keys are left alone."""

    csv: str


_decoder = msgspec.json.Decoder(Payload)


async def infer(request: Request) -> Answer:
    """Answer `POST /time-series-anomaly-detection`."""
    return await request.app.work(request, _infer, _is_slow)


def _is_slow(body: bytes | bytearray) -> bool:
    """Say whether a body is large, or may hold the address of a file to fetch."""
    return is_large(body) or (len(body) < urls.MAX_CHARACTERS and b'"http' in body.lower())


def _infer(request: Request, body: bytes | bytearray) -> Answer:
    app = request.app
    text = decoded(_decoder, body, WANTED).csv
    csv = urls.fetch(text, app.settings) if urls.is_url(text) else from_base64(text)
    request.stage("decode")
    check_rows(csv.count(b"\n"), app.settings.max_rows + 1)
    served = app.detectors.get()
    series = read.parse_csv(csv, served.columns, "The CSV")
    request.stage("parse")
    result = served.detector.detect_series(series, config.detection(app.settings.pipeline))
    request.note(result, served)
    request.stage("score")
    coded = pybase64.b64encode(result.to_csv())
    answer = Answer(b"".join((SUCCESS.format(request.log_id).encode(), coded, b'"}}')))
    request.stage("encode")
    return answer
