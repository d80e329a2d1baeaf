"""Columns of a table: which is the time, the group, the label, and which are channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from oddwave.errors import InputError, nearest
from oddwave.read.cells import NUMBER, is_missing, shown
from oddwave.series import Columns

TIME_NAMES = (
    "timestamp", "@timestamp", "timestamp_(min)", "time_stamp", "datetime", "date_time", "time", "date", "ts",
)  # fmt: skip
"""Names by which a time column is found when none is given, best first; upper and lower case are the same."""
LABEL_NAMES = ("label", "Label")
NO_TIME = "No time column was found: rows are numbered from 0. If one of those is the time, name it with time_col."
_SHOWN_NAMES = 20


@dataclass(frozen=True)
class Roles:
    """What each column of a table is for, by position.

    Parameters
    ----------
    names
        All column names, in the table's order.
    channels
        Positions of the channels, in the order in which `Series.values` holds them.
    is_guessed
        The channels weren't given: of `channels`, those that hold numbers are meant.
    notes
        What was left aside or chosen.
    """

    names: tuple[str, ...]
    time: int | None
    group: int | None
    label: int | None
    channels: tuple[int, ...]
    is_guessed: bool
    notes: tuple[str, ...] = ()

    @cached_property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in the order of `channels`."""
        return tuple(self.names[at] for at in self.channels)


def assign(names: Sequence[str], columns: Columns) -> Roles:
    """Find the columns asked for.

    Raises
    ------
    InputError
        If one is missing or there twice; its message goes on after the source ("has no column …").
    """
    names = tuple(names)
    _refuse_twins(names)
    time = _find(names, columns.time_col, "time column")
    group = _find(names, columns.group_col, "group column")
    label = _find(names, columns.label_col, "label column")
    taken = {at for at in (group, label) if at is not None}
    if time is None:
        time = _known_time(names, columns, taken)
    if label is None and (columns.channels is None or columns.finds_label):
        free = [name in LABEL_NAMES and name not in (columns.channels or ()) for name in names]
        found = (at for at, is_free in enumerate(free) if is_free and at != time)
        label = next(found, None)
    taken |= {at for at in (time, label) if at is not None}
    if columns.channels is None:
        channels = tuple(at for at, name in enumerate(names) if at not in taken and name)
    else:
        channels = _positions(names, columns.channels, time)
    notes = _aside(names, taken | set(channels))
    notes += (NO_TIME,) if notes and time is None else ()
    return Roles(names, time, group, label, channels, columns.channels is None, notes)


def listed(names: Sequence[str]) -> str:
    """List names for a message, cut if many."""
    rest = len(names) - _SHOWN_NAMES
    text = ", ".join(name or "(no name)" for name in names[:_SHOWN_NAMES])
    return f"{text} and {rest} more" if rest > 0 else text


def is_headerless(names: Sequence[str]) -> bool:
    """Tell whether a first line looks like data: only numbers, and not simply counted columns.

    Examples
    --------
    >>> is_headerless(["0.5", "12"]), is_headerless(["0", "1", "2"]), is_headerless(["time", "1"])
    (True, False, False)
    """
    filled = [name for name in names if name]
    counted = [str(at) for at in range(len(filled) + 1)]
    if len(filled) > 2 and filled in (counted[:-1], counted[1:]):  # pandas names columns so
        return False
    cells = [name for name in filled if not is_missing(name)]
    if filled and _looks_like_date(filled[0]):
        cells = cells[1:] or filled[:1]
        return cells == filled[:1] or all(NUMBER.fullmatch(cell) for cell in cells)
    return bool(cells) and all(NUMBER.fullmatch(cell) for cell in cells)


def _looks_like_date(text: str) -> bool:
    return (
        len(text) >= 8
        and text[0].isdigit()
        and sum(text.count(mark) for mark in "-/.:") >= 2
        and (not any(letter.isalpha() and letter not in "TZ" for letter in text))
    )


def _refuse_twins(names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise InputError(f"has the column {shown(name)} {names.count(name)} times.\nGive each a name of its own.")
        seen.add(name)


def _find(names: tuple[str, ...], name: str | None, role: str) -> int | None:
    if name is None:
        return None
    if name not in names:
        _refuse_missing(names, [name], f" (the {role})")
    return names.index(name)


def _known_time(names: tuple[str, ...], columns: Columns, taken: set[int]) -> int | None:
    channels = columns.channels or ()
    known = columns.known_time_col
    if known in names and known not in channels:
        return names.index(known)
    lower = [name.lower() for name in names]
    for word in TIME_NAMES:
        for at, name in enumerate(lower):
            if name == word and at not in taken and names[at] not in channels:
                return at
    return None


def _positions(names: tuple[str, ...], channels: tuple[str, ...], time: int | None) -> tuple[int, ...]:
    place = {name: at for at, name in enumerate(names)}
    missing = [name for name in channels if name not in place]
    if missing:
        _refuse_missing(names, missing, "", channels)
    if time is not None and names[time] in channels:
        raise InputError(f"has {shown(names[time])} as a channel and as the time column.\nName another time column.")
    return tuple(place[name] for name in channels)


def _refuse_missing(names: tuple[str, ...], missing: list[str], role: str, channels: tuple[str, ...] = ()) -> NoReturn:
    what = f"column {shown(missing[0])}{role}" if len(missing) == 1 else f"columns {listed(missing)}"
    free = [name for name in names if name not in channels]  # a column that is there isn't meant by another name
    lower = {name.lower(): name for name in free}
    hints = dict.fromkeys(lower.get(name.lower()) or _near(name, free) for name in missing[:3])
    near = [hint for hint in hints if hint]
    meant = f" Did you mean {', '.join(near)}?" if near else ""
    it = "it" if len(missing) == 1 else "them"
    advice = f"\nGive data that has {it}, or train a detector on the columns that are there." if channels else ""
    raise InputError(f"has no {what}.{meant}\nIt has these columns: {listed(names)}.{advice}")


def _near(name: str, names: Sequence[str]) -> str:
    return nearest(name, [other for other in names if other]).removeprefix(" Did you mean ").removesuffix("?")


def _aside(names: tuple[str, ...], used: set[int]) -> tuple[str, ...]:
    extra = [names[at] for at in range(len(names)) if at not in used]
    if not extra:
        return ()
    return (f"{'Columns' if len(extra) > 1 else 'Column'} left aside: {listed(extra)}.",)
