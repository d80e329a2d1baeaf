"""Rows: cells of text, row by row, as a block; the careful and obvious way that all quick ways must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from oddwave.read.block import Block, Text
from oddwave.read.cells import Odd, numbers
from oddwave.read.columns import Roles


def rows_block(
    rows: Sequence[Sequence[str]], lines: Sequence[int], roles: Roles, may_have_comma: bool = False
) -> tuple[Block, dict[int, Odd]]:
    """Read whole rows; the second value tells for each channel's column what isn't a plain number in it."""
    block = Block(np.empty((len(rows), len(roles.channels))), np.array(lines, dtype=np.int64))
    odd: dict[int, Odd] = {}
    for at, column in enumerate(roles.channels):
        texts = [row[column] for row in rows]
        block.values[:, at], odd[column] = numbers(texts, may_have_comma)
        _keep_text(block, at, texts, odd[column])
    if roles.time is not None:
        block.times = [row[roles.time] for row in rows]
    if roles.group is not None:
        block.groups = [row[roles.group] for row in rows]
    if roles.label is not None:
        block.labels = [row[roles.label] for row in rows]
    return block, odd


def odd_block(block: Block, channels: Sequence[int], texts_of: Mapping[int, list[str]]) -> Block:
    """Put columns that came as texts, by column, between those that came as numbers, in `block`."""
    whole = Block(np.empty((len(block.lines), len(channels))), block.lines)
    is_text = np.array([column in texts_of for column in channels])
    if not is_text.all():
        whole.values[:, ~is_text] = block.values
    for at in np.flatnonzero(is_text).tolist():
        texts = texts_of[channels[at]]
        whole.values[:, at], odd = numbers(texts)
        _keep_text(whole, at, texts, odd)
    return whole


def _keep_text(block: Block, at: int, texts: Sequence[str], odd: Odd) -> None:
    if odd.text_count:
        block.texts[at] = Text(odd.text_count, int(block.lines[odd.first_text]), texts[odd.first_text])
