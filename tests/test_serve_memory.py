"""Memory of the service: a body that is too large costs next to none, however it comes."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Service, service

BODY = 64 << 20
MAX_BODY = 16 << 20
PIECE = bytes(1 << 20)
ALLOWED = 20 << 20
HEAD = "POST /time-series-anomaly-detection HTTP/1.1\r\nHost: x\r\n"

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service("--workers", 1, "--log", "off", "--max-body", MAX_BODY) as one:
        with socket.create_connection(address(one), 30) as line:  # what is made on first use isn't the body's
            send(line, f"{HEAD}Content-Length: 2\r\n\r\n".encode(), [b"{}"])
        yield one


def address(service: Service) -> tuple[str, int]:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return host, int(port)


def worker(service: Service) -> Path:
    """Return the folder of the one worker in /proc."""
    pid = service.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return Path("/proc", child)


def peak(process: Path) -> int:
    """Return the most memory that a process has had, in bytes, since its peak was forgotten."""
    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    return int(found[1]) << 10


def forget_peak(process: Path) -> None:
    (process / "clear_refs").write_text("5")


def send(line: socket.socket, head: bytes, pieces: list[bytes]) -> tuple[int, dict]:
    """Send what the server takes of a request; return the answer's status and its JSON."""
    with contextlib.suppress(ConnectionError):  # the server doesn't wait for the end
        line.sendall(head)
        for piece in pieces:
            line.sendall(piece)
    answer = b""
    with contextlib.suppress(ConnectionError):
        while b"}" not in answer and (more := line.recv(1 << 16)):
            answer += more
    return int(answer.split()[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


DECLARED = (f"Content-Length: {BODY}\r\n\r\n", [PIECE] * (BODY // len(PIECE)))
CHUNKED = (
    "Transfer-Encoding: chunked\r\n\r\n",
    [b"%x\r\n%b\r\n" % (len(PIECE), PIECE)] * (BODY // len(PIECE)) + [b"0\r\n\r\n"],
)


@pytest.mark.parametrize(("rest", "pieces"), [DECLARED, CHUNKED], ids=["declared", "chunked"])
def test_a_body_far_too_large_is_refused_and_costs_little_memory(running, rest, pieces):
    process = worker(running)
    forget_peak(process)
    before = peak(process)
    with socket.create_connection(address(running), 30) as line:
        status, error = send(line, (HEAD + rest).encode(), pieces)
    assert (status, error["errorCode"], set(error)) == (413, 413, {"logId", "errorCode", "errorMsg"})
    assert peak(process) - before < ALLOWED


def test_the_peak_that_is_read_rises_with_a_body_that_is_taken(running):
    process = worker(running)
    forget_peak(process)
    before = peak(process)
    with socket.create_connection(address(running), 30) as line:
        status, _ = send(line, f"{HEAD}Content-Length: {MAX_BODY}\r\n\r\n".encode(), [PIECE] * (MAX_BODY // len(PIECE)))
    assert status == 400
    assert peak(process) - before > MAX_BODY // 2


def test_many_at_once_that_are_too_large_cost_no_more_than_one(running):
    process = worker(running)
    forget_peak(process)
    before = peak(process)
    with contextlib.ExitStack() as open_lines:
        lines = [open_lines.enter_context(socket.create_connection(address(running), 30)) for _ in range(50)]
        for line in lines:
            line.sendall((HEAD + DECLARED[0]).encode())
        found = [send(line, b"", [])[0] for line in lines]
    assert found == [413] * len(lines)
    assert peak(process) - before < ALLOWED
