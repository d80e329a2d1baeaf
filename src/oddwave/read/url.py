"""URL: a file fetched over http or https, with limits on size, time and redirects."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from queue import Empty, SimpleQueue
from typing import IO, Any

from oddwave.errors import InputError

MAX_BYTES = 64 << 20
TIMEOUT_S = 10.0
"""Longest silence of the server."""
DEADLINE_S = 120.0
"""Longest time for a whole download."""
MAX_REDIRECTS = 3
_PIECE = 1 << 16


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            fp.close()
            raise InputError(f"{req.full_url} redirects to {newurl}, which isn't http or https.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str) -> bytes:
    """Download a file.

    Raises
    ------
    InputError
        If the scheme isn't http or https, or the server, its answer or its size isn't acceptable.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        raise InputError(f"{url}: only http and https are read.\nDownload the file first.")
    if parts.username is not None or not parts.hostname:
        host = parts.hostname or "no host"
        raise InputError(f"The URL of {host} isn't accepted: give it a host and no user name.")
    end = time.monotonic() + DEADLINE_S
    box: SimpleQueue[bytes | BaseException] = SimpleQueue()
    # in a thread, since a server may send its headers byte by byte, and nothing but waiting outside can end that
    threading.Thread(target=_put, args=(box, url, end), daemon=True).start()
    try:
        found = box.get(timeout=DEADLINE_S)
    except Empty:
        raise _too_slow(url) from None
    if isinstance(found, BaseException):
        raise found
    return found


def _put(box: SimpleQueue[bytes | BaseException], url: str, end: float) -> None:
    try:
        box.put(_download(url, end))
    except BaseException as error:  # noqa: BLE001 - `fetch` raises it
        box.put(error)


def _download(url: str, end: float) -> bytes:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler, _Redirects, urllib.request.HTTPErrorProcessor,
    ):  # fmt: skip
        opener.add_handler(handler())
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "oddwave"})  # noqa: S310
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return _body(answer, url, end)
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(
            f"{url}: the server answered {error.code} {error.reason}.\nCheck the address, and that no log-in is needed."
        ) from None
    except TimeoutError:
        raise InputError(f"{url}: the server was silent for {TIMEOUT_S:g} s.\nTry again.") from None
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        if isinstance(why, TimeoutError):
            why = f"the server was silent for {TIMEOUT_S:g} s"
        raise InputError(f"{url} can't be fetched: {why}.\nCheck the address and the connection.") from None


def _too_slow(url: str) -> InputError:
    return InputError(f"{url} took more than {DEADLINE_S:g} s to fetch.\nDownload it first.")


def _body(answer: Any, url: str, end: float) -> bytes:
    too_large = f"{url} is larger than {MAX_BYTES:,} bytes, the most that is fetched.\nDownload it first."
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > MAX_BYTES:
        raise InputError(too_large)
    parts, size = [], 0
    while part := answer.read1(_PIECE):
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise InputError(too_large)
        if time.monotonic() > end:
            raise _too_slow(url)
    if length.isdigit() and size < int(length):
        raise InputError(f"{url}: the connection ended after {size:,} of {length} bytes.\nTry again.")
    return b"".join(parts)
