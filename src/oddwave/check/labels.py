"""Findings about labels, and about rows that train and val share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oddwave.check.finding import Finding, clock, counted, some
from oddwave.check.seen import Seen
from oddwave.series import runs

_FEW_EVENTS = 3
_MANY = 0.05  # share of the rows
_RUN = 20  # rows that follow each other in train and val: no chance
_MOVING = 0.5  # share of them that differ from the row before
_TOLD = 3


def of_train(seen: Seen) -> Iterator[Finding]:
    """Yield what the labels of training rows mean."""
    if seen.labels is None or not seen.labels.any():
        return
    count, total = int(seen.labels.sum()), len(seen)
    if count == total:
        yield Finding(
            "labels", "error", "All rows to learn from are labelled anomalous.",
            "Labels are 1 for anomalous and 0 for normal: are they the wrong way round?",
        )  # fmt: skip
    elif count > total // 2:
        yield Finding(
            "labels", "warning", f"{count:,} of {total:,} rows to learn from are labelled anomalous.",
            "Labels are 1 for anomalous and 0 for normal: are they the wrong way round?",
        )  # fmt: skip
    else:
        yield Finding(
            "labels", "note", f"{counted(count, 'row')} to learn from labelled anomalous, in "
            f"{counted(len(runs(seen.labels == 1)), 'event')}.", "Training leaves them out.",
        )  # fmt: skip


def of_val(seen: Seen) -> Iterator[Finding]:
    """Yield why labels aren't fit to evaluate with."""
    if seen.labels is None:
        yield Finding(
            "labels", "error", "val has no labels, so nothing can be evaluated with it.",
            "Give it a column label (0 normal, 1 anomalous), or name it with label_col; or take val away.",
        )  # fmt: skip
        return
    count, total = int(seen.labels.sum()), len(seen)
    if count in (0, total):
        yield Finding(
            "labels", "error", f"All {total:,} labels of val are {1 if count else 0}.",
            "To evaluate, val needs both normal and anomalous rows.",
        )  # fmt: skip
        return
    events = len(runs(seen.labels == 1))
    few = events < _FEW_EVENTS
    yield Finding(
        "labels", "warning" if few else "note",
        f"val has {counted(events, 'event')}, {counted(count, 'row')} of {total:,} ({count / total:.1%}).",
        "So few events say little about a detector: figures will hang on each of them." if few else "",
    )  # fmt: skip


def between(train: Seen, val: Seen) -> Iterator[Finding]:
    """Yield how train and val differ in what they hold, and which rows both have."""
    lacks = [name for name in train.series.channels if name not in val.series.channels]
    extra = [name for name in val.series.channels if name not in train.series.channels]
    if lacks:
        yield Finding(
            "channels", "error", f"val lacks {counted(len(lacks), 'channel')} of train: {some(lacks)}.",
            "Give both files the same columns, or name those that both have with feature_cols.", tuple(lacks),
        )  # fmt: skip
    if extra:
        yield Finding(
            "channels", "warning", f"val has {counted(len(extra), 'column')} that train lacks: {some(extra)}.",
            "They are left aside. If one of them holds the labels, name it with label_col.", tuple(extra),
        )  # fmt: skip
    if lacks or extra or train.series.channels != val.series.channels:
        return
    if train.series.kind != val.series.kind:
        yield Finding(
            "time", "error", f"The times of train are of the kind {train.series.kind}, those of val {val.series.kind}.",
            "Write the times of both alike.",
        )  # fmt: skip
        return
    yield from _shared(train, val)


def _shared(train: Seen, val: Seen) -> Iterator[Finding]:
    """Find the rows of val that train has too: of the same values and time, or else runs of the same values."""
    kind = train.series.kind
    is_known = np.isin(val.hashes, train.hashes)
    is_same = is_known.copy()
    if kind != "row":
        is_same &= np.isin(_with_time(val), _with_time(train))
    count, total = int(is_same.sum()), len(val)
    if kind != "row" and count:
        first = clock(val.ticks[int(np.argmax(is_same))].item(), kind)
        yield Finding(
            "shared", "error" if count > _MANY * total else "warning",
            f"{count:,} of {total:,} rows of val are in train too, with the same time (first: {first}).",
            "A detector knows the rows it was trained on: take them out of one of the two, or make both anew from "
            "one file with split.",
        )  # fmt: skip
        return
    copied = _copied(train, val, is_known)
    if copied > _MANY * total:
        yield Finding(
            "shared", "error", f"{copied:,} of {total:,} rows of val have the values of train rows, in the same order.",
            "They look like copies. A detector knows the rows it was trained on: take them out of one of the two.",
        )  # fmt: skip


def _with_time(seen: Seen) -> NDArray[np.uint64]:
    return (seen.hashes ^ seen.ticks.astype(np.float64).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)


def _copied(train: Seen, val: Seen, is_known: NDArray[np.bool_]) -> int:
    """Count the rows of val that begin a run of changing rows which train has too."""
    if is_known.sum() < _RUN or len(train) < _RUN:
        return 0
    codes = val.hashes
    moves = np.convolve(codes[1:] != codes[:-1], np.ones(_RUN - 1), "valid") > _MOVING * _RUN
    return int((np.isin(_runs_of(codes), _runs_of(train.hashes)) & moves).sum())


def _runs_of(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash each run of `_RUN` rows."""
    n_runs = len(hashes) - _RUN + 1
    codes = np.zeros(n_runs, dtype=np.uint64)
    for at in range(_RUN):
        codes = codes * np.uint64(0x9E3779B97F4A7C15) + hashes[at : at + n_runs]
    return codes


def merged(found: Sequence[tuple[str, Finding]]) -> list[Finding]:
    """Say of each finding which series has it, if there are several; a kind that many have is told of three."""
    if len({title for title, _ in found}) < 2:
        return [finding for _, finding in found]
    out: list[Finding] = []
    for name, severity in dict.fromkeys((finding.name, finding.severity) for _, finding in found):
        alike = [pair for pair in found if (pair[1].name, pair[1].severity) == (name, severity)]
        lines = [f"{Path(title).name}: {finding.what}" for title, finding in alike[:_TOLD]]
        lines += [f"and {len(alike) - _TOLD} more like it"] if len(alike) > _TOLD else []
        channels = dict.fromkeys(channel for _, finding in alike for channel in finding.channels)
        out.append(Finding(name, severity, "\n".join(lines), alike[0][1].advice, tuple(channels)))
    return out
