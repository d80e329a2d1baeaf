"""Marks of a picture's axes: round numbers and dates, and what is written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from oddwave.chart import Chart
from oddwave.save.letters import plainest, shortened
from oddwave.series import TICKS_PER_S, Floats

DAY_US = 86_400 * TICKS_PER_S
FIRST_DATE, LAST_DATE = datetime(10, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)  # with room for round ones
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def axis(chart: Chart, x: Floats) -> tuple[list[float], list[str], str]:
    """Return where the time axis is marked, what is written there, and what all of that has in common."""
    if chart.is_sparse:
        return _as_written(chart, x)
    if chart.kind == "datetime":
        return _dates(chart, x)
    marks = spaced(x[0], x[-1], 8)
    return marks, [text.replace(",", "") for text in numbers(marks)], ""


def spaced(low: float, high: float, count: int) -> list[float]:
    """Return round numbers from `low` to `high`, at most about so many."""
    from matplotlib.ticker import MaxNLocator

    marks: Any = MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [mark for mark in marks.tolist() if low <= mark <= high]


def numbers(marks: Sequence[float]) -> list[str]:
    """Write evenly spaced numbers with the digits that they need.

    Examples
    --------
    >>> numbers([0.0, 0.25, 0.5]), numbers([0.0, 2e6]), numbers([0.0, 1.5e12]), numbers([-1.0, 0.0])
    (['0.00', '0.25', '0.50'], ['0', '2,000,000'], ['0', '1.5e+12'], ['−1', '0'])
    """
    largest = max(map(abs, marks), default=0.0)
    near = (marks[1] - marks[0]) / 100 if len(marks) > 1 else 0.0  # a lone one says where the axis is: exactly
    forms = [f",.{digits}f" for digits in range(8)] if largest < 1e8 else []
    forms += [f".{digits}g" for digits in range(2, 18)]
    written = ([f"{mark:{form}}" for mark in marks] for form in forms)
    texts = next(
        texts
        for texts in written
        if all(abs(float(text.replace(",", "")) - mark) <= near for text, mark in zip(texts, marks, strict=True))
    )
    return [text.replace("-", "−", 1) if text.startswith("-") else text for text in texts]


def _dates(chart: Chart, x: Floats) -> tuple[list[float], list[str], str]:
    """Mark round dates; a year or a day that is the same everywhere isn't repeated at each mark."""
    from matplotlib.dates import AutoDateLocator

    low, high = (_date(tick) for tick in (x[0], x[-1]))
    if low is None or high is None or low == high:
        return _as_written(chart, x)
    marks = AutoDateLocator(tz=UTC, minticks=4, maxticks=9).tick_values(low, high)
    ticks = [float(np.rint(mark * DAY_US)) for mark in marks]
    ticks = [tick for tick in ticks if x[0] <= tick <= x[-1]]
    texts, common = dates([EPOCH + timedelta(microseconds=tick) for tick in ticks])
    return ticks, texts, common


def _date(tick: float) -> datetime | None:
    try:
        found = EPOCH + timedelta(microseconds=tick)
    except OverflowError:
        return None
    return found if FIRST_DATE < found < LAST_DATE else None


def dates(marks: list[datetime]) -> tuple[list[str], str]:
    r"""Write evenly spaced dates as short as may be; also return what all have in common.

    Examples
    --------
    >>> days = [datetime(2024, 1, day, hour) for day in (1, 2) for hour in (0, 12)]
    >>> dates(days)
    (['00:00\n01-01', '12:00', '00:00\n01-02', '12:00'], '2024')
    >>> dates(days[:2])
    (['00:00', '12:00'], '2024-01-01')
    >>> dates([datetime(2023, 7, 1), datetime(2024, 1, 1)])
    (['2023-07', '2024-01'], '')
    """
    clocks = _clocks(marks)
    if clocks and len({mark.date() for mark in marks}) == 1:
        return clocks, f"{marks[0]:%Y-%m-%d}"
    form, common = "%Y-%m-%d", ""
    if len({mark.year for mark in marks}) == 1:
        form, common = "%m-%d", f"{marks[0]:%Y}"
    if not clocks and all(mark.day == 1 for mark in marks):
        form, common = ("%Y" if all(mark.month == 1 for mark in marks) else "%Y-%m"), ""
    days = [f"{mark:{form}}" for mark in marks]
    if not clocks:
        return days, common
    is_new = [at == 0 or days[at - 1] != day for at, day in enumerate(days)]
    return [f"{clock}\n{day}" if new else clock for clock, day, new in zip(clocks, days, is_new, strict=True)], common


def _clocks(marks: list[datetime]) -> list[str]:
    """Return the times of day, as short as may be; none if all are midnight."""
    if any(mark.microsecond for mark in marks):
        texts = [f"{mark:%H:%M:%S.%f}" for mark in marks]
        zeros = min(len(text) - len(text.rstrip("0")) for text in texts)
        return [text[: len(text) - zeros] for text in texts]
    if any(mark.second for mark in marks):
        return [f"{mark:%H:%M:%S}" for mark in marks]
    return [f"{mark:%H:%M}" for mark in marks] if any(mark.hour or mark.minute for mark in marks) else []


def _as_written(chart: Chart, x: Floats) -> tuple[list[float], list[str], str]:
    """Mark a few places with the times as the user wrote them."""
    places = np.unique(np.searchsorted(x, x[0] + (x[-1] - x[0]) * np.arange(1, 12, 2) / 12).clip(0, len(x) - 1))
    return x[places].tolist(), [shortened(plainest(time), 20) for time in chart.times[places].tolist()], ""
