"""The clients in examples/clients/, each built with its own tools as its README says, against the real service."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from serving import service

import oddwave

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "examples" / "clients"
ROUTE = "/time-series-anomaly-detection"
KEY = "a-key-for-the-test"

pytestmark = pytest.mark.slow

# What shows that a client can be built and run here.
PROBES = {
    "python": "command -v python3",
    "cpp": "command -v g++ && pkg-config --exists cpp-httplib openssl nlohmann_json",
    "java": "command -v javac && command -v java && test -e /usr/share/java/jackson-databind.jar",
    "go": "command -v go",
    "csharp": "command -v mcs && command -v mono && test -e /usr/lib/mono/4.5/System.Net.Http.dll"
    " && test -e /usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll",
    "node": "command -v node && command -v npm",
    "php": "php -r 'exit(extension_loaded(\"curl\") ? 0 : 1);'",
}


def table():
    """Return the README's table: by folder what to install, how to build, how to run."""
    rows = re.findall(r"^\| (`.*) \|$", (CLIENTS / "README.md").read_text("utf-8"), re.MULTILINE)
    cells = [[cell.strip().strip("`") for cell in row.split("|")] for row in rows]
    return {folder: rest for folder, *rest in cells}


def shell(command, cwd, **settings):
    """Run a command as the README has it, without this machine's proxies and keys."""
    odd = re.compile("(?i).*_proxy$|ODDWAVE_API_KEY$")
    env = {name: value for name, value in os.environ.items() if not odd.match(name)} | settings
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


class Client:
    """One client, built in a folder: a call of it, from a folder of its own for each test."""

    def __init__(self, folder, command):
        self.folder = folder
        self.command = command

    def __call__(self, source, target, *url, **settings):
        words = {"INPUT.csv": str(source), "OUTPUT.csv": " ".join([str(target), *url])}
        command = re.sub("INPUT.csv|OUTPUT.csv", lambda word: words[word[0]], self.command)
        return shell(command, self.folder, **settings)


@pytest.fixture(scope="module", params=list(PROBES))
def client(request, tmp_path_factory):
    packages, build, run = table()[request.param]
    if shell(PROBES[request.param], CLIENTS).returncode:
        reason = f"the {request.param} client needs: apt-get install {packages}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    folder = tmp_path_factory.mktemp(request.param) / "client"
    shutil.copytree(CLIENTS / request.param, folder, ignore=shutil.ignore_patterns("node_modules"))
    built = shell(build, folder, npm_config_prefer_offline="true")
    assert built.returncode == 0, built.stdout + built.stderr
    return Client(folder, run)


@pytest.fixture(scope="module")
def url():
    with service("--model", "DLinear_ad") as running:
        yield running.url


@pytest.fixture
def example(root):
    return root / "examples" / "ts_ad.csv"


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return what the pipeline saves for the example, and the line that a client says of it."""
    path = tmp_path_factory.mktemp("expected") / "out.csv"
    (result,) = oddwave.create_pipeline(pipeline="ts_ad", model="DLinear_ad").predict(ROOT / "examples" / "ts_ad.csv")
    result.save_to_csv(path)
    labels = result.rows.label.tolist()
    return path.read_bytes(), f"{len(labels)} rows, {labels.count(1)} of them anomalous\n"


@pytest.fixture
def closed_url():
    """Return the address of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@contextmanager
def scripted(*answers):
    """Answer requests with these statuses, bodies and Retry-After, one after the other, and keep what was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # as the service: mono may send on a connection that 1.0 has just closed

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, dict(self.headers), body))
            status, body, *wait = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for seconds in wait:
                self.send_header("Retry-After", seconds)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def documented(csv):
    """Return the body of a documented answer."""
    result = {"csv": base64.b64encode(csv).decode()}
    return json.dumps({"logId": "1", "errorCode": 0, "errorMsg": "Success", "result": result}).encode()


BUSY = json.dumps({"logId": "log-7", "errorCode": 503, "errorMsg": "All slots are taken."}).encode()


# The clients


def test_a_client_saves_what_the_pipeline_saves_and_says_so(client, url, example, expected, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("of yesterday")
    done = client(example, target, url)
    saved, said = expected
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: {said}"
    assert target.read_bytes() == saved
    assert os.listdir(tmp_path) == ["out.csv"]


def test_a_client_says_why_the_service_refused(client, url, tmp_path):
    source = tmp_path / "bad.csv"
    source.write_text("timestamp,flow\n1,2\n")
    done = client(source, tmp_path / "out.csv", url)
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(url + ROUTE, payload(source)):
        pass
    with caught.value:
        told = json.load(caught.value)
    assert (done.returncode, done.stdout) == (1, "")
    assert told["errorMsg"] in done.stderr
    assert re.search(rf"errorCode {told['errorCode']}, logId [0-9a-f-]{{36}}\)\n$", done.stderr)
    assert os.listdir(tmp_path) == ["bad.csv"]


def test_a_client_says_that_there_is_no_service(client, closed_url, example, tmp_path):
    done = client(example, tmp_path / "out.csv", closed_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"can't reach .*{closed_url}.*\n", done.stderr, re.IGNORECASE)
    assert os.listdir(tmp_path) == []


def test_a_client_says_that_it_can_t_read_its_input(client, closed_url, tmp_path):
    done = client(tmp_path / "nosuch.csv", tmp_path / "out.csv", closed_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"can't read .*nosuch\.csv.*\n", done.stderr, re.IGNORECASE)
    assert os.listdir(tmp_path) == []


def test_a_client_says_that_it_can_t_write_its_output(client, url, example, tmp_path):
    done = client(example, tmp_path / "nosuch" / "out.csv", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"can't write .*nosuch.*\n", done.stderr, re.IGNORECASE)
    assert os.listdir(tmp_path) == []


def test_a_client_with_too_few_words_says_how_it_is_called(client, tmp_path):
    done = shell(client.command.replace(" OUTPUT.csv", ""), client.folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"usage: .*INPUT\.csv OUTPUT\.csv \[URL\]\n", done.stderr)


def test_a_client_asks_a_busy_service_again_and_sends_its_key_each_time(client, example, tmp_path):
    target = tmp_path / "out.csv"
    csv = "time,label,score,reason\n2026-03-01 00:00,1,9.5,\n2026-03-01 00:01,,,“gap”\n".encode()
    with scripted((503, BUSY, "0"), (503, BUSY), (200, documented(csv))) as (url, asked):
        done = client(example, target, f"{url}/behind/", ODDWAVE_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{target}: 2 rows, 1 of them anomalous\n"
    assert target.read_bytes() == csv
    assert [path for path, _, _ in asked] == [f"/behind{ROUTE}"] * 3
    assert [headers["Authorization"] for _, headers, _ in asked] == [f"Bearer {KEY}"] * 3
    assert [base64.b64decode(json.loads(body)["csv"]) for _, _, body in asked] == [example.read_bytes()] * 3


def test_a_client_gives_up_on_a_service_that_stays_busy(client, example, tmp_path):
    with scripted((503, BUSY, "0")) as (url, asked):
        done = client(example, tmp_path / "out.csv", url)
    assert done.returncode == 1
    assert "All slots are taken. (errorCode 503, logId log-7)" in done.stderr
    assert len(asked) == 3
    assert "Authorization" not in asked[0][1]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b'{"result": {"csv": "not base64"}}', "isn't the documented one"),
        (502, b"<html>", "HTTP status 502 and no reason"),
    ],
)
def test_a_client_says_that_an_answer_isn_t_what_it_should_be(client, example, tmp_path, status, body, message):
    with scripted((status, body)) as (url, _):
        done = client(example, tmp_path / "out.csv", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf".*{message}\.?\n", done.stderr)
    assert os.listdir(tmp_path) == []


def test_a_client_s_key_opens_a_service_that_asks_for_one(client, locked_url, example, expected, tmp_path):
    done = client(example, tmp_path / "out.csv", locked_url, ODDWAVE_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.csv").read_bytes() == expected[0]
    done = client(example, tmp_path / "no.csv", locked_url)
    assert done.returncode == 1
    assert "errorCode 401" in done.stderr


@pytest.fixture(scope="module")
def locked_url(tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"test sha256:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    with service("--model", "DLinear_ad", "--api-key-file", keys) as running:
        yield running.url


def test_the_table_of_clients_names_every_folder():
    folders = {path.name for path in CLIENTS.iterdir() if path.is_dir()}
    assert folders == set(table()) == set(PROBES)


def test_ci_installs_what_the_table_names():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    packages = [package for row in table().values() for package in row[0].split()]
    assert [package for package in packages if not re.search(rf"(?<![\w-]){re.escape(package)}(?![\w-])", script)] == []


# The requests of the tutorial's own clients, as they are on the wire

TUTORIAL = {
    "requests": """\
Host: localhost:8080
User-Agent: python-requests/2.32.3
Accept-Encoding: gzip, deflate
Accept: */*
Connection: keep-alive
Content-Length: {size}
Content-Type: application/json""",
    "cpp-httplib": """\
Accept: */*
Connection: close
Content-Length: {size}
Content-Type: application/json
Content-Type: application/json
Host: localhost:8080
User-Agent: cpp-httplib/0.11.4""",
    "OkHttp": """\
Content-Type: application/json; charset=utf-8
Content-Length: {size}
Host: localhost:8080
Connection: Keep-Alive
Accept-Encoding: gzip
User-Agent: okhttp/4.12.0""",
    "Go": """\
Host: localhost:8080
User-Agent: Go-http-client/1.1
Content-Length: {size}
Accept-Encoding: gzip""",
    "C#": """\
Content-Type: application/json; charset=utf-8
Content-Length: {size}
Host: localhost:8080""",
    "C#, .NET Framework": """\
Content-Type: application/json; charset=utf-8
Host: localhost:8080
Content-Length: {size}
Expect: 100-continue
Connection: Keep-Alive""",
    "axios": """\
Accept: application/json, text/plain, */*
Content-Type: application/x-www-form-urlencoded
User-Agent: axios/1.7.7
Content-Length: {size}
Accept-Encoding: gzip, compress, deflate, br
Host: localhost:8080
Connection: keep-alive""",
    "axios, Node.js 18": """\
Accept: application/json, text/plain, */*
Content-Type: application/x-www-form-urlencoded
User-Agent: axios/1.7.7
Content-Length: {size}
Accept-Encoding: gzip, compress, deflate, br
Host: localhost:8080
Connection: close""",
    "PHP": """\
Host: localhost:8080
Accept: */*
Content-Type: application/json
Content-Length: {size}""",
    "PHP, over 1 MB": """\
Host: localhost:8080
Accept: */*
Content-Type: application/json
Content-Length: {size}
Expect: 100-continue""",
    "Java's own": """\
Connection: Upgrade, HTTP2-Settings
Content-Length: {size}
Host: localhost:8080
HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA
Upgrade: h2c
User-Agent: Java-http-client/17.0.15
Content-Type: application/json""",
}


def payload(path):
    return json.dumps({"csv": base64.b64encode(path.read_bytes()).decode()}).encode()


def exchange(url, headers, body):
    """Send a request with exactly these headers; if they ask to be told, send the body only when told to."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {ROUTE} HTTP/1.1\n{headers.format(size=len(body))}\n\n".replace("\n", "\r\n").encode()
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        if "Expect:" in headers:
            connection.sendall(head)
            assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
        else:
            connection.sendall(head + body)
        with HTTPResponse(connection) as response:
            response.begin()
            return response.status, response.read()


@pytest.mark.parametrize("name", TUTORIAL)
def test_a_request_as_the_tutorial_s_client_sends_it_is_answered(url, example, expected, name):
    status, body = exchange(url, TUTORIAL[name], payload(example))
    told = json.loads(body)
    assert (status, told["errorCode"], told["errorMsg"]) == (200, 0, "Success"), told
    assert base64.b64decode(told["result"]["csv"], validate=True) == expected[0]


def test_a_large_request_of_php_s_curl_is_answered_in_full(url, example, tmp_path):
    header, *rows = example.read_text().splitlines()
    cells = [row.partition(",")[2] for row in rows]
    source = tmp_path / "large.csv"
    source.write_text("\n".join([header, *(f"{place},{cells[place % len(cells)]}" for place in range(6000))]) + "\n")
    status, body = exchange(url, TUTORIAL["PHP, over 1 MB"], payload(source))
    assert source.stat().st_size > 1 << 20
    assert status == 200, body
    assert base64.b64decode(json.loads(body)["result"]["csv"]).count(b"\n") == 6001
