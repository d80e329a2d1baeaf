"""How good the detector is: its metrics beside those of simple methods on the same rows."""

from __future__ import annotations

import math
from typing import NamedTuple

from oddwave.printed import span
from oddwave.report.contents import Figure, Report
from oddwave.report.markup import Content, Section, hint, listed, section, table, tag
from oddwave.report.plots import strip, words
from oddwave.save import html
from oddwave.series import TimeKind


class Measure(NamedTuple):
    """A metric: what to call it, and in plain words what it says."""

    name: str
    said: str


DRAWN = {
    "vus_pr": Measure(
        "VUS-PR", "How well the scores rank anomalous rows above normal ones; near misses in time count in part."
    ),
    "auc_pr": Measure("AUC-PR", "The same, row by row, without tolerance in time."),
    "f1": Measure("F1", "Balance of precision and recall of single rows, at the threshold in use."),
    "adjusted_f1": Measure(
        "Adjusted F1", "F1 if one flagged row has found its whole stretch. It flatters: compare with random."
    ),
}  # fmt: skip
COUNTED = {
    "events_found": Measure("Faults found", "Share of the labelled stretches with at least one flagged row."),
    "delay": Measure("Delay", "From the start of a fault to the first flagged row, the median of those found."),
    "false_alarms_per_day": Measure("False alarms a day", "Events without any labelled row."),
}
OTHERS = {
    "precision": Measure("Precision", "Share of the flagged rows that are anomalous."),
    "recall": Measure("Recall", "Share of the anomalous rows that are flagged."),
    "flagged": Measure("Rows flagged", "Share of all rows."),
    "normal_flagged": Measure("Normal rows flagged", "Share of the rows that aren't labelled anomalous."),
    "false_alarms": Measure("False alarms", "Events without any labelled row."),
    "false_alarm_rate": Measure("False alarms in 1,000 rows", "Events without any labelled row."),
    "vus_roc": Measure("VUS-ROC", "Like VUS-PR, but easy to please where anomalies are rare."),
    "auc_roc": Measure("AUC-ROC", "Chance that an anomalous row scores above a normal one."),
}  # fmt: skip
COUNTS = ("false_alarms", "false_alarm_rate")


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """Return the main metric, at a glance."""
    own, *others = report.metrics.items() or [("", {})]
    figure = _figure(own[1].get("vus_pr"))
    if figure is None:
        return []
    simple = [(name, found) for name, found in others if not name.startswith(f"{own[0]}, ")]
    best = [(value.value, name) for name, found in simple if (value := _figure(found.get("vus_pr")))]
    note = "how well faults rank first, 1 is perfect"
    note += f"; best simple method {max(best)[0]:.2f} ({max(best)[1]})" if best else ""
    return [("VUS-PR", f"{figure.value:.2f}", note)]


def sections(report: Report) -> list[Section]:
    """Return the comparison, drawn and as numbers."""
    metrics = report.metrics
    if not metrics:
        return []
    names = list(dict.fromkeys(name for found in metrics.values() for name in found))
    drawn = [name for name in DRAWN if name in names]
    counted = [name for name in COUNTED if name in names]
    parts: list[Content] = [
        hint(
            "All methods scored the same rows, with the same treatment. Dots are measured values from 0 to 1, bars the "
            "interval to expect with other rows of the same kind, the upright line is this detector's value."
        ),
        _compared(report, drawn, counted),
        listed([(each.name, each.said) for name, each in (DRAWN | COUNTED).items() if name in names], class_="meaning"),
    ]
    if rest := [name for name in names if name not in drawn and name not in counted]:
        heads = ["Metric", *map(html.shown, metrics)]
        rows = [[_name(name), *(_plain(name, _figure(found.get(name))) for found in metrics.values())] for name in rest]
        parts += [tag("h3", "More metrics"), table(heads, rows, numbers=range(1, len(heads)), title="More metrics")]
    return [section("metrics", "How good it is, beside simple methods", *parts)]


def _compared(report: Report, drawn: list[str], counted: list[str]) -> Content:
    metrics = report.metrics
    first = next(iter(metrics))
    own = {name: _figure(metrics[first].get(name)) for name in drawn}
    kind = report.detector.time.kind
    heads = [tag("th", "Score", scope="col")]
    heads += [tag("th", DRAWN[name].name, scope="col", class_="drawn") for name in drawn]
    heads += [tag("th", COUNTED[name].name, scope="col", class_="number") for name in counted]
    rows = []
    for score, found in metrics.items():
        cells = [tag("th", tag("bdi", html.shown(score)), scope="row")]
        dots = (_dot(_figure(found.get(name)), own[name], score == first) for name in drawn)
        cells += [tag("td", dot, class_="drawn") for dot in dots]
        cells += [tag("td", _count(name, _figure(found.get(name)), kind), class_="number") for name in counted]
        rows.append(tag("tr", cells, class_="own" if score == first else None))
    inside = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="dots")
    return tag("div", inside, class_="sideways", tabindex=0, role="region", aria_label="Metrics beside simple methods")


def _dot(figure: Figure | None, own: Figure | None, is_own: bool) -> Content:
    if figure is None:
        return "–"
    return [strip(*figure, mark=own.value if own else None, is_own=is_own), tag("span", _text(figure))]


def _count(name: str, figure: Figure | None, kind: TimeKind) -> str:
    if figure is None:
        return "–"
    if name == "delay":
        return span(figure.value) if kind == "datetime" else f"{words(figure.value)} rows"
    if name == "events_found":
        return f"{100 * figure.value:.0f} %"
    return words(figure.value)


def _text(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.2f} to {figure.high:.2f})"
    return f"{figure.value:.2f}{interval}" if interval else f"{figure.value:.3f}"


def _plain(name: str, figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return words(figure.value) if name in COUNTS else f"{figure.value:.3f}"


def _figure(value: Figure | float | None) -> Figure | None:
    """Return a value as one with an interval; None if it isn't defined."""
    figure = value if isinstance(value, Figure) else None if value is None else Figure(value)
    return None if figure is None or math.isnan(figure.value) else figure


def _name(name: str) -> Content:
    known = OTHERS.get(name) or Measure(name.replace("_", " ").capitalize().replace(" f1", " F1"), "")
    return tag("span", known.name, title=known.said or None)
