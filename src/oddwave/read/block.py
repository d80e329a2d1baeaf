"""Block: some rows of one table, their cells read but not yet judged; and blocks made into a Series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.read.cells import Odd, numbers, shown
from oddwave.read.columns import NO_TIME, Roles, listed
from oddwave.read.times import Clock, Stamps
from oddwave.series import Floats, Series, Ticks

Times: TypeAlias = "list[str] | Stamps | Ticks | None"
_PLACES = 3


@dataclass
class Text:
    """Cells of one column that are no numbers: how many, and the first with its line."""

    count: int
    line: int
    value: str


@dataclass
class Block:
    """Rows as read.

    Parameters
    ----------
    values
        Shape (time, channel), a column for each of `Roles.channels`; infinite cells still infinite.
    lines
        Where each row stands in the input, for messages.
    texts
        Cells that are no numbers, by position in `Roles.channels`.
    """

    values: Floats
    lines: NDArray[np.int64]
    times: Times = None
    labels: list[str] | Floats | None = None
    groups: list[str] | None = None
    texts: dict[int, Text] = field(default_factory=dict)


class Tally:
    """Counts the missing and infinite cells of a series, over all its blocks."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.missing, self.infinite = 0, 0
        self.first_missing = ""
        self.first_infinite: list[str] = []

    def clean(self, values: Floats, lines: NDArray[np.int64], channels: Sequence[str]) -> Floats:
        """Count, and return the values with NaN for every cell that isn't finite."""
        is_bad = ~np.isfinite(values)
        if not is_bad.any():
            return values
        is_infinite = np.isinf(values)
        infinite = int(is_infinite.sum())
        missing = int(is_bad.sum()) - infinite
        if missing and not self.missing:
            at, channel = divmod(int(np.argmax(np.isnan(values))), values.shape[1])
            self.first_missing = f"{self.place} {lines[at]}, column {channels[channel]}"
        if infinite:
            for flat in np.flatnonzero(is_infinite)[: _PLACES - len(self.first_infinite)]:
                at, channel = divmod(int(flat), values.shape[1])
                self.first_infinite.append(f"{self.place} {lines[at]}, column {channels[channel]}")
            values = np.where(is_infinite, np.nan, values)
        self.missing += missing
        self.infinite += infinite
        return values

    def notes(self) -> tuple[str, ...]:
        """Say what was counted."""
        notes = []
        if self.missing:
            what = "1 cell is" if self.missing == 1 else f"{self.missing} cells are"
            notes.append(f"{what} missing (first: {self.first_missing}).")
        if self.infinite:
            what = "1 cell is" if self.infinite == 1 else f"{self.infinite} cells are"
            places = "; ".join(self.first_infinite)
            notes.append(f"{what} infinite or too large for a number, treated as missing (first: {places}).")
        return tuple(notes)


class Builder:
    """Makes blocks of one table into Series.

    Parameters
    ----------
    look_ahead
        Yields the time texts and lines of the whole input; asked when the first block doesn't tell day from
        month.
    """

    def __init__(
        self,
        source: str,
        roles: Roles,
        place: str = "line",
        look_ahead: Callable[[], Iterable[tuple[list[str], NDArray[np.int64]]]] | None = None,
    ) -> None:
        self.source, self.roles, self.place = source, roles, place
        name = "row" if roles.time is None else roles.names[roles.time]
        self.clock = Clock(source, place, name, look_ahead)
        self.tally = Tally(place)
        self.kept: tuple[int, ...] | None = None
        self.notes: list[str] = list(roles.notes)

    def series(self, block: Block) -> Series:
        """Make one block into a series; times, notes and counts go on from the blocks before."""
        values, channels = self._channels(block)
        ticks, index = self.clock.read(block.times, block.lines)
        labels = None if block.labels is None else self._labels(block)
        return Series(
            self.tally.clean(values, block.lines, channels), channels, ticks, self.clock.kind, index,
            self.clock.name, self.source, None, labels,
            (*self.notes, *self.clock.notes(), *self.tally.notes()),
        )  # fmt: skip

    def groups(self, block: Block) -> Iterator[Series]:
        """Make a whole table into one series for each value of its group column, in order of appearance."""
        if block.groups is None:
            yield self.series(block)
            return
        for at, group in enumerate(block.groups):
            if not group.strip():
                column = self.roles.names[self.roles.group or 0]
                raise InputError(
                    f"{self.source}, {self.place} {block.lines[at]}, column {shown(column)}: "
                    "the group is blank.\nFill it in, or leave out these rows."
                )
        whole = self.series(Block(np.empty((len(block.values), 0)), block.lines, block.times, block.labels))
        values, channels = self._channels(block)
        codes = {group: code for code, group in enumerate(dict.fromkeys(block.groups))}
        code_of_row = np.array([codes[group] for group in block.groups])
        ends = np.cumsum(np.bincount(code_of_row))
        rows_of = np.split(np.argsort(code_of_row, kind="stable"), ends[:-1])
        for group, rows in zip(codes, rows_of, strict=True):
            tally = Tally(self.place)
            clean = tally.clean(values[rows], block.lines[rows], channels)
            yield Series(
                clean, channels, whole.ticks[rows], whole.kind, whole.index[rows], whole.time_name,
                self.source, group, None if whole.labels is None else whole.labels[rows],
                (*self.notes, *self.clock.notes(), *tally.notes()),
            )  # fmt: skip

    def _channels(self, block: Block) -> tuple[Floats, tuple[str, ...]]:
        names = self.roles.channel_names
        if not block.values.shape[1]:
            return block.values, ()
        if self.kept is None:
            self.kept = self._numeric(block) if self.roles.is_guessed else tuple(range(len(names)))
        for at in sorted(block.texts):
            if at in self.kept:
                self._refuse(names[at], block.texts[at])
        if len(self.kept) == len(names):
            return block.values, names
        return block.values[:, self.kept], tuple(names[at] for at in self.kept)

    def _numeric(self, block: Block) -> tuple[int, ...]:
        """Choose the columns of numbers; a text among mostly numbers is a fault, not a text column."""
        names = self.roles.channel_names
        counts = len(block.values) - np.isnan(block.values).sum(axis=0)
        kept = [at for at in range(len(names)) if counts[at] and (
            at not in block.texts or block.texts[at].count < counts[at])]  # fmt: skip
        texts = [names[at] for at in range(len(names)) if at not in kept and at in block.texts]
        empty = [names[at] for at in range(len(names)) if at not in kept and at not in block.texts]
        if not kept:
            raise InputError(
                f"{self.source} has no column of numbers beside time, group and label.\n"
                f"It has these columns: {listed(self.roles.names)}."
            )
        if texts:
            self.notes.append(f"Columns of text left aside: {listed(texts)}.")
            self.notes += [NO_TIME] if self.roles.time is None else []
        if empty:
            self.notes.append(f"Columns without any value left aside: {listed(empty)}.")
        return tuple(kept)

    def _refuse(self, column: str, text: Text) -> None:
        more = f" ({text.count - 1} more like it in this column)" if text.count > 1 else ""
        advice = "Leave the cell empty if the value is missing"
        if "," in text.value:
            advice = "Write numbers with a decimal point and without thousands marks"
        raise InputError(
            f"{self.source}, {self.place} {text.line}, column {shown(column)}: "
            f"{shown(text.value)} isn't a number{more}.\n{advice}, or leave the column out."
        )

    def _labels(self, block: Block) -> NDArray[np.int8]:
        values, odd = (block.labels, Odd()) if isinstance(block.labels, np.ndarray) else numbers(block.labels or [])
        is_wrong = ~((values == 0) | (values == 1))
        if is_wrong.any() or odd.text_count:
            at = int(np.argmax(is_wrong))
            is_number = isinstance(block.labels, np.ndarray)
            given = f"{float(values[at])}".removesuffix(".0") if is_number else (block.labels or [""])[at]
            column = self.roles.names[self.roles.label or 0]
            raise InputError(
                f"{self.source}, {self.place} {block.lines[at]}, column {shown(column)}: "
                f"the label {shown(given)} is neither 0 nor 1.\n"
                "Write 1 (anomalous) and 0 (normal), or rename the column if it holds no labels."
            )
        return values.astype(np.int8)


def join(blocks: Sequence[Block]) -> Block:
    """Join the blocks of one table."""
    if len(blocks) == 1:
        return blocks[0]
    texts: dict[int, Text] = {}
    for block in blocks:
        for at, text in block.texts.items():
            known = texts.setdefault(at, Text(0, text.line, text.value))
            known.count += text.count
    values, lines = [block.values for block in blocks], [block.lines for block in blocks]
    return Block(
        np.concatenate(values), np.concatenate(lines), _join([block.times for block in blocks]),
        _join([block.labels for block in blocks]), _join([block.groups for block in blocks]), texts,
    )  # fmt: skip


def _join(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    if isinstance(parts[0], Stamps):
        return Stamps(np.concatenate([part.ticks for part in parts]), np.concatenate([part.text for part in parts]))
    return [text for part in parts for text in (part if isinstance(part, list) else map(str, part.tolist()))]
