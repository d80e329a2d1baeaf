"""Report: one HTML page about a training or an evaluation, for those who must decide whether to trust the detector.

The page needs nothing else: no network, and for texts, tables and small charts no script either. The chart of
the scores is that of a result's page.
"""

from __future__ import annotations

from html import escape
from os import PathLike
from pathlib import Path

from oddwave.atomic import Atomic
from oddwave.chart import Chart
from oddwave.report import found, learned, measured, trust
from oddwave.report.contents import Channel, Figure, Loss, Report, Rows, Way, channels
from oddwave.report.markup import Markup, Section, join, listed, tag
from oddwave.save import html

CHANNELS = 8
VALUES = 30_000  # of all lines of the score's chart

__all__ = ["Channel", "Figure", "Loss", "Report", "Rows", "Way", "channels", "write"]


def write(path: str | PathLike[str], report: Report) -> Path:
    """Write the page, whole or not at all, and return its path. The same report gives the same bytes.

    Raises
    ------
    OutputError
        If the file can't be written.
    """
    page = _page(report)
    target = Path(path)
    with Atomic(target) as file:
        file.write(page)
    return target


def _page(report: Report) -> bytes:
    drawn = None if report.result is None else html.drawing(report.result, CHANNELS, VALUES)
    has_chart = drawn is not None and len(drawn.edges) > 2
    parts = _parts(report, drawn)
    slots = {
        "title": escape(html.shown(report.title)),
        "kind": f"{report.kind.capitalize()} report",
        "head": _head(report),
        "nav": tag("nav", [tag("a", each.title, href=f"#{each.name}") for each in parts], aria_label="Contents"),
        "body": join(each.content for each in parts),
        "data": html.embedded(found.data(report.result, drawn)) if drawn and report.result and has_chart else "{}",
    }
    scripts = [html.part(name) for name in html.SCRIPTS] if has_chart else []
    return html.assembled(
        _part("report.html"), slots, [*map(html.part, html.STYLES), _part("report.css")],
        [*scripts, _part("report.js")] if has_chart else [],
    )  # fmt: skip


def _part(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text("utf-8")


def _head(report: Report) -> Markup:
    """Return the answer, and what it is about."""
    tiles = [*measured.tiles(report), *found.tiles(report), *trust.tiles(report)][:4]
    glance = [tag("div", tag("dt", name), tag("dd", tag("b", value), tag("span", note))) for name, value, note in tiles]
    return join([
        tag("p", report.verdict, id="verdict") if report.verdict else None,
        tag("dl", glance, class_="tiles") if glance else None,
        listed(learned.about(report), id="facts"),
    ])  # fmt: skip


def _parts(report: Report, drawn: Chart | None) -> list[Section]:
    return [
        *measured.sections(report),
        *found.sections(report, drawn),
        *trust.sections(report),
        *learned.sections(report),
        *trust.limits(report),
        *learned.repeat(report),
    ]
