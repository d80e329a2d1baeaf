"""Evaluation: what was measured, as a mapping, as a file and as text."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from oddwave import baselines
from oddwave.atomic import Atomic
from oddwave.errors import visible
from oddwave.metadata import Metadata
from oddwave.result import Result

if TYPE_CHECKING:
    from oddwave.report import Figure

FILE_NAME, REPORT_NAME = "evaluate_result.json", "evaluate_report.html"
_WIDTH = 80  # of the text
_JUDGED = {"vus_pr": "VUS-PR", "f1": "F1"}
_NONE = "-"
_UNSAID = ("events", "oracle_f1")  # by a report
_EQUAL = 0.0005  # what three digits don't show


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a detector is on labelled rows.

    Parameters
    ----------
    figures
        What evaluate_result.json holds. `full` and `causal` have the figures of the `detector` and of the `baselines`
        by name, their `intervals`, and the `difference` of the detector from each; `meaning` explains the names.
    results
        What the detector says of each series, scored in the chosen way; `result.series` has the labels.
    metadata
        The detector's.
    """

    figures: dict[str, Any]
    results: tuple[Result, ...]
    metadata: Metadata

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write evaluate_result.json and a report of the first series, each whole or not at all; return the first path.

        Raises
        ------
        OutputError
            If it can't be written.
        """
        path = Path(folder) / FILE_NAME
        with Atomic(path) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self.figures)) + b"\n")
        self._report(path.with_name(REPORT_NAME))
        return path

    def _report(self, path: Path) -> None:
        from oddwave import report

        report.write(
            path,
            report.Report(
                title=self.results[0].series.title, detector=self.metadata, kind="evaluation",
                verdict=self.answer, result=self.results[0], metrics=self.metrics,
                notes=self.figures["notes"], run=str(path.parent),
            ),
        )  # fmt: skip

    def print(self) -> None:
        """Print the text."""
        sys.stdout.write(f"{self}\n")

    @property
    def metrics(self) -> dict[str, dict[str, Figure]]:
        """What a report shows: figures by score in the chosen way, and the detector's in causal, which has delays."""
        from oddwave.report import Figure

        scoring, per = self.figures["scoring"], self.figures["data"]["false_alarms_per"]
        found: dict[str, dict[str, Figure]] = {}
        for way in dict.fromkeys((scoring, "causal")):
            of_way = _named(self.figures, way)
            for name, row, sure in of_way if way == scoring else of_way[:1]:
                cells = {key: Figure(value) for key, value in row.items() if value is not None and key not in _UNSAID}
                cells |= {key: Figure(**value) for key, value in sure.items() if value["value"] is not None}
                found[name if way == scoring else f"{name}, causal"] = _reported(cells, per)
        own, *others = sorted(found, key=lambda name: not name.startswith(self.figures["model"]))
        return {name: found[name] for name in (own, *others)}

    @property
    def verdict(self) -> list[str]:
        """The answer in plain sentences: beside the best baseline, and beside what the threshold promised."""
        table = self.figures[self.figures["scoring"]]
        return [*(_compared(table, key) for key in _JUDGED), _kept(self.figures, table)]

    @property
    def answer(self) -> str:
        """The answer for those who don't know the figures' names."""
        table = self.figures[self.figures["scoring"]]
        own = table["detector"]
        best, value, gap = _best(table, "vus_pr")
        is_certain = gap["low"] is not None and gap["low"] * gap["high"] > 0
        than = "as well as" if abs(gap["value"]) < _EQUAL else "better than" if gap["value"] > 0 else "worse than"
        faults = f"{own['events']:,} labelled fault{'' if own['events'] == 1 else 's'}"
        return (
            f"{self.figures['model']} flagged rows in {own['events_found']:,} of {faults}. It tells faults from normal "
            f"rows {than} the best simple method, {best} (VUS-PR {own['vus_pr']:.2f} beside {value:.2f})"
            f"{'' if is_certain else ', though that is not certain'}. {_kept(self.figures, table)}"
        )

    def __str__(self) -> str:
        figures = self.figures
        data, scoring = figures["data"], figures["scoring"]
        count = len(data["series"])
        where = data["series"][0] if count == 1 else f"{count} series"
        lines = [
            *_wrapped(f"{figures['model']} on {where}: {data['rows']:,} rows, {_labelled(figures, scoring)}"),
            "",
            f"Row by row, scoring {scoring}{' (looks at later rows too)' if scoring == 'full' else ''}:",
            *_rows(figures, scoring),
            "",
            "As alarms, scoring causal (what could be known at the time). found: labelled",
            "events; false: alarms beside them; normal: share of the other rows flagged.",
            *_alarms(figures),
            "",
            *(line for sentence in self.verdict for line in _wrapped(sentence)),
            *(line for note in figures["notes"] for line in _wrapped(f"Note: {note}")),
        ]
        return "\n".join(map(visible, lines))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _reported(cells: dict[str, Figure], per: str) -> dict[str, Figure]:
    """Call figures as the report does."""
    names = {"event_recall": "events_found", "delay_s_median": "delay"}
    if per == "day":
        names["false_alarm_rate"] = "false_alarms_per_day"
    if "delay_s_median" not in cells:
        names["delay_rows_median"] = "delay"
    kept = {key: cell for key, cell in cells.items() if key not in names.values() and not key.startswith("delay_")}
    return {names.get(key, key): cell for key, cell in {**kept, **{k: cells[k] for k in names if k in cells}}.items()}


def _labelled(figures: Mapping[str, Any], scoring: str) -> str:
    rows, count = figures["data"]["anomalous"], figures[scoring]["detector"]["events"]
    return f"{rows:,} labelled anomalous in {count:,} event{'' if count == 1 else 's'}"


def _named(figures: Mapping[str, Any], scoring: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return name, figures and intervals of the detector and the baselines."""
    table = figures[scoring]
    rows = {figures["model"]: table["detector"], **table["baselines"]}
    return [(name, row, table["intervals"][name]) for name, row in rows.items()]


def _rows(figures: Mapping[str, Any], scoring: str) -> list[str]:
    lines: list[tuple[str, ...]] = [("", "VUS-PR (95 %)", "F1 (95 %)", "prec.", "recall", "adj. F1")]
    for name, row, sure in _named(figures, scoring):
        cells = [_sure(sure.get(key)) for key in _JUDGED]
        cells += [_number(row.get(key)) for key in ("precision", "recall", "adjusted_f1")]
        lines.append((name, *cells))
    return _aligned(lines)


def _alarms(figures: Mapping[str, Any]) -> list[str]:
    per = figures["data"]["false_alarms_per"]
    lines: list[tuple[str, ...]] = [
        ("", "found", "delay" if per == "day" else "rows late", f"false/{per}", "normal", "VUS-PR", "F1")
    ]
    for name, row, sure in _named(figures, "causal"):
        has_threshold = "events" in row
        lines.append((
            name,
            f"{row['events_found']} of {row['events']}" if has_threshold else _NONE,
            _delay(row),
            _rate(sure.get("false_alarm_rate")),
            f"{row['normal_flagged']:.2%}" if has_threshold else _NONE,
            *(_number(row.get(key)) for key in _JUDGED),
        ))  # fmt: skip
    return _aligned(lines)


def _delay(row: Mapping[str, Any]) -> str:
    rows, seconds = row.get("delay_rows_median"), row.get("delay_s_median")
    if rows is None:
        return _NONE
    return f"{rows:g}" if seconds is None else _span(seconds)


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{name:<{widths[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        for name, *cells in rows
    ]


def _number(value: float | None, digits: int = 3) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _sure(figure: Mapping[str, Any] | None) -> str:
    """Return a figure with its interval."""
    if figure is None or figure["value"] is None:
        return _NONE
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    return _number(value) if low is None else f"{value:.3f} ({low:.2f}-{high:.2f})"


def _rate(figure: Mapping[str, Any] | None) -> str:
    """Return a rate with its interval, with as many decimals as its size asks for."""
    if figure is None or figure["value"] is None:
        return _NONE
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    size = value if high is None else high
    digits = 2 if size < 10 else 1 if size < 100 else 0
    return _number(value, digits) if low is None else f"{value:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _compared(table: Mapping[str, Any], key: str) -> str:
    """Say whether the detector is better than the best baseline, and whether that is certain."""
    own, name = table["detector"][key], _JUDGED[key]
    others = {other for other, row in table["baselines"].items() if row.get(key) is not None}
    if not others - {baselines.RANDOM, baselines.AS_MANY, baselines.ALL}:
        return f"{name} {own:.3f}: the baselines have no threshold, so nothing tells whether that is much."
    best, others_best, gap = _best(table, key)
    value, low, high = (gap[part] for part in ("value", "low", "high"))
    if low is None:
        sure = "without an interval: not certain"
    else:
        is_certain = value * low > 0 and value * high > 0
        sure = f"95 % interval {low:.3f} to {high:.3f}" + ("" if is_certain else ": not certain")
    much = f"{'better' if value > 0 else 'worse'} than the best baseline by {abs(value):.3f}"
    if abs(value) < _EQUAL:
        much = "no better than the best baseline"
    return f"{name} {own:.3f}: {much} ({sure}). That is {best}, {others_best:.3f}."


def _best(table: Mapping[str, Any], key: str) -> tuple[str, float, dict[str, Any]]:
    """Return the best baseline, its figure, and the detector's difference from it."""
    others = {other: row[key] for other, row in table["baselines"].items() if row.get(key) is not None}
    best = max(others, key=lambda other: others[other])
    return best, others[best], table["difference"][best][key]


def _kept(figures: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """Say whether the threshold gives as many false alarms as expected, in rows and in events."""
    row, scoring, set_by = table["detector"], figures["scoring"], figures["threshold"]
    expected, alarms = (set_by[name][scoring] for name in ("expected_flagged", "expected_false_alarm_rate"))
    seen = row["normal_flagged"]
    if seen is None:
        return "No row is without a label of an anomaly."
    much = f", {seen / expected:,.1f} times as many" if 0 < expected < 0.95 * seen else ""
    return (
        f"Of the rows not labelled anomalous at most {expected:.2%} were expected to be flagged: {seen:.2%} are{much}. "
        f"False alarms per {figures['data']['false_alarms_per']}: at most {alarms:.2f} expected, "
        f"{row['false_alarm_rate']:.2f} seen."
    )
