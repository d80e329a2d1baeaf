"""URLs: what is fetched from a real server on this machine, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from oddwave.errors import InputError
from oddwave.read import read, sources, url as reading_url
from oddwave.series import Columns

BODY = (Path(__file__).parent / "data" / "server.csv").read_bytes()
XLS = (Path(__file__).parent / "data" / "server.xls").read_bytes()


LINKS = {"loop": "/loop", "tofile": "file:///etc/passwd", "toftp": "ftp://host/a.csv", "tocsv": "/a.csv"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/").split("?")[0]
        if name == "gone.csv":
            self.send_error(404)
        elif name == "slow.csv":
            time.sleep(0.5)
            self.close_connection = True
        elif name.startswith("drip"):
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n"
            self.wfile.write(head if "body" in name else b"")
            with contextlib.suppress(OSError):
                for byte in b"X-Slow: 1" + b"1" * 50:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
        elif name in ("loop", "tofile", "toftp", "tocsv"):
            self.send_response(302)
            self.send_header("Location", LINKS[name])
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            body = {
                "a.xls": XLS,
                "page": b"<!DOCTYPE html>\n<p>Log in\n",
                "a.csv.gz": gzip.compress(BODY),
            }.get(name, BODY)
            self.send_response(200)
            if name == "short.csv":
                self.send_header("Content-Length", str(len(body) + 5))
            elif name != "endless.csv":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fault(url: str) -> str:
    with pytest.raises(InputError) as caught:
        list(read(url))
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.csv?day=1", "a.xls", "a.csv.gz", "tocsv", "endless.csv"])
def test_files_are_fetched_and_read_by_what_they_hold(server, name):
    (series,) = read(f"{server}/{name}")
    assert series.values.shape == (60, 6)
    assert series.source == f"{server}/{name}"


@pytest.mark.parametrize("url", ["ftp://host/a.csv", "file:///etc/passwd", "gopher://x/", "s3://bucket/a.csv"])
def test_other_schemes_are_refused(url):
    assert list(sources(url)) == [url]
    assert "only http and https are read" in fault(url)


def test_user_names_in_a_url_are_refused_without_showing_them():
    message = fault("http://anna:secret@host/a.csv")
    assert "no user name" in message
    assert "secret" not in message


def test_redirects_are_few_and_stay_with_http(server):
    assert "the server answered 302" in fault(f"{server}/loop")
    assert "is not allowed" in fault(f"{server}/tofile")
    assert "which isn't http or https" in fault(f"{server}/toftp")


def test_failures_are_told_plainly(server):
    assert "the server answered 404" in fault(f"{server}/gone.csv")
    assert "can't be fetched" in fault("http://127.0.0.1:1/a.csv")
    assert "the connection ended after" in fault(f"{server}/short.csv")
    assert "isn't a CSV" in fault(f"{server}/page")


def test_a_silent_server_and_a_large_file_are_given_up(server, monkeypatch):
    monkeypatch.setattr(reading_url, "TIMEOUT_S", 0.1)
    assert "silent for 0.1 s" in fault(f"{server}/slow.csv")
    monkeypatch.setattr(reading_url, "TIMEOUT_S", 5)
    monkeypatch.setattr(reading_url, "MAX_BYTES", 1000)
    assert "larger than 1,000 bytes" in fault(f"{server}/a.csv")
    assert "larger than 1,000 bytes" in fault(f"{server}/endless.csv")


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_download_that_drips_is_given_up_at_the_deadline(server, monkeypatch, part):
    monkeypatch.setattr(reading_url, "DEADLINE_S", 0.3)
    assert "took more than 0.3 s to fetch" in fault(f"{server}/drip_{part}.csv")


def test_the_thread_of_a_body_that_drips_ends_at_the_deadline(server):
    with pytest.raises(InputError, match="took more than"):
        reading_url._download(f"{server}/drip_body.csv", time.monotonic() + 0.3)


def test_columns_apply_to_a_url_too(server):
    with pytest.raises(InputError, match="has no column 'x'"):
        list(read(f"{server}/a.csv", Columns(channels=("x",))))
