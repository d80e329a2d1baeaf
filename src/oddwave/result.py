"""Result: what a detector says of one series, as a mapping, as arrays, as frames and as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import MissingExtraError
from oddwave.events import Event
from oddwave.series import TICKS_PER_S, Floats, Series, TimeKind

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    import pandas as pd
    import polars as pl

REASONS = (
    "",
    "missing values for longer than max_gap",
    "no complete row before it",
    "warming up",
    "the stretch between gaps is shorter than a window",
)
"""Why a row has no score, by the code in `Result.reason`; code 0 is a scored row."""

_ZONE = re.compile(r"\d[T ].*?(?:Z|UTC|GMT|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?)$", re.IGNORECASE)

HEAD, TAIL = 60, 5  # rows a summary keeps: the printed form shows up to 60 whole, else 5 of either end


@dataclass(frozen=True)
class Scored:
    """Some rows of a series with their scores, in the order of the file; the fields are those of `Result`."""

    index: NDArray[Any]
    score: Floats
    label: NDArray[np.int8]
    reason: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class Summary:
    """What is printed of a result: enough for a series whose rows don't fit in memory.

    Make it with the fields up to `scoring`, `add` the rows as they come, set `events` and `notes` at the end.
    """

    input_path: str
    time_name: str
    kind: TimeKind
    threshold: float
    model: str
    scoring: str
    group: str | None = None
    events: list[Event] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    rows: int = 0
    anomalous: int = 0
    unscored: dict[str, int] = field(default_factory=dict)
    head: list[tuple[Any, int]] = field(default_factory=list)
    tail: list[tuple[Any, int]] = field(default_factory=list)

    def add(self, rows: Scored) -> None:
        """Count in the next rows."""
        room = HEAD - len(self.head)
        if room > 0:
            self.head += _pairs(rows.index[:room], rows.label[:room])
        self.tail = (self.tail + _pairs(rows.index[-TAIL:], rows.label[-TAIL:]))[-TAIL:]
        self.rows += len(rows)
        self.anomalous += int(np.count_nonzero(rows.label == 1))
        if rows.reason.any():
            for code, count in enumerate(np.bincount(rows.reason).tolist()):
                if code and count:
                    self.unscored[REASONS[code]] = self.unscored.get(REASONS[code], 0) + count

    def print(self) -> None:
        """Print the tutorial's form, then the events as a table."""
        from oddwave import printed

        print(printed.mapping(self))
        print(printed.report(self))


@dataclass(eq=False, repr=False)
class Result(Mapping[str, Any]):
    """Label, score and events of one series.

    A mapping, as in the tutorial, with the keys `input_path`, `anomaly` (pandas frame, column `label`),
    `score` (pandas frame, column `score` and, when contributions were asked for, `contribution_<channel>`)
    and `events` (list); `group` too if the input was split by a column. Frames are built when asked for, and are
    indexed by time, dates as pandas' own type (in UTC if they have a zone); the attributes below need no pandas.

    Parameters
    ----------
    series
        What was scored.
    score
        Shape (time,); NaN where a row couldn't be scored. Higher is worse.
    label
        Shape (time,); 1 anomalous, 0 normal, -1 not scored.
    reason
        Shape (time,); why a row wasn't scored, a code of `REASONS`.
    contribution
        Shape (time, channel); rows sum to the score. None unless asked for.
    name
        What files in a folder are called after; empty: the input's own name.
    inputs
        What tells the inputs of the same call, and the detector, from other files: no output may overwrite them.
    """

    series: Series
    score: Floats
    label: NDArray[np.int8]
    reason: NDArray[np.uint8]
    events: list[Event]
    threshold: float
    model: str
    scoring: str
    notes: tuple[str, ...] = ()
    contribution: Floats | None = None
    name: str = ""
    inputs: frozenset[tuple[int, int]] = frozenset()

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def input_path(self) -> str:
        """What the user gave: a path, a URL, or "DataFrame" and the like."""
        return self.series.source

    @property
    def group(self) -> str | None:
        """Value of the group column, if the input was split by one."""
        return self.series.group

    @property
    def rows(self) -> Scored:
        """All rows, as the writers take them."""
        return Scored(self.series.index, self.score, self.label, self.reason)

    @cached_property
    def anomaly(self) -> pd.DataFrame:
        """Frame indexed by the time column with one column, `label`; nullable if rows weren't scored."""
        label: Any = self.label.astype(np.int64)
        if self.reason.any():
            label = _pandas().array(label, dtype="Int64")
            label[self.reason > 0] = None
        return self._frame({"label": label})

    @cached_property
    def score_frame(self) -> pd.DataFrame:
        """Frame indexed by the time column: the score and, when asked for, each channel's contribution."""
        return self._frame(self._scores())

    @cached_property
    def table(self) -> dict[str, pl.DataFrame]:
        """Polars frames `anomaly` (time, label), `score` (time, score, contributions) and `events`."""
        import polars as pl

        scores = self._scores()
        name = time_column(self.series.time_name, ("label", "score", "reason", *scores))
        time = pl.Series(name, self.series.index.tolist())
        label = pl.Series("label", self.label.astype(np.int64))
        score = pl.DataFrame([time, *(pl.Series(key, column, nan_to_null=True) for key, column in scores.items())])
        anomaly = pl.DataFrame([time, label]).with_columns(pl.col("label").replace(-1, None))
        return {
            "anomaly": anomaly,
            "score": score,
            "events": pl.DataFrame([as_dict(event) for event in self.events], schema=list(Event.__dataclass_fields__)),
        }

    def summary(self) -> Summary:
        """Return what is printed."""
        series = self.series
        summary = Summary(
            self.input_path,
            series.time_name,
            series.kind,
            self.threshold,
            self.model,
            self.scoring,
            series.group,
        )
        summary.add(self.rows)
        summary.events, summary.notes = self.events, self.notes
        return summary

    def print(self) -> None:
        """Print the tutorial's form, then the events as a table."""
        self.summary().print()

    def to_csv(self) -> bytes:
        """Return what `save_to_csv` writes."""
        from oddwave.save.csv import encode

        return encode(self)

    def save_to_csv(self, save_path: str | PathLike[str]) -> Path:
        """Write one line a row: time, label, score, and the reason if some rows weren't scored.

        A folder (it exists, ends in a separator, or has no suffix) gets a file named after the input.
        Returns the file's path. An existing file is replaced whole, an input never.
        """
        from oddwave import save

        return save.to_csv(self, save_path)

    def save_to_json(self, save_path: str | PathLike[str]) -> Path:
        """Write one JSON object: what was used, the rows as lists, and the events; see `save_to_csv`."""
        from oddwave import save

        return save.to_json(self, save_path)

    def save_to_xlsx(self, save_path: str | PathLike[str]) -> Path:
        """Write a workbook for Excel and its like: the rows, the events, and what was used; see `save_to_csv`."""
        from oddwave.save.xlsx import to_xlsx

        return to_xlsx(self, save_path)

    def save_to_html(self, save_path: str | PathLike[str]) -> Path:
        """Write a page to look at in any browser: one file, with zoom and a list of events; see `save_to_csv`."""
        from oddwave.save.html import to_html

        return to_html(self, save_path)

    def save_to_png(self, save_path: str | PathLike[str]) -> Path:
        """Draw a picture to print: score, channels that matter and events; see `save_to_csv`."""
        from oddwave.save.png import to_png

        return to_png(self, save_path)

    def __getitem__(self, key: str) -> Any:
        match key:
            case "input_path" | "anomaly" | "events":
                return getattr(self, key)
            case "score":
                return self.score_frame
            case "group" if self.group is not None:
                return self.group
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        yield "input_path"
        if self.group is not None:
            yield "group"
        yield from ("anomaly", "score", "events")

    def __len__(self) -> int:
        return 4 + (self.group is not None)

    def __repr__(self) -> str:
        from oddwave import printed

        return printed.mapping(self.summary())

    def _scores(self) -> dict[str, Floats]:
        columns = {"score": self.score}
        if self.contribution is not None:
            for channel, column in zip(self.series.channels, self.contribution.T, strict=True):
                columns[f"contribution_{channel}"] = column
        return columns

    def _frame(self, columns: dict[str, Any]) -> pd.DataFrame:
        pandas = _pandas()
        frame: pd.DataFrame = pandas.DataFrame(
            columns, index=pandas.Index(self._times(pandas), name=self.series.time_name)
        )
        return frame

    def _times(self, pandas: Any) -> Any:
        """Return the index of frames: numbers as they are, dates as pandas' own type, so that frames can be joined."""
        series = self.series
        if series.kind == "datetime":
            _, zone = zone_of(series.index[:1], series.kind)
            return pandas.to_datetime(series.ticks, unit="us", utc=zone != "")
        return series.index if series.index.dtype.kind in "iuf" else series.index.tolist()


def time_column(name: str, columns: Collection[str] = ("label", "score", "reason")) -> str:
    """Return what the time column is called beside result columns: its own name, unless one of them has it."""
    return "time" if name in columns else name


def zone_of(times: NDArray[Any], kind: TimeKind) -> tuple[int, str]:
    """Return by how many microseconds the clock of dates is ahead of UTC, and what to call their zone.

    Examples
    --------
    >>> zone_of(np.array(["1970-01-01 02:00+02:00"]), "datetime")
    (7200000000, '+02:00')

    Dates with several offsets are taken as UTC; what isn't a date, or has no zone, as it is:

    >>> zone_of(np.array(["1970-01-01T00:00Z", "1970-01-01 02:00+02:00"]), "datetime")
    (0, 'UTC')
    >>> zone_of(np.array(["1970-01-01 02:00"]), "datetime")
    (0, '')
    """
    found = [_ZONE.search(str(text)) for text in times.tolist()] if kind == "datetime" else []
    if not found or found[0] is None:
        return 0, ""
    minutes = {_minutes(zone) for zone in found if zone is not None}
    ahead = minutes.pop() if len(minutes) == 1 else 0
    sign, size = "-" if ahead < 0 else "+", abs(ahead)
    return ahead * 60 * TICKS_PER_S, f"{sign}{size // 60:02}:{size % 60:02}" if ahead else "UTC"


def _minutes(zone: re.Match[str]) -> int:
    minutes = int(zone["hours"] or 0) * 60 + int(zone["minutes"] or 0)
    return -minutes if zone["sign"] == "-" else minutes


def as_dict(event: Event) -> dict[str, Any]:
    """Return an event as plain numbers, texts and lists, for JSON and frames."""
    fields = {name: value.item() if isinstance(value, np.generic) else value for name, value in vars(event).items()}
    fields["channels"] = [{"channel": name, "share": float(share)} for name, share in event.channels]
    return fields


def _pairs(index: NDArray[Any], label: NDArray[np.int8]) -> list[tuple[Any, int]]:
    return list(zip(index.tolist(), label.tolist(), strict=True))


def _pandas() -> ModuleType:
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("a result's pandas frame", package="pandas", extra="pandas") from None
    return pd
