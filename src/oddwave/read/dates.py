"""Dates: the text of one date and time, or a whole column of them, as microseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_CLOCK = (
    r"(?:(?:[Tt]|,? +)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"(?: ?(?P<half>[AaPp][Mm]))?(?: ?(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?"
)
YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})" + _CLOCK, re.ASCII)
COMPACT = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})T(?P<hour>\d{2})(?P<minute>\d{2})"
    r"(?:(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?(?P<half>(?!))?(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)
YEAR_LAST = re.compile(r"(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4})" + _CLOCK, re.ASCII)
_FIELDS = ("year", "month", "day", "one", "two", "hour", "minute", "second")


def instant(text: str, is_day_first: bool) -> tuple[int, str | None] | None:
    """Return microseconds since 1970, in UTC if there is a zone, and the zone's text; None if it is no date.

    Examples
    --------
    >>> instant("1970-01-01 01:00:00.5+01:00", is_day_first=False)
    (500000, '+01:00')
    >>> instant("1970-02-30", is_day_first=False) is None
    True
    """
    found = YEAR_FIRST.fullmatch(text) or YEAR_LAST.fullmatch(text) or COMPACT.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict()
    if "one" in part:
        day_first = is_day_first or part["mark"] == "."
        part["day"], part["month"] = (part["one"], part["two"]) if day_first else (part["two"], part["one"])
    try:
        days = date(int(part["year"]), int(part["month"]), int(part["day"])).toordinal() - _EPOCH
    except ValueError:
        return None
    hour, minute, second = int(part["hour"] or 0), int(part["minute"] or 0), int(part["second"] or 0)
    if part["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if part["half"].upper() == "PM" else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = int((part["fraction"] or "0")[:6].ljust(6, "0"))
    us = days * DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    zone = part["zone"]
    return us - offset_us(zone), zone


def offset_us(zone: str | None) -> int:
    """Return the microseconds by which a zone is ahead of UTC.

    Examples
    --------
    >>> offset_us("-0130"), offset_us("Z")
    (-5400000000, 0)
    """
    if not zone or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return (-minutes if zone[0] == "-" else minutes) * 60_000_000


def instants(texts: Sequence[str], is_day_first: bool) -> tuple[NDArray[np.int64], str | None] | None:
    """Read a whole column at once; None unless all cells have the first one's very form and zone.

    The slow twin is `instant`, cell by cell.
    """
    first = texts[0]
    found = YEAR_FIRST.fullmatch(first) or YEAR_LAST.fullmatch(first)
    if found is None or found["half"] or not first.isascii():
        return None
    width = len(first)
    joined = "".join(texts)
    if set(map(len, texts)) != {width} or not joined.isascii():
        return None
    cells = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(-1, width)
    is_digit = np.array([letter.isdigit() for letter in first])
    if found["zone"]:
        is_digit[found.start("zone") :] = False  # the zone's text must be the same in all rows
    digits = cells[:, is_digit] - 48  # (time, digit), wrapping below "0" to above 9
    if (digits > 9).any() or (cells[:, ~is_digit] != cells[0, ~is_digit]).any():
        return None
    part = {name: _field(cells, found.span(name)) for name in _FIELDS if name in found.groupdict() and found[name]}
    if "one" in part:
        day_first = is_day_first or found["mark"] == "."
        part["day"], part["month"] = (part["one"], part["two"]) if day_first else (part["two"], part["one"])
    us = _microseconds(part)
    if us is None:
        return None
    if found["fraction"]:
        start, stop = found.span("fraction")
        stop = min(stop, start + 6)
        us += _field(cells, (start, stop)) * 10 ** (6 - (stop - start))
    return us - offset_us(found["zone"]), found["zone"]


def _field(cells: NDArray[np.uint8], span: tuple[int, int]) -> NDArray[np.int64]:
    value = np.zeros(len(cells), dtype=np.int64)
    for at in range(*span):
        value = value * 10 + (cells[:, at] - 48)
    return value


def _microseconds(part: dict[str, NDArray[np.int64]]) -> NDArray[np.int64] | None:
    year, month, day = part["year"], part["month"], part["day"]
    if (year < 1).any() or (month < 1).any() or (month > 12).any() or (day < 1).any():
        return None
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    if (days.astype("datetime64[M]") != months).any():
        return None
    us = days.astype(np.int64) * DAY_US
    for name, limit, unit in (
        ("hour", 23, 3_600_000_000),
        ("minute", 59, 60_000_000),
        ("second", 59, 1_000_000),
    ):
        if name in part:
            if (part[name] > limit).any():
                return None
            us += part[name] * unit
    return us
