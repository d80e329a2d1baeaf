"""One pass over one series: clean -> score stretches -> threshold -> events, with rows waiting for their scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave import clean, threshold
from oddwave.clean import NOWHERE, SHORT_STRETCH, WARMING_UP, Cleaner
from oddwave.config import Detection
from oddwave.errors import TooShortError
from oddwave.events import EventBuilder
from oddwave.metadata import Metadata
from oddwave.result import Scored
from oddwave.series import TICKS_PER_S, Floats, Series, TimeKind
from oddwave.stretch import Scores, StretchScorer
from oddwave.terms import Rows

_NOTHING = (
    Scored(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int8), np.zeros(0, dtype=np.uint8)),
    np.zeros((0, 0)),
)


class Pass:
    """One pass over one series: its rows wait here until their scores are known."""

    def __init__(
        self,
        metadata: Metadata,
        new_scorer: Callable[[float], StretchScorer],
        settings: Detection,
        series: Series,
        names_channels: bool = True,
    ) -> None:
        self.metadata, self.new_scorer = metadata, new_scorer
        self.settings, self.title = settings, series.title
        self.threshold = threshold.chosen(metadata, settings)
        self.least = -np.inf if settings.contributions else self.threshold if names_channels else np.inf
        max_gap = metadata.max_gap if settings.max_gap is None else settings.max_gap
        self.extra_notes: list[str] = []
        step = self._step(series.kind, series.ticks)
        self.cleaner = Cleaner(series.title, len(metadata.channels), step, max_gap)
        self.events = EventBuilder(tuple(metadata.channels), series.kind, settings.merge_gap, settings.min_length)
        self.scorer: StretchScorer | None = None
        self.scores = Rows()
        self.parts: list[tuple[int, Floats]] = []  # contributions of the pieces that have some, by first position
        self.waiting: list[tuple[Series, NDArray[np.int64], NDArray[np.uint8]]] = []
        self.n_rows = 0

    def whole(self, series: Series) -> tuple[Scored, Floats] | None:
        """Score a whole series at once, as `push` and `finish` would; None if it has to be cleaned for that."""
        if len(series) < self.metadata.size or not self.cleaner.is_clean(series.ticks, series.values):
            return None
        score, _, contribution, first = self.new_scorer(self.least).push(series.values, is_last=True)
        label = (score > self.threshold).astype(np.int8)
        reason = np.zeros(len(score), dtype=np.uint8)
        if self.settings.scoring == "causal":
            label[: self.metadata.size - 1], reason[: self.metadata.size - 1] = -1, WARMING_UP
        odd = (label == 1).nonzero()[0]
        parts = np.zeros((len(odd), series.values.shape[1])) if contribution is None else contribution[odd - first]
        self.events.push(series.index, series.ticks, score, label, parts)
        asked = _NOTHING[1]
        if self.settings.contributions:
            asked = np.zeros(series.values.shape)
            if contribution is not None:
                asked[first : first + len(contribution)] = contribution
        return Scored(series.index, score, label, reason), asked

    def push(self, series: Series, is_last: bool = False) -> tuple[Scored, Floats]:
        """Add rows in time order; return those whose scores are final, with their contributions if asked for."""
        cleaned = self.cleaner.push(series.ticks, series.values)
        for number, (values, is_new) in enumerate(cleaned.stretches, 1):
            if is_new:
                self._end_stretch()
            if self.scorer is None:
                self.scorer = self.new_scorer(self.least)
            ends = is_last and number == len(cleaned.stretches)
            self._take(self.scorer.push(values, ends))
            if ends:
                self.scorer = None
        self.waiting.append((series, cleaned.position, cleaned.reason))
        self.n_rows += len(series)
        return self._release()

    def finish(self) -> tuple[Scored, Floats]:
        """End the series; return the remaining rows."""
        if self.n_rows < self.metadata.size:
            raise TooShortError(self.title, self.n_rows, self.metadata.size)
        self._end_stretch()
        return self._release()

    def notes(self) -> list[str]:
        """Say what was filled, left out or assumed."""
        return [*self.extra_notes, *self.cleaner.notes()]

    def _step(self, kind: TimeKind, ticks: Any) -> float | None:
        """Return the step of the grid in ticks: as set, the detector's (causal), or the series' own."""
        if kind == "row":
            return None
        unit = TICKS_PER_S if kind == "datetime" else 1
        if self.settings.step_s is not None:
            return self.settings.step_s * unit
        trained = self.metadata.time
        known = trained.step * unit if trained.step is not None and trained.kind == kind else None
        step = clean.typical_step(ticks)
        if known and step and not 0.9 < step / known < 1.1:
            self.extra_notes.append(
                f"Rows are {step / unit:g} apart, but the detector was trained on rows {known / unit:g} apart: "
                "scores may mislead."
            )
        if self.settings.scoring == "full":
            return step
        if known is None:
            self.extra_notes.append(
                "Gaps in time were not looked for: the detector doesn't know the step of such times. Give step_s."
            )
        return known

    def _end_stretch(self) -> None:
        if self.scorer is not None:
            self._take(self.scorer.finish())
            self.scorer = None

    def _take(self, scores: Scores) -> None:
        if scores.contribution is not None:
            self.parts.append((self.scores.stop + scores.first, scores.contribution))
        self.scores.append(scores.score)

    def _release(self) -> tuple[Scored, Floats]:
        """Take the first waiting rows whose scores are known, in order."""
        out: list[tuple[Scored, Floats]] = []
        while self.waiting:
            series, position, reason = self.waiting[0]
            pending = position >= self.scores.stop
            ready = int(pending.argmax()) if pending.any() else len(position)
            if ready:
                out.append(self._rows(series.rows(0, ready), position[:ready], reason[:ready]))
            if ready < len(position):
                self.waiting[0] = (series.rows(ready, len(position)), position[ready:], reason[ready:])
                break
            self.waiting.pop(0)
        if not out:
            return _NOTHING
        self._forget()
        if len(out) == 1:
            return out[0]
        fields = ("index", "score", "label", "reason")
        rows = Scored(*(np.concatenate([getattr(piece, name) for piece, _ in out]) for name in fields))
        return rows, np.concatenate([part for _, part in out])

    def _rows(self, series: Series, position: NDArray[np.int64], reason: NDArray[np.uint8]) -> tuple[Scored, Floats]:
        """Look up scores by position, label them, and add them to the events."""
        is_placed = position != NOWHERE
        if is_placed.all():
            score = self.scores.data[position - self.scores.first]
        else:
            score = np.full(len(position), np.nan)
            score[is_placed] = self.scores.data[position[is_placed] - self.scores.first]
        label = (score > self.threshold).astype(np.int8)
        null = np.isnan(score)
        if null.any():
            label[null] = -1
            reason = reason.copy()
            reason[null & is_placed] = SHORT_STRETCH if self.settings.scoring == "full" else WARMING_UP
        self.events.push(series.index, series.ticks, score, label, self._gather(position[label == 1]))
        asked = self._gather(position) if self.settings.contributions else _NOTHING[1]
        return Scored(series.index, score, label, reason), asked

    def _gather(self, position: NDArray[np.int64]) -> Floats:
        """Return the contributions of the rows at these positions, shape (row, channel)."""
        out = np.zeros((len(position), len(self.metadata.channels)))
        for first, part in self.parts:
            inside = (position >= first) & (position < first + len(part))
            out[inside] = part[position[inside] - first]
        return out

    def _forget(self) -> None:
        """Drop scores that no waiting or repeated row can ask for."""
        first = min((int(p[p >= 0].min()) for _, p, _ in self.waiting if (p >= 0).any()), default=self.scores.stop - 1)
        self.scores.drop(min(first, self.scores.stop - 1))
        self.parts = [(start, part) for start, part in self.parts if start + len(part) > self.scores.first]
