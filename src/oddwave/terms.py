"""Terms of rows and what they come to, in numpy: `kernel` does the same in less time where it could be compiled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave import score
from oddwave.metadata import TERMS, Calibration, Metadata, Tail
from oddwave.series import Floats, Windows

Curve = tuple[Floats, Floats, float]
# That a single channel and a shift count: of rows, one in so many. None outweighs all others.
MOST = np.array([math.inf, math.inf, math.inf, math.log(1e4), math.log(100)])


def curve(tail: Tail) -> Curve:
    """Return a tail's knots, the surprise at each, and its slope, as `score.surprise` takes them."""
    return np.array(tail.knots), np.array(tail.surprise), tail.slope


def surprises(terms: Floats, curves: Sequence[Curve]) -> Floats:
    """Return how rare the terms of rows are, shape (time, 5); that of a single channel and of a shift up to `MOST`."""
    knots, at_knots, slopes = zip(*curves, strict=True)
    rare = score.beyond(terms, np.array([column[-1] for column in knots]), np.array(slopes))
    for column in range(len(curves)):
        rare[:, column] += np.interp(terms[:, column], knots[column], at_knots[column], left=0.0)
    np.minimum(rare[:, 3:], MOST[3:], out=rare[:, 3:])
    return rare


class Rows:
    """Rows of a stretch by their number, appended at the end and dropped from the front.

    The buffer has room behind the rows, so that rows pushed one by one aren't all copied each time.
    """

    def __init__(self, *shape: int, dtype: Any = np.float64) -> None:
        self.first = 0
        self._buffer: NDArray[Any] = np.empty((0, *shape), dtype=dtype)
        self._begin = self._end = 0
        self._is_ours = True

    @property
    def data(self) -> NDArray[Any]:
        """The rows from number `first` on."""
        return self._buffer[self._begin : self._end]

    @property
    def stop(self) -> int:
        """Number of the row after the last."""
        return self.first + self._end - self._begin

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows; the first ones are used where they are, and never written to."""
        if self._end > self._begin:
            self.extend(len(rows))[...] = rows
        else:
            self._buffer, self._begin, self._end, self._is_ours = rows, 0, len(rows), False

    def extend(self, count: int) -> NDArray[Any]:
        """Append rows that the caller fills; return them."""
        if not self._is_ours or self._end + count > len(self._buffer):
            kept = self.data
            room = len(kept) + count
            if not self._is_ours or room > len(self._buffer):
                self._buffer = np.empty((2 * room if len(kept) else room, *kept.shape[1:]), dtype=kept.dtype)
                self._is_ours = True
            self._buffer[: len(kept)] = kept
            self._begin, self._end = 0, len(kept)
        self._end += count
        return self._buffer[self._end - count : self._end]

    def drop(self, before: int) -> None:
        """Forget the rows before a number."""
        if before > self.first:
            self._begin += before - self.first
            self.first = before

    def between(self, start: int, stop: int) -> NDArray[Any]:
        """Return the rows from `start` up to `stop`."""
        return self._buffer[self._begin + start - self.first : self._begin + stop - self.first]


class Constants:
    """What one way to score reads from the metadata, as arrays over the scored channels."""

    def __init__(self, metadata: Metadata, scoring: str) -> None:
        calibration: Calibration = getattr(metadata, scoring)
        self.size, self.stride, self.channels = metadata.size, metadata.stride, len(metadata.channels)
        self.is_full = scoring == "full"
        self.error_rows = calibration.error_rows
        self.smoothing = score.span(calibration.smoothing, scoring)
        self.rolling = score.span(calibration.rolling, scoring)
        self.long_rolling = score.span(calibration.long_rolling, scoring)
        self.reach = score.Span(*map(max, self.rolling, self.long_rolling))
        # a plain slice when all channels are scored: no copy
        self.pick: Any = slice(None) if all(metadata.scored) else np.flatnonzero(metadata.scored)
        self.counted: Any = slice(None) if all(metadata.scored) else np.append(np.flatnonzero(metadata.scored), -1)
        self.center = np.array(metadata.center)[self.pick]
        self.scale = np.array(metadata.scale)[self.pick]
        self.spread_center = np.array(calibration.spread_center)[self.pick]
        self.spread_scale = np.array(calibration.spread_scale)[self.pick]
        self.distance_scale = np.array(calibration.distance_scale)[self.pick]
        self.shift_scale = np.array(calibration.shift_scale)[self.pick]
        self.tails = [curve(getattr(calibration, term)) for term in TERMS]
        self.warm_up = 0 if self.is_full else metadata.size - 1  # rows without the causal error: it needs a window
        self.begin = (self.warm_up, 0, 0, self.warm_up, 0)  # the first row with each term
        # as the kernel reads them
        self.factors = np.stack(
            [
                self.center, 1 / self.scale, self.spread_center, 1 / self.spread_scale, 1 / self.distance_scale,
                1 / self.shift_scale,
            ]
        )  # fmt: skip
        self.knots = tuple(len(knots) for knots, _, _ in self.tails)
        tails = zip(self.tails, MOST.tolist(), strict=True)
        self.curves = np.concatenate([(slope, most, *knots, *rare) for (knots, rare, slope), most in tails])


def overlap_add(errors: Windows, first: int, stride: int, total: Floats) -> None:
    """Add the errors of evenly spaced windows to the rows that they hold, in place; their count in the last column.

    A row takes the errors of its windows in their order, so that the sum is the same to the bit however the windows
    are cut in batches.

    Parameters
    ----------
    errors
        Shape (window, size, channel).
    first
        Row of `total` at which the first window starts.
    total
        Shape (time, channel + 1).
    """
    n_windows, size, channels = errors.shape
    stride = stride if n_windows > 1 else size  # a lone window goes in one piece
    step, width = total.strides
    for offset in reversed(range(0, size, stride)):  # the oldest window of a row first
        part = errors[:, offset : offset + stride]
        shape, strides = (n_windows, part.shape[1], channels + 1), (stride * step, step, width)
        rows = np.ndarray(shape, total.dtype, total[first + offset :], strides=strides)  # refuses to leave `total`
        rows[..., :channels] += part
        rows[..., channels] += 1


def row_terms(
    constants: Constants, values: Rows, end: int, rows: range, errors: Floats, parts: Floats, terms: Floats
) -> None:
    """Compute the terms of rows.

    Parameters
    ----------
    values
        Rows, shape (time, channel), as far as the wanted ones reach.
    end
        The row after the stretch's last; any out of reach if it isn't known yet.
    errors
        The model's error of the wanted rows, shape (row, scored channel); with one more column, sums and their count.
    parts
        Where each scored channel's energy, error² + distance², its spread and its shift go, shape (row, 3, channel).
    terms
        Where the terms go, shape (row, 5).
    """
    if errors.shape[1] > len(constants.center):
        errors = errors[:, :-1] / errors[:, -1:]
    first = max(0, rows.start - constants.reach.before)
    z = values.between(first, values.stop)[:, constants.pick] - constants.center
    z /= constants.scale
    pair = np.concatenate((z, np.square(z)), axis=1).reshape(len(z), 2, -1)  # averaged together
    means = score.rolling_mean(pair, first, 0, end, rows, constants.rolling)
    excess = score.log_spread(means[:, 0], means[:, 1])
    excess -= constants.spread_center
    excess /= constants.spread_scale
    spread = np.maximum(excess, 0.0, out=excess)
    distance = z[rows.start - first : rows.stop - first] - means[:, 0]
    np.divide(np.abs(distance, out=distance), constants.distance_scale, out=distance)
    shift = means[:, 0] - score.rolling_mean(z, first, 0, end, rows, constants.long_rolling)
    np.divide(np.abs(shift, out=shift), constants.shift_scale, out=shift)
    parts[:, 0] = errors * errors + distance * distance
    parts[: max(0, constants.warm_up - rows.start), 0] = 0.0  # without an error it isn't known
    parts[:, 1], parts[:, 2] = spread, shift
    np.square(spread, out=spread)
    distance, shift = np.log1p(distance, out=distance), np.log1p(shift, out=shift)
    for column, part in ((0, np.log1p(errors)), (1, spread), (2, distance), (4, shift)):
        np.divide(np.add.reduce(part, axis=1), len(constants.center), out=terms[:, column])
    parts[:, 0].max(axis=1, out=terms[:, 3])


def rare(
    constants: Constants, terms: Rows, end: int, rows: range, smooth: Floats, rare: Floats, result: Floats
) -> None:
    """Smooth the terms of rows, say how rare they are, and score the rows."""
    smooth[:] = score.rolling_mean(terms.data, terms.first, constants.begin, end, rows, constants.smoothing)
    rare[:] = surprises(smooth, constants.tails)
    result[:] = score.fuse(rare)


def contribution(constants: Constants, parts: Rows, end: int, rows: range, rare: Floats, out: Floats) -> None:
    """Share out the surprises of rows: of spread and shift as the channels' own are, the others as their energy.

    Parameters
    ----------
    out
        Where it goes, shape (row, scored channel); rows sum to the score.
    """
    begin = (constants.warm_up, 0, 0)
    mean = score.rolling_mean(parts.data, parts.first, begin, end, rows, constants.smoothing)
    share = np.empty((len(rows), 3))
    np.add(rare[:, 0], rare[:, 2] + rare[:, 3], out=share[:, 0])
    share[:, 1:] = rare[:, 1::3]
    whole = np.add.reduce(mean, axis=2)
    share /= np.where(whole > 0, whole, 1.0) * len(TERMS)
    mean *= share[:, :, None]
    np.add.reduce(mean, axis=1, out=out)
