"""Thresholds: from the scores of held-out normal rows and a budget of false alarms."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from oddwave.config import Detection
from oddwave.errors import ConfigError
from oddwave.metadata import Alarm, Metadata
from oddwave.series import Floats, runs

SHARE = 0.1  # share of the normal rows that make the tail, and the largest budget
MERGE_GAP = 5  # rows between two runs of high scores that are one event, as when events are made
_RATES = np.logspace(-1, -4, 13)  # budgets whose thresholds are known; others lie between, or follow from the last
_STRICTER = np.logspace(0, -4, 17)
_LEAST_EVENTS = 3
# A score is the mean of five terms, each with the tail exp(-term): where one grows alone a fifth of it shows, where
# all do the whole; few rows can show less of it than there is. A third lies between.
_LEAST_EXCESS = 1 / 3
_LEAST_THRESHOLD = 1.0  # a shift alone scores ln 100 / 5 at most: it reaches far beyond what caused it
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400, "year": 365 * 86_400}
_EVENTS = re.compile(rf"([\d.]+) *(?:/|per|an?|in) *([\d.]+)? *({'|'.join(_SECONDS)})s?", re.IGNORECASE)
_ROWS = re.compile(r"([\d.e+-]+) *(?:(%)|(?:/|in) *([\d.e]+))? *(?:rows)?", re.IGNORECASE)


class Budget(NamedTuple):
    """False alarms that are tolerable: a share of the normal rows, or events in a time.

    Parameters
    ----------
    amount
        Share of rows, or events.
    seconds
        The time of so many events; None: `amount` is a share.
    """

    amount: float
    seconds: float | None = None

    def events_a_row(self, step_s: float) -> float:
        """Return the events a row, rows being `step_s` seconds apart."""
        return self.amount * step_s / (self.seconds or 1.0)


def budget(wanted: float | str) -> Budget:
    """Read a budget of false alarms.

    Raises
    ------
    ConfigError
        If it is none, or a larger share than the tail of normal scores tells of.

    Examples
    --------
    >>> budget("1/day"), budget("3 per 2 weeks"), budget("0.1 %"), budget("1/1000"), budget(0.001)
    (Budget(amount=1.0, seconds=86400.0), Budget(amount=3.0, seconds=1209600.0), Budget(amount=0.001, seconds=None), \
Budget(amount=0.001, seconds=None), Budget(amount=0.001, seconds=None))
    >>> budget("once a blue moon")
    Traceback (most recent call last):
    oddwave.errors.ConfigError: false_alarms is 'once a blue moon', which is no budget of false alarms.
    Give events in a time, such as 1/day or 2/week, or a share of normal rows, such as 0.001, 0.1% or 1/1000.
    """
    try:
        found = _parsed(str(wanted).strip())
    except (ValueError, ZeroDivisionError):
        found = None
    if found is None or not 0 < found.amount < math.inf:
        raise ConfigError(
            f"false_alarms is {wanted!r}, which is no budget of false alarms.\nGive events in a time, such as 1/day or "
            "2/week, or a share of normal rows, such as 0.001, 0.1% or 1/1000."
        )
    if found.seconds is None and found.amount > SHARE:
        raise ConfigError(f"false_alarms is {wanted!r}, more than one normal row in ten. Give {SHARE:g} at most.")
    return found


def _parsed(text: str) -> Budget | None:
    if match := _EVENTS.fullmatch(text):
        count, times, unit = match.groups()
        seconds = float(times or 1) * _SECONDS[unit.lower()]
        return Budget(float(count), seconds) if seconds > 0 else None
    if match := _ROWS.fullmatch(text):
        count, percent, of = match.groups()
        return Budget(float(count) / (100 if percent else float(of or 1)))
    return None


class _Tail(NamedTuple):
    """The tail of scores: those above `start` exceed it exponentially, by `excess` on average."""

    start: float
    excess: float

    def limit(self, rate: float) -> float:
        return max(self.start + self.excess * math.log(SHARE / rate), _LEAST_THRESHOLD)


def fit(
    blocks: Sequence[Floats], wanted: Budget | float, step_s: float | None = None, held: Floats | None = None
) -> Alarm:
    """Set the thresholds that keep a budget of false alarms, from the scores of normal rows.

    The tail of scores is exponential: peaks over a threshold, Pickands, "Statistical inference using extreme order
    statistics", 1975, with shape 0, since scores are logarithms of rarities already. What is normal changes with
    time, so that a threshold from some rows flags more of others: each block of time is left out in turn, and the
    tail is asked for an ever rarer rate until the threshold from the other blocks keeps the budget on the one left out,
    on average over the blocks.

    Parameters
    ----------
    blocks
        Scores of blocks of time, each of shape (time,); NaN between two stretches. Of a single one the tail is taken as
        it is.
    wanted
        The budget; a number is a share of rows.
    step_s
        Seconds from row to row; None: unknown, only a share of rows can be asked for.
    held
        Scores of rows that the model never saw: no threshold is lower than the one from these alone.
    """
    known = [block[~np.isnan(block)] for block in blocks]
    known = [block for block in known if len(block)]
    tail = _tail(np.concatenate(known))
    others = [_tail(np.concatenate(known[:i] + known[i + 1 :])) for i in range(len(known))] if len(known) > 1 else []
    at = [tail.limit(rate * _strictness(known, others, rate)) for rate in _RATES.tolist()]
    if held is not None and not np.isnan(held).all():
        unseen = _tail(held[~np.isnan(held)])
        at = [max(value, unseen.limit(rate)) for value, rate in zip(at, _RATES.tolist(), strict=True)]
    thresholds = np.maximum.accumulate(at)
    lengths = _lengths(blocks, thresholds)
    alarm = Alarm(
        threshold=1.0, rate=SHARE, event_rate=SHARE, thresholds=thresholds.tolist(), rates=_RATES.tolist(),
        event_rates=_falling(_RATES / lengths), mean_excess=tail.excess, rows=sum(map(len, known)),
    )  # fmt: skip
    value = limit(alarm, wanted, step_s)
    return msgspec.structs.replace(
        alarm, threshold=value, rate=row_rate(alarm, value), event_rate=event_rate(alarm, value)
    )


def _tail(known: Floats) -> _Tail:
    start = float(np.quantile(known, 1 - SHARE))
    return _Tail(start, max(float(np.mean(known[known >= start] - start)), _LEAST_EXCESS))


def _strictness(known: Sequence[Floats], others: Sequence[_Tail], rate: float) -> float:
    """Return how much rarer a rate must be asked for, so that a block left out keeps it on average."""
    for factor in _STRICTER.tolist():
        seen = [float(np.mean(block > tail.limit(rate * factor))) for block, tail in zip(known, others, strict=False)]
        if not seen or sum(seen) / len(seen) <= rate:
            break
    return float(factor)


def _falling(rates: Floats) -> list[float]:
    """Return rates that fall, each at least a little."""
    found: list[float] = []
    for rate in rates.tolist():
        found.append(min(rate, 0.999 * found[-1]) if found else rate)
    return found


def _lengths(blocks: Sequence[Floats], thresholds: Floats) -> Floats:
    """Return the rows of a usual event at each threshold; where events are few, those of the threshold before."""
    lengths, length = [], math.inf
    for value in thresholds.tolist():
        flags = [block > value for block in blocks]
        count = sum(len(events(block, odd)) for block, odd in zip(blocks, flags, strict=True))
        if count >= _LEAST_EVENTS or math.isinf(length):
            length = min(length, sum(int(odd.sum()) for odd in flags) / max(count, 1) or 1.0)
        lengths.append(length)
    return np.array(lengths)


def limit(alarm: Alarm, wanted: Budget | float, step_s: float | None = None) -> float:
    """Return the threshold for a budget.

    Raises
    ------
    ConfigError
        If events in a time are asked for, but the rows have no clock.
    """
    if not isinstance(wanted, Budget):
        wanted = Budget(wanted)
    if wanted.seconds is None:
        rate, rates = wanted.amount, alarm.rates
    elif step_s is None:
        raise ConfigError(
            "false_alarms counts events in a time, but the detector's rows have no dates to tell time by.\n"
            "Give a share of normal rows, such as 0.001, or train on data with a column of dates."
        )
    else:
        rate, rates = wanted.events_a_row(step_s), alarm.event_rates
    beyond = max(math.log(rates[-1] / rate), 0.0)
    between = np.interp(-math.log(rate), -np.log(rates), alarm.thresholds)
    return float(between) + alarm.mean_excess * beyond


def row_rate(alarm: Alarm, value: float) -> float:
    """Return the share of normal rows to expect above a threshold, at most that of the tail."""
    return _rate(alarm, alarm.rates, value)


def event_rate(alarm: Alarm, value: float) -> float:
    """Return the events a row to expect of normal rows at a threshold, at most those of the tail."""
    return _rate(alarm, alarm.event_rates, value)


def _rate(alarm: Alarm, rates: Sequence[float], value: float) -> float:
    """Return the rate to expect at a threshold, the first at most: what `limit` gives, turned round."""
    thresholds = np.array(alarm.thresholds)
    # of equal thresholds the last, which is the rarest, also if rounding left the value just below them
    at = int(np.searchsorted(thresholds, value + 1e-9, side="right"))
    if at == 0:
        return rates[0]
    if at == len(rates):
        return rates[-1] * math.exp((thresholds[-1] - value) / alarm.mean_excess)
    share = max(value - thresholds[at - 1], 0.0) / (thresholds[at] - thresholds[at - 1])
    return math.exp((1 - share) * math.log(rates[at - 1]) + share * math.log(rates[at]))


def chosen(metadata: Metadata, settings: Detection) -> float:
    """Return the threshold in use: the one that is set, that of another budget, or the detector's own.

    Raises
    ------
    ConfigError
        If both are set, or the budget can't be used.
    """
    alarm: Alarm = getattr(metadata, settings.scoring).alarm
    if settings.false_alarms is None:
        return settings.threshold or alarm.threshold
    if settings.threshold is not None:
        raise ConfigError("threshold and false_alarms each set the threshold. Leave one of them out.")
    return limit(alarm, budget(settings.false_alarms), seconds_a_row(metadata))


def seconds_a_row(metadata: Metadata) -> float | None:
    """Return the seconds from row to row that a detector was trained with; None if its rows have no dates."""
    return metadata.time.step if metadata.time.kind == "datetime" else None


def events(scores: Floats, flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List the events of flagged rows as half-open (start, stop): runs with at most `MERGE_GAP` scored rows between.

    Examples
    --------
    >>> scores = np.array([9.0, 1, 1, 9, 1, 1, 1, 1, 1, 1, 9, np.nan, 9])
    >>> events(scores, scores > 5)
    [(0, 4), (10, 11), (12, 13)]
    """
    joined: list[tuple[int, int]] = []
    for first, last in runs(~np.isnan(scores)):
        begin = len(joined)
        for start, stop in runs(flags[first:last]):
            if len(joined) > begin and first + start - joined[-1][1] <= MERGE_GAP:
                joined[-1] = (joined[-1][0], first + stop)
            else:
                joined.append((first + start, first + stop))
    return joined
