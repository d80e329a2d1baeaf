"""Speed and memory, as a table: make bench.

Every time is a median. Those of whole processes stand beside `python -c "import numpy"`, those of calls beside
`numpy.loadtxt` of the same file, run in turn with them, for the machine may be busy. PEER_PYTHON=/path/to/python adds the incumbent, if `paddlex` is installed for it.
"""

from __future__ import annotations

import io
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import oddwave
from oddwave.detector import shipped
from oddwave.series import Series

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "ts_ad.csv"
FIRST = "DLinear_ad"  # the default; what takes long is measured of it alone
MODELS = (FIRST, *(name for name in shipped() if name != FIRST))
WARM_GOALS = {
    "DLinear_ad": "0.5 ms (incumbent 3.5)",
    "AutoEncoder_ad": "0.5 ms",
    "PatchTST_ad": "3 ms",
    "Nonstationary_ad": "3 ms",
    "TimesNet_ad": "4 ms",
}
PEER = os.environ.get("PEER_PYTHON")


def process(command: list[str], cwd: Path) -> tuple[float, float, float]:
    """Run a command; return its CPU seconds, wall seconds and peak memory in MB."""
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 1024


def in_turn(commands: dict[str, list[str]], cwd: Path, runs: int) -> dict[str, tuple[float, float, float]]:
    """Run commands in turn, after one warm-up each; return each one's medians."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            figures = process(command, cwd)
            if run:
                found[name].append(figures)
    return {name: tuple(map(statistics.median, zip(*rows, strict=True))) for name, rows in found.items()}


def warm(calls: dict[str, Callable[[], object]], runs: int, warmup: int = 20) -> dict[str, float]:
    """Run calls in turn; return each one's median wall milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(runs + warmup):
        for name, call in calls.items():
            call()  # once for the processor's caches
            began = time.perf_counter()
            call()
            if run >= warmup:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(spent) * 1000 for name, spent in times.items()}


def big_csv(path: Path, n_rows: int) -> None:
    """Write rows like the shipped scenario's: the example files' rows over and over, with noise, whole-number times."""
    source = next(iter(read(ROOT / "examples" / "server_metrics_normal.csv.gz")))
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(("timestamp," + ",".join(source.channels) + "\n").encode())
        for start in range(0, n_rows, len(source)):
            count = min(len(source), n_rows - start)
            values = source.values[:count] + rng.normal(0, 1e-4, (count, len(source.channels)))
            table = np.column_stack([np.arange(start, start + count), values])
            np.savetxt(file, table, fmt="%d" + ",%.6f" * len(source.channels))


def read(path: Path):
    from oddwave import read as reading

    return reading.read(path)


def row(what: str, figure: str, goal: str = "") -> None:
    print(f"| {what} | {figure} | {goal} |", flush=True)


def cold(folder: Path) -> None:
    example = str(EXAMPLE)
    tool = str(Path(sys.executable).parent / "oddwave")
    commands = {"import numpy": [sys.executable, "-c", "import numpy"]}
    commands |= {name: [tool, "--pipeline", "ts_ad", "--input", example, "--model", name] for name in MODELS}
    if PEER:
        commands["incumbent, cold command"] = [PEER, "-m", "paddlex", "--pipeline", "ts_ad", "--input", example]
    goals = {FIRST: "0.45 s, 110 MB (incumbent 3.8 s, 549 MB)"}
    for name, (cpu, wall, memory) in in_turn(commands, folder, 9).items():
        what = f"cold command, 96 rows, {name}" if name in MODELS else name
        row(what, f"{cpu:.3f} s CPU, {wall:.3f} s, {memory:.0f} MB", goals.get(name, ""))


def warm_predict() -> None:
    body = EXAMPLE.read_bytes()
    values = next(iter(read(EXAMPLE))).values
    for name in MODELS:
        found = warm(
            {
                "loadtxt": lambda: np.loadtxt(io.BytesIO(body), delimiter=",", skiprows=1),
                "predict": partial(once, oddwave.create_pipeline(pipeline="ts_ad", model=name)),
                "update": partial(push, oddwave.load(name).stream(), iter(np.tile(values, (10, 1)))),
            },
            300,
        )
        beside = f"{found['predict'] / found['loadtxt']:.2f} of numpy.loadtxt's {found['loadtxt']:.2f} ms"
        row(f"warm predict of the 96-row CSV, {name}", f"{found['predict']:.2f} ms, {beside}", WARM_GOALS.get(name, ""))
        row(f"one row into a stream, {name}", f"{found['update']:.2f} ms")


def once(pipeline: oddwave.Pipeline) -> None:
    list(pipeline.predict(EXAMPLE))


def push(stream, rows) -> None:
    stream.update(next(rows))


def in_memory() -> None:
    n_rows = 100_000
    for name in MODELS:
        detector = oddwave.load(name)
        source = next(iter(read(ROOT / "examples" / "server_metrics_normal.csv.gz")))
        values = np.resize(source.values, (n_rows, len(source.channels)))
        ticks = np.arange(n_rows)
        series = Series(values, source.channels, ticks, "number", ticks, "timestamp", "memory")
        times = []
        for _ in range(5):
            began = time.perf_counter()
            detector.detect_series(series)
            times.append(time.perf_counter() - began)
        row(f"100,000 x 25 in memory, {name}", f"{n_rows / statistics.median(times):,.0f} rows/s")


def files(folder: Path, n_rows: int, runs: int, goal: str) -> None:
    path = folder / f"rows_{n_rows}.csv"
    big_csv(path, n_rows)
    tool = str(Path(sys.executable).parent / "oddwave")
    commands = {"import numpy": [sys.executable, "-c", "import numpy"]}
    for name in MODELS if n_rows < 1_000_000 else (FIRST,):
        commands[name] = [tool, "--pipeline", "ts_ad", "--input", str(path), "--model", name, "--save_path", "out"]
    for name, (cpu, wall, memory) in in_turn(commands, folder, runs).items():
        figure = f"{n_rows / wall:,.0f} rows/s, {wall:.2f} s, {cpu:.2f} s CPU, {memory:.0f} MB"
        if name in MODELS:
            row(
                f"{n_rows:,} x 25, CSV to labelled CSV, whole process, {name}",
                figure,
                goal if name == FIRST else "",
            )
    if n_rows < 1_000_000:
        pipeline = oddwave.create_pipeline(pipeline="ts_ad")
        seconds = warm({"write": partial(pipeline.write_csv, path, folder / "out.csv")}, 5, warmup=0)["write"] / 1000
        row(
            f"{n_rows:,} x 25, CSV to labelled CSV, running process, {FIRST}",
            f"{n_rows / seconds:,.0f} rows/s",
            goal,
        )
    path.unlink()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
        )
        print("| what | median | to reach |\n| --- | --- | --- |")
        cold(folder)
        warm_predict()
        in_memory()
        files(folder, 100_000, 5, "300,000 rows/s")
        files(folder, 10_000_000, 1, "under 800 MB")
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nThis benchmark itself used {used:.0f} MB.")


if __name__ == "__main__":
    main()
