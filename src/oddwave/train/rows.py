"""Rows: data of normal operation -> gap-free stretches of the rows to learn from, and what was left out of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oddwave import clean, leak
from oddwave.clean import Cleaner
from oddwave.errors import InputError, TrainingError, UnsortedError
from oddwave.metadata import Time
from oddwave.read.columns import LABEL_NAMES
from oddwave.read.inputs import data_files, is_url
from oddwave.series import TICKS_PER_S, Columns, Floats, Series, Ticks, TimeKind, runs
from oddwave.train import left_out
from oddwave.train.spool import Spool, moments, scaled

if TYPE_CHECKING:
    from oddwave.train import Training

__all__ = ["Normal", "moments", "read", "read_groups", "scaled", "train_file", "val_file"]

LARGE = 64 << 20
"""Bytes of a file from which it is read in chunks."""
IN_MEMORY = 2 << 30
"""Bytes of a file that is still read whole when its rows have to be sorted."""
CHUNK_ROWS = 1 << 15
_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".xlsx", ".xlsm", ".xls")  # best first
_SAME_STEP = 0.1  # steps of two series may differ by this share


@dataclass(frozen=True)
class Normal:
    """Rows to learn from.

    Parameters
    ----------
    series
        For each series its gap-free stretches in time order, each of shape (time, channel), float64; mapped from a
        temporary file if there are many rows.
    names
        What messages call each series.
    time
        The time column; its step is the median over the series, in seconds or units of the time.
    n_rows
        Rows that were read, those left out too.
    is_switch
        Whether a channel holds only 0 and 1, shape (channel,).
    n_left_out
        Rows left out by label, time or mask.
    sketch
        `leak.sketch` of the rows that weren't left out.
    """

    channels: tuple[str, ...]
    time: Time
    source: str
    series: tuple[list[Floats], ...]
    names: tuple[str, ...]
    n_rows: int
    is_switch: NDArray[np.bool_]
    n_left_out: int
    notes: tuple[str, ...]
    sketch: list[str]


@dataclass
class _Part:
    """One series, cut: its stretches are those from `first` up to `last` in the spool."""

    series: Series  # without rows
    channels: tuple[str, ...]
    step: float | None
    first: int
    last: int
    n_rows: int
    n_left_out: int
    counts: NDArray[np.int64]
    fills: dict[str, int]
    is_switch: NDArray[np.bool_]
    sketch: list[str]


def read(data: Any, training: Training) -> Normal:
    """Read data as one or several series of the same channels.

    Parameters
    ----------
    data
        A file, `-`, a frame, an array; a folder with `train.*`; another folder of files, a pattern or a list: each of
        them one series, and each group of `group_col`.

    Raises
    ------
    InputError
        If something can't be read, or the series have different channels.
    TrainingError
        If no row is left to learn from.
    OutputError
        If the rows don't fit into memory, nor on the disk.
    """
    parts, spool = _parts(data, training)
    return _joined(parts, spool.stretches(), training)


def read_groups(data: Any, training: Training) -> Iterator[tuple[str, Normal]]:
    """Yield each group of `group_col`, or each file if there is none, under a name that a folder can have."""
    parts, spool = _parts(data, training)
    stretches = spool.stretches()
    groups = [part.series.group or Path(part.series.source).name.partition(".")[0] for part in parts]
    taken: set[str] = set()
    for group in dict.fromkeys(groups):
        own = [part for part, name in zip(parts, groups, strict=True) if name == group]
        yield _folder_name(group, taken), _joined(own, stretches, training)


def _folder_name(group: str, taken: set[str]) -> str:
    """Return a name of its own that every file system takes, and that leads nowhere else."""
    name = wanted = re.sub(r"[^\w.+=@-]+", "_", group)[:80].strip(". ") or "_"
    count = 1
    while name.casefold() in taken:
        count += 1
        name = f"{wanted}_{count}"
    taken.add(name.casefold())
    return name


def train_file(data: Any) -> Path | None:
    """Return the file `train.*` of a folder, CSV before other kinds; None if `data` is no such folder."""
    return _named(data, "train")


def val_file(data: Any) -> Path | None:
    """Return the file `val.*` of a folder, CSV before other kinds; None if `data` is no such folder."""
    return _named(data, "val")


def _named(data: Any, stem: str) -> Path | None:
    if not isinstance(data, (str, os.PathLike)) or not Path(data).is_dir():
        return None
    found = {Path(file).name.lower(): Path(file) for file in data_files(Path(data))}
    return next((found[stem + suffix] for suffix in _SUFFIXES if stem + suffix in found), None)


def _parts(data: Any, training: Training) -> tuple[list[_Part], Spool]:
    from oddwave import read as reader

    file = train_file(data)
    if file is None and val_file(data) is not None:
        raise InputError(f"The folder {data} has {val_file(data)}, but no train.csv.\nGive it the rows to learn from.")
    sources = list(reader.sources(data if file is None else file))
    if not sources:
        raise InputError("There is nothing to train on: the list is empty. Give a file of normal rows.")
    are_files = isinstance(sources[0], (str, os.PathLike))
    try:
        return _read_all(sources, training, Spool() if are_files else Spool(limit=None), is_sorted=True)
    except UnsortedError:
        return _read_all(sources, training, Spool(), is_sorted=False)


def _read_all(sources: Sequence[Any], training: Training, spool: Spool, is_sorted: bool) -> tuple[list[_Part], Spool]:
    """Read every series of every source; `is_sorted`: large files are thought to be in time order."""
    try:
        found = (chunks for source in sources for chunks in _series(source, training, is_sorted))
        return [_collect(chunks, training, spool) for chunks in found], spool
    except BaseException:
        spool.close()
        raise


def _series(source: Any, training: Training, is_sorted: bool) -> Iterator[Iterator[Series]]:
    """Yield each series of a source as its pieces in time order."""
    from oddwave import read as reader

    columns = _columns(training)
    if is_large(source, LARGE if is_sorted else IN_MEMORY) and training.group_col is None:
        yield reader.read_chunks(source, columns, CHUNK_ROWS)
        return
    for series in reader.read_one(source, columns):
        yield iter([_in_order(series)])


def is_large(source: Any, limit: int = LARGE) -> bool:
    """Say whether a source is a file that takes so many bytes in memory that it is to be read in chunks."""
    if not isinstance(source, (str, os.PathLike)) or is_url(os.fspath(source)) or not Path(source).is_file():
        return False
    suffix = Path(source).suffix.lower()
    if suffix == ".parquet":
        from oddwave.read.table import parquet_bytes

        return parquet_bytes(Path(source)) >= limit
    return os.path.getsize(source) * (8 if suffix == ".gz" else 1) >= limit


def _columns(training: Training) -> Columns:
    mask = _mask(training)
    channels = training.feature_cols
    if channels is not None and mask is not None and mask not in channels:
        channels = (*channels, mask)
    label = None if training.label_col in LABEL_NAMES else training.label_col  # these are found, and may be absent
    return Columns(channels, training.time_col, training.group_col, label, finds_label=True)


def _mask(training: Training) -> str | None:
    """Return the mask column; None if its ones are labels anyway."""
    is_label = training.mask_col == training.label_col or (
        training.label_col in (None, *LABEL_NAMES) and training.mask_col in LABEL_NAMES
    )
    return None if is_label else training.mask_col


def _in_order(series: Series) -> Series:
    if (series.ticks[1:] >= series.ticks[:-1]).all():
        return series
    order = np.argsort(series.ticks, kind="stable")
    labels = None if series.labels is None else series.labels[order]
    values, ticks, index = series.values[order], series.ticks[order], series.index[order]
    return replace(series, values=values, ticks=ticks, index=index, labels=labels)


class _Cutter:
    """Cuts one series, pushed in pieces in time order, into gap-free stretches of the rows that are kept."""

    def __init__(self, first: Series, step: float | None, max_gap: int, spool: Spool) -> None:
        self.source, self.step, self.max_gap, self.spool = first.title, step, max_gap, spool
        self.fills: dict[str, int] | None = None
        self.goes_on = False
        self.tick: Any = None
        self.n_rows = 0

    def push(self, ticks: Ticks, values: Floats, is_out: NDArray[np.bool_]) -> None:
        """Add rows; one that is left out ends a stretch, so that nothing is filled over it."""
        is_early = ticks[1:] < ticks[:-1]
        if self.tick is not None and len(ticks) and ticks[0] < self.tick:
            raise UnsortedError(self.source, self.n_rows + 1)
        if is_early.any():
            raise UnsortedError(self.source, self.n_rows + int(np.argmax(is_early)) + 2)
        for start, stop in runs(~is_out):
            if start or not self.goes_on:
                self.cleaner = Cleaner(self.source, values.shape[1], self.step, self.max_gap)
                self.fills = self.cleaner.counts = self.fills or self.cleaner.counts
            for rows, is_new in self.cleaner.push(ticks[start:stop], values[start:stop]).stretches:
                self.spool.add(rows, is_new)
        if len(ticks):
            self.goes_on, self.tick = not is_out[-1], ticks[-1]
        self.n_rows += len(ticks)


def _collect(chunks: Iterator[Series], training: Training, spool: Spool) -> _Part:
    """Cut one series into the spool."""
    held: list[Series] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(map(len, held)) >= clean.STEP_ROWS:
            break
    first = held[0]
    mask = _mask_at(first, training)
    excluded = left_out.ranges(training.exclude, first)
    step = _step(np.concatenate([chunk.ticks for chunk in held]), first.kind, training)
    cutter = _Cutter(first, step, training.max_gap, spool)
    channels = tuple(name for at, name in enumerate(first.channels) if at != mask)
    begin, counts, n_left_out = len(spool.shapes), np.zeros(3 + len(excluded), dtype=np.int64), 0
    is_switch, sketch = np.ones(len(channels), dtype=np.bool_), list[str]()
    last = first
    for chunk in chain(held, chunks):
        kept = left_out.keep(chunk, excluded, mask)
        cutter.push(chunk.ticks, kept.values, kept.is_out)
        counts, n_left_out = counts + kept.counts, n_left_out + int(kept.is_out.sum())
        values, ticks = kept.values[~kept.is_out], chunk.ticks[~kept.is_out]
        is_switch &= (np.isnan(values) | (values == 0) | (values == 1)).all(axis=0)
        sketch = leak.merge([sketch, leak.sketch(ticks if chunk.kind == "datetime" else None, values)])
        last = chunk
    return _Part(
        last.rows(0, 0), channels, step, begin, len(spool.shapes), cutter.n_rows, n_left_out, counts,
        cutter.fills or {}, is_switch, sketch,
    )  # fmt: skip


def _mask_at(first: Series, training: Training) -> int | None:
    mask = _mask(training)
    if mask is None:
        return None
    if mask not in first.channels:
        raise InputError(
            f"{first.title}: the mask column {mask!r} isn't there, or holds no numbers.\n"
            "Write 1 where rows are left out, 0 elsewhere, or name another mask_col."
        )
    return first.channels.index(mask)


def _step(ticks: Ticks, kind: TimeKind, training: Training) -> float | None:
    """Return the step in ticks."""
    if kind == "row":
        return None
    if training.step_s is not None:
        return training.step_s * (TICKS_PER_S if kind == "datetime" else 1)
    return clean.typical_step(ticks)


def _joined(parts: Sequence[_Part], stretches: Sequence[Floats], training: Training) -> Normal:
    """Make one of several series; bring their channels in the first one's order."""
    first = parts[0]
    _check_alike(parts)
    series = []
    for part in parts:
        own = list(stretches[part.first : part.last])
        order = [part.channels.index(name) for name in first.channels]
        series.append(own if order == sorted(order) else [stretch[:, order] for stretch in own])
    n_rows, n_left_out = sum(part.n_rows for part in parts), sum(part.n_left_out for part in parts)
    if not any(series):
        raise TrainingError(_nothing(first.series.source, n_rows, n_left_out))
    steps = [part.step for part in parts if part.step is not None]
    unit = TICKS_PER_S if first.series.kind == "datetime" else 1
    step = float(np.median(steps)) / unit if steps else None
    is_switch = np.logical_and.reduce(
        [part.is_switch[[part.channels.index(name) for name in first.channels]] for part in parts]
    )
    return Normal(
        first.channels, Time(name=first.series.time_name, kind=first.series.kind, step=step), first.series.source,
        tuple(series), tuple(part.series.title for part in parts), n_rows, is_switch, n_left_out,
        tuple(_notes(parts, training)), leak.merge(part.sketch for part in parts),
    )  # fmt: skip


def _check_alike(parts: Sequence[_Part]) -> None:
    """Refuse series of different channels, or of different kinds of time."""
    first = parts[0]
    for part in parts[1:]:
        lacks = [name for name in first.channels if name not in part.channels]
        extra = [name for name in part.channels if name not in first.channels]
        if lacks or extra:
            what = [f"it lacks {_some(lacks)}"] if lacks else []
            what += [f"it has {_some(extra)} besides"] if extra else []
            raise InputError(
                f"{part.series.title} hasn't the channels of {first.series.title}: {' and '.join(what)}.\n"
                "Name the channels that all have with feature_cols, take it out, or train a detector for each."
            )
        if part.series.kind != first.series.kind:
            one, other = (f"{at.series.title} (time: {at.series.kind})" for at in (first, part))
            raise InputError(f"{one} and {other} count time in different ways. Write the times of all files alike.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _nothing(source: str, n_rows: int, n_left_out: int) -> str:
    if n_left_out == n_rows:
        return f"{source}: all of its {n_rows:,} rows are left out by label, exclude or mask. Leave some to learn from."
    left = f" ({n_left_out:,} of {n_rows:,} rows are left out)" if n_left_out else ""
    return f"{source} has no row in which each channel has a value{left}. Leave empty channels out."


def _notes(parts: Sequence[_Part], training: Training) -> Iterator[str]:
    """Say what was read, left out and filled, over all series."""
    several = len(parts) > 1
    for part in parts:
        yield from (f"{part.series.title}: {note}" if several else note for note in part.series.notes)
    counts = sum((part.counts for part in parts), np.zeros_like(parts[0].counts)).tolist()
    if counts[0]:
        yield f"Rows labelled anomalous and left out: {counts[0]:,}."
        if training.label_col is None:
            yield "The labels are those of the column named label; name another with label_col."
    if counts[1]:
        yield f"Rows in the times of exclude and left out: {counts[1]:,}."
    if counts[2]:
        yield f"Rows with 1 in {training.mask_col} and left out: {counts[2]:,}."
    for text, count in zip(training.exclude, counts[3:], strict=True):
        if not count:
            yield f"No row is in the excluded times {text!r}."
    cleaner = Cleaner("", 0, None, training.max_gap)
    for name in cleaner.counts:
        cleaner.counts[name] = sum(part.fills.get(name, 0) for part in parts)
    yield from cleaner.notes()
    steps = [part.step for part in parts if part.step is not None]
    if several and steps and max(steps) > (1 + _SAME_STEP) * min(steps):
        slow, fast = (parts[[part.step for part in parts].index(edge(steps))] for edge in (max, min))
        yield (
            f"The series have different time steps: {slow.series.title} is {max(steps) / min(steps):.3g} times as slow "
            f"as {fast.series.title}. A window spans other times in each: train a detector for each kind."
        )
