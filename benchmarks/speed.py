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
import warnings
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
# Goals, and the figures of PaddleX 3.7.2 on one thread of such a machine.
WARM_GOALS = {
    "DLinear_ad": "0.35 ms (PaddleX 3.1)",
    "AutoEncoder_ad": "0.35 ms (PaddleX 3.0)",
    "PatchTST_ad": "1.5 ms (PaddleX 8.8)",
    "Nonstationary_ad": "1.5 ms (PaddleX 7.1)",
    "TimesNet_ad": "2.5 ms (PaddleX 9.5)",
}
MEMORY_GOALS = {
    "DLinear_ad": "5 million rows/s (PaddleX 25,600)",
    "AutoEncoder_ad": "5 million rows/s (PaddleX 32,500)",
    "PatchTST_ad": "150,000 rows/s (PaddleX 8,800)",
    "Nonstationary_ad": "150,000 rows/s (PaddleX 8,000)",
    "TimesNet_ad": "150,000 rows/s (PaddleX 5,500)",
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
    goals = {FIRST: "0.3 s, 85 MB (PaddleX 3.8 s, 549 MB)"}
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
        for _ in range(7):
            began = time.perf_counter()
            detector.detect_series(series)
            times.append(time.perf_counter() - began)
        figure = f"{n_rows / statistics.median(times):,.0f} rows/s"
        row(f"100,000 x 25 in memory, {name}", figure, MEMORY_GOALS.get(name, ""))


def scaling() -> None:
    """Show that the cost grows as rows and channels do: microseconds a row, nanoseconds a cell."""
    detector = oddwave.load(FIRST)
    source = next(iter(read(ROOT / "examples" / "server_metrics_normal.csv.gz")))
    for n_rows in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        values = np.resize(source.values, (n_rows, len(source.channels)))
        seconds = scored(detector, values)
        row(f"{n_rows:,} x {len(source.channels)} in memory, {FIRST}", f"{1e6 * seconds / n_rows:.2f} µs a row")
    for n_channels in (1, 10, 100, 1_000):
        values = np.random.default_rng(0).normal(size=(2_000_000 // n_channels, n_channels))
        with warnings.catch_warnings(action="ignore"):
            detector = oddwave.train(values, model="ZScore_ad")
        seconds = scored(detector, values)
        row(f"{len(values):,} x {n_channels:,} in memory, ZScore_ad", f"{1e9 * seconds / values.size:.1f} ns a cell")


def scored(detector: oddwave.Detector, values: np.ndarray) -> float:
    """Return the median seconds to score values in memory."""
    ticks = np.arange(len(values))
    series = Series(values, tuple(detector.metadata.channels), ticks, "number", ticks, "timestamp", "memory")
    runs = max(1, min(50, 500_000 // len(values)))
    return warm({"detect": lambda: detector.detect_series(series)}, runs, warmup=0)["detect"] / 1000


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
        files(folder, 100_000, 5, "")
        files(folder, 10_000_000, 1, "500,000 rows/s, 600 MB")
        scaling()
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nThis benchmark itself used {used:.0f} MB.")


if __name__ == "__main__":
    main()
