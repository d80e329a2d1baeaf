"""Made results for tests of what is drawn: any number of rows, with faults and unscored stretches where wanted."""

from __future__ import annotations

import numpy as np

from oddwave.events import EventBuilder
from oddwave.result import Result
from oddwave.series import Series

THRESHOLD = 3.0
BAD_NAMES = [
    "</script><img src=x onerror=\"document.title='hacked'\">",
    "<b>bold</b> & <!-- {{data}}",
    "温度 ({{title}})",
    "حرارة",
    "x" * 200,
    "bell\x07 \u2028 line",
]


def result(
    count, channels=3, faults=(), unscored=(), index=None, ticks=None, kind="number", source="pump.csv", names=None,
    group=None, notes=(),
):  # fmt: skip
    """Return a result in which rows of `faults` (start, stop) are events, and `unscored` ones (start, stop, code)."""
    rng = np.random.default_rng(5)
    values = np.sin(np.arange(count) / 50)[:, None] + rng.normal(0, 0.2, (count, channels))
    score = rng.uniform(0, 2, count)
    reason = np.zeros(count, dtype=np.uint8)
    for number, (start, stop) in enumerate(faults):
        values[start:stop, number % channels] += 9
        score[start:stop] = 5 + number % 7
    for start, stop, code in unscored:
        score[start:stop], reason[start:stop] = np.nan, code
    label = np.where(reason > 0, -1, score > THRESHOLD).astype(np.int8)
    ticks = np.arange(count) if ticks is None else ticks
    index = ticks if index is None else index
    names = tuple(names or (f"sensor_{i}" for i in range(channels)))
    builder = EventBuilder(names, kind, merge_gap=2, min_length=1)
    builder.push(index, ticks, score, label, rng.uniform(0, 1, (int((label == 1).sum()), channels)) ** 3)
    series = Series(values, names, ticks, kind, index, "timestamp", str(source), group)
    return Result(series, score, label, reason, builder.finish(), THRESHOLD, "PCA_ad", "full", tuple(notes))


def dates(count, step_s=60, first="2026-03-01T04:12", hours=0, zone=""):
    """Return times as texts, and as ticks in UTC of a clock that is `hours` ahead."""
    local = np.datetime64(first, "us") + np.arange(count) * np.timedelta64(round(step_s * 1_000_000), "us")
    unit = "s" if step_s >= 1 else "ms"
    texts = [f"{str(time).replace('T', ' ')}{zone}" for time in local.astype(f"datetime64[{unit}]")]
    return np.array(texts, dtype=object), local.astype(np.int64) - hours * 3_600_000_000
