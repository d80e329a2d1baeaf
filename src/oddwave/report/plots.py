"""Plots: small charts as SVG, drawn here, so that they need no script, print well, and follow the page's colours.

Places are in percent of the drawing, so that it can be as wide as there is room while letters keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from oddwave.report.markup import Markup, tag

Kind = Literal["line", "second", "dots"]
Points = Sequence[tuple[float, float]]
_FINE = 1000  # steps along a side of the drawing


@dataclass(frozen=True)
class Curve:
    """One line, or one set of dots, of a plot."""

    name: str
    kind: Kind
    points: Points


@dataclass(frozen=True)
class Axis:
    """Values along one side; `is_log` has decades."""

    name: str
    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return where a value is, from 0 to 1, clipped to the axis."""
        if self.is_log:
            value, low, high = math.log10(max(value, self.low)), math.log10(self.low), math.log10(self.high)
        else:
            low, high = self.low, self.high
        return min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Round values, some five."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, -(-(last - first) // 5))
            return [10.0**power for power in range(first, last + 1, every)]
        span = (self.high - self.low) or 1.0
        unit = 10 ** math.floor(math.log10(span / 4))
        step = next(step * unit for step in (1, 2, 5, 10) if span / (step * unit) <= 6)
        return [step * i for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def plot(
    title: str, said: str, x: Axis, y: Axis, curves: Sequence[Curve], limit: tuple[float, str] | None = None
) -> Markup:
    """Return a chart with its legend.

    Parameters
    ----------
    said
        What the chart shows, for those who can't see it.
    limit
        A value of x that is marked by an upright line, and its name.
    """
    drawn = [*_grid(x, y)]
    if limit:
        at = _percent(x.share(limit[0]))
        drawn += [tag("line", x1=at, x2=at, y1="0", y2="100%", class_="limit")]
    lines = [_line(curve, x, y) for curve in curves if curve.kind != "dots"]
    inner = tag("svg", lines, viewBox=f"0 0 {_FINE} {_FINE}", preserveAspectRatio="none", width="100%", height="100%")
    dots = [
        tag("circle", cx=_percent(x.share(a)), cy=_percent(1 - y.share(b)), r="3.5", class_="dots")
        for curve in curves if curve.kind == "dots" for a, b in curve.points
    ]  # fmt: skip
    legend = [tag("span", curve.name, class_=curve.kind) for curve in curves]
    if limit:
        legend.append(tag("span", limit[1], class_="limit"))
    return tag(
        "figure",
        tag("figcaption", tag("b", title), tag("span", legend, class_="legend")),
        tag("p", y.name, class_="axis"),
        tag("div", tag("svg", drawn, inner, dots, role="img", aria_label=said), class_="plot"),
        tag("p", x.name, class_="axis below"),
        class_="small",
    )


def strip(value: float, low: float | None, high: float | None, mark: float | None, is_own: bool) -> Markup:
    """Return a dot with its interval between 0 and 1, and a mark to compare it with."""
    parts = [tag("line", x1="0", x2="100%", y1="50%", y2="50%", class_="grid")]
    if mark is not None:
        parts.append(tag("line", x1=_percent(mark), x2=_percent(mark), y1="0", y2="100%", class_="mark"))
    if low is not None and high is not None:
        parts.append(tag("line", x1=_percent(low), x2=_percent(high), y1="50%", y2="50%", class_="interval"))
    parts.append(tag("circle", cx=_percent(value), cy="50%", r="4.5" if is_own else "3.5"))
    return tag("svg", parts, class_="strip own" if is_own else "strip", aria_hidden="true")


def spark(low: Sequence[float], high: Sequence[float]) -> Markup:
    """Return how values went: a band from the smallest to the largest of each stretch of time."""
    known = [(i, a, b) for i, (a, b) in enumerate(zip(low, high, strict=True)) if math.isfinite(a) and math.isfinite(b)]
    if not known:
        return Markup()
    least, most = min(a for _, a, _ in known), max(b for _, _, b in known)
    axis = Axis("", least, most) if most > least else Axis("", least - 1, least + 1)
    there = " ".join(f"{i},{_at(axis, a)}" for i, _, a in known)
    back = " ".join(f"{i},{_at(axis, b)}" for i, b, _ in reversed(known))
    shape = tag("polygon", points=f"{there} {back}", vector_effect="non-scaling-stroke")
    width = max(len(low) - 1, 1)
    return tag("svg", shape, class_="spark", viewBox=f"0 0 {width} 100", preserveAspectRatio="none", aria_hidden="true")


def words(value: float) -> str:
    """Return a number as briefly as it can be told.

    Examples
    --------
    >>> words(0.0), words(0.001234), words(12345.6), words(1e-9), words(2.0)
    ('0', '0.00123', '12,346', '1e-09', '2')
    """
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.2g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _grid(x: Axis, y: Axis) -> Iterable[Markup]:
    for tick in y.ticks:
        at = _percent(1 - y.share(tick))
        yield tag("line", x1="0", x2="100%", y1=at, y2=at, class_="grid")
        yield tag("text", words(tick), x="0", y=at, dx="-6", dy="4", text_anchor="end")
    for tick in x.ticks:
        yield tag("text", words(tick), x=_percent(x.share(tick)), y="100%", dy="16", text_anchor="middle")


def _line(curve: Curve, x: Axis, y: Axis) -> Markup:
    points = " ".join(f"{round(_FINE * x.share(a))},{round(_FINE * (1 - y.share(b)))}" for a, b in curve.points)
    return tag("polyline", points=points, class_=curve.kind, vector_effect="non-scaling-stroke")


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def _at(axis: Axis, value: float) -> str:
    return f"{100 * (1 - axis.share(value)):.0f}"
