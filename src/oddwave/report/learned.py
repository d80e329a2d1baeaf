"""What the detector learned from: the rows, their health, how learning went, and how to do it again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from oddwave.metadata import Metadata
from oddwave.printed import span
from oddwave.report.contents import Channel, Loss, Report
from oddwave.report.markup import Content, Markup, Section, hint, listed, section, table, tag
from oddwave.report.plots import Axis, Curve, plot, spark, words
from oddwave.save import html

if TYPE_CHECKING:
    from oddwave.check.finding import Finding

LISTED = 30  # channels
NAMED = 8  # channels of a finding
_SEVERITIES = ("error", "warning", "note")


def about(report: Report) -> list[tuple[str, Content]]:
    """Return what the detector is."""
    detector, rows = report.detector, report.trained_on
    facts: list[tuple[str, Content]] = [("Model", detector.model)]
    if rows:
        when = f", {html.shown(rows.first)} to {html.shown(rows.last)}" if rows.first else ""
        without = f"; {rows.left_out:,} of them left out" if rows.left_out else ""
        facts.append(("Trained on", f"{html.shown(rows.source)}: {rows.count:,} rows{when}{without}"))
    elif "rows" in detector.training:
        named = detector.training.get("data")
        name = f"rows of {html.shown(named)}" if named else "normal rows"
        facts.append(("Trained on", f"{detector.training['rows']:,} {name}"))
    count, scored = len(detector.channels), sum(detector.scored)
    facts.append(("Channels", f"{count:,}" + ("" if scored == count else f", {scored:,} of them scored")))
    if step := step_words(detector):
        facts.append(("A row every", step))
    if report.result is not None:
        result = report.result
        facts.append((
            "Evaluated on" if report.kind == "evaluation" else "Scores of",
            f"{html.shown(result.input_path)}: {len(result.series):,} rows, {result.scoring}",
        ))  # fmt: skip
    if detector.licence:
        facts.append(("Licence of the data", html.shown(detector.licence)))
    return facts


def step_words(detector: Metadata) -> str:
    """Return the time from row to row, if it is known."""
    time = detector.time
    if time.step is None or time.kind == "row":
        return ""
    return span(time.step) if time.kind == "datetime" else f"{time.step:g} in {html.shown(time.name)}"


def sections(report: Report) -> list[Section]:
    """Return the data's health and the course of learning."""
    parts = []
    if report.channels or report.findings:
        parts.append(section("health", "Health of the data", _findings(report.findings), _channels(report)))
    if report.loss and report.loss.losses:
        parts.append(section("learning", "How learning went", *_loss(report.loss)))
    return parts


def repeat(report: Report) -> list[Section]:
    """Return settings and versions."""
    detector = report.detector
    settings: list[tuple[str, Content]] = [
        ("window", f"{detector.size} rows"), ("stride", f"{detector.stride} rows"),
        ("smoothing", f"{detector.full.smoothing} rows, live {detector.causal.smoothing}"),
        ("rolling", f"{detector.full.rolling} rows, live {detector.causal.rolling}"),
        ("max_gap", f"{detector.max_gap} rows"),
        *((name, _setting(value)) for name, value in detector.settings.items()),
    ]  # fmt: skip
    parts: list[Content] = [tag("h3", "Settings"), listed(settings, class_="facts")]
    if report.trained_on and report.trained_on.parts:
        used = [(what, f"{count:,} rows") for what, count in report.trained_on.parts]
        parts += [tag("h3", "What the rows were used for"), listed(used, class_="facts")]
    parts += [tag("h3", "Versions"), listed(sorted(detector.versions.items()), class_="facts")]
    parts += (
        [hint("SHA-256 of the model's graph: ", tag("code", detector.graph_sha256))] if detector.graph_sha256 else []
    )
    if report.command:
        parts += [tag("h3", "The command that does it again"), command(report.command)]
    if report.notes:
        parts += [tag("h3", "Notes"), tag("ul", [tag("li", note, dir="auto") for note in report.notes])]
    return [section("repeat", "Settings, to do it again", *parts)]


def command(text: str) -> Markup:
    """Return something to type in a terminal."""
    return tag("pre", tag("code", text), tabindex=0, aria_label="Command")


def _setting(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode().replace(",", ", ")


def _findings(findings: Iterable[Finding]) -> Markup:
    found = sorted(findings, key=lambda each: _SEVERITIES.index(each.severity))
    if not found:
        return tag("p", tag("b", "✓ ", class_="label"), "The checks found nothing to complain of.")
    return tag("ul", [tag("li", *_finding(each)) for each in found], class_="findings")


def _finding(finding: Finding) -> Iterable[Content]:
    yield tag("b", finding.severity.capitalize(), class_=f"severity {finding.severity}")
    what, *places = finding.what.split("\n")
    lines = [tag("p", line) for line in places]
    yield tag("div", tag("p", tag("b", what)), lines, tag("p", finding.advice, _of(finding.channels)))


def _of(names: Iterable[str]) -> Content:
    named = [html.shown(name) for name in names]
    if not named:
        return None
    more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    return tag("small", "Channels: ", tag("bdi", ", ".join(named[:NAMED])), f"{more}.")


def _channels(report: Report) -> Content:
    if not report.channels:
        return None
    shown = _relevant(report)
    has_missing = any(channel.missing for channel in report.channels)
    heads = ["Channel", "Over time", "Smallest", "Mean", "Largest", *(["Missing"] if has_missing else []), "Scored"]
    rows = [
        [
            tag("bdi", html.shown(each.name)), spark(each.low, each.high), words(each.minimum), words(each.mean),
            words(each.maximum), *([_share(each.missing)] if has_missing else []), "yes" if each.is_scored else "no",
        ]
        for each in shown
    ]  # fmt: skip
    more = len(report.channels) - len(shown)
    said = (
        [hint(f"{more:,} more channels are not listed: those with findings and in events come first.")] if more else []
    )
    return [
        tag("h3", "Channels"),
        hint("Over time: the range of values, from the first row to the last; each channel has its own scale."),
        table(heads, rows, numbers=range(2, 5 + has_missing), title="Channels"),
        *said,
    ]  # fmt: skip


def _relevant(report: Report) -> list[Channel]:
    """Return the channels to list: those that something was said of, then the first ones."""
    named = [name for each in report.findings for name in each.channels]
    if report.result:
        named += [name for event in report.result.events for name, _ in event.channels]
    place = {name: i for i, name in reversed(list(enumerate(named)))}
    chosen = sorted(range(len(report.channels)), key=lambda i: (place.get(report.channels[i].name, len(named)), i))[
        :LISTED
    ]
    return [report.channels[i] for i in sorted(chosen)]


def _share(share: float) -> str:
    return "–" if not share else f"{100 * share:.2g} %"


def _loss(loss: Loss) -> Iterable[Content]:
    curves = [Curve("rows it learned from", "line", list(enumerate(loss.losses, 1)))]
    if loss.held_out_losses:
        curves.append(Curve("rows kept aside", "second", list(enumerate(loss.held_out_losses, 1))))
    values = [value for curve in curves for _, value in curve.points]
    watched = curves[-1].points
    if loss.best_epoch:
        curves.append(Curve("kept", "dots", [watched[min(loss.best_epoch, len(watched)) - 1]]))
    last = len(loss.losses)
    x, y = (
        Axis("epoch (one round over the rows)", 1, max(last, 2)),
        Axis("mean squared error", 0, max(values) * 1.05 or 1.0),
    )
    kept = f" The weights after epoch {loss.best_epoch} were kept." if loss.best_epoch else ""
    said = f"After {last} epochs the error fell from {words(loss.losses[0])} to {words(loss.losses[-1])}"
    if loss.held_out_losses:
        said += f", on rows kept aside from {words(loss.held_out_losses[0])} to {words(min(loss.held_out_losses))}"
    yield tag("p", f"{said}.{kept} {loss.stopped}".strip())
    yield plot("Error by epoch", f"{said}.", x, y, curves)
    yield hint(
        "The model fills in hidden values; the error is how far off it is, in units of each channel's usual deviation. "
        "If the error on rows kept aside rises while the other falls, the model learns by heart."
    )  # fmt: skip
