"""The real service for tests, in processes of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple
from uuid import UUID

SRC = Path(__file__).resolve().parent.parent / "src"
PATIENCE_S = 60


class Service:
    """A service that runs: its address, its process, and what it wrote to standard error."""

    def __init__(self, process, errors):
        self.process = process
        self._errors = errors
        self.url = self._wait()

    def errors(self):
        """Return what it has written to standard error so far; the place where it writes on is shared, so it stays."""
        file = self._errors.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def _wait(self):
        """Wait for the line that says it is ready, and return the address in it."""
        end = time.monotonic() + PATIENCE_S
        while not (line := re.search(r"http://127\.0\.0\.1:\d+", self.errors())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the service didn't start:\n{self.errors()}")
            time.sleep(0.02)
        return line[0]


@contextmanager
def service(*flags, cwd=None, command=()) -> Iterator[Service]:
    """Start `oddwave serve` with these flags on a free port; end it by SIGTERM, and show its errors if it won't.

    `command` goes before Python's, as ("prlimit", "--nofile=64").
    """
    words = [*command, sys.executable, "-m", "oddwave", "serve", "--port", "0", *map(str, flags)]
    paths = [str(SRC), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with (
        TemporaryFile() as errors,
        subprocess.Popen(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors) as process,
    ):
        try:
            yield Service(process, errors)
        finally:
            end(process)


def end(process):
    """End a process: as asked first, then whether it will or not."""
    process.send_signal(signal.SIGTERM)  # nothing, if it has ended
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    def refusal(self):
        """Return the message of an error in the documented form, after a look at the form."""
        content = self.json
        assert list(content) == ["logId", "errorCode", "errorMsg"]
        assert content["errorCode"] == self.status >= 400
        assert str(UUID(content["logId"])) == content["logId"]
        assert self.headers["content-type"] == "application/json"
        for secret in ("Traceback", str(SRC), "/tmp", "site-packages"):
            assert secret not in content["errorMsg"]
        return content["errorMsg"]


def reply_of(response):
    """Read a whole response."""
    with response:
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())


def ask(url, path, body=None, method=None, headers=()):
    """Send one request on a connection of its own; what isn't bytes goes as JSON."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, content, dict(headers))
        return reply_of(connection.getresponse())
    finally:
        connection.close()


def connected(url):
    """Return a plain connection to a service."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), PATIENCE_S)


def head(path, *lines, method="POST"):
    """Write a request's head as bytes, line by line."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode("latin-1")


def received(connection):
    """Read the next answer from a plain connection."""
    response = HTTPResponse(connection)
    response.begin()
    return reply_of(response)


def is_closed(connection):
    """Wait until the other end closes a connection, and say whether nothing came before."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
