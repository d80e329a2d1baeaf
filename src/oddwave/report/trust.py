"""How far to trust alarms: the false alarms to expect and those seen, other budgets, and what can't be seen at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from oddwave import threshold
from oddwave.metadata import Alarm, Metadata
from oddwave.printed import number, span
from oddwave.report.contents import Report, Way
from oddwave.report.learned import command
from oddwave.report.markup import Content, Section, hint, section, table, tag
from oddwave.report.plots import Axis, Curve, Kind, plot, words
from oddwave.save import html
from oddwave.series import Floats

BUDGETS = ("1/hour", "1/day", "1/week", "1/month")
SHARES = ("0.01", "0.003", "0.001", "0.0003", "0.0001")  # where rows have no clock
_PLACES = 41  # of a curve
_DOTS = 9
_DAY = 86_400
_NAMES = {"full": "Whole files (full)", "causal": "Live, row by row (causal)"}
_LARGE = 1.5  # times the expected: more than chance and rounding


class _Seen(NamedTuple):
    """Of so many normal rows with a score this share, and so many events, were above a threshold."""

    known: int
    share: float
    events: int

    @property
    def rates(self) -> tuple[float, float]:
        return self.share, self.events / self.known


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """Return the false alarms, at a glance."""
    if not report.ways:
        return []
    way, step_s = report.ways[0], threshold.seconds_a_row(report.detector)
    said = f"events to expect on normal rows, for a budget of {budget_words(way.budget)}"
    found = [("False alarms, at most", often(way.alarm.event_rate, step_s), said)]
    if seen := _seen(way.verify, way.alarm.threshold):
        said = f"events in {_length(seen.known, step_s)} of normal rows kept aside"
        expected = words(way.alarm.event_rate * seen.known)
        found.append(("False alarms seen", f"{seen.events:,}", f"{said}; at most {expected} expected"))
    return found


def sections(report: Report) -> list[Section]:
    """Return for each way to score what its threshold promises and what it kept."""
    if not report.ways:
        return []
    step_s = threshold.seconds_a_row(report.detector)
    parts: list[Content] = [
        hint(
            "A lower threshold finds more faults and gives more false alarms. It is set on normal rows that the model "
            "didn't learn from, for the false alarms that are tolerable, and can be set anew without training."
        )
    ]
    for way in report.ways:
        parts += _way(way, step_s)
    text = f'oddwave predict new.csv --model {report.run} --false-alarms "{(BUDGETS if step_s else SHARES)[2]}"'
    return [section("alarms", "False alarms", *parts, tag("h3", "To choose another budget"), command(text))]


def limits(report: Report) -> list[Section]:
    """Return what the detector can't see."""
    items = [tag("li", text) for text in (*report.limits, *_general(report))]
    return [section("limits", "What this detector can't see", tag("ul", items))]


def often(events_a_row: float, step_s: float | None) -> str:
    """Return how often something happens, in the shortest time in which it does.

    Examples
    --------
    >>> often(0.001, 60), often(0.0001, 60), often(0.0001, None), often(0, 60)
    ('1.44 a day', '1.01 a week', '1 in 10,000 rows', 'none')
    """
    if events_a_row <= 0:
        return "none"
    if step_s is None:
        rows = 10 ** int(np.clip(np.ceil(-np.log10(events_a_row) - 1e-9), 2, 15))
        return f"{words(events_a_row * rows)} in {rows:,} rows"
    per_day = events_a_row * _DAY / step_s
    for unit, days in (("day", 1), ("week", 7), ("month", 30), ("year", 365)):
        if per_day * days >= 0.995 or unit == "year":
            return f"{words(per_day * days)} a {unit}"
    raise AssertionError


def budget_words(text: str) -> str:
    """Return a budget in words.

    Examples
    --------
    >>> budget_words("0.01"), budget_words("2/week")
    ('1 % of normal rows', '2/week')
    """
    wanted = threshold.budget(text)
    return text if wanted.seconds else f"{100 * wanted.amount:g} % of normal rows"


def _way(way: Way, step_s: float | None) -> Iterable[Content]:
    yield tag("h3", _NAMES[way.scoring])
    yield tag("p", _promise(way, step_s))
    if kept := _kept(way, step_s):
        yield tag("p", kept)
    yield tag("div", _curves(way, step_s), class_="pair")
    yield _choices(way, step_s)


def _promise(way: Way, step_s: float | None) -> str:
    alarm = way.alarm
    return (
        f"The budget is {budget_words(way.budget)}. From {alarm.rows:,} normal rows the threshold became "
        f"{number(alarm.threshold)}: at most {_share(alarm.rate)} of normal rows are to be flagged, "
        f"and at most {often(alarm.event_rate, step_s)} as events."
    )


def _kept(way: Way, step_s: float | None) -> str:
    """Say what was seen on rows that had no part in it, beside what was expected."""
    seen, alarm = _seen(way.verify, way.alarm.threshold), way.alarm
    if seen is None:
        return ""
    expected = alarm.event_rate * seen.known
    of_rows = f" (interval {_share(way.rows_seen[0])} to {_share(way.rows_seen[1])})" if way.rows_seen else ""
    of_events = f" (interval {words(way.events_seen[0])} to {words(way.events_seen[1])})" if way.events_seen else ""
    time = f" ({_length(seen.known, step_s)})" if step_s else ""
    events = f"{seen.events:,} event{'' if seen.events == 1 else 's'}"
    said = (
        f"On {seen.known:,} other normal rows{time}, {_share(seen.share)} were flagged"
        f"{of_rows}, at most {_share(alarm.rate)} expected; in {events}{of_events}, at most {words(expected)} expected."
    )
    if seen.share > _LARGE * alarm.rate and seen.events > _LARGE * max(expected, 1):
        said += (
            " That is more than promised: these rows differ from those that the threshold was set on. Look for drift."
        )
    return said


def _curves(way: Way, step_s: float | None) -> Iterable[Content]:
    """Return the false alarms at each threshold: the share of rows, and the events."""
    alarm, x = way.alarm, _thresholds(way.alarm, step_s)
    unit, scale = ("a day", _DAY / step_s) if step_s else ("in 1,000 rows", 1000.0)
    charts = (("Normal rows flagged", "percent", 0, 100.0), ("False alarms, as events", unit, 1, scale))
    for title, name, which, factor in charts:
        curves = [
            Curve(
                "at most expected", "line", [(at, _expected(alarm, at)[which] * factor) for at in _between(x, _PLACES)]
            )
        ]
        for scores, label, kind, count in _sources(way):
            seen = [(at, found.rates[which] * factor) for at in _between(x, count) if (found := _seen(scores, at))]
            if seen := [point for point in seen if point[1] > 0]:
                curves.append(Curve(label, kind, seen))
        values = [value for curve in curves for _, value in curve.points if value > 0]
        y = Axis(name, 10.0 ** np.floor(np.log10(min(values))), 10.0 ** np.ceil(np.log10(max(values))), is_log=True)
        limit = (alarm.threshold, f"threshold {number(alarm.threshold)}")
        at_limit = words(_expected(alarm, alarm.threshold)[which] * factor)
        said = f"{title} by threshold, {name}: falling from {words(max(values))}; at the threshold at most {at_limit}."
        yield plot(title, said, x, y, curves, limit)


def _sources(way: Way) -> Iterable[tuple[Floats, str, Kind, int]]:
    if way.held is not None:
        yield way.held, "seen where it was set", "second", _PLACES
    if way.verify is not None:
        yield way.verify, "seen on other normal rows", "dots", _DOTS


def _choices(way: Way, step_s: float | None) -> Content:
    """Return what other budgets come to."""
    rows, is_seen = [], False
    for text in BUDGETS if step_s else SHARES:
        value = threshold.limit(way.alarm, threshold.budget(text), step_s)
        share, events = _expected(way.alarm, value)
        row = [text, number(value), often(events, step_s), _share(share)]
        if seen := _seen(way.verify, value):
            is_seen = True
            row += [f"{seen.events:,} in {_length(seen.known, step_s)}", _share(seen.share)]
        rows.append(row)
    heads = [
        "Budget",
        "Threshold",
        "Events, at most",
        "Rows, at most",
        *(["Events seen", "Rows seen"] if is_seen else []),
    ]
    return table(heads, rows, numbers=range(1, 6), title=f"Other budgets, {way.scoring}")


def _thresholds(alarm: Alarm, step_s: float | None) -> Axis:
    """Return the thresholds to show: from where the tail begins to that of the smallest budget."""
    least = threshold.limit(alarm, threshold.budget((BUDGETS if step_s else SHARES)[-1]), step_s)
    low = alarm.thresholds[0]
    return Axis("threshold", low, max(least, 1.1 * alarm.threshold, low + alarm.mean_excess))


def _between(axis: Axis, count: int) -> list[float]:
    values: list[float] = np.linspace(axis.low, axis.high, count).tolist()
    return values


def _expected(alarm: Alarm, value: float) -> tuple[float, float]:
    """Return the share of normal rows, and the events a row, to expect at most above a threshold."""
    return threshold.row_rate(alarm, value), threshold.event_rate(alarm, value)


def _seen(scores: Floats | None, value: float) -> _Seen | None:
    """Count what is above a threshold; None without rows."""
    if scores is None or not (known := int(np.count_nonzero(~np.isnan(scores)))):
        return None
    over = scores > value
    return _Seen(known, int(np.count_nonzero(over)) / known, len(threshold.events(scores, over)))


def _rows(count: int, step_s: float | None) -> str:
    return f"{count:,} rows ({span(count * step_s)})" if step_s else f"{count:,} rows"


def _length(rows: int, step_s: float | None) -> str:
    return span(rows * step_s) if step_s else f"{rows:,} rows"


def _share(share: float) -> str:
    return f"{words(100 * share)} %"


def _general(report: Report) -> Iterable[str]:
    """Say what holds for every detector of ours, with this one's numbers."""
    detector = report.detector
    step_s = threshold.seconds_a_row(detector)
    full, live = (_rows(way.smoothing, step_s) for way in (detector.full, detector.causal))
    yield from _unscored(detector)
    if constant := [each.name for each in report.channels if each.minimum == each.maximum]:
        yield (
            f"{_names(constant)} never changed in training: any change there looks enormous, and none can be told from "
            "a normal one. Leave such channels out if they may change."
        )
    yield (
        f"Scores are averaged: over {full} in whole files, {live} live. So an event begins before and ends after its "
        "cause in whole files, and begins and ends late in live scoring. A short fault must be strong to be seen."
    )
    yield (
        f"In live scoring the first {detector.size - 1:,} rows have no score. In both ways to score a gap of more than "
        f"{detector.max_gap} rows has none, nor has what lies between two gaps and is shorter than a window."
    )
    yield "A sensor that is stuck at a usual value isn't seen: each of its values is normal."
    yield (
        "What changes slowly is taken for a fault once it leaves the range of the training rows: drift, new load or a "
        "new season raise false alarms. Train again when the share of flagged rows stays above what was expected."
    )
    yield "Faults that were in the training rows were learned as normal, unless they were labelled or left out."
    yield "An event tells that something is unusual, and in which channels. It doesn't tell why, nor that it matters."


def _unscored(detector: Metadata) -> Iterable[str]:
    names = [name for name, is_scored in zip(detector.channels, detector.scored, strict=True) if not is_scored]
    if names:
        yield (
            f"{_names(names)} {'is' if len(names) == 1 else 'are'} read but not scored (by default the switches, which "
            "hold only 0 and 1): a fault that shows only there isn't seen."
        )


def _names(names: list[str], most: int = 6) -> str:
    shown = ", ".join(map(html.shown, names[:most]))
    return f"{shown} and {len(names) - most:,} more channels" if len(names) > most else shown
