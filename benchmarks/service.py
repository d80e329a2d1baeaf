"""The service under load, as a table: make bench.

wrk sends the 96-row example as the tutorial's clients do, by 1, 16 and 512 connections, and between these rounds asks
the same server for `GET /health`: the machine may be busy, and what a trivial answer costs in the same minute says how
busy. Figures are medians of short rounds that take turns. At 512 connections eight are a probe's, which times each
answer and looks at the refusals. CPU is that of the workers, without wrk's.

    python benchmarks/service.py [--rounds 5] [--seconds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))
from serving import Service, service  # noqa: E402 (the tests' way to start one)

ROUTE = "/time-series-anomaly-detection"
BODY = json.dumps({"csv": base64.b64encode((ROOT / "examples" / "ts_ad.csv").read_bytes()).decode()}).encode()
CLIENTS = (1, 16, 512)
WORKERS = len(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")
PROBES, PAUSE_S = 8, 0.05
SCRIPT = """
local file = os.getenv("BODY")
if file then
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  local handle = io.open(file, "rb"); wrk.body = handle:read("*a"); handle:close()
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "refused": %d, "broken": %d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""
COLUMNS = (
    "request", "clients", "200 /s", "of GET /health", "503 /s", "p50 of all", "p99 of all", "CPU a request", "to reach",
)  # fmt: skip
GOALS = {
    ("CSV", 1): "1,500/s, p99 2 ms",
    ("CSV", 16): "3,000/s, p99 15 ms",
    ("CSV", 512): "half the most, 503 in 100 ms",
}


class Figures(NamedTuple):
    """Of one round: answers a second (status 200, others, none), milliseconds, and CPU of the workers a request."""

    good: float
    refused: float
    broken: float
    p50: float
    p99: float
    cpu_us: float


def workers(service: Service) -> list[int]:
    """Return the process ids of a service's workers."""
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_s(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / TICK


def memory_mb(pids: list[int], kind: str) -> float:
    """Return the memory of processes: Pss shares out the pages that several use, Rss counts them for each."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return total / 1024


def load(service: Service, path: str, clients: int, seconds: int, script: Path, body: Path | None) -> Figures:
    """Let wrk send requests, as many at once as there are clients."""
    environment = os.environ | ({"BODY": str(body)} if body else {})
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), service.url + path]
    before = cpu_s(workers(service))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    used = cpu_s(workers(service)) - before
    if done.returncode:
        raise SystemExit(f"wrk ended with {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    took, count, refused = found["seconds"], found["requests"], found["refused"]
    rates = [number / took for number in (count - refused, refused, found["broken"])]
    return Figures(*rates, found["p50"], found["p99"], 1e6 * used / max(count, 1))


async def probe(url: str, seconds: float) -> list[tuple[int, float, bool]]:
    """Send a request now and then over a few connections.

    Returns
    -------
    list
        Of each answer its status, milliseconds, and whether it says when to try again.
    """
    host, _, port = url.removeprefix("http://").partition(":")
    end = time.monotonic() + seconds
    found = []

    async def ask() -> None:
        while time.monotonic() < end:
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {ROUTE} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + BODY)
            try:
                answer = await reader.read()
                status = int(answer.split(b" ", 2)[1])
                found.append((status, 1000 * (time.perf_counter() - began), b"\r\nretry-after: " in answer.lower()))
            except (ConnectionError, IndexError):
                found.append((0, 1000 * (time.perf_counter() - began), False))
            finally:
                writer.close()
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(ask() for _ in range(PROBES)))
    return found


def probed(service: Service, seconds: int, script: Path, body: Path) -> tuple[Figures, list[tuple[int, float, bool]]]:
    """Send by the most clients, some of them the probe's."""
    with ThreadPoolExecutor(1) as beside:
        wrk = beside.submit(load, service, ROUTE, CLIENTS[-1] - PROBES, seconds, script, body)
        seen = asyncio.run(probe(service.url, seconds))
        return wrk.result(), seen


@contextmanager
def files() -> Iterator[tuple[Path, Path]]:
    """Write what wrk reads: its script and the body."""
    with tempfile.TemporaryDirectory() as folder:
        script, body = Path(folder) / "done.lua", Path(folder) / "body.json"
        script.write_text(SCRIPT)
        body.write_bytes(BODY)
        yield script, body


def middle(rounds: list[Figures]) -> Figures:
    """Return the median of every figure."""
    return Figures(*map(statistics.median, zip(*rounds, strict=True)))


def show(what: str, clients: int, figures: Figures, trivial: Figures) -> None:
    """Print a line of the table."""
    share = figures.good / trivial.good
    goal = GOALS.get((what.partition(",")[0], clients), "")
    print(
        f"| {what} | {clients} | {figures.good:,.0f} | {share:.2f} | {figures.refused:,.0f} | {figures.p50:.2f} ms | "
        f"{figures.p99:.2f} ms | {figures.cpu_us:.0f} µs | {goal} |",
        flush=True,
    )


def measure(n_rounds: int, seconds: int) -> None:
    """Start the service twice, with the log off and as it is by default, and print how both do."""
    rounds: dict[tuple[str, int], list[Figures]] = defaultdict(list)
    seen: list[tuple[int, float, bool]] = []
    with (
        files() as (script, body),
        service("--workers", WORKERS, "--log", "off") as quiet,
        service("--workers", WORKERS) as usual,
    ):
        whole = [quiet.process.pid, *workers(quiet)]
        memory = {"at the start": [memory_mb(whole, kind) for kind in ("Pss", "Rss")]}
        for number in range(n_rounds + 1):
            for clients in CLIENTS:
                turn = {("GET /health", clients): load(quiet, "/health", clients, seconds, script, None)}
                if clients == CLIENTS[-1]:
                    turn["CSV", clients], found = probed(quiet, seconds, script, body)
                    seen += found if number else []
                else:
                    turn["CSV", clients] = load(quiet, ROUTE, clients, seconds, script, body)
                turn["CSV, errors logged", clients] = load(usual, ROUTE, clients, seconds, script, body)
                for key, figures in turn.items():
                    rounds[key] += [figures] if number else []  # the first round warms up
        memory["after the load"] = [memory_mb(whole, kind) for kind in ("Pss", "Rss")]
    medians = {key: middle(found) for key, found in rounds.items()}
    for what, clients in sorted(medians, key=lambda key: (key[1], key[0] != "GET /health")):
        show(what, clients, medians[what, clients], medians["GET /health", clients])
    print()
    tell_probe(seen)
    most = max(medians["CSV", clients].good for clients in CLIENTS)
    print(f"- {medians['CSV', CLIENTS[-1]].good / most:.0%} of the most goodput is kept at {CLIENTS[-1]} clients.")
    for when, (pss, rss) in memory.items():
        print(f"- Memory of the parent and {WORKERS} workers {when}: {pss:.0f} MB (Pss; {rss:.0f} MB Rss).")


def tell_probe(seen: list[tuple[int, float, bool]]) -> None:
    """Print what the probe saw at the most clients."""
    for status in sorted({status for status, _, _ in seen}):
        times = sorted(ms for found, ms, _ in seen if found == status)
        hints = sum(hint for found, _, hint in seen if found == status)
        p50, p99 = (times[int(share * len(times))] for share in (0.5, 0.99))
        what = f"{len(times)} answers {status}" if status else f"{len(times)} without an answer"
        note = f", {hints} with Retry-After" if status == 503 else ""
        print(f"- Probe at {CLIENTS[-1]} clients: {what}, {p50:.0f} ms, p99 {p99:.0f} ms{note}.")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of a round")
    flags = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk makes the load, and isn't there. On Debian and Ubuntu: apt-get install wrk", file=sys.stderr)
        raise SystemExit(2)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {WORKERS} processors shared with wrk, Python {platform.python_version()}\n")
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"| {' | '.join('---' for _ in COLUMNS)} |", flush=True)
    measure(flags.rounds, flags.seconds)


if __name__ == "__main__":
    main()
