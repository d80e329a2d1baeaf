"""What the detector says of a series: its events, and the stretches that were known to be anomalous beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from oddwave.chart import Chart, headline
from oddwave.events import Event
from oddwave.printed import number, span
from oddwave.report.contents import Report
from oddwave.report.markup import Content, Markup, Section, hint, join, section, table, tag
from oddwave.result import Result
from oddwave.save import html
from oddwave.series import TICKS_PER_S, runs

EVENTS = 40  # listed and numbered in the chart
STRETCHES = 40  # listed


@dataclass(frozen=True)
class Stretch:
    """Rows known to be anomalous, in time order, from `first` to `last`, and which event found them, after how long."""

    first: int
    last: int
    start: str
    end: str
    event: int | None
    delay: float | None
    peak: float


def labelled(result: Result) -> list[Stretch]:
    """Return the labelled stretches of a result; found is one that has a row in an event."""
    series = result.series
    if series.labels is None:
        return []
    order = np.argsort(series.ticks, kind="stable")
    ticks, score = series.ticks[order], result.score[order]
    unit = TICKS_PER_S if series.kind == "datetime" else 1
    stretches = []
    for start, stop in runs(series.labels[order] == 1):
        events = [
            (i, each) for i, each in enumerate(result.events, 1) if each.start_row < stop and each.end_row >= start
        ]
        number, event = events[0] if events else (None, None)
        begun = None if event is None else max(event.start_row, start)
        stretches.append(Stretch(
            start, stop - 1, html.shown(series.index[order[start]]), html.shown(series.index[order[stop - 1]]), number,
            None if begun is None else float(ticks[begun] - ticks[start]) / unit,
            float(np.fmax.reduce(score[start:stop])),
        ))  # fmt: skip
    return stretches


def data(result: Result, drawn: Chart) -> dict[str, Any]:
    """Return what the chart's script draws."""
    labels = [(each.first, each.last, each.event is not None) for each in labelled(result)]
    return html.chart_data(drawn, result.summary(), EVENTS, labels)


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """Return what was found, at a glance."""
    if report.result is None:
        return []
    known = labelled(report.result)
    if not known:
        return [("Events", f"{len(report.result.events):,}", headline(report.result.summary()))]
    result, hit = report.result, [each for each in known if each.event is not None]
    found = [("Faults found", f"{len(hit):,} of {len(known):,}", "stretches labelled anomalous that an event touches")]
    if hit and result.scoring == "causal":  # full looks at later rows
        middle = float(np.median([each.delay for each in hit if each.delay is not None]))
        found.append(("Typical delay", _time(result, middle), "median time from a fault's start to its first event"))
    false = sum(not _hits(event, known) for event in result.events)
    found.append(("False alarms", f"{false:,}", f"of {len(result.events):,} events touch no labelled stretch"))
    return found


def sections(report: Report, drawn: Chart | None) -> list[Section]:
    """Return the chart of scores, the labelled stretches and the events."""
    result = report.result
    if result is None or drawn is None:
        return []
    known = labelled(result)
    said = f"{headline(result.summary())} in {html.shown(result.input_path)}, scored {_WAYS[result.scoring]}."
    parts: list[Content] = [
        tag("p", said),
        hint(
            "The score says how unusual a row is, higher is worse; rows above the threshold are flagged, and flagged "
            "rows close to each other are one event."
        ),
        _legend(known),
        Markup(html.part("charts.html").replace("<h2 id=", "<h3 id=").replace("</h2>", "</h3>")),
        tag("noscript", hint("The chart needs JavaScript, which is turned off; all else is told in words.")),
    ]  # fmt: skip
    if known:
        parts += _known(result, known)
    parts += _events(result, known)
    return [section("found", "What was found", *parts)]


_WAYS = {"full": "as a whole file (full)", "causal": "row by row as it would be live (causal)"}


def _legend(known: list[Stretch]) -> Markup:
    names = [("event", "event"), ("limit", "threshold")]
    if known:
        names += [("label", "labelled anomalous and found"), ("missed", "labelled anomalous and missed")]
    return tag("p", [tag("span", name, class_=kind) for kind, name in names], class_="legend")


def _known(result: Result, known: list[Stretch]) -> list[Content]:
    missed = [each for each in known if each.event is None]
    listed = sorted(
        [*missed, *(each for each in known if each.event is not None)][:STRETCHES], key=lambda each: each.first
    )
    numbers = {each.first: place for place, each in enumerate(known, 1)}
    rows = [
        (
            str(numbers[each.first]), each.start, each.end, f"{each.last - each.first + 1:,}", _fate(each),
            "–" if each.delay is None else _time(result, each.delay), _number(each.peak),
        )
        for each in listed
    ]  # fmt: skip
    more = f" Listed are {len(listed)}, the missed ones first of all." if len(listed) < len(known) else ""
    counts = f"{len(known) - len(missed):,} of {len(known):,} were found, {len(missed):,} missed."
    return [
        tag("h3", "Stretches labelled anomalous"),
        hint(f"{counts} The threshold is {number(result.threshold)}.{more}"),
        table(
            ("#", "From", "To", "Rows", "Outcome", "Delay", "Highest score"), rows, numbers=(0, 3, 5, 6),
            title="Stretches labelled anomalous",
        ),
    ]  # fmt: skip


def _fate(stretch: Stretch) -> Markup:
    if stretch.event is None:
        return tag("b", "missed", class_="missed")
    return join([tag("b", "found", class_="label"), f" by event {stretch.event}"])


def _events(result: Result, known: list[Stretch]) -> list[Content]:
    """Return the list of events; the chart's script finds it by its id, and each event by its place in the list."""
    if not result.events:
        return [tag("table", tag("tbody", id="events"), hidden=True)]
    shown, count = html.highest(result.events, EVENTS), len(result.events)
    told = "Choose an event to see it in the chart."
    if known:
        false = sum(not _hits(event, known) for event in result.events)
        told = f"{false:,} of {count:,} touch no labelled stretch: false alarms, if the labels are complete. {told}"
    if len(shown) < count:
        told += f" The {EVENTS} with the highest scores of {count:,} are listed."
    heads = [("#", "number"), ("From", ""), ("Lasted", "number"), ("Highest score", "number")]
    heads += [("Outcome", "")] if known else []
    heads += [("Top channels, with their share of the score", "")]
    rows = [
        tag(
            "tr", _cells(result, nth, event, known), tabindex=-1 if place else 0, data_place=str(place),
            aria_selected="false",
        )
        for place, (nth, event) in enumerate(shown)
    ]  # fmt: skip
    head = tag("tr", [tag("th", name, scope="col", class_=kind or None) for name, kind in heads])
    listed = tag("table", tag("thead", head), tag("tbody", rows, id="events"), role="grid", aria_labelledby="listed")
    return [tag("h3", "Events", id="listed"), hint(told), tag("div", listed, class_="sideways")]


def _cells(result: Result, nth: int, event: Event, known: list[Stretch]) -> Markup:
    cells: list[tuple[Content, str]] = [
        (str(nth), "number"), (html.shown(event.start), ""), (_time(result, event.duration), "number"),
        (number(event.peak_score), "number"), *([(_outcome(event, known), "")] if known else []), (_top(event), ""),
    ]  # fmt: skip
    return join(tag("td", content, class_=kind or None) for content, kind in cells)


def _top(event: Event) -> Markup:
    """Return the channels of an event, the share also as a bar."""
    return join(
        tag("span", tag("bdi", html.shown(name)), tag("span", f"{100 * share:.0f} %"),
            tag("svg", tag("rect", width=f"{100 * share:.1f}%", height="100%"), aria_hidden="true"), class_="share")
        for name, share in event.channels
    )  # fmt: skip


def _outcome(event: Event, known: list[Stretch]) -> Markup:
    hits = [str(place) for place, each in enumerate(known, 1) if _touches(event, each)]
    if not hits:
        return tag("b", "false alarm", class_="false")
    return join([tag("b", "right", class_="label"), f": stretch {', '.join(hits[:5])}{'…' if len(hits) > 5 else ''}"])


def _hits(event: Event, known: list[Stretch]) -> bool:
    return any(_touches(event, each) for each in known)


def _touches(event: Event, stretch: Stretch) -> bool:
    return event.start_row <= stretch.last and event.end_row >= stretch.first


def _time(result: Result, length: float) -> str:
    kind = result.series.kind
    unit = "" if kind == "number" else " row" if length == 1 else " rows"
    return span(length) if kind == "datetime" else f"{length:,.6g}{unit}"


def _number(score: float) -> str:
    return "–" if np.isnan(score) else number(score)
