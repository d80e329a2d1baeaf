"""Web pages and the service: a page of an allowed origin can use it, from a real browser too, and no other can."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import small
from serving import ask, connected, head, received, service
from test_page_in_browser import browser  # noqa: F401 (a fixture)

from oddwave import cli
from oddwave.serve.keys import new_key

DASHBOARD = "https://dash.example"
POSTS = ["/time-series-anomaly-detection", "/v1/detect", "/v2/models/run/infer"]
GETS = ["/v1/models", "/health", "/metrics", "/docs"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("origins")
    small.detector(folder / "run")
    return folder


@pytest.fixture(scope="module")
def key(place):
    return new_key(str(place / "keys.txt"), "dashboard")


@pytest.fixture(scope="module")
def pages():
    """Return the port at which a server of empty web pages listens, on all names of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class EmptyPage(BaseHTTPRequestHandler):
    """A web page for scripts to run in."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>dashboard</title><link rel=icon href=data:,>")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url(place, key, pages):
    origins = ("--allow-origin", DASHBOARD, "--allow-origin", f"http://localhost:{pages}")
    flags = ("--workers", 1, "--drain", 0, "--api-key-file", place / "keys.txt", "--max-body", "1M")
    with service("--model", place / "run", *flags, *origins) as running:
        yield running.url
        assert '"event":"fault"' not in running.errors()


def cors(reply):
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


# Over plain HTTP


@pytest.mark.parametrize(
    ("path", "body", "has_key", "status"),
    [
        ("/health", None, False, 200),
        ("/v1/models", None, True, 200),
        ("/v1/detect", {"rows": [[1.0, 2.0, 3.0]] * 60}, True, 200),
        ("/time-series-anomaly-detection", {"csv": "%"}, True, 422),
        ("/v1/detect", b"{", True, 400),
        ("/v1/detect", {}, False, 401),
        ("/nothing", {}, False, 404),
        ("/health", {}, False, 405),
    ],
)
def test_every_answer_to_an_allowed_page_can_be_read_by_it(url, key, path, body, has_key, status):
    headers = {"Origin": DASHBOARD, **({"X-API-Key": key} if has_key else {})}
    reply = ask(url, path, body, headers=headers)
    assert reply.status == status, reply.body
    assert cors(reply).pop("access-control-allow-origin") == DASHBOARD
    assert "Retry-After" in cors(reply)["access-control-expose-headers"].split(", ")
    assert reply.headers["vary"] == "Origin"
    same = ask(url, path, body, headers={name: value for name, value in headers.items() if name != "Origin"})
    assert (same.status, cors(same), same.headers["vary"]) == (status, {}, "Origin")


def test_the_refusal_of_a_body_that_is_not_read_can_be_read_too(url, key):
    headers = {"Origin": DASHBOARD, "X-API-Key": key, "Content-Length": str(1 << 21)}
    reply = ask(url, "/v1/detect", None, "POST", headers)  # only the head is sent
    assert reply.status == 413
    assert cors(reply)["access-control-allow-origin"] == DASHBOARD


@pytest.mark.parametrize("path", POSTS + GETS)
def test_a_preflight_is_answered_without_a_key(url, path):
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    reply = ask(url, path, method="OPTIONS", headers={"Origin": DASHBOARD, **asked})
    assert (reply.status, reply.body, reply.headers["vary"]) == (204, b"", "Origin")
    told = cors(reply)
    assert told["access-control-allow-origin"] == DASHBOARD
    assert told["access-control-allow-methods"] == ("POST" if path in POSTS else "GET")
    assert {"Content-Type", "Authorization", "X-API-Key"} <= set(told["access-control-allow-headers"].split(", "))
    assert int(told["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in told


def test_a_preflight_of_no_path_is_404_and_what_is_no_preflight_is_405(url):
    asked = {"Origin": DASHBOARD, "Access-Control-Request-Method": "POST"}
    assert ask(url, "/nothing", method="OPTIONS", headers=asked).status == 404
    for left_out in asked:
        headers = {name: value for name, value in asked.items() if name != left_out}
        assert ask(url, "/v1/detect", method="OPTIONS", headers=headers).status == 405


@pytest.mark.parametrize(
    "origin",
    ["http://dash.example", "https://dash.example:444", "https://dash.example.evil", "https://evil.dash.example",
     "https://DASH.example", "https://dash.example/", "null", "*", ""],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_another_page_is_403_and_told_nothing(url, key, origin, method):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "X-API-Key": key}
    reply = ask(url, "/v1/detect", {}, method, headers)
    assert (reply.status, cors(reply), reply.headers["vary"]) == (403, {}, "Origin")
    assert "--allow-origin" in reply.refusal()


def test_two_origins_at_once_are_none(url, key):
    with connected(url) as connection:
        lines = (f"Origin: {DASHBOARD}, https://evil.example", f"X-API-Key: {key}")
        connection.sendall(head("/v1/models", *lines, method="GET"))
        assert received(connection).status == 403


def test_a_service_for_no_page_says_nothing_of_pages(place):
    with service("--model", place / "run", "--workers", 1, "--drain", 0) as running:
        for headers in ({}, {"Origin": running.url}, {"Origin": DASHBOARD}):
            reply = ask(running.url, "/health", headers=headers)
            assert (reply.status, cors(reply)) == (403 if headers.get("Origin") == DASHBOARD else 200, {})
            assert "vary" not in reply.headers


@pytest.mark.parametrize(
    "origin", ["*", "null", "dash.example", "https://dash.example/", "https://Dash.example", "https://dash.example:443",
               "http://dash.example:80", "https://a@dash.example", "https://dash.example https://b.example", ""],
)  # fmt: skip
def test_an_origin_that_no_browser_would_send_is_refused_at_the_start(capsys, origin):
    assert cli.main(["serve", "--allow-origin", origin]) == 2
    assert f"--allow-origin {origin!r} is no origin" in capsys.readouterr().err


# From a browser

SCRIPT = """
const [url, headers, body, done] = arguments;
fetch(url, {method: body ? "POST" : "GET", headers, body})
  .then(async (answer) => done({status: answer.status, body: await answer.json()}))
  .catch((error) => done({error: error.name}));
"""


@pytest.fixture
def fetch(browser, pages):  # noqa: F811
    """Return what fetches from a page at one of the names of this machine."""

    def run(name, url, headers, body=None):
        browser.get(f"http://{name}:{pages}/")
        assert browser.title == "dashboard"
        return browser.execute_async_script(SCRIPT, url, headers, None if body is None else json.dumps(body))

    yield run
    browser.get("about:blank")
    browser.get_log("browser")  # it complains of what it didn't let through, as it should


def test_a_page_of_an_allowed_origin_can_use_the_service_and_read_its_errors(fetch, url, key):
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}  # neither without a preflight
    found = fetch("localhost", f"{url}/v1/detect", sent, {"rows": [[1.0, 2.0, 3.0]] * 60})
    assert (found["status"], len(found["body"]["rows"]["label"])) == (200, 60)
    found = fetch("localhost", f"{url}/v1/models", {"X-API-Key": key})
    assert (found["status"], found["body"]["default"]) == (200, "run")
    found = fetch("localhost", f"{url}/v1/detect", sent, {})
    assert (found["status"], "rows or columns" in found["body"]["errorMsg"]) == (422, True)
    assert fetch("localhost", f"{url}/v1/models", {"X-API-Key": "wrong"})["status"] == 401


def test_a_page_of_another_origin_can_neither_send_nor_read(fetch, url, key):
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    before = ask(url, "/metrics", headers=sent).body.decode()
    assert fetch("127.0.0.1", f"{url}/v1/detect", sent, {"rows": [[1.0, 2.0, 3.0]] * 60}) == {"error": "TypeError"}
    assert fetch("127.0.0.1", f"{url}/health", {}) == {"error": "TypeError"}
    after = ask(url, "/metrics", headers=sent).body.decode()
    scored = [line for line in before.splitlines() if line.startswith("oddwave_rows_total")]
    assert scored == [line for line in after.splitlines() if line.startswith("oddwave_rows_total")]
