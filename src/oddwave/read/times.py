"""Time: the time column of an input as ticks, its kind decided once and kept for all blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.read.cells import NUMBER, is_missing, is_plain, shown
from oddwave.read.dates import YEAR_LAST, instant, instants
from oddwave.series import Ticks, TimeKind

Lines: TypeAlias = NDArray[np.int64]
LookAhead: TypeAlias = Callable[[], Iterable[tuple[list[str], Lines]]]
_NAT = np.iinfo(np.int64).min


@dataclass
class Stamps:
    """Times that came typed: microseconds since 1970 in UTC (blank: the least integer), and ISO texts."""

    ticks: NDArray[np.int64]
    text: NDArray[Any]


def stamps(local: NDArray[Any], utc: NDArray[Any] | None = None, is_date: bool = False) -> Stamps:
    """Make typed times from datetime64 arrays: as the clock on the wall shows them, and in UTC if zoned."""
    local = np.asarray(local, dtype="datetime64[us]")
    unit: Literal["D", "us", "s"] = "D" if is_date else ("us" if (local.astype(np.int64) % 1_000_000).any() else "s")
    text: NDArray[Any] = np.datetime_as_string(local, unit=unit).astype(object)
    if utc is None:
        return Stamps(local.astype(np.int64), text)
    utc = utc.astype("datetime64[us]")
    minutes = (local.astype(np.int64) - utc.astype(np.int64)) // 60_000_000
    zone = {m: f"{'-' if m < 0 else '+'}{abs(m) // 60:02d}:{abs(m) % 60:02d}" for m in np.unique(minutes).tolist()}
    text = np.array([at + zone[m] for at, m in zip(text, minutes.tolist(), strict=True)], dtype=object)
    return Stamps(utc.astype(np.int64), text)


class Clock:
    """Reads the time column block by block.

    Numbers or dates: the first cell decides, later ones must comply, so that an input says the same in one
    piece and in many.
    """

    def __init__(self, source: str, place: str, name: str, look_ahead: LookAhead | None = None) -> None:
        self.source, self.place, self.name = source, place, name
        self.look_ahead = look_ahead
        self.kind: TimeKind = "row"
        self.next_row = 0
        self.is_day_first: bool | None = None
        self.zoned: bool | None = None
        self.zoned_at: tuple[int, str] = (0, "")
        self.zones: dict[int, tuple[int, str]] = {}
        self.order_note = ""
        self.is_like_days: bool | None = None

    def read(self, times: list[str] | Stamps | Ticks | None, lines: Lines) -> tuple[Ticks, NDArray[Any]]:
        """Return the ticks, and the times as the user wrote them."""
        if times is None:
            count = np.arange(self.next_row, self.next_row + len(lines), dtype=np.int64)
            self.next_row += len(lines)
            return count, count
        if isinstance(times, Stamps):
            self.kind = "datetime"
            self._refuse_blank(times.ticks == _NAT, lines)
            return times.ticks, times.text
        if isinstance(times, np.ndarray) and self.kind == "datetime":
            times = [str(time) for time in times.tolist()]  # dates stood above: these aren't, and that is told
        if isinstance(times, np.ndarray):
            self.kind = "number"
            self._refuse_blank(~np.isfinite(times), lines)
            self._look_for_days(times)
            return times, times
        if self.kind == "row":
            self.kind = "number" if NUMBER.fullmatch(times[0].strip()) else "datetime"
        if self.kind == "number":
            ticks = self._numbers(times, lines)
            self._look_for_days(ticks)
            return ticks, ticks
        return self._dates(times, lines), np.array(list(map(str.strip, times)), dtype=object)

    def notes(self) -> tuple[str, ...]:
        """Say what was guessed or mixed."""
        notes = [self.order_note] if self.order_note else []
        if len(self.zones) > 1:
            seen = ", ".join(f"{zone} ({self.place} {line})" for line, zone in list(self.zones.values())[:3])
            notes.append(f"The time column {shown(self.name)} has several offsets: {seen}; all were made UTC.")
        if self.is_like_days:
            notes.append(
                f"The times in {shown(self.name)} look like dates written YYYYMMDD, but were read as whole numbers, "
                "with leaps at the ends of months. If they are dates, write them as YYYY-MM-DD."
            )
        return tuple(notes)

    def _look_for_days(self, ticks: Ticks) -> None:
        if self.is_like_days is not False:
            is_first = ticks.dtype.kind == "i" and 19000101 <= ticks[0] <= 21001231  # rarely, and soon told
            self.is_like_days = bool(is_first) and _are_days(ticks)

    def _numbers(self, texts: list[str], lines: Lines) -> Ticks:
        if is_plain(texts):
            try:
                return np.array(list(map(int, texts)), dtype=np.int64)
            except (ValueError, OverflowError):
                pass
        cells = [text.strip() for text in texts]
        for at, cell in enumerate(cells):
            if not NUMBER.fullmatch(cell) or not np.isfinite(float(cell)):
                self._refuse(cell, lines[at], "isn't a number like the times before it" if at else "is no time")
        try:
            return np.array([int(cell) for cell in cells], dtype=np.int64)
        except (ValueError, OverflowError):
            return np.array([float(cell) for cell in cells], dtype=np.float64)

    def _dates(self, texts: list[str], lines: Lines) -> NDArray[np.int64]:
        if self.is_day_first is None and (found := YEAR_LAST.fullmatch(texts[0].strip())):
            self._decide_order(texts, lines, found["mark"])
        is_day_first = bool(self.is_day_first)
        whole = instants(texts, is_day_first)
        if whole is not None:
            self._take_zone(whole[1], lines[0], texts[0])
            return whole[0]
        ticks = np.empty(len(texts), dtype=np.int64)
        for at, text in enumerate(texts):
            cell = text.strip()
            read = instant(cell, is_day_first)
            if read is None:
                self._refuse(cell, lines[at], "is no time that can be read")
            ticks[at] = read[0]
            self._take_zone(read[1], lines[at], cell)
        return ticks

    def _take_zone(self, zone: str | None, line: int, text: str) -> None:
        if self.zoned is None:
            self.zoned, self.zoned_at = zone is not None, (line, text)
        elif self.zoned != (zone is not None):
            one, two = (self.zoned_at, (line, text)) if self.zoned else ((line, text), self.zoned_at)
            raise InputError(
                f"{self.source}, column {shown(self.name)}: some times have a zone and some don't: "
                f"{self.place} {one[0]} {shown(one[1])}, {self.place} {two[0]} {shown(two[1])}.\n"
                "Give all times a zone, or none."
            )
        if zone is not None and zone not in {seen for _, seen in self.zones.values()}:
            self.zones[len(self.zones)] = (int(line), zone)

    def _decide_order(self, texts: list[str], lines: Lines, mark: str) -> None:
        if mark == ".":
            self.is_day_first = True
            return
        day = month = None
        chunks: Iterable[tuple[list[str], Lines]] = [(texts, lines)]
        if not _tells_order(texts) and self.look_ahead is not None:
            chunks = self.look_ahead()
        for chunk, chunk_lines in chunks:
            for at, text in enumerate(chunk):
                found = YEAR_LAST.fullmatch(text.strip())
                if found is None or found["mark"] == ".":
                    continue
                if day is None and int(found["one"]) > 12:
                    day = (chunk_lines[at], text)
                if month is None and int(found["two"]) > 12:
                    month = (chunk_lines[at], text)
            if day or month:
                break
        if day and month:
            raise InputError(
                f"{self.source}, column {shown(self.name)}: {self.place} {day[0]} {shown(day[1])} is "
                f"day/month/year, but {self.place} {month[0]} {shown(month[1])} is month/day/year.\n"
                "Write all dates as YYYY-MM-DD."
            )
        self.is_day_first = day is not None
        order = "day/month/year" if day else "month/day/year"
        known = day or month
        why = "a guess: no day is above 12"
        if known:
            why = f"because of {shown(known[1])} in {self.place} {known[0]}"
        self.order_note = f"Dates such as {shown(texts[0])} were read as {order}, {why}."

    def _refuse_blank(self, is_blank: NDArray[np.bool_], lines: Lines) -> None:
        if is_blank.any():
            self._refuse("", lines[int(np.argmax(is_blank))], "")

    def _refuse(self, cell: str, line: int, what: str) -> NoReturn:
        fault = "the time is blank" if is_missing(cell) else f"{shown(cell)} {what}"
        raise InputError(
            f"{self.source}, {self.place} {line}, column {shown(self.name)}: {fault}.\n"
            "Times are whole or decimal numbers, or dates such as 2024-01-31 23:59:00, 31.01.2024 23:59, "
            "01/31/2024; name another column with time_col if this one isn't the time."
        )


def _are_days(ticks: Ticks) -> bool:
    """Tell whether whole numbers could all be dates written YYYYMMDD."""
    month, day = ticks // 100 % 100, ticks % 100
    is_day = (ticks >= 19000101) & (ticks <= 21001231) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(is_day.all())


def _tells_order(texts: Sequence[str]) -> bool:
    found = [YEAR_LAST.fullmatch(text.strip()) for text in texts]
    return any(match and max(int(match["one"]), int(match["two"])) > 12 for match in found)
