"""A result as one HTML page that needs nothing else: what was found, the events, and charts to zoom into.

The page's parts lie readable in `page/`; its charts are drawn by uPlot (MIT licence), whose code goes into each page.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from oddwave import __version__
from oddwave.atomic import Atomic
from oddwave.chart import Chart, Line, chart, headline, title
from oddwave.errors import visible
from oddwave.events import Event
from oddwave.printed import number, span
from oddwave.result import Result, Summary
from oddwave.save.paths import place
from oddwave.series import Floats

CHANNELS = 16
VALUES = 136_000  # of all lines together: 4,000 buckets of 16 channels and the score, some three a wide screen's pixel
BUCKETS = 16_000  # of few lines
EVENTS = 1000  # of more, those with the highest peaks are listed
EXACT = 1000  # so many values keep all their digits; more of them keep seven
LETTERS = 300  # of a name or a time
SCRIPTS = ("uplot.min.js", "text.js", "panels.js", "charts.js")  # all that charts need
STYLES = ("uplot.min.css", "style.css")
LARGEST_SHORT = 3e38
WHOLE = 1 << 53  # JavaScript's numbers are exact up to here
PAGE = Path(__file__).parent / "page"
SLOT = re.compile(r"\{\{(.+?)\}\}")


def to_html(result: Result, save_path: str | PathLike[str]) -> Path:
    """Write one page with all that it needs inside; it opens anywhere, and asks no other computer for anything."""
    path = place(result, save_path, ".html")
    page = _page(result)
    with Atomic(path) as file:
        file.write(page)
    return path


def _page(result: Result) -> bytes:
    summary = result.summary()
    slots = {
        "title": escape(shown(title(summary))),
        "verdict": escape(_verdict(summary)),
        "charts": part("charts.html"),
        "data": embedded(_data(result, summary)),
    }
    return assembled(part("page.html"), slots, map(part, STYLES), map(part, (*SCRIPTS, "page.js")))


def assembled(template: str, slots: Mapping[str, str], styles: Iterable[str], scripts: Iterable[str]) -> bytes:
    """Return a page whose security policy lets it run these scripts and styles only.

    Parameters
    ----------
    template
        HTML with `{{name}}` where something is to be put in.
    slots
        What to put in, as HTML.
    """
    style, script = "\n".join(styles), "\n".join(scripts)
    slots = {
        **slots,
        "version": f"Made by Oddwave {__version__}",
        "style": style,
        "style hash": _hash(style),
        "script": script,
        "script hash": _hash(script),
    }
    # in one go: what was put in isn't looked at again
    return SLOT.sub(lambda slot: slots[slot[1]], template).encode("utf-8")


def part(name: str) -> str:
    """Return a part of the page; uPlot's code comes with its licence."""
    text = (PAGE / name).read_text("utf-8")
    return text if name != "uplot.min.js" else f"/*\n{part('uplot-license.txt').strip()}\n*/\n{text}"


def _hash(text: str) -> str:
    """Return what the page's security policy knows a script or a style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(data: Mapping[str, Any]) -> str:
    """Return JSON in which nothing can end the element that it stands in."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _verdict(summary: Summary) -> str:
    """Say what was found, and of the worst event when it was."""
    if not summary.events:
        return f"{headline(summary)}."
    worst = max(summary.events, key=lambda event: event.peak_score)
    start, end = shown(worst.start), shown(worst.end)
    which = "It" if len(summary.events) == 1 else "The worst"
    if worst.rows == 1:
        when = f"is one row, at {start}"
    elif summary.kind == "datetime":
        when = f"began {start} and lasted {span(worst.duration)}"
    else:
        when = f"is from {start} to {end}"
    peak = f"its score reached {number(worst.peak_score)}, with a threshold of {number(summary.threshold)}"
    return f"{headline(summary)}. {which} {when}; {peak}."


def _data(result: Result, summary: Summary) -> dict[str, Any]:
    """Return what the script of a result's page shows."""
    drawn = drawing(result, CHANNELS, VALUES)
    is_cut = len(drawn.events) > EVENTS
    return chart_data(drawn, summary, EVENTS) | {
        "facts": _facts(drawn, summary),
        "events_title": f"The {EVENTS:,} highest of {len(drawn.events):,} events" if is_cut else "Events",
        "reasons": [f"{reason}: {count:,} of {summary.rows:,} rows" for reason, count in summary.unscored.items()],
        "notes": [visible(note) for note in summary.notes],
    }


def drawing(result: Result, channels: int, values: int) -> Chart:
    """Return the chart of a result with so many values in all; a row each if that takes no more than its extremes."""
    lines = 1 + min(channels, len(result.series.channels))
    buckets = min(values // lines // 2, BUCKETS)
    return chart(result, 2 * buckets if len(result.series) <= 2 * buckets else buckets, channels)


def chart_data(
    drawn: Chart, summary: Summary, most: int, labels: Iterable[tuple[int, int, bool]] = ()
) -> dict[str, Any]:
    """Return what the charts' script draws.

    Parameters
    ----------
    most
        Events that can be chosen: those with the highest peaks.
    labels
        Stretches of rows known to be anomalous: first row, last row, whether it was found.
    """
    places, times, base = _axis(drawn)

    def at(row: int) -> float:
        return float(np.interp(row, drawn.edges, places))

    return {
        "kind": drawn.kind,
        "zone": drawn.zone,
        "precision": _precision(drawn),
        "base": base,
        "rows": _packed(drawn.edges),
        "places": _packed(places),
        "times": None if times is None else _packed(times),
        "leaps": drawn.leaps.tolist(),
        "threshold": drawn.threshold,
        "threshold_text": number(drawn.threshold),
        "score": _line(drawn.score),
        "channels": [{"name": shown(line.name), **_line(line)} for line in drawn.channels],
        "how": _how(drawn, summary),
        "events": [
            {"number": place, "from": at(event.start_row), "to": at(event.end_row), **_event(event)}
            for place, event in highest(drawn.events, most)
        ],
        "spans": [(at(part.start), at(part.stop - 1)) for part in drawn.anomalous] if len(drawn.events) > most else [],
        "unscored": [(at(part.start), at(part.stop - 1), part.reason) for part in drawn.unscored],
        "labels": [(at(first), at(last), is_found) for first, last, is_found in labels],
    }


def highest(events: Sequence[Event], most: int) -> list[tuple[int, Event]]:
    """Return so many events with the highest peaks, each with its number, in the order of time."""
    numbered = list(enumerate(events, 1))
    return sorted(sorted(numbered, key=lambda item: -item[1].peak_score)[:most])


def _facts(drawn: Chart, summary: Summary) -> list[tuple[str, str]]:
    facts = [("Input", shown(summary.input_path))]
    if summary.group is not None:
        facts.append(("Group", shown(summary.group)))
    facts.append(("Rows", f"{summary.rows:,}"))
    if len(drawn.times):
        name = "Rows from" if drawn.kind == "row" else f"From ({shown(summary.time_name)})"
        facts += [(name, shown(drawn.times[0])), ("To", shown(drawn.times[-1]))]
    return [
        *facts, ("Model", shown(summary.model)), ("Scoring", summary.scoring), ("Threshold", number(drawn.threshold))
    ]  # fmt: skip


def _how(drawn: Chart, summary: Summary) -> str:
    """Say what can't be seen: how many rows a point stands for, in which zone times are, that time has holes."""
    said = []
    if len(drawn.edges) - 1 < summary.rows:
        said.append(
            f"{summary.rows:,} rows are drawn as {len(drawn.edges) - 1:,} groups, smaller ones around events: "
            "each as a band from its smallest to its largest value."
        )
    if drawn.zone:
        said.append(f"Times in the charts are {drawn.zone if drawn.zone == 'UTC' else f'UTC{drawn.zone}'}.")
    if drawn.is_sparse:
        said.append("Rows are evenly spaced, since most of the time has none.")
    return " ".join(said)


def _event(event: Event) -> dict[str, Any]:
    return {
        "start": shown(event.start),
        "end": shown(event.end),
        "duration": event.duration,
        "lasted": span(event.duration),
        "rows": event.rows,
        "peak": event.peak_score,
        "peak_text": number(event.peak_score),
        "channels": [(shown(name), share) for name, share in event.channels],
    }


def _axis(drawn: Chart) -> tuple[Floats, Floats | None, str | None]:
    """Return where buckets are on the axis, their times if that is something else, and what to add to a time.

    Dates are in milliseconds, as JavaScript has them.
    """
    times, base = drawn.ticks, None
    if drawn.kind == "datetime":
        times = times / 1000
    elif drawn.times.dtype.kind in "iu" and len(times) and abs(int(drawn.times[-1])) > WHOLE:
        base = int(drawn.times[0])
        times = (drawn.times - base).astype(np.float64)
    base_text = None if base is None else str(base)
    return (drawn.edges.astype(np.float64), times, base_text) if drawn.is_sparse else (times, None, base_text)


def _precision(drawn: Chart) -> str:
    """Return the largest unit that all dates are whole in."""
    units = {"day": 86_400_000_000, "minute": 60_000_000, "second": 1_000_000}
    return next((name for name, size in units.items() if not (drawn.ticks % size).any()), "fraction")


def _line(line: Line) -> dict[str, Any]:
    is_single = np.array_equal(line.low, line.high, equal_nan=True)
    is_short = len(line.low) > EXACT
    return {"low": _packed(line.low, is_short), "high": None if is_single else _packed(line.high, is_short)}


@np.errstate(over="ignore", invalid="ignore")  # steps between the largest numbers are infinite
def _packed(values: NDArray[Any], is_short: bool = False) -> dict[str, Any]:
    """Return numbers as the bytes of floats in base64, or as one step if it is the same up to the last but one.

    Short ones have seven digits, counted from a common base if all are alike in the first ones.
    """
    values = values.astype(np.float64)
    first, step = (float(values[0]), float(values[1] - values[0])) if len(values) > 1 else (0.0, 0.0)
    if len(values) > 1 and np.array_equal(values[:-1], first + np.arange(len(values) - 1) * step):
        return {"first": first, "step": step, "count": len(values), "last": float(values[-1])}
    base, kind = 0.0, "<f8"
    if is_short:
        low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
        base = low if high - low < abs(low) / 1000 else 0.0
        kind = "<f4" if max(abs(low), abs(high)) < LARGEST_SHORT else "<f8"
    data = (values - base).astype(kind)
    return {"bytes": data.itemsize, "base": base, "base64": base64.b64encode(data.tobytes()).decode()}


def shown(value: Any) -> str:
    """Return a name or a time as it can be shown: no control characters, and not without end."""
    text = visible(str(value))
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
