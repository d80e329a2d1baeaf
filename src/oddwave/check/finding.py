"""Finding: something about the data that its owner should know, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from oddwave.series import TimeKind

Severity: TypeAlias = Literal["error", "warning", "note"]
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """One finding.

    Parameters
    ----------
    name
        Its kind, one word: `gaps`, `constant`, …
    severity
        error: training or evaluation can't be done, or would lie; warning: look at it; note: good to know.
    what, advice
        What was found where, and what to do.
    channels
        The channels concerned, if only some are.
    """

    name: str
    severity: Severity
    what: str
    advice: str = ""
    channels: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = f"{self.what}\n{self.advice}".strip().splitlines()
        return f"{self.severity.upper():8}{self.name}: " + "\n        ".join(lines)


def some(names: list[str] | tuple[str, ...]) -> str:
    """List the first names.

    Examples
    --------
    >>> some(["a", "b"]), some([*"abcdefgh"])
    ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def counted(count: int, one: str) -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def clock(tick: Any, kind: TimeKind) -> str:
    """Write a tick as a time.

    Examples
    --------
    >>> clock(60_000_000, "datetime"), clock(7, "row")
    ('1970-01-01 00:01:00', '7')
    """
    if kind != "datetime":
        return f"{tick:g}" if isinstance(tick, float) else str(tick)
    unit: Literal["us", "s"] = "us" if int(tick) % 1_000_000 else "s"
    return str(np.datetime64(int(tick), "us").astype(f"datetime64[{unit}]")).replace("T", " ")


def span(ticks: float, kind: TimeKind) -> str:
    """Write a difference of ticks.

    Examples
    --------
    >>> span(90_000_000, "datetime"), span(86_400_000_000, "datetime"), span(3.0, "number")
    ('90 s', '1 d', '3')
    """
    if kind != "datetime":
        return f"{ticks:g}"
    seconds = ticks / 1e6
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or seconds == length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
