"""Windows trained on a second, as a table: make bench.

Whole steps of the real loop (read a batch, hide cells, forward, backward, Adam) on windows of 96 rows and 25 channels
of random numbers. Every figure is a median of epochs. "A second of CPU" is one thread's and stands beside the clock's,
for the machine may be busy; the last column is DLinear in plain PyTorch by the same second, in turn with the others.
"""

from __future__ import annotations

import platform
import statistics
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from oddwave.train import loop, models

SIZE, CHANNELS, EPOCHS = 96, 25, 5
SECONDS = 1.5  # of an epoch, about
GOALS = {  # windows a second with 2 threads, and the incumbent's
    "AutoEncoder_ad": (40_000, 16_000),
    "DLinear_ad": (20_000, 8_000),
    "Nonstationary_ad": (600, 89),
    "PatchTST_ad": (500, 92),
    "TimesNet_ad": (1_500, 46),
}
INCUMBENT: dict[str, dict[str, Any]] = {"PatchTST_ad": {"layers": 4}, "TimesNet_ad": {"top": 5}}  # else ours are its


def speed(name: str, settings: dict[str, Any], threads: int, about: float) -> tuple[float, float]:
    """Return windows by the clock's second and by one of CPU."""
    batch = models.plan(name).batch_size
    count = max(1, round(about * SECONDS / batch)) * batch
    plan = models.plan(name, {"epochs": EPOCHS, "epoch_windows": count, "threads": threads})
    rows = np.random.default_rng(0).standard_normal((5000, CHANNELS)).astype(np.float32)
    ends: list[tuple[float, float]] = []

    def seen(epoch: loop.Epoch) -> None:
        if epoch.share == 1:
            ends.append((time.perf_counter(), time.process_time()))

    loop.fit(name, models.settings(name, settings), [rows], [], SIZE, CHANNELS, plan, seen)
    clock, cpu = (statistics.median(b[i] - a[i] for a, b in pairwise(ends)) for i in (0, 1))
    return count / clock, count / cpu


def plain(batch: int = 128, steps: int = 60) -> float:
    """Return windows a second of CPU of the paper's DLinear, written as usual, on a batch that is there already."""
    torch.set_num_threads(1)
    trend, remainder = torch.nn.Linear(SIZE, SIZE), torch.nn.Linear(SIZE, SIZE)
    optimizer = torch.optim.Adam([*trend.parameters(), *remainder.parameters()])
    x = torch.randn(batch, SIZE, CHANNELS)
    spent = []
    for _ in range(steps):
        began = time.process_time()
        columns = (x * (torch.rand_like(x) >= 0.2)).transpose(1, 2)
        smooth = functional.avg_pool1d(functional.pad(columns, (12, 12), mode="replicate"), 25, stride=1)
        y = (trend(smooth) + remainder(columns - smooth)).transpose(1, 2)
        optimizer.zero_grad()
        torch.autograd.backward(functional.mse_loss(y, x))
        optimizer.step()
        spent.append(time.process_time() - began)
    return batch / statistics.median(spent)


def main() -> None:
    """Print the table."""
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads\n"
    )
    print("| model | sizes | batch | 2 threads | 1 thread | 1 s of CPU | goal (incumbent), 2 threads | plain DLinear |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (goal, incumbent) in GOALS.items():
        batch = models.plan(name).batch_size
        for sizes in ("ours", "incumbent's"):
            settings = INCUMBENT.get(name, {}) if sizes != "ours" else {}
            two, one = (speed(name, settings, threads, goal / 2) for threads in (2, 1))
            figures = " | ".join(f"{figure:,.0f}" for figure in (two[0], one[0], one[1]))
            print(f"| {name} | {sizes} | {batch} | {figures} | {goal:,} ({incumbent:,}) | {plain():,.0f} |", flush=True)


if __name__ == "__main__":
    main()
