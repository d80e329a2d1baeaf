"""The service for some minutes under mixed load, then the fuzz: make soak.

Eight clients send good and bad requests of every kind, a ninth opens connections and leaves them half used; early on a
worker is killed, and the detector's file is replaced again and again. Every answer must have the documented form, good
ones the same labels each time. Memory of the parent and its workers is read every second; from minute 2 to the end it
may grow by 2 %. Threads and, at rest, open files must stay as many as they were. Exit status 1 says that something was
wrong.

Growth is that of Rss: Pss, which says how much memory the service takes, also changes when any other program on the
machine begins or ceases to use the same libraries. It is taken between medians of long windows, for the bodies in
progress and what malloc keeps of them make single readings differ by some MB.

    python benchmarks/soak.py [MINUTES] [--no-fuzz]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from service import BODY, ROOT, ROUTE, Service, memory_mb, service, workers

from oddwave.detector import find

CLIENTS, PAUSE_S = 8, 0.05
WARM_S, SHORTEST_S, SAMPLE_S, TELL_S = 120.0, 30.0, 1.0, 60.0
KILL_S, GRACE_S, RELOAD_S, HALF_S = 15.0, 10.0, 20.0, 3.0
TIMEOUT_S, MAX_BODY = 10, 16 << 20
GROWTH = 0.02
FUZZ = "100000"
MIB = bytes(1 << 20)


class Sample(NamedTuple):
    """What the service took at one moment."""

    at_s: float
    pss_mb: float
    rss_mb: float
    threads: int


class Kind(NamedTuple):
    """One kind of request: how often it is sent, what is sent, and how a good answer is checked."""

    often: int
    status: int
    head: str
    pieces: list[bytes]
    check: Callable[[Any], object] = id
    path: str = ROUTE


def csv_body(rows: int) -> bytes:
    header, *lines = (ROOT / "examples" / "ts_ad.csv").read_text().splitlines()
    cells = [line.partition(",")[2] for line in lines]
    text = "\n".join([header, *(f"{number},{cells[number % len(cells)]}" for number in range(rows))])
    return json.dumps({"csv": base64.b64encode(text.encode()).decode()}).encode()


def json_body(wrap: Callable[[list[list[float]]], Any]) -> bytes:
    values = np.loadtxt(ROOT / "examples" / "ts_ad.csv", delimiter=",", skiprows=1, usecols=range(1, 26))
    return json.dumps(wrap(values.tolist())).encode()


def kinds() -> dict[str, Kind]:
    """Return every kind by its name."""
    large = csv_body(20_000)
    rows = json_body(lambda values: {"rows": values})
    tensor = {"name": "rows", "shape": [96, 25], "datatype": "FP64"}
    infer = json_body(lambda values: {"inputs": [tensor | {"data": values}]})
    chunks = [b"%x\r\n%b\r\n" % (len(MIB), MIB)] * (MAX_BODY // len(MIB) + 4)

    def labels(answer: Any) -> object:
        return answer["result"]["csv"]

    def whole(head: str, body: bytes, often: int, status: int = 200, **rest: Any) -> Kind:
        return Kind(often, status, f"{head}Content-Length: {len(body)}\r\n", [body], **rest)

    return {
        "small CSV": whole("", BODY, 40, check=labels),
        "large CSV": whole("", large, 2, check=labels),
        "v1": whole("", rows, 15, path="/v1/detect", check=lambda answer: (answer["rows"], answer["events"])),
        "v2": whole("", infer, 15, path="/v2/models/DLinear_ad/infer", check=lambda answer: answer["outputs"]),
        "not JSON": whole("", b"{", 5, 400),
        "no base64": whole("", b'{"csv": "%%"}', 5, 422),
        "no numbers": whole("", json.dumps({"csv": base64.b64encode(b"a,b\nx,y\n").decode()}).encode(), 5, 422),
        "large and not JSON": whole("", MIB, 2, 400),
        "another origin": whole("Origin: http://elsewhere.example\r\n", BODY, 5, 403),
        "no such path": whole("", BODY, 5, 404, path="/nowhere"),
        "too large, declared": Kind(3, 413, f"Content-Length: {64 << 20}\r\n", [MIB] * 4),
        "too large, chunked": Kind(1, 413, "Transfer-Encoding: chunked\r\n", chunks),
    }


class Soak:
    """A run: the service, what has been sent to it, and what went wrong."""

    def __init__(self, running: Service, detector: Path, seconds: float) -> None:
        self.running, self.detector = running, detector
        self.began = time.monotonic()
        self.end = self.began + seconds
        self.address = running.url.removeprefix("http://").split(":")
        self.kinds = kinds()
        self.sent: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.first: dict[str, object] = {}
        self.killed_at = float("inf")
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Send, disturb and watch until the time is over."""
        tasks = [self.client(number) for number in range(CLIENTS)]
        await asyncio.gather(*tasks, self.leave_half(), self.kill(), self.reload(), self.watch())

    def is_on(self) -> bool:
        """Say whether the time isn't over."""
        return time.monotonic() < self.end

    async def client(self, number: int) -> None:
        """Send one request after the other, over one connection as long as it holds."""
        chance = random.Random(number)
        names, often = list(self.kinds), [kind.often for kind in self.kinds.values()]
        line = None
        while self.is_on():
            (name,) = chance.choices(names, often)
            try:
                line = line or await asyncio.open_connection(*self.address)
                if not await asyncio.wait_for(self.ask(name, *line), 3 * TIMEOUT_S):
                    line[1].close()
                    line = None
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.lost(name, error)
                if line:
                    line[1].close()
                line = None
            await asyncio.sleep(PAUSE_S * chance.random() * 2)
        if line:
            line[1].close()

    def lost(self, name: str, error: Exception) -> None:
        """Count a request without an answer; those in flight when the worker was killed are forgiven."""
        if 0 <= time.monotonic() - self.killed_at < GRACE_S:
            self.sent["lost with the killed worker"] += 1
        elif name.startswith("too large") and isinstance(error, ConnectionError):
            self.sent[f"{name}: cut off"] += 1  # the answer went down with the rest of the body
        else:
            self.wrong[f"{name}: no answer ({type(error).__name__})"] += 1

    async def ask(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send a request, look at its answer; return whether the connection can be used again."""
        kind = self.kinds[name]
        answer = asyncio.ensure_future(read_answer(reader))  # it may come before all is sent
        with contextlib.suppress(ConnectionError):
            writer.write(f"POST {kind.path} HTTP/1.1\r\nHost: {self.address[0]}\r\n{kind.head}\r\n".encode())
            for piece in kind.pieces:
                if answer.done():
                    break
                writer.write(piece)
                await writer.drain()
        status, headers, body = await answer
        self.sent[f"{name}: {status}"] += 1
        self.judge(name, kind, status, headers, body)
        is_whole = len(kind.pieces) == 1 and status in (200, 400, 422)
        return is_whole and headers.get("connection") != "close"

    def judge(self, name: str, kind: Kind, status: int, headers: dict[str, str], body: bytes) -> None:
        """Note what is wrong with an answer."""
        content = json.loads(body)
        if status not in (kind.status, 503):
            self.wrong[f"{name}: {status} instead of {kind.status}: {body[:200]!r}"] += 1
        elif status != 200 and (list(content) != ["logId", "errorCode", "errorMsg"] or content["errorCode"] != status):
            self.wrong[f"{name}: an error of another form: {body[:200]!r}"] += 1
        elif status == 503 and "retry-after" not in headers:
            self.wrong[f"{name}: 503 without Retry-After"] += 1
        elif status == 200 and self.first.setdefault(name, kind.check(content)) != kind.check(content):
            self.wrong[f"{name}: another result than the first"] += 1

    async def leave_half(self) -> None:
        """Open connections that never send a whole request: half a head, or half a body; the server must end them."""
        halves = (f"POST {ROUTE} HTTP/1.1\r\nHo", f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{{")
        waits = []
        while self.is_on():
            waits += [asyncio.create_task(self.half(half.encode())) for half in halves]
            await asyncio.sleep(HALF_S)
        await asyncio.gather(*waits)

    async def half(self, half: bytes) -> None:
        """Send a part of a request, and wait for the server to end the connection."""
        writer = None
        try:
            reader, writer = await asyncio.open_connection(*self.address)
            writer.write(half)
            await asyncio.wait_for(reader.read(), 3 * TIMEOUT_S)
            self.sent["half a request: ended by the server"] += 1
        except TimeoutError:
            self.wrong["half a request: its connection stays open"] += 1
        except OSError as error:
            self.lost("half a request", error)
        finally:
            if writer:
                writer.close()

    async def kill(self) -> None:
        """Kill a worker, and see that another takes its place."""
        await asyncio.sleep(KILL_S)
        before = workers(self.running)
        self.killed_at = time.monotonic()
        os.kill(before[0], signal.SIGKILL)
        await asyncio.sleep(GRACE_S)
        after = workers(self.running)
        if len(after) != len(before) or before[0] in after:
            self.wrong[f"the killed worker has no successor {GRACE_S:g} s later"] += 1

    async def reload(self) -> None:
        """Replace the detector's file by its like, as a deployment does."""
        while self.is_on():
            await asyncio.sleep(RELOAD_S)
            twin = self.detector.with_suffix(".new")
            shutil.copy(self.detector, twin)
            twin.replace(self.detector)

    async def watch(self) -> None:
        """Read memory and threads, and say every minute how it goes."""
        tell_at = TELL_S
        while self.is_on():
            await asyncio.sleep(SAMPLE_S)
            with contextlib.suppress(OSError, StopIteration):  # a worker that was just killed
                sample = self.sample()
                self.samples.append(sample)
                if sample.at_s >= tell_at:
                    tell_at += TELL_S
                    sent, wrong = sum(self.sent.values()), sum(self.wrong.values())
                    about = f"{sample.pss_mb:.0f} MB (Rss {sample.rss_mb:.0f}), {sample.threads} threads"
                    print(f"{sample.at_s:4.0f} s: {sent:,} requests, {about}, {wrong} wrong", flush=True)

    def sample(self) -> Sample:
        """Read memory and threads of the parent and its workers."""
        pids = [self.running.process.pid, *workers(self.running)]
        threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)
        return Sample(time.monotonic() - self.began, memory_mb(pids, "Pss"), memory_mb(pids, "Rss"), threads)

    def compare(self) -> None:
        """Compare minute 2 with the end."""
        end = self.samples[-1].at_s
        window = max(SHORTEST_S, (end - WARM_S) / 4)
        early = [sample for sample in self.samples if WARM_S <= sample.at_s < WARM_S + window]
        late = [sample for sample in self.samples if sample.at_s >= end - window]
        before, after = (statistics.median(sample.rss_mb for sample in found) for found in (early, late))
        some, most = (max(sample.threads for sample in found) for found in (early, late))
        usual, peak = statistics.median(one.pss_mb for one in late), max(one.pss_mb for one in self.samples)
        print(f"memory: {usual:.0f} MB at the end, {peak:.0f} MB at most (Pss)")
        print(f"Rss {before:.1f} MB after 2 minutes, {after:.1f} MB at the end: {after / before - 1:+.2%}")
        if after / before - 1 > GROWTH:
            self.wrong[f"memory grew from {before:.1f} to {after:.1f} MB"] += 1
        if most > some:
            self.wrong[f"threads rose from {some} to {most}"] += 1


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read an answer: status, headers, body."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def open_files(running: Service) -> int:
    """Return how many files the parent and its workers have open."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in [running.process.pid, *workers(running)])


async def use_all(running: Service) -> None:
    """Send large bodies, so many at once that every worker has had one."""
    soak = Soak(running, Path(), 0)
    for _ in range(2 * CLIENTS):
        lines = [await asyncio.open_connection(*soak.address) for _ in range(CLIENTS)]
        await asyncio.gather(*(soak.ask("large CSV", *line) for line in lines))
        for _, writer in lines:
            writer.close()


def soak(seconds: float) -> Counter[str]:
    """Run the service under load; return what was wrong and how often."""
    with tempfile.TemporaryDirectory() as folder:
        detector = Path(folder) / "DLinear_ad.onnx"
        shutil.copy(find("DLinear_ad"), detector)
        with service("--model", folder, "--timeout", TIMEOUT_S, "--max-body", MAX_BODY) as running:
            asyncio.run(use_all(running))  # what is opened once, at first use
            before = open_files(running)
            run = Soak(running, detector, seconds)
            asyncio.run(run.run())
            run.compare()
            time.sleep(TIMEOUT_S + 2)
            after = open_files(running)
            print(f"open files at rest: {before} before, {after} after")
            if after > before:
                run.wrong[f"open files rose from {before} to {after}"] += 1
            faults = running.errors().count('"event":"fault"')
            if faults:
                run.wrong["faults in the log, see errors above"] += faults
    for name, count in sorted(run.sent.items()):
        print(f"{count:8,} {name}")
    return run.wrong


def main() -> None:
    """Soak, then fuzz; exit 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("minutes", type=float, nargs="?", default=10.0, help="at least 3, for the first 2 warm up")
    parser.add_argument("--no-fuzz", action="store_true")
    flags = parser.parse_args()
    if flags.minutes < 3:
        parser.error("at least 3 minutes: the first 2 warm up")
    wrong = soak(60 * flags.minutes)
    for what, count in wrong.most_common():
        print(f"WRONG, {count} times: {what}")
    failed = bool(wrong)
    if not flags.no_fuzz:
        tests = ROOT / "tests" / "test_serve_fuzz.py"
        command = [sys.executable, "-m", "pytest", "-q", str(tests)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"ODDWAVE_FUZZ": FUZZ}, check=False)
        failed |= done.returncode != 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
