"""Findings about the values: what channels hold, what is missing, and rows far from all others."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from oddwave.check.finding import Finding, clock, counted, some
from oddwave.series import Floats, Series

_MOST_CODES = 20
_MANY_ROWS = 500  # from here on few distinct values mean states
_FAR = 10.0  # usual deviations
_FEW = 0.01  # share of the rows that may be far and still be called rare
_OFTEN = 10  # places from which on a channel is one that has spikes
_PLACES = 5
_NEAR = 30  # rows between two places
_HIGHEST = 1e25
_LARGE = 1e15
_FLOAT32_LOSS = 1e5  # |mean| / deviation from where float32 keeps under two digits of a deviation
_SAME = 1 - 1e-9
_SAMPLE = 5000
_DRIFT = 4.0  # usual deviations
_NAMED = {
    "label": re.compile(r"(?i).*(label|anomal|attack|att_flag|fault|outlier|is_normal|target|change_?point).*"),
    "mask": re.compile(r"(?i).*(mask|mainten|downtime|planned|exclude).*"),
}


def findings(series: Series, is_normal: bool = True) -> Iterator[Finding]:
    """Yield what is odd about the values of a series in time order; `is_normal`: it is to be learned from."""
    values, names = series.values, np.array(series.channels, dtype=object)
    is_blank = ~np.isfinite(values)
    yield from _missing(is_blank, names)
    with np.errstate(over="ignore", invalid="ignore"):
        center, usual = _usual(values)
        low, high = _edges(values)
        is_constant = low == high
        yield from _constant(names[is_constant].tolist())
        yield from _doubles(values, names, ~is_constant)
        yield from _label_like(values, names)
        yield from _codes(values, names, ~is_constant)
        yield from _counters(values, names)
        yield from _scale(values, names, np.maximum(np.abs(low), np.abs(high)), is_constant)
        if is_normal:
            yield from _far(series, center, usual)
            yield from _drift(values, names, usual)


def _edges(values: Floats) -> tuple[Floats, Floats]:
    """Return each channel's least and largest value; both 0 if it has none."""
    is_known = np.isfinite(values)
    low = np.min(values, axis=0, initial=np.inf, where=is_known)
    high = np.max(values, axis=0, initial=-np.inf, where=is_known)
    is_empty = ~is_known.any(axis=0)
    return np.where(is_empty, 0.0, low), np.where(is_empty, 0.0, high)


def _usual(values: Floats) -> tuple[Floats, Floats]:
    """Return each channel's median and a spread that a few rows far out don't move."""
    center, usual = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    for at in range(values.shape[1]):  # one channel at a time: sorting copies
        known = values[np.isfinite(values[:, at]), at]
        if len(known):
            least, q1, center[at], q3, most = np.quantile(known, (0.01, 0.25, 0.5, 0.75, 0.99))
            usual[at] = max((q3 - q1) / 1.349, (most - least) / 4.653)
            if usual[at] and (known == np.rint(known)).all():
                usual[at] = max(usual[at], 1.0)  # of counts that are mostly 0, a 3 isn't far
    return center, usual


def _missing(is_blank: NDArray[np.bool_], names: NDArray[np.object_]) -> Iterator[Finding]:
    share = is_blank.mean(axis=0)
    if not share.any():
        return
    order = np.argsort(-share, kind="stable")
    order = order[share[order] > 0]
    listed = [f"{names[at]} {share[at]:.2%}" for at in order]
    yield Finding(
        "missing", "warning" if share.max() > 0.2 else "note",
        f"Missing values in {counted(len(order), 'channel')}: {some(listed)}.",
        "Short runs are filled with the channel's last value (max_gap). Leave a channel out that is mostly empty: "
        "while it has no value, the row isn't used.",
        tuple(names[order]),
    )  # fmt: skip


def _constant(names: list[str]) -> Iterator[Finding]:
    if names:
        yield Finding(
            "constant", "warning", f"{counted(len(names), 'channel')} without any change: {some(names)}.",
            "If a change would be news, keep them: the first one stands out. Else leave them out with feature_cols.",
            tuple(names),
        )  # fmt: skip


def _doubles(values: Floats, names: NDArray[np.object_], is_used: NDArray[np.bool_]) -> Iterator[Finding]:
    """Name pairs of channels that are equal or perfectly correlated, on an evenly spaced sample."""
    sample = values[:: max(1, len(values) // _SAMPLE)]
    used = np.flatnonzero(is_used & np.isfinite(sample).all(axis=0))
    centred = sample[:, used] - sample[:, used].mean(axis=0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    used, centred, length = used[length > 0], centred[:, length > 0], length[length > 0]
    if len(used) < 2 or len(sample) < 3:
        return
    alike = np.abs((centred / length).T @ (centred / length)) > _SAME
    first = np.argmax(alike, axis=0)  # the first channel that each is like
    again = np.flatnonzero(first < np.arange(len(used)))
    if len(again):
        pairs = [f"{names[used[at]]} = {names[used[first[at]]]}" for at in again]
        yield Finding(
            "doubled", "warning", f"{counted(len(pairs), 'channel')} like another, or a multiple: {some(pairs)}.",
            "Leave out one of each pair with feature_cols: what both show counts twice.",
            tuple(names[used[again]]),
        )  # fmt: skip


def _whole(values: Floats, at: int) -> Floats | None:
    """Return the distinct values of a channel of few whole numbers that may be states; None for others."""
    column = values[:, at]
    known = column[np.isfinite(column)]
    head = np.unique(known[:: max(1, len(known) // 1000)])
    if len(head) > _MOST_CODES or not len(head):
        return None
    found, counts = np.unique(known, return_counts=True)
    if len(found) > _MOST_CODES or (found != np.rint(found)).any():
        return None
    is_count = len(found) > 2 and found[0] == 0 and (np.diff(counts) <= 0).all()  # the more, the rarer: no states
    return None if is_count else found


def _label_like(values: Floats, names: NDArray[np.object_]) -> Iterator[Finding]:
    for at, name in enumerate(names):
        kind = next((kind for kind, form in _NAMED.items() if form.fullmatch(name)), None)
        found = None if kind is None else _whole(values, at)
        if found is not None and len(found) <= 3:
            holds = ", ".join(f"{value:g}" for value in found)
            meant = "1 marks rows to leave out" if kind == "mask" else "these are labels"
            yield Finding(
                f"{kind}_like", "warning", f"The column {name} holds only {holds}, and is read as a channel.",
                f"If {meant}, say so: {kind}_col {name}. If it is something else that isn't measured, leave it out "
                "with feature_cols.",
                (name,),
            )  # fmt: skip


def _codes(values: Floats, names: NDArray[np.object_], is_used: NDArray[np.bool_]) -> Iterator[Finding]:
    if len(values) < _MANY_ROWS:
        return
    found = {str(names[at]): _whole(values, at) for at in np.flatnonzero(is_used).tolist()}
    switches = [name for name, codes in found.items() if codes is not None and set(codes.tolist()) <= {0.0, 1.0}]
    codes = [name for name, codes in found.items() if codes is not None and len(codes) > 2]
    if codes:
        yield Finding(
            "codes", "warning",
            f"{counted(len(codes), 'channel')} of few whole numbers: {some(codes)}. Are they states, not measurements?",
            "A state 3 isn't between 2 and 4. Give each state a column of 0 and 1, or leave the channel out.",
            tuple(codes),
        )  # fmt: skip
    if switches:
        yield Finding(
            "switches", "note", f"{counted(len(switches), 'channel')} of only 0 and 1: {some(switches)}.",
            "Switches are read but not scored; to score them, name the channels in scored.",
            tuple(switches),
        )  # fmt: skip


def _counters(values: Floats, names: NDArray[np.object_]) -> Iterator[Finding]:
    found = []
    for at in range(values.shape[1]):
        steps = np.diff(values[np.isfinite(values[:, at]), at])
        if len(steps) >= _MANY_ROWS and (steps > 0).mean() > 0.5 and (steps < 0).mean() < 0.002:
            found.append(str(names[at]))
    if found:
        yield Finding(
            "counters", "warning",
            f"{counted(len(found), 'channel')} rising all the time, as counters do: {some(found)}.",
            "Give the difference from row to row instead: tomorrow's values lie outside of all that was learned.",
            tuple(found),
        )  # fmt: skip


def _scale(
    values: Floats, names: NDArray[np.object_], highest: Floats, is_constant: NDArray[np.bool_]
) -> Iterator[Finding]:
    huge, large = highest > _HIGHEST, (highest > _LARGE) & (highest <= _HIGHEST)
    for is_one, severity in ((huge, "error"), (large, "warning")):
        if is_one.any():
            listed = [f"{name} ({value:.3g})" for name, value in zip(names[is_one], highest[is_one], strict=True)]
            yield Finding(
                "large", "error" if severity == "error" else "warning", f"Enormous values in {some(listed)}.",
                "Correct them, or give the channel in another unit.", tuple(names[is_one]),
            )  # fmt: skip
    is_known = np.isfinite(values)
    count = np.maximum(is_known.sum(axis=0), 1)
    mean = np.sum(values, axis=0, where=is_known) / count
    deviation = np.sqrt(np.sum(np.square(values - mean), axis=0, where=is_known) / count)
    lost = ~is_constant & (np.abs(mean) > _FLOAT32_LOSS * deviation)
    if lost.any():
        yield Finding(
            "offset", "warning",
            f"{counted(int(lost.sum()), 'channel')} moving little around a large value: {some(names[lost].tolist())}.",
            "A detector reads float32, with 7 digits. Subtract a constant from them; a time isn't a channel at all.",
            tuple(names[lost]),
        )  # fmt: skip


def _far(series: Series, center: Floats, usual: Floats) -> Iterator[Finding]:
    """Name the places where few rows are far from all others: likely anomalies among the rows to learn from."""
    worst, where = np.zeros(len(series)), np.zeros(len(series), dtype=np.int64)
    for at in np.flatnonzero(usual > 0):
        distance = np.nan_to_num(np.abs(series.values[:, at] - center[at]) / usual[at])
        if (distance > _FAR).mean() <= _FEW and len(_places(distance > _FAR)) <= _OFTEN:
            where[distance > worst] = at
            worst = np.maximum(worst, distance)
    is_far = worst > _FAR
    if series.labels is not None:
        is_far &= series.labels == 0
    if not is_far.any():
        return
    ticks = series.ticks
    places = _places(is_far)
    places.sort(key=lambda rows: -float(worst[rows].max()))
    lines = []
    for rows in places[:_PLACES]:
        peak = rows[int(np.argmax(worst[rows]))]
        first, last = (clock(ticks[row].item(), series.kind) for row in (rows[0], rows[-1]))
        times = first if first == last else f"{first} to {last}"
        lines.append(f"{times}: {series.channels[where[peak]]} {worst[peak]:,.0f} times its usual spread off")
    more = f"\nand {len(places) - _PLACES} more places" if len(places) > _PLACES else ""
    channels = dict.fromkeys(series.channels[at] for at in where[is_far])
    yield Finding(
        "anomalies", "warning",
        f"Far from all others: {counted(int(is_far.sum()), 'row')} in {counted(len(places), 'place')}.\n"
        + "\n".join(lines) + more,
        f"If that wasn't normal operation, leave these times out of training: {_exclude(places, series)}",
        tuple(channels),
    )  # fmt: skip


def _places(is_far: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """List the rows that are far, those near each other together."""
    rows = np.flatnonzero(is_far)
    return np.split(rows, np.flatnonzero(np.diff(rows) > _NEAR) + 1) if len(rows) else []


def _exclude(places: list[NDArray[np.intp]], series: Series) -> str:
    """Write the worst places as a setting."""
    ticks, texts = series.ticks, []
    for rows in places[:_PLACES]:
        end = ticks[min(rows[-1] + 1, len(ticks) - 1)] if rows[-1] + 1 < len(ticks) else ticks[-1] + 1
        texts.append("/".join(clock(tick.item(), series.kind) for tick in (ticks[rows[0]], end)))
    return f"exclude {', '.join(texts)}"


def _drift(values: Floats, names: NDArray[np.object_], usual: Floats) -> Iterator[Finding]:
    """Name the channels whose last fifth, on which the threshold is set, is elsewhere than the rest."""
    cut = len(values) * 4 // 5
    found = []
    for at in np.flatnonzero(usual > 0):
        before, after = (part[np.isfinite(part)] for part in (values[:cut, at], values[cut:, at]))
        if len(before) and len(after):
            q1, middle, q3 = np.quantile(before, (0.25, 0.5, 0.75))
            spread = max((q3 - q1) / 1.349, 0.1 * usual[at])
            if abs(np.median(after) - middle) > _DRIFT * spread:
                found.append(str(names[at]))
    if found:
        yield Finding(
            "drift", "warning",
            f"{counted(len(found), 'channel')} ended on another level than before: {some(found)}.",
            "The last fifth of the rows sets the threshold. If the change is here to stay, train on the rows after it; "
            "if it was a fault, leave its times out with exclude.",
            tuple(found),
        )  # fmt: skip
