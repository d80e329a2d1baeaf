"""A result as a workbook: the rows, the events, and what was used, with numbers and dates as such."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oddwave.atomic import Atomic
from oddwave.chart import headline
from oddwave.errors import OutputError
from oddwave.result import REASONS, Result, time_column, zone_of
from oddwave.save.paths import place, utf8
from oddwave.series import TICKS_PER_S, Series

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

MOST_ROWS = 1_048_575  # of a sheet, without its header
BLOCK = 1 << 14  # rows made ready at once
WIDEST = 60  # letters of a column
LARGEST = 9.99e307  # numbers beyond are text: Excel has none
EXACT = 10**15  # whole numbers from here on lose digits in a cell
DAY = 86_400 * TICKS_PER_S
DAYS_BEFORE_1970 = 25_569  # a date is the number of days since the end of 1899
FIRST, LAST = (int(np.datetime64(day, "us").astype(np.int64)) for day in ("1900-03-01", "9999-12-31"))
WRITTEN = datetime(2000, 1, 1)  # noqa: DTZ001 (what stands in the file has no zone; the same result, the same bytes)
ODD, HEADER = "#F9D9B8", "#E9ECEF"
SHOWN = {"text": "@", "whole": "0", "decimal": "General", "score": "0.000", "share": "0%", "count": "#,##0"}


def to_xlsx(result: Result, save_path: str | PathLike[str]) -> Path:
    """Write a workbook with the sheets `rows`, `events` and `about`.

    Dates are date cells by the clock of their zone, which the column's name says (UTC, if the input has several);
    if one is before March 1900, after 9999 or finer than a millisecond, all are the text that the user wrote.

    Raises
    ------
    OutputError
        If there are more rows than a sheet holds, before anything is written.
    """
    path = place(result, save_path, ".xlsx")
    if len(result.label) > MOST_ROWS:
        raise OutputError(
            f"{path} can't hold {len(result.label):,} rows: a sheet ends at {MOST_ROWS + 1:,}. Save this result as CSV."
        )
    from xlsxwriter import Workbook
    from xlsxwriter.exceptions import FileCreateError

    with Atomic(path) as file, tempfile.TemporaryDirectory() as folder:
        book = Workbook(file, {"constant_memory": True, "tmpdir": folder})
        book.set_properties({"created": WRITTEN, "title": utf8(headline(result.summary()))})
        _Book(book, result).write()
        try:
            book.close()
        except FileCreateError as error:
            raise error.args[0] from None
    return path


@dataclass(frozen=True)
class _Times:
    """The time column: its cells, how they are shown, and its name."""

    cells: NDArray[Any]
    shown: str
    name: str


class _Book:
    """The workbook while it is written, sheet by sheet and row by row."""

    def __init__(self, book: Workbook, result: Result) -> None:
        self.book, self.result = book, result
        self.times = _times(result.series)
        self.formats: dict[tuple[str, bool], Format] = {}
        self.bold = book.add_format({"bold": True, "valign": "top"})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top", "align": "left"})
        header = {"bold": True, "bottom": 1, "bg_color": HEADER}
        self.headers = {
            "left": book.add_format({**header, "align": "left", "indent": 1}),
            "right": book.add_format({**header, "align": "right"}),
        }

    def write(self) -> None:
        """Write all sheets."""
        self._rows()
        self._events()
        self._about()

    def _rows(self) -> None:
        result, times = self.result, self.times
        kinds = {times.name: times.shown, "label": "whole", "score": "score", "reason": "text"}
        if not result.reason.any():
            del kinds["reason"]
        sheet = self._sheet("rows", kinds, [times.cells, [], [], REASONS])
        sheet.autofilter(0, 0, max(len(result.label), 1), len(kinds) - 1)
        formats = {odd: [self._format(shown, odd) for shown in kinds.values()] for odd in (False, True)}
        for row, (label, *cells) in enumerate(self._lines(), 1):
            for column, (cell, how) in enumerate(zip(cells, formats[label == 1], strict=False)):
                _write(sheet, row, column, cell, how)

    def _lines(self) -> Iterator[tuple[Any, ...]]:
        """Yield each row's label, then its cells."""
        result = self.result
        for start in range(0, len(result.label), BLOCK):
            cut = slice(start, start + BLOCK)
            label = result.label[cut].tolist()
            known = [None if one < 0 else one for one in label]
            reasons = [REASONS[code] or None for code in result.reason[cut].tolist()]
            yield from zip(
                label, self.times.cells[cut].tolist(), known, result.score[cut].tolist(), reasons, strict=True
            )

    def _events(self) -> None:
        times, events = self.times, self.result.events
        duration = "duration (s)" if self.result.series.kind == "datetime" else "duration"
        kinds = {"#": "whole", "start": times.shown, "end": times.shown, duration: "decimal", "rows": "count"}
        kinds |= {"peak": times.shown, "peak score": "score"}
        for nth in (1, 2, 3):
            kinds |= {f"channel {nth}": "text", f"share {nth}": "share"}
        names = [[event.channels[nth][0] for event in events if nth < len(event.channels)] for nth in range(3)]
        shown = [[], *[times.cells] * 2, [], [], times.cells, []]
        sheet = self._sheet("events", kinds, [*shown, names[0], [], names[1], [], names[2], []])
        formats = [self._format(shown, is_odd=False) for shown in kinds.values()]
        order = np.argsort(self.result.series.ticks, kind="stable")
        for nth, event in enumerate(events, 1):
            rows = order[event.start_row : event.end_row + 1]
            peak = rows[np.argmax(np.nan_to_num(self.result.score[rows]))]
            start, end, highest = times.cells[[rows[0], rows[-1], peak]].tolist()
            cells = [nth, start, end, event.duration, event.rows, highest, event.peak_score]
            cells += [cell for name_and_share in event.channels for cell in name_and_share]
            for column, (cell, how) in enumerate(zip(cells, formats, strict=False)):
                _write(sheet, nth, column, cell, how)
        sheet.set_landscape()
        if events:
            sheet.autofilter(0, 0, len(events), len(kinds) - 1)

    def _about(self) -> None:
        result, summary = self.result, self.result.summary()
        lines: list[tuple[str, Any]] = [("found", headline(summary)), ("input", result.input_path)]
        lines += [] if result.group is None else [("group", result.group)]
        lines += [("model", result.model), ("scoring", result.scoring), ("threshold", result.threshold)]
        lines += [("rows", summary.rows), ("anomalous rows", summary.anomalous), ("events", len(result.events))]
        lines += [(f"not scored: {reason}", count) for reason, count in summary.unscored.items()]
        lines += [("note", note) for note in result.notes]
        sheet = self.book.add_worksheet("about")
        sheet.set_column(0, 0, max(len(name) for name, _ in lines) + 2)
        sheet.set_column(1, 1, 90)
        sheet.fit_to_pages(1, 0)
        for row, (name, value) in enumerate(lines):
            _write(sheet, row, 0, name, self.bold)
            _write(sheet, row, 1, value, self.wrapped)

    def _sheet(self, name: str, kinds: dict[str, str], cells: list[Any]) -> Worksheet:
        """Add a sheet with a header that stays in sight, its columns as wide as their name and cells need."""
        sheet = self.book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)  # on every page that is printed
        sheet.fit_to_pages(1, 0)
        for column, ((title, shown), some) in enumerate(zip(kinds.items(), cells, strict=False)):
            longest = max((len(str(cell)) for cell in some), default=0) if shown in ("text", "whole") else len(shown)
            sheet.set_column(column, column, min(max(longest + 2, len(title) + 4), WIDEST))
        for column, (title, shown) in enumerate(kinds.items()):
            _write(sheet, 0, column, title, self.headers["left" if shown == "text" else "right"])
        return sheet

    def _format(self, shown: str, is_odd: bool) -> Format:
        if (shown, is_odd) not in self.formats:
            more: dict[str, Any] = {"bg_color": ODD} if is_odd else {}
            more |= {"indent": 1} if shown == "text" else {}
            self.formats[shown, is_odd] = self.book.add_format({"num_format": SHOWN.get(shown, shown), **more})
        return self.formats[shown, is_odd]


def _write(sheet: Worksheet, row: int, column: int, cell: Any, how: Format) -> None:
    """Write a number or a text, never a formula or a link; nothing for what is missing."""
    if isinstance(cell, str):
        sheet.write_string(row, column, utf8(cell), how)
    elif cell is None or math.isnan(cell):
        return
    elif abs(cell) > LARGEST or (isinstance(cell, int) and abs(cell) >= EXACT):
        sheet.write_string(row, column, str(cell), how)
    else:
        sheet.write_number(row, column, cell, how)


def _times(series: Series) -> _Times:
    name = time_column(series.time_name)
    if series.kind != "datetime":
        kind = "whole" if series.index.dtype.kind in "iu" else "decimal"
        return _Times(series.index, kind if series.index.dtype.kind in "iuf" else "text", name)
    ahead, zone = zone_of(series.index, series.kind)
    ticks = series.ticks.astype(np.int64)
    is_date = len(ticks) > 0 and ticks.min() > FIRST and ticks.max() < LAST and not (ticks % 1000).any()
    if not is_date:
        return _Times(series.index, "text", name)
    ticks = ticks + ahead
    units = {DAY: "yyyy-mm-dd", 60 * TICKS_PER_S: "yyyy-mm-dd hh:mm", TICKS_PER_S: "yyyy-mm-dd hh:mm:ss"}
    shown = next((shown for unit, shown in units.items() if not (ticks % unit).any()), "yyyy-mm-dd hh:mm:ss.000")
    return _Times(ticks / DAY + DAYS_BEFORE_1970, shown, f"{name} ({zone})" if zone else name)
