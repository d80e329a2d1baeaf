"""The metadata of a detector: all that is needed beside its graph to compute labels; see docs/detector-format.md."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
TERMS = ("error", "spread", "distance", "single", "shift")
_LISTS = ("spread_center", "spread_scale", "distance_scale", "shift_scale")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section of the metadata."""


class Tail(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How rare a value is on normal rows: surprise at `knots`, linear between them, logarithmic above the last.

    `surprise` is -ln of the share of held-out normal rows at or above the knot, 0 below the first knot;
    above the last knot it is `surprise[-1] + (ln value - ln knots[-1]) / slope` (Hill's estimate of the tail).
    """

    knots: list[float]
    surprise: list[float]
    slope: Positive


class Alarm(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The threshold, what to expect of it on normal rows, and how it changes with the budget of false alarms.

    At each of `thresholds`, rising, the share `rates` of normal rows and `event_rates` events a row are to be
    expected; between them the logarithm of a rate is linear, above the last it falls by 1 for each `mean_excess`.
    """

    threshold: Positive
    rate: Annotated[float, Meta(ge=0, le=1)]
    event_rate: Annotated[float, Meta(ge=0, le=1)]
    thresholds: list[float]
    rates: list[float]
    event_rates: list[float]
    mean_excess: Positive
    rows: Annotated[int, Meta(ge=1)]


class Calibration(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One way to score: over how many rows it looks, and what it learned from normal rows."""

    error_rows: Annotated[int, Meta(ge=1, le=100_000)]
    smoothing: Annotated[int, Meta(ge=1, le=10_000)]
    rolling: Annotated[int, Meta(ge=1, le=10_000)]
    long_rolling: Annotated[int, Meta(ge=1, le=10_000)]
    spread_center: list[float]
    spread_scale: list[float]
    distance_scale: list[float]
    shift_scale: list[float]
    error: Tail
    spread: Tail
    distance: Tail
    single: Tail
    shift: Tail
    alarm: Alarm


class Time(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The time column that the detector was trained with; `step` in seconds (datetime) or in its own units."""

    name: str
    kind: Literal["row", "number", "datetime"]
    step: Positive | None


class Metadata(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything outside the graph that is needed to compute labels from a series."""

    format: Literal[1]
    model: str
    settings: dict[str, int | float | str | bool | list[int] | None]
    channels: Annotated[list[str], Meta(min_length=1, max_length=100_000)]
    scored: list[bool]
    size: Annotated[int, Meta(ge=1, le=100_000)]
    stride: Annotated[int, Meta(ge=1)]
    combine: Literal["mean"]
    max_gap: Annotated[int, Meta(ge=0, le=10_000)]
    center: list[float]
    scale: list[float]
    full: Calibration
    causal: Calibration
    time: Time
    training: dict[str, Any]
    licence: str
    versions: dict[str, str]
    graph_sha256: str


def problem(metadata: Metadata) -> str | None:
    """Find what the types can't see: lengths, numbers that aren't finite, knots out of order."""
    count = len(metadata.channels)
    ways = {"full": metadata.full, "causal": metadata.causal}
    lists: dict[str, list[float]] = {name: getattr(metadata, name) for name in ("center", "scale")}
    lists |= {f"{name}.{key}": getattr(way, key) for name, way in ways.items() for key in _LISTS}
    problems = [f"{name} has not {count} values" for name, values in lists.items() if len(values) != count]
    problems += [f"{name} has a value that isn't finite" for name, values in lists.items() if not _finite(values)]
    positive = [name for name in lists if name.endswith("scale")]
    problems += [f"{name} has a value that isn't positive" for name in positive if min(lists[name], default=0) <= 0]
    if len(metadata.scored) != count or not any(metadata.scored):
        problems.append("no channel is scored")
    if len(set(metadata.channels)) != count:
        problems.append("two channels have the same name")
    if metadata.stride > metadata.size:
        problems.append("the stride is longer than the window")
    for name, way in ways.items():
        if way.error_rows > metadata.size:
            problems.append(f"{name}.error_rows is longer than the window")
        problems += [f"{name}.{term} is not a rising curve" for term in TERMS if not _rising(getattr(way, term))]
        problems += [] if _falling(way.alarm) else [f"{name}.alarm is not a falling curve"]
    return problems[0] if problems else None


def _rising(tail: Tail) -> bool:
    """Say whether the knots are positive at the end, finite, and rise with their surprise."""
    if not 0 < len(tail.knots) == len(tail.surprise) <= 1000 or not _finite(tail.knots + tail.surprise):
        return False
    rises = all(a < b for values in (tail.knots, tail.surprise) for a, b in pairwise(values))
    return rises and tail.knots[0] >= 0 and tail.knots[-1] > 0 and tail.surprise[0] == 0


def _falling(alarm: Alarm) -> bool:
    """Say whether both rates fall, positive and finite, as the thresholds rise."""
    rates = (alarm.rates, alarm.event_rates)
    if not 0 < len(alarm.thresholds) <= 1000 or any(len(each) != len(alarm.thresholds) for each in rates):
        return False
    falls = all(a > b for each in rates for a, b in pairwise(each)) and all(
        0 < each[-1] <= each[0] <= 1 for each in rates
    )
    return falls and _finite(alarm.thresholds) and all(a <= b for a, b in pairwise(alarm.thresholds))


def _finite(values: list[float]) -> bool:
    return all(map(math.isfinite, values))
