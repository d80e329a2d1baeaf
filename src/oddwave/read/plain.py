"""Plain rows: nothing but decimal numbers, and whole numbers or dates as times; compiled, or with msgspec's JSON."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import msgspec
import numpy as np

from oddwave.read.block import Block
from oddwave.read.header import Layout
from oddwave.series import Floats, Ticks

try:
    from oddwave.read import _plain
except ImportError:  # there was no compiler when it was installed
    IS_COMPILED = False
else:
    IS_COMPILED = True

_WHOLE = 1  # what _plain.parse returns: the times are whole numbers, or text if it isn't 0
_MINUS_0 = re.compile(rb"-0[ \t]*(?:[,\n]|$)")
_NO_MARKS = bytes(sorted(set(range(256)) - set(b',"\r\n')))  # all but what parts cells and rows
_json_numbers = msgspec.json.Decoder(list[int | float]).decode


class _Cells(NamedTuple):
    """Numbers as they were written, whole or not, and all as floats."""

    numbers: list[int | float]
    floats: Floats


def plain_block(found: Layout, body: bytes, line: int) -> Block | None:
    """Read rows whose numbers are plain; None if not sure of every cell."""
    if found.roles.group is not None:
        return None
    return compiled(found, body, line) if IS_COMPILED else with_json(found, body, line)


def compiled(found: Layout, body: bytes, line: int) -> Block | None:
    """Read rows of decimal numbers, some of them missing, the times whole numbers or any text."""
    roles = found.roles
    n_rows, n_channels = count(body, b"\n") + (not body.endswith(b"\n")), len(roles.channels)
    values = np.empty((n_rows, n_channels + (roles.label is not None)))
    ticks, spans = np.empty(n_rows, dtype=np.int64), np.empty((n_rows, 2), dtype=np.int64)
    kind = _plain.parse(body, found.separator, found.places, values, ticks, spans)
    labels = None if roles.label is None else values[:, n_channels]
    if not kind or (labels is not None and np.isnan(labels).any()):
        return None
    times: list[str] | Ticks | None = None if roles.time is None else ticks
    if kind != _WHOLE:
        if not body.isascii():
            return None
        text = body.decode()
        times = [text[start:stop] for start, stop in zip(*spans.T.tolist(), strict=True)]
    return Block(values[:, :n_channels], np.arange(line, line + n_rows), times, labels)


def with_json(found: Layout, body: bytes, line: int) -> Block | None:
    """Read rows of decimal numbers, and dates in the first column.

    JSON's numbers are a subset of ours, and msgspec reads them rounded correctly, so the rows are read as one
    JSON array; what JSON writes otherwise (`+5`, `.5`, an empty cell) isn't plain.
    """
    roles, width = found.roles, found.width
    text = _plain_text(found, body)
    if text is None:
        return None
    times: list[str] | Ticks | None = None
    cells = _cells(text.replace(b"\n", b","))
    if cells is None and roles.time == 0 and width > 1:  # dates, perhaps
        rows = [row.partition(b",") for row in text.split(b"\n")]
        times, width = [row[0].decode() for row in rows], width - 1
        cells = _cells(b",".join([row[2] for row in rows]))
    if cells is None:
        return None
    if roles.time is not None and times is None:
        times = _ticks(cells.numbers[roles.time :: width])
    matrix, skipped = cells.floats.reshape(-1, width), found.width - width
    values = matrix.take(np.array(roles.channels, dtype=np.intp) - skipped, axis=1)
    labels = None if roles.label is None else matrix[:, roles.label - skipped]
    return Block(values, np.arange(line, line + len(matrix)), times, labels)


def count(data: bytes, byte: bytes) -> int:
    """Count a byte, in a tenth of the time of `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == byte[0]))


def _plain_text(found: Layout, body: bytes) -> bytes | None:
    """Return rows separated by commas and line feeds, each of the header's width; None if they aren't plain."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    if found.separator != ",":
        if b"," in body:
            return None
        body = body.replace(found.separator.encode(), b",")
    body = body.rstrip(b"\n")
    marks = body.translate(None, _NO_MARKS)
    row = b"," * (found.width - 1) + b"\n"
    is_even = marks + b"\n" == row * (marks.count(b"\n") + 1)  # without a quote or a lone CR among the marks
    return body if body and is_even and body.isascii() else None


def _cells(text: bytes) -> _Cells | None:
    """Read numbers separated by commas; None if they aren't plain, or one is too large."""
    try:
        numbers = _json_numbers(b"[" + text + b"]")
        floats = np.frombuffer(struct.pack(f"{len(numbers)}d", *numbers))
    except (ValueError, OverflowError, struct.error):
        return None
    may_be_minus_0 = b"-" in text and not floats.all()
    return None if may_be_minus_0 and _MINUS_0.search(text) else _Cells(numbers, floats)  # whole, it lost its sign


def _ticks(times: list[int | float]) -> Ticks:
    ticks = np.array(times)
    return ticks if ticks.dtype.kind in "if" else ticks.astype(np.float64)  # whole, but too large for 64 bits
