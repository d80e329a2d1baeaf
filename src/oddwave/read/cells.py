"""Cells: the text of one cell as a number, and which texts mean that a cell is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oddwave.series import Floats

MISSING = ("", "-", "nan", "+nan", "-nan", "na", "<na>", "n/a", "#n/a", "null", "none", "nat")
"""Texts that stand for a missing cell, in upper or lower case, spaces around them ignored."""

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMA_NUMBER = re.compile(r"[+-]?(?:[0-9]+,[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS_OF_TRUTH = {"true": 1.0, "false": 0.0}
_WORDS = dict.fromkeys(MISSING, np.nan) | _WORDS_OF_TRUTH
_WORDS |= {sign + word: float(sign + word) for sign in ("", "+", "-") for word in ("inf", "infinity")}
_PLAIN = b"0123456789+-.eE,"


@dataclass
class Odd:
    """What a column of texts held beside plain numbers: positions of cells, counted from 0."""

    text_count: int = 0
    first_text: int = -1
    comma: int = -1
    point: int = -1
    has_words: bool = False


def is_plain(texts: Sequence[str]) -> bool:
    """Tell whether the cells hold only the characters of decimal numbers."""
    joined = ",".join(texts)
    return joined.isascii() and not joined.encode().translate(None, _PLAIN)


def numbers(texts: Sequence[str], may_have_comma: bool = False) -> tuple[Floats, Odd]:
    """Read a column of texts as numbers; a cell that is none becomes NaN and is told of in `Odd`.

    Examples
    --------
    >>> numbers(["1", ".5", "NA", "True", "4O"])[0].tolist()
    [1.0, 0.5, nan, 1.0, nan]
    """
    odd = Odd()
    if not may_have_comma and is_plain(texts):
        try:
            return np.array([float(text) for text in texts], dtype=np.float64), odd
        except ValueError:
            pass
    values = np.empty(len(texts), dtype=np.float64)
    for at, text in enumerate(texts):
        cell = text.strip()
        word = _WORDS.get(cell.lower())
        if word is not None:
            values[at] = word
            odd.has_words = odd.has_words or cell.lower() in _WORDS_OF_TRUTH
        elif NUMBER.fullmatch(cell):
            values[at] = float(cell)
            if odd.point < 0 and "." in cell:
                odd.point = at
        elif may_have_comma and _COMMA_NUMBER.fullmatch(cell):
            values[at] = float(cell.replace(",", "."))
            odd.comma = at if odd.comma < 0 else odd.comma
        else:
            values[at] = np.nan
            odd.first_text = at if odd.text_count == 0 else odd.first_text
            odd.text_count += 1
    return values, odd


def is_missing(text: str) -> bool:
    """Tell whether a text stands for a missing cell."""
    return text.strip().lower() in MISSING


def shown(text: object, limit: int = 40) -> str:
    """Quote a value for a message, cut if long.

    Examples
    --------
    >>> shown("x" * 50, limit=5)
    "'xxxxx…'"
    """
    plain = str(text)
    return repr(plain if len(plain) <= limit else plain[:limit] + "…")
