"""Have an Oddwave service label the rows of a CSV: detect.py INPUT.csv OUTPUT.csv [URL].

Needs nothing but Python's standard library. If ODDWAVE_API_KEY is set, it is sent as the key.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ATTEMPTS = 3  # while the service is busy


class ClientError(Exception):
    """What to tell the user."""


def detect(table: bytes, url: str) -> bytes:
    """Send a CSV and return the service's: time, label and score of every row."""
    body = json.dumps({"csv": base64.b64encode(table).decode()}).encode()
    address = f"{url.rstrip('/')}/time-series-anomaly-detection"
    try:
        request = Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 the user's own URL
        if key := os.environ.get("ODDWAVE_API_KEY"):
            request.add_unredirected_header("Authorization", f"Bearer {key}")  # for this host alone
        answer = send(request)
    except (OSError, HTTPException, ValueError) as error:
        raise ClientError(f"Can't reach {address}: {getattr(error, 'reason', error)}") from error
    try:
        return base64.b64decode(json.loads(answer)["result"]["csv"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise ClientError(f"The answer of {address} isn't the documented one.") from error


def send(request: Request) -> bytes:
    """Return the body of the answer."""
    attempt = 1
    while True:
        try:
            with urlopen(request, timeout=60) as response:  # noqa: S310
                return bytes(response.read())
        except HTTPError as error:
            if error.code != 503 or attempt == ATTEMPTS:
                raise ClientError(refusal(error)) from error
            time.sleep(pause(error.headers.get("Retry-After")))
        attempt += 1


def refusal(error: HTTPError) -> str:
    """Say why the service refused, in its own words if it gave any."""
    try:
        told = json.load(error)
        return f"The service refused: {told['errorMsg']} (errorCode {told['errorCode']}, logId {told['logId']})"
    except (ValueError, KeyError, TypeError):
        return f"The service answered with HTTP status {error.code} and no reason."


def pause(retry_after: str | None) -> int:
    """Return for how many seconds to wait."""
    return min(int(retry_after), 30) if retry_after and retry_after.isdecimal() else 1


def save(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def run(source: str, target: str, url: str = "http://127.0.0.1:8080") -> None:
    """Read, ask, save and say what was saved."""
    try:
        table = Path(source).read_bytes()
    except OSError as error:
        raise ClientError(f"Can't read {source}: {error.strerror}") from error
    labelled = detect(table, url)
    try:
        save(Path(target), labelled)
    except OSError as error:
        raise ClientError(f"Can't write {target}: {error.strerror}") from error
    labels = [row.get("label") for row in csv.DictReader(labelled.decode(errors="replace").splitlines())]
    print(f"{target}: {len(labels)} rows, {labels.count('1')} of them anomalous")


if __name__ == "__main__":
    if len(sys.argv) not in {3, 4}:
        sys.exit("usage: detect.py INPUT.csv OUTPUT.csv [URL]")
    try:
        run(*sys.argv[1:])
    except ClientError as error:
        sys.exit(str(error))
