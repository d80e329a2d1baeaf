"""Score one gap-free stretch, pushed in pieces: windows -> errors -> terms -> scores. How it is cut changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave import window
from oddwave.metadata import TERMS
from oddwave.series import Floats, Windows
from oddwave.terms import Constants, Rows
from oddwave.threads import Threads

try:
    from oddwave import kernel as steps
except ImportError:  # there was no compiler when it was installed
    from oddwave import terms as steps  # type: ignore[no-redef]
IS_COMPILED = steps.__name__ == "oddwave.kernel"

_HUGE = 1e25
_LEAST_ROWS = 1024  # a thread's part
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
    threads
        What works on the parts of large pieces; None: this thread alone.
    """

    def __init__(
        self,
        constants: Constants,
        run: Callable[[Windows], Windows],
        batch: int,
        threshold: float,
        threads: Threads | None = None,
    ) -> None:
        self.constants, self.run, self.batch, self.threshold = constants, run, batch, threshold
        self.each = map if threads is None else threads.map
        self.n_threads = 1 if threads is None else threads.count
        self.values = Rows(constants.channels)
        self.total = Rows(constants.channels + 1)  # sums of errors, and how many, of rows that windows still reach
        self.parts = Rows(3, len(constants.center))  # each scored channel's energy, error² + distance², spread, shift
        self.terms = Rows(len(TERMS))  # not yet smoothed
        self.next_start = self.done = 0

    def push(self, values: Floats, is_last: bool = False) -> Scores:
        """Add rows, shape (time, channel), the last ones or not; return the scores that no later row can change."""
        # so that float32 can scale it in the graph, and float64 square it outside
        is_huge = values.max(initial=0) > _HUGE or values.min(initial=0) < -_HUGE
        self.values.append(np.clip(values, -_HUGE, _HUGE) if is_huge else np.ascontiguousarray(values))
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
        self.total.extend(known - self.total.stop)[...] = 0.0
        first_rows = np.arange(self.next_start, known - size + 1, stride)
        self.next_start += len(first_rows) * stride
        batches = self._batches(first_rows)
        for batch, errors in zip(batches, self.each(self._errors, batches), strict=True):
            steps.overlap_add(errors, int(batch[0]) - self.total.first, stride, self.total.data)
        if is_last and known >= size and (known - size) % stride:
            last = np.array([known - size])
            steps.overlap_add(self._errors(last), known - size - self.total.first, size, self.total.data)

    def _batches(self, first_rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        return [first_rows[i : i + self.batch] for i in range(0, len(first_rows), self.batch)]

    def _errors(self, first_rows: NDArray[np.intp]) -> Windows:
        """Cut windows and run them through the graph."""
        size, low = self.constants.size, int(first_rows[0])
        rows = self.values.between(low, int(first_rows[-1]) + size).astype(np.float32)
        return self.run(rows[None] if len(first_rows) == 1 else window.cut(rows, first_rows - low, size))

    def _row_errors(self, rows: range) -> Floats:
        """Return the model's error of rows that no later window holds, as `steps.row_terms` takes it."""
        if self.constants.is_full:
            total = self.total.between(rows.start, rows.stop)
            self.total.drop(rows.stop)
            return np.ascontiguousarray(total[:, self.constants.counted])
        size = self.constants.size
        errors = np.zeros((len(rows), len(self.constants.center)))
        ends = np.arange(max(rows.start, size - 1), rows.stop)
        batches = self._batches(ends)
        for batch, found in zip(batches, self.each(self._last_errors, batches), strict=True):
            errors[batch - rows.start] = found
        self.next_start = max(0, rows.stop - size + 1)
        return errors

    def _last_errors(self, ends: NDArray[np.intp]) -> Floats:
        """Return the mean error of the last rows of windows that end at these rows, shape (window, scored channel)."""
        last = self._errors(ends - (self.constants.size - 1))[:, -self.constants.error_rows :].astype(np.float64)
        mean: Floats = np.add.reduce(last, axis=1) / last.shape[1]
        return mean[:, self.constants.pick]

    def _add_terms(self, rows: range, is_last: bool) -> None:
        """Append the terms of rows, and energy, spread and shift of their channels."""
        errors, parts, terms = self._row_errors(rows), self.parts.extend(len(rows)), self.terms.extend(len(rows))
        self._spread(
            partial(steps.row_terms, self.constants, self.values, self._end(is_last)), rows, errors, parts, terms
        )

    def _score(self, is_last: bool) -> Scores:
        """Smooth the terms of the rows that are ready, and calibrate them."""
        begin, known = self.done, self.values.stop
        self.done = known if is_last else max(begin, self.terms.stop - self.constants.smoothing.after)
        # a stretch shorter than a window has no terms
        start = max(begin, self.constants.warm_up) if self.terms.stop else self.done
        early, n_rows = min(start, self.done) - begin, self.done - begin
        terms, rare, result = np.empty((n_rows, len(TERMS))), np.empty((n_rows, len(TERMS))), np.empty(n_rows)
        terms[:early] = result[:early] = np.nan
        if early == n_rows:
            return Scores(result, terms)
        rows = range(start, self.done)
        step = partial(steps.rare, self.constants, self.terms, self._end(is_last))
        self._spread(step, rows, terms[early:], rare[early:], result[early:])
        odd = (result > self.threshold).nonzero()[0]
        if not len(odd):
            return Scores(result, terms)
        first, stop = int(odd[0]), int(odd[-1]) + 1
        contribution = self._contribution(rare[first:stop], range(begin + first, begin + stop), is_last)
        return Scores(result, terms, contribution, first)

    def _contribution(self, rare: Floats, rows: range, is_last: bool) -> Floats:
        """Share out the surprises of rows over all channels."""
        scored = np.empty((len(rows), len(self.constants.center)))
        step = partial(steps.contribution, self.constants, self.parts, self._end(is_last))
        self._spread(step, rows, rare, scored)
        if scored.shape[1] == self.constants.channels:
            return scored
        out = np.zeros((len(rows), self.constants.channels))
        out[:, self.constants.pick] = scored
        return out

    def _spread(self, step: Callable[..., None], rows: range, *arrays: Floats) -> None:
        """Run a step on rows, with each array's rows of them; on many rows in parts, one a thread."""
        n_parts = min(self.n_threads, 1 + len(rows) // _LEAST_ROWS)
        if n_parts == 1:
            step(rows, *arrays)
            return
        cuts = [len(rows) * part // n_parts for part in range(n_parts + 1)]
        parts = [(rows[a:b], *(array[a:b] for array in arrays)) for a, b in pairwise(cuts)]
        for _ in self.each(lambda part: step(*part), parts):
            pass

    def _end(self, is_last: bool) -> int:
        return self.values.stop if is_last else _UNKNOWN
