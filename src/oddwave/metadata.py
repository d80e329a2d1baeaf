"""The metadata of a detector: all that is needed beside its graph to compute labels; see docs/detector-format.md."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]


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
    """The threshold, and how it changes with the rate p of false alarms: start + mean_excess * ln(share / p)."""

    threshold: Positive
    rate: Annotated[float, Meta(gt=0, lt=1)]
    share: Annotated[float, Meta(gt=0, lt=1)]
    start: float
    mean_excess: Positive
    rows: Annotated[int, Meta(ge=1)]


class Calibration(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one way to score learned from held-out normal rows."""

    error: Tail
    spread: Tail
    distance: Tail
    single: Tail
    distance_scale: list[float]
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
    smoothing: Annotated[int, Meta(ge=1, le=10_000)]
    rolling: Annotated[int, Meta(ge=1, le=10_000)]
    max_gap: Annotated[int, Meta(ge=0, le=10_000)]
    center: list[float]
    scale: list[float]
    spread_center: list[float]
    spread_scale: list[float]
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
    lists: dict[str, list[float]] = {
        name: getattr(metadata, name) for name in ("center", "scale", "spread_center", "spread_scale")
    } | {f"{name}.distance_scale": way.distance_scale for name, way in ways.items()}
    problems = [f"{name} has not {count} values" for name, values in lists.items() if len(values) != count]
    problems += [f"{name} has a value that isn't finite" for name, values in lists.items() if not _finite(values)]
    positive = ("scale", "spread_scale", "full.distance_scale", "causal.distance_scale")
    problems += [f"{name} has a value that isn't positive" for name in positive if min(lists[name], default=0) <= 0]
    if len(metadata.scored) != count or not any(metadata.scored):
        problems.append("no channel is scored")
    if len(set(metadata.channels)) != count:
        problems.append("two channels have the same name")
    if metadata.stride > metadata.size:
        problems.append("the stride is longer than the window")
    for name, way in ways.items():
        tails = {"error": way.error, "spread": way.spread, "distance": way.distance, "single": way.single}
        problems += [f"{name}.{term} is not a rising curve" for term, tail in tails.items() if not _rising(tail)]
    return problems[0] if problems else None


def _rising(tail: Tail) -> bool:
    """Say whether the knots are positive at the end, finite, and rise with their surprise."""
    if not 0 < len(tail.knots) == len(tail.surprise) <= 1000 or not _finite(tail.knots + tail.surprise):
        return False
    rises = all(a < b for values in (tail.knots, tail.surprise) for a, b in pairwise(values))
    return rises and tail.knots[0] >= 0 and tail.knots[-1] > 0 and tail.surprise[0] == 0


def _finite(values: list[float]) -> bool:
    return all(map(math.isfinite, values))
