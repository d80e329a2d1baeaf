"""Score one gap-free stretch, pushed in pieces: windows -> errors -> terms -> scores. How it is cut changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave import score, window
from oddwave.metadata import TERMS, Calibration, Metadata, Tail
from oddwave.series import Floats, Windows

_HUGE = 1e25
_MOST = np.array([math.log(1e4), math.log(100)])  # that a single channel and a shift count: of rows, one in so many
_UNKNOWN = 1 << 60  # end of a stretch that goes on


class Scores(NamedTuple):
    """Scores of the next rows of a stretch.

    Parameters
    ----------
    score
        Shape (time,); NaN for rows that are warming up.
    terms
        Shape (time, 5): those of `TERMS`, smoothed, before calibration.
    contribution
        Shape (row, channel), rows sum to the score; from the first row above the threshold to the last one.
    first
        The row that `contribution` begins with.
    """

    score: Floats
    terms: Floats
    contribution: Floats | None = None
    first: int = 0


_NOTHING = Scores(np.zeros(0), np.zeros((0, len(TERMS))))
Curve = tuple[Floats, Floats, float]


def curve(tail: Tail) -> Curve:
    """Return a tail's knots, the surprise at each, and its slope, as `score.surprise` takes them."""
    return np.array(tail.knots), np.array(tail.surprise), tail.slope


def surprises(terms: Floats, curves: Sequence[Curve]) -> Floats:
    """Return how rare the terms of rows are, shape (time, 5).

    That of a single channel counts up to 1 in 10,000 rows, that of a shift up to 1 in 100: none outweighs all others.
    """
    knots, at_knots, slopes = zip(*curves, strict=True)
    rare = score.beyond(terms, np.array([column[-1] for column in knots]), np.array(slopes))
    for column in range(len(curves)):
        rare[:, column] += np.interp(terms[:, column], knots[column], at_knots[column], left=0.0)
    np.minimum(rare[:, 3:], _MOST, out=rare[:, 3:])
    return rare


class Rows:
    """Rows of a stretch by their number, appended at the end and dropped from the front."""

    def __init__(self, *shape: int, dtype: Any = np.float64) -> None:
        self.first = 0
        self.data: NDArray[Any] = np.zeros((0, *shape), dtype=dtype)

    @property
    def stop(self) -> int:
        """Number of the row after the last."""
        return self.first + len(self.data)

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows."""
        self.data = np.concatenate([self.data, rows]) if len(self.data) else rows

    def drop(self, before: int) -> None:
        """Forget the rows before a number."""
        if before > self.first:
            self.data = self.data[before - self.first :]
            self.first = before

    def between(self, start: int, stop: int) -> NDArray[Any]:
        """Return the rows from `start` up to `stop`."""
        return self.data[start - self.first : stop - self.first]


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
        self.center = np.array(metadata.center)[self.pick]
        self.scale = np.array(metadata.scale)[self.pick]
        self.spread_center = np.array(calibration.spread_center)[self.pick]
        self.spread_scale = np.array(calibration.spread_scale)[self.pick]
        self.distance_scale = np.array(calibration.distance_scale)[self.pick]
        self.shift_scale = np.array(calibration.shift_scale)[self.pick]
        self.tails = [curve(getattr(calibration, term)) for term in TERMS]
        self.warm_up = 0 if self.is_full else metadata.size - 1  # rows without the causal error: it needs a window
        self.begin = (self.warm_up, 0, 0, self.warm_up, 0)  # the first row with each term


class StretchScorer:
    """Score the rows of one stretch.

    Parameters
    ----------
    run
        The detector's graph: float32 windows (window, size, channel) -> errors of the same shape.
    batch
        Windows a call of `run`.
    threshold
        Contributions are computed for pieces with a row above it.
    """

    def __init__(self, constants: Constants, run: Callable[[Windows], Windows], batch: int, threshold: float) -> None:
        self.constants, self.run, self.batch, self.threshold = constants, run, batch, threshold
        self.values = Rows(constants.channels)
        self.total = Rows(constants.channels + 1)  # sums of errors, and how many, of rows that windows still reach
        self.parts = Rows(3, len(constants.center))  # each scored channel's energy, error² + distance², spread, shift
        self.terms = Rows(len(TERMS))  # not yet smoothed
        self.next_start = self.done = 0

    def push(self, values: Floats, is_last: bool = False) -> Scores:
        """Add rows, shape (time, channel), the last ones or not; return the scores that no later row can change."""
        # so that float32 can scale it in the graph, and float64 square it outside
        self.values.append(np.clip(values, -_HUGE, _HUGE) if np.abs(values).max(initial=0) > _HUGE else values)
        return self._advance(is_last)

    def finish(self) -> Scores:
        """End the stretch; return the scores of the remaining rows, NaN if it is shorter than a window."""
        return self._advance(is_last=True)

    def _advance(self, is_last: bool) -> Scores:
        known, size = self.values.stop, self.constants.size
        lag = 0
        if self.constants.is_full:
            self._add_window_errors(is_last)
            if not is_last:  # a window that ends at the last row may come
                lag = max(size, self.constants.reach.after)
        rows = range(self.terms.stop, max(self.terms.stop, known - lag))
        if rows and known >= (size if self.constants.is_full else 1):
            self._add_terms(rows, is_last)
        scores = self._score(is_last)
        self.values.drop(min(self.next_start, known - size, self.terms.stop - self.constants.reach.before))
        self.parts.drop(self.done - self.constants.smoothing.before)
        self.terms.drop(self.done - self.constants.smoothing.before)
        return scores

    def _add_window_errors(self, is_last: bool) -> None:
        """Run the windows that are complete, and add their errors to the rows."""
        known, size, stride = self.values.stop, self.constants.size, self.constants.stride
        self.total.append(np.zeros((known - self.total.stop, self.total.data.shape[1])))
        first_rows = np.arange(self.next_start, known - size + 1, stride)
        self.next_start += len(first_rows) * stride
        for batch in self._batches(first_rows):
            window.overlap_add(self._errors(batch), int(batch[0]) - self.total.first, stride, self.total.data)
        if is_last and known >= size and (known - size) % stride:
            last = np.array([known - size])
            window.overlap_add(self._errors(last), known - size - self.total.first, size, self.total.data)

    def _batches(self, first_rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        return [first_rows[i : i + self.batch] for i in range(0, len(first_rows), self.batch)]

    def _errors(self, first_rows: NDArray[np.intp]) -> Windows:
        """Cut windows and run them through the graph."""
        size, low = self.constants.size, int(first_rows[0])
        rows = self.values.between(low, int(first_rows[-1]) + size).astype(np.float32)
        return self.run(rows[None] if len(first_rows) == 1 else window.cut(rows, first_rows - low, size))

    def _row_errors(self, rows: range) -> Floats:
        """Return the model's error of rows that no later window holds, shape (row, scored channel)."""
        if self.constants.is_full:
            total = self.total.between(rows.start, rows.stop)
            self.total.drop(rows.stop)
            return np.ascontiguousarray((total[:, :-1] / total[:, -1:])[:, self.constants.pick])
        size = self.constants.size
        errors = np.zeros((len(rows), len(self.constants.center)))
        ends = np.arange(max(rows.start, size - 1), rows.stop)
        for batch in self._batches(ends):
            at = batch - rows.start
            errors[at] = self._last_errors(batch - (size - 1))
        self.next_start = max(0, rows.stop - size + 1)
        return errors

    def _last_errors(self, first_rows: NDArray[np.intp]) -> Floats:
        """Return the mean error of the last rows of windows, shape (window, scored channel)."""
        last = self._errors(first_rows)[:, -self.constants.error_rows :].astype(np.float64)
        mean: Floats = np.add.reduce(last, axis=1) / last.shape[1]
        return mean[:, self.constants.pick]

    def _add_terms(self, rows: range, is_last: bool) -> None:
        """Append the terms of rows, and energy, spread and shift of their channels."""
        known = self.values.stop
        constants = self.constants
        errors = self._row_errors(rows)
        first = max(0, rows.start - constants.reach.before)
        z = self.values.between(first, known)[:, constants.pick] - constants.center
        z /= constants.scale
        pair = np.concatenate((z, np.square(z)), axis=1).reshape(len(z), 2, -1)  # averaged together
        end = known if is_last else _UNKNOWN
        means = score.rolling_mean(pair, first, 0, end, rows, constants.rolling)
        excess = score.log_spread(means[:, 0], means[:, 1])
        excess -= constants.spread_center
        excess /= constants.spread_scale
        spread = np.maximum(excess, 0.0, out=excess)
        distance = z[rows.start - first : rows.stop - first] - means[:, 0]
        np.divide(np.abs(distance, out=distance), constants.distance_scale, out=distance)
        shift = means[:, 0] - score.rolling_mean(z, first, 0, end, rows, constants.long_rolling)
        np.divide(np.abs(shift, out=shift), constants.shift_scale, out=shift)
        energy = errors * errors
        energy += distance * distance
        energy[: max(0, constants.warm_up - rows.start)] = 0.0  # without an error it isn't known
        parts = np.concatenate((energy, spread, shift), axis=1).reshape(len(rows), 3, -1)
        terms = np.zeros((len(rows), len(TERMS)))
        np.square(spread, out=spread)
        for part in (errors, distance, shift):
            np.log1p(part, out=part)
        for column, part in ((0, errors), (1, spread), (2, distance), (4, shift)):
            np.add.reduce(part, axis=1, out=terms[:, column])
        terms /= energy.shape[1]
        energy.max(axis=1, out=terms[:, 3])
        self.parts.append(parts)
        self.terms.append(terms)

    def _score(self, is_last: bool) -> Scores:
        """Smooth the terms of the rows that are ready, and calibrate them."""
        begin, known = self.done, self.values.stop
        self.done = known if is_last else max(begin, self.terms.stop - self.constants.smoothing.after)
        if self.done == begin:
            return _NOTHING
        # a stretch shorter than a window has no terms
        wanted = range(max(begin, self.constants.warm_up), self.done) if self.terms.stop else range(0)
        terms = self._smooth(self.terms, self.constants.begin, wanted, is_last) if wanted else np.zeros((0, len(TERMS)))
        if early := self.done - begin - len(wanted):
            terms = np.concatenate([np.full((early, len(TERMS)), np.nan), terms])
        rare = surprises(terms, self.constants.tails)
        result = score.fuse(rare)
        odd = (result > self.threshold).nonzero()[0]
        if not len(odd):
            return Scores(result, terms)
        first, stop = int(odd[0]), int(odd[-1]) + 1
        contribution = self._contribution(rare[first:stop], range(begin + first, begin + stop), is_last)
        return Scores(result, terms, contribution, first)

    def _smooth(self, rows: Rows, begin: tuple[int, ...], wanted: range, is_last: bool) -> Floats:
        end = self.values.stop if is_last else _UNKNOWN
        return score.rolling_mean(rows.data, rows.first, begin, end, wanted, self.constants.smoothing)

    def _contribution(self, rare: Floats, rows: range, is_last: bool) -> Floats:
        """Share out the surprises of rows: of spread and shift as the channels' own are, the others as their energy."""
        parts = self._smooth(self.parts, (self.constants.warm_up, 0, 0), rows, is_last)
        share = np.empty((len(rows), 3))
        np.add(rare[:, 0], rare[:, 2] + rare[:, 3], out=share[:, 0])
        share[:, 1:] = rare[:, 1::3]
        whole = np.add.reduce(parts, axis=2)
        share /= np.where(whole > 0, whole, 1.0) * len(TERMS)
        parts *= share[:, :, None]
        out = np.zeros((len(rows), self.constants.channels))
        out[:, self.constants.pick] = np.add.reduce(parts, axis=1)
        return out
