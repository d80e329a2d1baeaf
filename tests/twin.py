"""The slow, obvious twin of the whole way from rows to labels, written from docs/detector-format.md alone.

It takes one row, one channel and one window at a time, in plain Python; numpy only carries windows to the graph.
It knows nothing of the package: a detector is the bytes of its file, its metadata what the runtime reads out of them.
"""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import onnxruntime

TERMS = ("error", "spread", "distance", "single", "shift")
MOST = {"single": math.log(10_000), "shift": math.log(100)}
HUGE = 1e25  # larger values count as this
LONG_GAP, NO_START, WARMING_UP, SHORT_STRETCH = 1, 2, 3, 4


@dataclass
class Twin:
    """What the page says of one series, row by row, None for null."""

    score: list
    label: list
    reason: list  # 0 for a scored row
    contribution: list  # a list of one number a channel for each row
    stretches: list  # of rows of filled values
    place: list  # (stretch, row in it) of each input row, None where it is on no stretch


@cache
def session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def metadata_of(data: bytes) -> dict:
    return json.loads(session(data).get_modelmeta().custom_metadata_map["oddwave"])


def window_errors(data: bytes, rows: list) -> list:
    """Run one window, a list of rows, by itself; return its errors as numbers."""
    with np.errstate(over="ignore"):
        window = np.array([rows], dtype=np.float64).astype(np.float32)
    return session(data).run(["error"], {"window": window})[0][0].astype(np.float64).tolist()


def detect(
    data, ticks, values, *, kind="row", scoring="full", threshold=None, max_gap=None, step=None, metadata=None
) -> Twin:
    """Score rows of values (None or NaN where one is missing) with their times in seconds or units."""
    metadata = metadata or metadata_of(data)
    max_gap = metadata["max_gap"] if max_gap is None else max_gap
    threshold = metadata[scoring]["alarm"]["threshold"] if threshold is None else threshold
    order = sorted(range(len(ticks)), key=lambda i: ticks[i])  # stable
    times = [ticks[i] for i in order]
    rows = [[cell(value) for value in values[i]] for i in order]
    if step is None:
        step = step_of(metadata, times, kind, scoring)
    stretches, place, why = lay_out(times, rows, step, max_gap, kind)
    scored = [score_stretch(data, metadata, stretch, scoring) for stretch in stretches]
    out = Twin(*([None] * len(order) for _ in range(4)), stretches, [None] * len(order))
    for at, row in enumerate(order):
        score, contribution, reason = None, [0.0] * len(metadata["channels"]), why[at]
        if place[at] is not None:
            stretch, t = place[at]
            score, contribution = scored[stretch][t]
            if score is None:
                reason = SHORT_STRETCH if scoring == "full" else WARMING_UP
        out.score[row], out.contribution[row], out.reason[row] = score, contribution, reason
        out.label[row] = None if score is None else int(score > threshold)
        out.place[row] = place[at]
    return out


def cell(value):
    """Return a value that counts, None if it is missing."""
    return None if value is None or not math.isfinite(value) else max(-HUGE, min(HUGE, value))


def step_of(metadata, times, kind, scoring):
    """Return the step of the grid, or None where rows are neighbours whatever their times."""
    if kind == "row":
        return None
    if scoring == "causal":
        return metadata["time"]["step"] if metadata["time"]["kind"] == kind else None
    first = times[:10_000]
    steps = [b - a for a, b in pairwise(first) if b > a]
    return statistics.median(steps) if steps else None


def lay_out(times, rows, step, max_gap, kind="number"):
    """Return the stretches, where each row is, and why it is nowhere."""
    channels = len(rows[0]) if rows else 0
    grid, at, forget = (
        [],
        [],
        set(),
    )  # grid rows; grid row of each input row; grid rows before which all is forgotten
    for i, row in enumerate(rows):
        if i and step is not None:
            difference = times[i] - times[i - 1]
            if difference == 0:
                at.append(at[-1])
                continue
            if difference > 1.5 * step:
                missing = round(difference / step) - 1
                if missing > max_gap:
                    forget.add(len(grid))
                else:
                    grid += [[None] * channels] * missing
        at.append(len(grid))
        grid.append(row)
    stretches, places, why = [], [], []
    last, age = [None] * channels, [None] * channels
    never = [True] * channels  # no value yet since the first row
    is_open, forgotten = False, False
    for g, row in enumerate(grid):
        if g in forget:
            last, is_open, forgotten = [None] * channels, False, True
        filled = []
        for c in range(channels):
            if row[c] is not None:
                last[c], age[c], never[c] = row[c], 0, False
            else:
                age[c] = None if age[c] is None else age[c] + 1
            usable = last[c] is not None and age[c] <= max_gap
            filled.append(last[c] if usable else None)
        if any(value is None for value in filled):
            is_open = False
            places.append(None)
            why.append(NO_START if any(never) and not forgotten else LONG_GAP)
            continue
        if not is_open:
            stretches.append([])
        is_open = True
        stretches[-1].append(filled)
        places.append((len(stretches) - 1, len(stretches[-1]) - 1))
        why.append(0)
    return stretches, [places[g] for g in at], [why[g] for g in at]


def reach(width, scoring):
    """Return how many rows before and after a row its window of this width holds."""
    return (width // 2, (width - 1) // 2) if scoring == "full" else (width - 1, 0)


def around(t, n, width, scoring, begin=0):
    """Return the rows around row t of n, with those there are at the ends."""
    before, after = reach(width, scoring)
    return [i for i in range(t - before, t + after + 1) if begin <= i < n]


def starts(n, size, stride):
    """Return the first rows of the windows: at the stride, and one that ends at the last row."""
    found = [s for s in range(0, n, stride) if s + size <= n]
    if n >= size and not any(s + size == n for s in found):
        found.append(n - size)
    return found


def model_errors(data, metadata, stretch, scoring):
    """Return each row's error by channel, None where it has none."""
    n, size = len(stretch), metadata["size"]
    channels = len(metadata["channels"])
    if scoring == "causal":
        last = {t: window_errors(data, stretch[t - size + 1 : t + 1]) for t in range(size - 1, n)}
        last = {t: rows[-metadata["causal"]["error_rows"] :] for t, rows in last.items()}
        means = {
            t: [math.fsum(row[c] for row in rows) / len(rows) for c in range(channels)] for t, rows in last.items()
        }
        return [means.get(t) for t in range(n)]
    windows = {s: window_errors(data, stretch[s : s + size]) for s in starts(n, size, metadata["stride"])}
    rows = []
    for t in range(n):
        held = [windows[s][t - s] for s in sorted(windows) if s <= t < s + size]
        rows.append([sum(e[c] for e in held) / len(held) for c in range(channels)] if held else None)
    return rows


def local_statistics(metadata, stretch, t, c, scoring):
    """Return z of a row, the mean and deviation of z around it, and the mean further around it."""
    center, scale = metadata["center"][c], metadata["scale"][c]
    near, far = (
        [(stretch[i][c] - center) / scale for i in around(t, len(stretch), metadata[scoring][width], scoring)]
        for width in ("rolling", "long_rolling")
    )
    mean = math.fsum(near) / len(near)
    square = math.fsum(z * z for z in near) / len(near)
    deviation = math.sqrt(max(0.0, square - mean * mean))
    return (stretch[t][c] - center) / scale, mean, deviation, math.fsum(far) / len(far)


def surprise(x, tail):
    """Measure how rare a value is, by a tail's knots."""
    knots, surprises = tail["knots"], tail["surprise"]
    if x < knots[0]:
        return 0.0
    if x > knots[-1]:
        return surprises[-1] + math.log(x / knots[-1]) / tail["slope"]
    for i in range(len(knots) - 1):
        if knots[i] <= x <= knots[i + 1]:
            share = (x - knots[i]) / (knots[i + 1] - knots[i])
            return surprises[i] + share * (surprises[i + 1] - surprises[i])
    return surprises[-1]  # x is the last knot


def score_stretch(data, metadata, stretch, scoring):
    """Return (score, contribution by channel) of each row of a stretch; the score is None where it is null."""
    n, size, channels = len(stretch), metadata["size"], len(metadata["channels"])
    way = metadata[scoring]
    counted = [c for c in range(channels) if metadata["scored"][c]]
    if n < size and scoring == "full":
        return [(None, [0.0] * channels)] * n
    errors = model_errors(data, metadata, stretch, scoring)
    terms, energies, spreads, shifts = [], [], [], []  # of each row: its terms; those of each scored channel
    for t in range(n):
        excesses, distance, shift = [], [], []
        for c in counted:
            z, mean, deviation, long_mean = local_statistics(metadata, stretch, t, c, scoring)
            excess = (math.log(deviation + 0.05) - way["spread_center"][c]) / way["spread_scale"][c]
            excesses.append(max(0.0, excess))
            distance.append(abs(z - mean) / way["distance_scale"][c])
            shift.append(abs(mean - long_mean) / way["shift_scale"][c])
        error = None if errors[t] is None else [errors[t][c] for c in counted]
        energy = None if error is None else [e * e + d * d for e, d in zip(error, distance, strict=True)]
        spread = [excess**2 for excess in excesses]
        logs = [None if part is None else [math.log(1 + x) for x in part] for part in (error, distance, shift)]
        means = [None if part is None else math.fsum(part) / len(part) for part in (logs[0], spread, *logs[1:])]
        terms.append([*means[:3], None if energy is None else max(energy), means[3]])
        energies.append(energy)
        spreads.append(excesses)
        shifts.append(shift)
    out = []
    for t in range(n):
        if errors[t] is None:
            out.append((None, [0.0] * channels))
            continue
        rare = {}
        for term, name in enumerate(TERMS):
            begin = size - 1 if scoring == "causal" and name in ("error", "single") else 0
            near = [terms[i][term] for i in around(t, n, way["smoothing"], scoring, begin)]
            most = MOST.get(name, math.inf)
            rare[name] = min(surprise(math.fsum(near) / len(near), way[name]), most) / len(TERMS)
        contribution = [0.0] * channels
        begin = size - 1 if scoring == "causal" else 0
        by_energy = rare["error"] + rare["distance"] + rare["single"]
        own_evidence = ((by_energy, energies, begin), (rare["spread"], spreads, 0), (rare["shift"], shifts, 0))
        for amount, evidence, first in own_evidence:
            near = [evidence[i] for i in around(t, n, way["smoothing"], scoring, first)]
            own = [math.fsum(row[k] for row in near) for k in range(len(counted))]
            for k, c in enumerate(counted):
                contribution[c] += amount * own[k] / math.fsum(own) if math.fsum(own) > 0 else 0.0
        out.append((math.fsum(rare.values()), contribution))
    return out


def events(labels, merge_gap=0, min_length=1):
    """Return (first row, last row) of each event in labels in time order."""
    runs = []
    for row, label in enumerate(labels):
        if label == 1:
            if runs and row - runs[-1][1] - 1 <= merge_gap:
                runs[-1][1] = row
            else:
                runs.append([row, row])
    return [(first, last) for first, last in runs if last - first + 1 >= min_length]


def threshold_at(alarm, rate, of="rates"):
    """Return the threshold for a share of rows, or (of="event_rates") for events a row."""
    at, rates = alarm["thresholds"], alarm[of]
    if rate >= rates[0]:
        return at[0]
    for i in range(1, len(at)):
        if rate >= rates[i]:
            share = math.log(rates[i - 1] / rate) / math.log(rates[i - 1] / rates[i])
            return at[i - 1] + share * (at[i] - at[i - 1])
    return at[-1] + alarm["mean_excess"] * math.log(rates[-1] / rate)
