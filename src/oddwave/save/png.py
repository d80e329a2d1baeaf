"""A result as one picture to print: the score, the channels that matter, the events shaded, numbered and listed."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oddwave.atomic import Atomic
from oddwave.chart import Line, chart, headline, title
from oddwave.events import Event
from oddwave.printed import number, span
from oddwave.result import Result
from oddwave.save import paths
from oddwave.save.letters import Letters, plainest, shortened
from oddwave.save.marks import axis, numbers, spaced

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, DPI = 11.7, 160  # inches (A4 on its side), and dots in each
COLORS = 128
BUCKETS = 3000  # about two places a dot
CHANNELS, LISTED = 5, 6  # panels of channels, and events in the list, at most
LEFT, RIGHT = 0.75, 0.55  # margins, in inches as all that follow
HEAD, SCORE, CHANNEL, GAP, AXIS, LIST_ROW = 1.2, 1.5, 0.62, 0.24, 0.55, 0.19
INNER = WIDTH - LEFT - RIGHT
LEAST = 0.02  # a shaded event is at least so wide
SIGN = 0.08  # a digit is so wide
LARGEST = 1e200  # larger values are drawn there: the axis must have room
INK, GREY, BLUE, RED = "#1b1f24", "#5b6470", "#1f4e79", "#b03a06"
EVENT, ABOVE = "#f9d9b8", "#e58a52"
UNSCORED, STRIPES = "#f1f2f4", "#b3b9c1"  # told from events in grey, too: striped
DASHES: dict[str, Any] = {"color": RED, "linewidth": 1, "linestyle": (0, (5, 3)), "marker": ""}


def to_png(result: Result, save_path: str | PathLike[str]) -> Path:
    """Draw the result as one picture."""
    path = paths.place(result, save_path, ".png")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image  # matplotlib brings it along

    canvas = FigureCanvasAgg(Picture(result).figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with Atomic(path) as file:  # a quarter of the size with a palette, and nothing is seen of it
        image.quantize(COLORS, dither=Image.Dither.NONE).save(file, "PNG", dpi=(DPI, DPI), optimize=True)
    return path


class Picture:
    """The picture while it is drawn, from top to bottom; no setting of matplotlib is read or changed."""

    def __init__(self, result: Result) -> None:
        from matplotlib.figure import Figure

        self.result, self.summary = result, result.summary()
        self.chart = chart(result, BUCKETS, CHANNELS)
        self.x = self.chart.edges.astype(np.float64) if self.chart.is_sparse else self.chart.ticks
        self.letters = Letters()
        highest = sorted(enumerate(result.events, 1), key=lambda item: -item[1].peak_score)
        self.listed = sorted(highest[:LISTED], key=lambda item: item[0])
        panels = SCORE + len(self.chart.channels) * (CHANNEL + GAP)
        self.height = HEAD + panels + AXIS + (len(self.listed) + 2.2) * LIST_ROW * bool(self.listed)
        self.figure = Figure(figsize=(WIDTH, self.height), dpi=DPI, facecolor="white")
        self._head()
        self._score(HEAD)
        top = HEAD + SCORE
        for line in self.chart.channels:
            self._channel(line, top + GAP)
            top += GAP + CHANNEL
        self._mark_time(top)
        if self.listed:
            self._list(top + AXIS)
        self._number(highest)

    def _head(self) -> None:
        """Say what this is, what was found, and what the colours mean."""
        summary, times = self.summary, self.chart.times
        self._write(0.3, 0.42, title(summary), 15, fontweight="bold")
        self._write(0.3, 0.7, headline(summary), 11.5, RED if summary.events else INK)
        when = f", {plainest(times[0])} to {plainest(times[-1])}" if len(times) else ""
        self._write(0.3, 0.93, f"{summary.model}, {summary.scoring} scoring{when}", 8.5, GREY)
        self._keys()

    def _keys(self) -> None:
        """Say what the colours mean."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        keys: list[Any] = [Line2D([], [], **DASHES, label=f"threshold {number(self.result.threshold)}")]
        if self.summary.events:
            keys.append(Patch(facecolor=EVENT, linewidth=0, label="event"))
        for reason, count in self.summary.unscored.items():
            about = f"not scored: {reason} ({count:,})"
            keys.append(Patch(facecolor=UNSCORED, edgecolor=STRIPES, hatch="/////", linewidth=0, label=about))
        legend = self.figure.legend(
            handles=keys, loc="upper right", bbox_to_anchor=(1 - RIGHT / WIDTH, 1 - 0.26 / self.height), ncols=1,
            frameon=False, borderpad=0, borderaxespad=0, handlelength=2.2, handletextpad=0.8, labelspacing=0.5,
            prop={"family": self.letters.families, "size": 8}, labelcolor=GREY,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set(**self.letters.style(8, GREY))

    def _score(self, top: float) -> None:
        axes, line, threshold = self._panel(top, SCORE), self.chart.score, self.result.threshold
        self._draw(axes, line, threshold)
        axes.axhline(threshold, zorder=4, **DASHES)
        high = min(np.nanmax(line.high, initial=threshold), LARGEST)
        axes.set_ylim(0, 1.2 * high)  # the events' numbers stand above
        self._mark_values(axes, 0, high, 4)
        self._title(axes, "score", "")
        beside = axes.get_yaxis_transform()
        self._text(axes, 1.006, threshold, number(threshold), 8, RED, ha="left", va="center", transform=beside)

    def _channel(self, line: Line, top: float) -> None:
        axes = self._panel(top, CHANNEL)
        self._draw(axes, line)
        what = " mean share in the events" if line is self.chart.channels[0] else ""
        self._title(axes, line.name, "" if line.share is None else f"{100 * line.share:.0f} %{what}")
        if np.isnan(line.low).all():
            axes.set_yticks([])
            self._text(axes, 0.5, 0.5, "no values", 8, GREY, ha="center", va="center", transform=axes.transAxes)
            return
        low, high = (float(np.clip(value, -LARGEST, LARGEST)) for value in (np.nanmin(line.low), np.nanmax(line.high)))
        room = 0.08 * (high - low) or 0.5 * abs(high) or 1.0
        axes.set_ylim(low - room, high + room)
        self._mark_values(axes, low, high, 3)

    def _panel(self, top: float, height: float) -> Axes:
        """Add a panel with the events and what wasn't scored in its background."""
        below = self.height - top - height
        axes = self.figure.add_axes((LEFT / WIDTH, below / self.height, INNER / WIDTH, height / self.height))
        axes.set_facecolor("white")
        axes.grid(visible=False)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set(visible=side in ("left", "bottom"), color=STRIPES, linewidth=0.8)
        first, last = (float(self.x[0]), float(self.x[-1])) if len(self.x) else (0.0, 1.0)
        room = 0.004 * (last - first) or max(0.5, abs(first) / 100)
        axes.set_xlim(first - room, last + room)
        axes.set_xticks([])
        across: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "linewidth": 0}
        hidden = self._bands((part.start, part.stop) for part in self.chart.unscored)
        axes.broken_barh(hidden, (0, 1), facecolor=UNSCORED, edgecolor=STRIPES, hatch="/////", zorder=0.5, **across)
        found = self._bands((event.start_row, event.end_row + 1) for event in self.chart.events)
        axes.broken_barh(found, (0, 1), facecolor=EVENT, zorder=0.6, **across)
        return axes

    def _bands(self, spans: Iterable[tuple[int, int]]) -> list[tuple[float, float]]:
        """Return spans of rows as (left, width) on the axis, wide enough to be seen, those that touch as one."""
        least = LEAST / INNER * float(self.x[-1] - self.x[0]) if len(self.x) else 0.0
        bands: list[tuple[float, float]] = []
        for start, stop in sorted(spans):
            left, right = self._at(start), self._at(stop)
            if right - left < least:
                left, right = (left + right - least) / 2, (left + right + least) / 2
            if bands and left <= bands[-1][1]:
                bands[-1] = (bands[-1][0], max(right, bands[-1][1]))
            else:
                bands.append((left, right))
        return [(left, right - left) for left, right in bands]

    def _at(self, row: float) -> float:
        return float(np.interp(row, self.chart.edges, self.x))

    def _draw(self, axes: Axes, line: Line, threshold: float | None = None) -> None:
        """Draw a line through the smallest and the largest value of each bucket, red above the threshold."""
        from matplotlib.patches import Rectangle

        low, high = (np.clip(values, -LARGEST, LARGEST) for values in (line.low, line.high))
        x, y = np.repeat(self.x[:-1], 2), np.stack([low, high], axis=1).ravel()
        x, y = (np.insert(values, 2 * self.chart.leaps, np.nan) for values in (x, y))
        plain: dict[str, Any] = {"marker": "", "linestyle": "-", "solid_joinstyle": "round"}
        axes.plot(x, y, color=BLUE, linewidth=0.8, zorder=3, **plain)
        is_alone = ~np.isnan(high) & np.isnan(np.r_[np.nan, high[:-1]]) & np.isnan(np.r_[high[1:], np.nan])
        axes.plot(self.x[:-1][is_alone], high[is_alone], color=BLUE, marker=".", markersize=3, linestyle="", zorder=3)
        if threshold is not None:
            axes.fill_between(x, threshold, np.maximum(y, threshold), facecolor=ABOVE, linewidth=0, zorder=2)
            above = Rectangle((0, threshold), 1, LARGEST, transform=axes.get_yaxis_transform())
            axes.plot(x, y, color=RED, linewidth=0.9, zorder=3.5, **plain)[0].set_clip_path(above)

    def _mark_values(self, axes: Axes, low: float, high: float, count: int) -> None:
        marks = spaced(low, high, count)
        axes.set_yticks(marks, numbers(marks), **self.letters.style(7.5, GREY))
        axes.tick_params(axis="y", length=2.5, width=0.6, color=STRIPES, pad=2, left=True, right=False)

    def _mark_time(self, bottom: float) -> None:
        """Mark the time under the last panel and, without words, on all others."""
        if not len(self.x):
            return
        marks, texts, common = axis(self.chart, self.x)
        *others, last = self.figure.axes
        for axes in others:
            axes.set_xticks(marks, [""] * len(marks))
        texts = ["\n".join(map(self.letters.plain, text.split("\n"))) for text in texts]
        last.set_xticks(marks, texts, **self.letters.style(8, GREY))
        for axes in self.figure.axes:
            axes.tick_params(axis="x", length=3, width=0.6, color=STRIPES, pad=3, bottom=True, top=False)
        words = [self.letters.plain(self.result.series.time_name, 60), common, self.chart.zone]
        words += ["rows evenly spaced, as time has long holes"] * self.chart.is_sparse
        self._write(LEFT + INNER, bottom + 0.45, "  ".join(filter(None, words)), 8, GREY, ha="right")

    def _number(self, highest: list[tuple[int, Event]]) -> None:
        """Write the events' numbers over the score, the highest first, as far as there is room."""
        axes, taken = self.figure.axes[0], list[float]()
        room = (1 + len(str(len(highest)))) * SIGN
        scale = INNER / (axes.get_xlim()[1] - axes.get_xlim()[0])
        for nth, event in highest:
            x = (self._at(event.start_row) + self._at(event.end_row + 1)) / 2
            if all(abs(x - other) * scale > room for other in taken):
                taken.append(x)
                self._text(
                    axes, x, 0.97, str(nth), 7.5, INK, ha="center", va="top", fontweight="bold",
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
            if len(taken) * room > INNER:
                break

    def _title(self, axes: Axes, name: str, about: str) -> None:
        """Write a panel's name over its left end, and more about it over the right one."""
        across: dict[str, Any] = {"va": "bottom", "transform": axes.transAxes}
        self._text(axes, 0, 1.02, self.letters.plain(name, 110), 8.5, INK, ha="left", **across)
        self._text(axes, 1, 1.02, about, 8, GREY, ha="right", **across)

    def _list(self, top: float) -> None:
        """List the highest events."""
        is_dated = self.result.series.kind == "datetime"
        columns = [0.6, 0.72, 2.4, 4.7, 5.3, 6.15, 6.35]
        sides = ["right", "left", "left", "right", "right", "right", "left"]
        rows = [("", "event from", "to", "lasts", "rows", "peak score", "top channels")]
        for nth, event in self.listed:
            lasts = span(event.duration) if is_dated else f"{event.duration:g}"
            names = ", ".join(f"{self.letters.plain(name, 22)} {100 * share:.0f} %" for name, share in event.channels)
            start, end = (shortened(plainest(time), 26) for time in (event.start, event.end))
            rows.append((str(nth), start, end, lasts, f"{event.rows:,}", number(event.peak_score), names))
        for line, row in enumerate(rows):
            for left, side, text in zip(columns, sides, row, strict=True):
                self._write(left, top + 0.2 + line * LIST_ROW, text, 8, INK if line else GREY, ha=side)
        if len(self.chart.events) > len(self.listed):
            rest = f"the {len(self.listed)} highest of {len(self.chart.events):,} events"
            self._write(LEFT + INNER, top + 0.2, rest, 8, GREY, ha="right")

    def _write(self, x: float, y: float, text: str, size: float, color: str = INK, **how: Any) -> None:
        """Write a text so many inches from the left and from the top."""
        text = self.letters.plain(text, 130)
        self.figure.text(x / WIDTH, 1 - y / self.height, text, **self.letters.style(size, color) | how)

    def _text(self, axes: Axes, x: float, y: float, text: str, size: float, color: str, **how: Any) -> Any:
        return axes.text(x, y, text, zorder=5, **self.letters.style(size, color) | how)
