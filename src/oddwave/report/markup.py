"""Markup: HTML and SVG whose texts can't become elements, since all that isn't `Markup` is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple, TypeAlias

from oddwave.errors import visible


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"


def tag(name: str, *content: Content, **attributes: object) -> Markup:
    """Return an element; attributes that are None or False are left out, a trailing underscore of their name too.

    Examples
    --------
    >>> tag("p", "1 < 2", tag("b", "so"), class_="hint", hidden=True)
    '<p class="hint" hidden>1 &lt; 2<b>so</b></p>'
    """
    written = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Iterable[Content]) -> Markup:
    """Return all parts one after another; what isn't markup yet is made harmless."""
    parts: list[str] = []
    for part in content:
        if isinstance(part, Markup):
            parts.append(part)
        elif isinstance(part, str):
            parts.append(escape(visible(part)))
        elif part is not None:
            parts.append(join(part))
    return Markup("".join(parts))


def table(
    heads: Sequence[Content], rows: Iterable[Iterable[Content]], numbers: Iterable[int] = (), title: str = ""
) -> Markup:
    """Return a table in a box that scrolls sideways; the first cell of a row names it, `numbers` stand right."""
    right = set(numbers)

    def cell(place: int, content: Content, in_head: bool) -> Markup:
        is_head = in_head or not place
        scope = {"scope": "col" if in_head else "row"} if is_head else {}
        return tag("th" if is_head else "td", content, class_="number" if place in right else None, **scope)

    head = tag("tr", [cell(place, content, True) for place, content in enumerate(heads)])
    body = [tag("tr", [cell(place, content, False) for place, content in enumerate(row)]) for row in rows]
    inside = tag("table", tag("caption", title) if title else None, tag("thead", head), tag("tbody", body))
    return tag("div", inside, class_="sideways", tabindex=0, role="region", aria_label=title or "Table")


def listed(pairs: Iterable[tuple[str, Content]], **attributes: object) -> Markup:
    """Return names and what belongs to them."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", what, dir="auto")) for name, what in pairs], **attributes)


class Section(NamedTuple):
    """A part of the page that its table of contents names."""

    name: str
    title: str
    content: Markup


def section(name: str, title: str, *content: Content) -> Section:
    """Return a section with its heading."""
    head = tag("h2", title, id=f"{name}-title")
    return Section(name, title, tag("section", head, content, id=name, class_="card", aria_labelledby=f"{name}-title"))


def hint(*content: Content) -> Markup:
    """Return what explains something, in small letters."""
    return tag("p", content, class_="hint")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(visible(str(value)))}"'
