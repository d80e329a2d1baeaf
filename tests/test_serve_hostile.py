"""The service against a hostile network: connections, bodies, origins, keys and addresses that mean no good.

Only what never becomes a request (malformed HTTP, a head that doesn't end) is answered by the HTTP server itself, by
a bare status or by closing; everything else gets the documented error.
"""

from __future__ import annotations

import base64
import resource
import socket
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

import pytest
import small
from serving import SRC, ask, connected, head, is_closed, received, service

from oddwave import cli
from oddwave.errors import ConfigError
from oddwave.serve.answers import Refused
from oddwave.serve.keys import Keys, new_key
from oddwave.serve.settings import ServiceSettings
from oddwave.serve.urls import fetch, is_public

ROUTE = "/time-series-anomaly-detection"
DETECT = "/v1/detect"
CAP = 64 << 10
PROBES = ("/health", "/ready", "/v2/health/live", "/v2/health/ready")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    small.detector(folder / "run")
    small.write(folder / "good.csv", 60, fault=40)
    return folder


@pytest.fixture(scope="module")
def good(place):
    return (place / "good.csv").read_bytes()


@pytest.fixture(scope="module")
def body(good):
    """Return a request's body as the tutorial has it."""
    return b'{"csv": "' + base64.b64encode(good) + b'"}'


@pytest.fixture(scope="module")
def running(place):
    """Return a service with narrow limits."""
    with service("--model", place / "run", "--workers", 1, "--drain", 0, "--max-body", CAP, "--timeout", 1) as started:
        yield started
        assert '"event":"fault"' not in started.errors()


@pytest.fixture
def url(running):
    return running.url


@pytest.fixture
def connection(url):
    with connected(url) as one:
        yield one


# Bodies


def test_one_byte_over_the_cap_is_413_and_closes_before_it_is_read(connection, url):
    connection.sendall(head(ROUTE, f"Content-Length: {CAP + 1}"))
    reply = received(connection)
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    assert f"larger than {CAP:,} bytes" in reply.refusal()
    assert is_closed(connection)
    assert ask(url, ROUTE, b" " * CAP).status == 400  # no JSON, but not too large


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
    ],
)
def test_a_body_in_chunks_is_counted_as_it_comes_whatever_length_it_says(connection, url, lines):
    connection.sendall(head(ROUTE, *lines))
    with pytest.raises(ConnectionError):  # noqa: PT012 (whichever of them finds it closed)
        for _ in range(1000):
            connection.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        received(connection)
        raise ConnectionError
    assert ask(url, "/health").status == 200


def test_a_body_in_chunks_that_is_too_large_is_413(connection):
    connection.sendall(head(ROUTE, "Transfer-Encoding: chunked"))
    connection.sendall(b"%x\r\n" % (CAP + 1) + b" " * (CAP + 1) + b"\r\n")
    reply = received(connection)
    assert (reply.status, reply.headers["connection"]) == (413, "close")
    reply.refusal()


def test_a_body_in_chunks_is_read(connection, body):
    connection.sendall(head(ROUTE, "Transfer-Encoding: chunked"))
    for start in range(0, len(body), 100):
        piece = body[start : start + 100]
        connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    assert received(connection).json["errorCode"] == 0


@pytest.mark.parametrize("end", [b"", b"5\r\n1,0", b"0\r\n"], ids=["between chunks", "in one", "in the last"])
@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
def test_a_body_in_chunks_that_breaks_off_is_400_not_scored_as_far_as_it_came(connection, good, kind, end):
    connection.sendall(head(DETECT, "Transfer-Encoding: chunked", f"Content-Type: {kind}"))
    connection.sendall(b"%x\r\n" % len(good) + good + b"\r\n" + end)
    connection.shutdown(socket.SHUT_WR)
    reply = received(connection)
    assert (reply.status, "ended before its end" in reply.refusal()) == (400, True)


def test_a_body_in_chunks_is_read_whole_when_the_client_writes_no_more(connection, good):
    connection.sendall(head(DETECT, "Transfer-Encoding: chunked", "Content-Type: text/csv", "Connection: close"))
    for piece in (good[:700], good[700:], b""):
        connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
    assert len(received(connection).json["rows"]["label"]) == 60


def test_headers_behind_a_body_in_chunks_may_follow_if_they_are_announced(connection, good):
    head_ = head(DETECT, "Transfer-Encoding: chunked", "Content-Type: text/csv", "Trailer: X-Sum")
    connection.sendall(head_ + b"%x\r\n" % len(good) + good + b"\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert len(received(connection).json["rows"]["label"]) == 60


def test_a_client_that_waits_for_100_continue_gets_it(connection, body):
    connection.sendall(head(ROUTE, f"Content-Length: {len(body)}", "Expect: 100-continue"))
    assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)
    assert received(connection).json["errorCode"] == 0


def test_a_client_that_waits_for_100_continue_with_too_much_gets_413(connection):
    connection.sendall(head(ROUTE, f"Content-Length: {CAP + 1}", "Expect: 100-continue"))
    reply = received(connection)
    assert (reply.status, "larger than" in reply.refusal()) == (413, True)


def test_a_body_that_asks_for_http_2_is_read(connection, body):  # so does Java's own client
    upgrade = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAAB",
    )
    connection.sendall(head(ROUTE, f"Content-Length: {len(body)}", *upgrade) + body)
    assert received(connection).json["errorCode"] == 0


def test_a_body_that_is_shorter_than_it_says_is_400(connection, body):
    connection.sendall(head(ROUTE, f"Content-Length: {len(body) + 1}") + body)
    connection.shutdown(socket.SHUT_WR)
    reply = received(connection)
    assert (reply.status, "ended before its end" in reply.refusal()) == (400, True)


def test_a_body_that_is_longer_than_it_says_is_cut_and_the_rest_is_no_request(connection):
    connection.sendall(head(ROUTE, "Content-Length: 2") + b"{}{}")
    with connection.makefile("rb") as stream:
        assert [answer_of(stream), answer_of(stream)] == [422, 400]  # the second is the HTTP server's own


def test_a_body_that_drips_is_408_and_the_service_goes_on(connection, url, body):
    connection.sendall(head(ROUTE, f"Content-Length: {len(body)}") + body[:9])
    assert ask(url, ROUTE, body).status == 200
    reply = received(connection)
    assert (reply.status, reply.headers["connection"]) == (408, "close")
    assert "didn't come within 1 s" in reply.refusal()
    assert is_closed(connection)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "zstd", "\xff"])
def test_a_compressed_body_is_415(connection, encoding):
    connection.sendall(head(ROUTE, "Content-Length: 2", f"Content-Encoding: {encoding}") + b"{}")
    reply = received(connection)
    assert (reply.status, "Compressed" in reply.refusal()) == (415, True)


# Connections


@pytest.mark.parametrize(
    "head_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 300 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\na: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(12),
)
def test_what_is_no_http_is_closed_by_the_server_itself(connection, url, head_):
    answer = b""
    try:
        connection.sendall(head_ + b"\r\n\r\n")
        while piece := connection.recv(1 << 16):
            answer += piece
    except ConnectionError:
        pass
    assert answer == b"" or answer.split()[1] in (b"400", b"414", b"431", b"505")
    assert ask(url, "/health").status == 200


@pytest.mark.parametrize("start", [b"", b"P", b"POST /v1/detect HTTP/1.1\r\nHost:", head(ROUTE)[:-2]])
def test_half_a_head_is_closed_by_a_deadline(connection, url, start):
    connection.sendall(start)
    assert ask(url, "/health").status == 200
    assert is_closed(connection)


def test_a_head_that_drips_is_closed_by_a_deadline(connection):
    with pytest.raises(OSError, match=r"closed|reset|pipe"):  # noqa: PT012 (whichever of them finds it closed)
        for byte in head(ROUTE, "X: " + "x" * 100):
            connection.sendall(bytes([byte]))
            connection.settimeout(0.3)
            try:
                if not connection.recv(1):
                    raise OSError("closed")
            except TimeoutError:
                pass


def test_requests_in_one_piece_are_answered_in_their_order(connection, body):
    posts = [head(ROUTE, f"Content-Length: {len(body)}") + body, head("/nothing", "Content-Length: 2") + b"{}"]
    connection.sendall(b"".join([*posts, head("/health", method="GET"), posts[0]]))
    with connection.makefile("rb") as stream:
        assert [answer_of(stream) for _ in range(4)] == [200, 404, 200, 200]


def answer_of(stream):
    """Read one of several answers on a connection and return its status."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    assert len(stream.read(length)) == length
    return status


@contextmanager
def many_files():
    """Let this process and those it starts have all the files that the system allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[0]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_thousand_idle_connections_hinder_nobody(place, body):
    with (
        service(
            "--model", place / "run", "--workers", 1, "--drain", 0, command=("prlimit", "--nofile=512:4096")
        ) as started,
        many_files(),
        ExitStack() as idle,
    ):
        for _ in range(10):
            for _ in range(100):
                idle.enter_context(connected(started.url))
            assert ask(started.url, ROUTE, body).status == 200


def test_a_client_that_is_gone_frees_its_slot(place, body):
    lines = "".join(f"{i},0.5,0.5,0.5\n" for i in range(100_000))
    large = b'{"csv": "' + base64.b64encode(f"timestamp,flow,heat,noise\n{lines}".encode()) + b'"}'
    with service("--model", place / "run", "--workers", 1, "--slots", 1, "--drain", 0) as started:
        with connected(started.url) as half:
            half.sendall(head(ROUTE, f"Content-Length: {len(body)}") + body[:9])
            until(started.url, body, 503)
        until(started.url, body, 200)
        with connected(started.url) as gone:
            gone.sendall(head(ROUTE, f"Content-Length: {len(large)}") + large)
        until(started.url, body, 200)
        assert ask(started.url, ROUTE, large).status == 200
        assert '"event":"fault"' not in started.errors()


def until(url, body, status):
    """Ask until this status comes, and nothing but it and that of a busy service."""
    end = monotonic() + 30
    while monotonic() < end:
        reply = ask(url, ROUTE, body)
        if reply.status == status == 503:
            assert reply.headers["retry-after"] == "1"
            assert "busy" in reply.refusal()
        if reply.status == status:
            return
        assert reply.status in (200, 503)
    raise AssertionError(f"no {status}")


# Origins


def origins(url):
    port = url.rsplit(":", 1)[1]
    return [
        (f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", True),
        (f"localhost:{port}", f"http://localhost:{port}", True),
        (f"127.0.0.1:{port}", "null", False),
        (f"127.0.0.1:{port}", "", False),
        (f"127.0.0.1:{port}", "\xff", False),
        (f"127.0.0.1:{port}", "http://evil.example", False),
        (f"127.0.0.1:{port}", "http://127.0.0.1", False),
        (f"127.0.0.1:{port}", f"http://127.0.0.1:{port}.evil.example", False),
        (f"127.0.0.1:{port}", "http://[", False),
        ("[", "http://[", False),
        ("", "null", False),
        ("evil.example", "http://evil.example", False),  # a name of theirs that leads here
        (f"evil.example:{port}", f"http://evil.example:{port}", False),
        (f"127.0.0.1:{port}@evil.example", f"http://127.0.0.1:{port}@evil.example", False),
    ]


@pytest.mark.parametrize("at", range(14))
@pytest.mark.parametrize("path", [ROUTE, DETECT, "/v2/models/run/infer", "/health"])
def test_pages_of_foreign_origins_are_403(connection, url, path, at):
    host, origin, is_ours = origins(url)[at]
    lines = [f"Host: {host}", f"Origin: {origin}", "Content-Length: 2"]
    method = "GET" if path == "/health" else "POST"
    connection.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", "{}"]).encode("latin-1"))
    reply = received(connection)
    assert reply.status == (200 if is_ours and method == "GET" else 422 if is_ours else 403), reply.body
    if not is_ours:
        assert "--allow-origin" in reply.refusal()


# Keys


@pytest.fixture(scope="module")
def key(place):
    return new_key(str(place / "keys.txt"), "dashboard")


@pytest.fixture(scope="module")
def guarded(place, key):
    flags = ("--drain", 0, "--api-key-file", place / "keys.txt", "--allow-origin", "https://dash.example")
    with service("--model", place / "run", "--workers", 1, *flags) as started:
        yield started.url
        assert key not in started.errors()


def test_a_key_opens_every_route_in_either_header(guarded, key, body):
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"authorization": f"bearer  {key} "},
        {"X-API-Key": key},
        {"X-API-Key": key, "Authorization": "Basic eDp5"},
        {"X-API-Key": key, "Origin": "https://dash.example"},
    ):
        assert ask(guarded, ROUTE, body, headers=headers).status == 200
        assert ask(guarded, "/metrics", headers=headers).status == 200


@pytest.mark.parametrize(
    "line",
    ["X: y", "Authorization: Bearer", "Authorization: Bearer wrong", "Authorization: {}", "Authorization: Basic {}",
     "X-API-Key: ", "X-API-Key: {}x", "X-API-Key: \xff\xfe", "X-API-Key: ' OR 1=1", "Cookie: key={}"],
)  # fmt: skip
@pytest.mark.parametrize("path", [ROUTE, DETECT, "/v2/models/run/infer", "/v1/models", "/metrics"])
def test_a_missing_or_wrong_key_is_401(guarded, key, path, line):
    method = "GET" if path in ("/v1/models", "/metrics") else "POST"
    with connected(guarded) as connection:
        connection.sendall(head(path, line.format(key), "Content-Length: 2", method=method) + b"{}")
        reply = received(connection)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer KEY" in reply.refusal()


def test_probes_need_no_key(guarded):
    assert [ask(guarded, path).status for path in PROBES] == [200] * 4


def test_the_reference_needs_no_key(guarded):
    assert [ask(guarded, path).status for path in ("/docs", "/openapi.json", "/")] == [200, 200, 200]


def test_a_page_of_an_origin_that_is_let_in_needs_the_key_too(guarded):
    assert ask(guarded, "/v1/models", headers={"Origin": "https://dash.example"}).status == 401
    assert ask(guarded, "/v1/models", headers={"Origin": "https://dash.example.evil"}).status == 403


def test_ten_megabytes_of_blanks_are_400(guarded, key):
    reply = ask(guarded, ROUTE, b" " * 10_000_000, headers={"X-API-Key": key})
    assert (reply.status, "isn't JSON" in reply.refusal()) == (400, True)


def test_a_key_is_shown_once_and_kept_as_its_hash(tmp_path, capsys):
    path = tmp_path / "keys.txt"
    path.write_text("# those who may\n\n")
    words = ["serve", "--api-key-file", str(path), "--new-key"]
    assert cli.main([*words, "plc"]) == 0
    made = capsys.readouterr().out.strip()
    assert made not in path.read_text()
    keys = Keys.read(str(path))
    keys.check(None, made)
    with pytest.raises(Exception, match="isn't known"):
        keys.check(None, path.read_text().split("sha256:")[1].strip())
    assert cli.main([*words, "plc"]) == 2
    assert "has a key named plc already" in capsys.readouterr().err
    assert cli.main([*words, "two words"]) == 2
    assert cli.main(["serve", "--new-key", "x"]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"", "holds no key"), (b"# none\n", "holds no key"), (b"plc 12345\n", "line 1: this is no key"),
     (b"\xff\xfe", "isn't text"), (b"plc sha256:" + b"g" * 64, "line 1"), (None, "can't be read")],
)  # fmt: skip
def test_a_key_file_that_cant_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "keys.txt"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ConfigError, match=message):
        Keys.read(str(path))


# Addresses


class Files(BaseHTTPRequestHandler):
    """A server of files, some of them odd; `/slow` waits until it is let go."""

    let_go = threading.Event()
    good = b""

    def do_GET(self):
        if self.path == "/slow":
            self.let_go.wait(30)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
        else:
            self.send_response(404 if self.path == "/none" else 200)
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.path == "/large":
            self.wfile.write(bytes(CAP + 1))
        elif self.path != "/empty":
            self.wfile.write(self.good)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def files(good):
    """Return the address of a server on this machine."""
    Files.good = good
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        Files.let_go.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def fetching(place):
    flags = ("--allow-url-host", "127.0.0.1", "--workers", 1, "--max-body", CAP, "--slots", 1, "--timeout", 1)
    with service("--model", place / "run", "--drain", 0, *flags) as started:
        yield started.url
        assert '"event":"fault"' not in started.errors()


ADDRESSES = ["http://x/", "HTTPS://x", "file:///etc/passwd", "ftp://x/", "http:/x", " http://x/", "data:,x",
             "gopher://x", "http://127.0.0.1:1/"]  # fmt: skip


@pytest.mark.parametrize("address", [*ADDRESSES, "http:\\/\\/x/", "\\u0068ttp://x/"])
def test_addresses_are_403_unless_hosts_are_allowed(url, address):
    reply = ask(url, ROUTE, f'{{"csv": "{address}"}}'.encode())
    assert reply.status in (403, 422)  # data:,x has no slash, so it is only no base64
    assert "fetches no URLs" in reply.refusal() or address == "data:,x"


def test_the_file_behind_an_address_is_labelled(fetching, files, body, good):
    expected = ask(fetching, ROUTE, body).json["result"]
    assert ask(fetching, ROUTE, {"csv": f"http://{files}/good"}).json["result"] == expected
    escaped = f'{{"csv": "\\u0068ttp:\\/\\/{files}\\/good"}}'
    assert ask(fetching, ROUTE, escaped.encode()).json["result"] == expected


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("http://{}/none", 422),
        ("http://{}/moved", 422),
        ("http://{}/packed", 422),
        ("http://{}/empty", 422),
        ("http://{}/large", 413),
        ("https://{}/good", 422),
        ("http://127.0.0.1:1/", 422),
        ("http://x@{}/good", 403),
        ("http://example.com@{}/good", 403),
        ("http://{}\\@example.com/", 403),
        ("http://evil.example/", 403),
        ("http://evil.example#@{}/", 403),
        ("http://localhost.evil.example/", 403),
        ("http://2130706433/", 403),
        ("http://127.1/", 403),
        ("http://0x7f.1/", 403),
        ("http://localhost/", 403),
        ("http://[::1]/", 403),
        ("http://[::ffff:127.0.0.1]/", 403),
        ("http://[/", 403),
        ("http://127.0.0.1:x/", 403),
        ("http://127.0.0.1:99999/", 403),
        ("ftp://127.0.0.1/", 403),
        ("file:///etc/passwd", 403),
        ("http://{}/good\r\nX: y", 403),
        ("http://{}/good bad", 403),
        ("http://{}/" + "a" * 5000, 403),
        ("http:///good", 403),
    ],
)
def test_an_address_that_leads_elsewhere_isnt_fetched(fetching, files, address, status):
    reply = ask(fetching, ROUTE, {"csv": address.format(files)})
    assert reply.status == status, reply.body
    assert len(reply.refusal()) < 300


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
     "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::7f00:1", "64:ff9b::7f00:1",
     "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1", "fec0::1"],
)  # fmt: skip
def test_addresses_inside_arent_public_however_they_are_wrapped(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_open_internet_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0177.0.0.1"])
def test_an_allowed_name_that_leads_inside_isnt_fetched(name):
    with pytest.raises(Refused, match="leads to an address inside") as refused:
        fetch(f"http://{name}/", ServiceSettings(allow_url_hosts=(name,)))
    assert refused.value.status == 403


def test_slow_work_is_answered_in_time_and_keeps_its_slot_until_it_ends(fetching, files, body):
    address = {"csv": f"http://{files}/slow", "more": "x" * 5000}  # longer than an address alone
    reply = ask(fetching, ROUTE, address)
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert "longer than 1 s" in reply.refusal()
    assert ask(fetching, "/health").status == 200
    assert "busy" in ask(fetching, ROUTE, body).refusal()
    Files.let_go.set()
    until(fetching, body, 200)


# What is told to whom


def test_the_log_names_the_request_and_holds_nothing_of_what_was_sent(running, good):
    data = good.replace(b"noise", b"n0t-4-the-l0g").replace(b"flow", b"s3cret")
    reply = ask(running.url, DETECT, data, headers={"Content-Type": "text/csv", "X-Other": "s3cret"})
    assert "s3cret" in reply.refusal()  # who sent it may be told
    logged = running.errors()
    assert reply.json["logId"] in logged
    assert "s3cret" not in logged
    assert "n0t-4" not in logged
    assert '"route":"/v1/detect"' in logged
    assert str(SRC) not in logged
