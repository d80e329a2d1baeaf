"""Events instead of rows: which labelled ones are found, how late, and which alarms are false.

A labelled event is a run of rows labelled 1; an alarm is an event as a detector makes them of flagged rows, by default.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from oddwave.config import Detection
from oddwave.series import Floats, runs

MERGE_GAP = Detection().merge_gap


def delays(labels: ArrayLike, flagged: ArrayLike) -> Floats:
    """Return for each labelled event how many of its rows pass before the first flagged one; NaN if none is.

    An alarm that goes on when the event begins has no delay.

    Examples
    --------
    >>> delays([0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0]).tolist()
    [2.0, nan]
    """
    truth, flags = (np.asarray(given).astype(np.bool_) for given in (labels, flagged))
    found = np.flatnonzero(flags)
    events = np.array(runs(truth), dtype=np.intp).reshape(-1, 2)
    at = np.searchsorted(found, events[:, 0])
    first = np.append(found, len(flags))[at]
    late: Floats = np.where(first < events[:, 1], first - events[:, 0], np.nan)
    return late


def alarms(flagged: ArrayLike) -> list[tuple[int, int]]:
    """List runs of flagged rows as half-open (start, stop), those with few rows between them as one.

    Examples
    --------
    >>> alarms([1, 0, 1, 0, 0, 0, 0, 0, 0, 1])
    [(0, 3), (9, 10)]
    """
    joined: list[tuple[int, int]] = []
    for start, stop in runs(np.asarray(flagged).astype(np.bool_)):
        if joined and start - joined[-1][1] <= MERGE_GAP:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def false_alarms(labels: ArrayLike, flagged: ArrayLike) -> list[tuple[int, int]]:
    """List the alarms that touch no labelled row.

    Examples
    --------
    >>> false_alarms([0] * 8 + [1] + [0] * 9, [1] + [0] * 7 + [1, 0, 1] + [0] * 6 + [1])
    [(0, 1), (17, 18)]
    """
    truth = np.asarray(labels).astype(np.bool_)
    return [(start, stop) for start, stop in alarms(flagged) if not truth[start:stop].any()]
