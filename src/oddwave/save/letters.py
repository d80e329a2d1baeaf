"""Texts in a picture: any name is shown as it is, in a font that comes with matplotlib."""

from __future__ import annotations

import re
from typing import Any
from unicodedata import east_asian_width

from oddwave.errors import visible

FONT = "DejaVu Sans"  # comes with matplotlib: the same picture on every machine
EAST_ASIAN = (  # DejaVu has no Chinese, Japanese or Korean: the first of these that is installed
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Arial Unicode MS",
)  # fmt: skip


class Letters:
    """The fonts of a picture, and how texts are written with them."""

    def __init__(self) -> None:
        from matplotlib import font_manager

        installed = {font.name for font in font_manager.fontManager.ttflist}
        self.families = [FONT, *[name for name in EAST_ASIAN if name in installed][:1]]
        paths = [font_manager.findfont(font_manager.FontProperties(family=[name])) for name in self.families]
        self.fonts = [font_manager.get_font(path) for path in paths]

    def style(self, size: float, color: str) -> dict[str, Any]:
        """Return how to write: nothing is left to the user's matplotlib settings, and a `$` is a `$`."""
        style = {"fontfamily": self.families, "fontsize": size, "color": color}
        return style | {"fontweight": "normal", "fontstyle": "normal", "parse_math": False, "usetex": False}

    def plain(self, text: str, room: int = 200) -> str:
        """Return a text of at most so many letters; signs that no font has are written as escapes."""
        text = "".join(sign if self._has(sign) else ascii(sign)[1:-1] for sign in visible(text))
        return shortened(text, room)

    def _has(self, sign: str) -> bool:
        return " " <= sign <= "~" or any(font.get_char_index(ord(sign)) for font in self.fonts)


def shortened(text: str, room: int) -> str:
    """Leave out the middle of a text that is too wide; an East Asian sign is as wide as two letters.

    Examples
    --------
    >>> shortened("a/very/long/name.csv", 9), shortened("ab", 9), shortened("时间时间时间", 9)
    ('a/ve….csv', 'ab', '时间…时间')
    """
    if sum(map(_width, text)) <= room:
        return text
    half = (room - 1) // 2
    head, tail = _fitting(text, half), _fitting(text[::-1], half)[::-1]
    return f"{head}…{tail}"


def plainest(time: Any) -> str:
    """Return a time as the user wrote it, but for zeros behind whole seconds.

    Examples
    --------
    >>> plainest("2024-01-01T00:00:00.000000Z"), plainest(12.50)
    ('2024-01-01T00:00:00Z', '12.5')
    """
    return re.sub(r"(:\d\d)[.,]0+(?!\d)", r"\1", str(time))


def _fitting(text: str, room: int) -> str:
    for at, sign in enumerate(text):
        room -= _width(sign)
        if room < 0:
            return text[:at]
    return text


def _width(sign: str) -> int:
    return 2 if east_asian_width(sign) in "WF" else 1
