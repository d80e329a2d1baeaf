"""A detector and THE ORDER OF THE STEPS: read -> clean -> score stretches -> threshold -> events -> Result."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from oddwave import clean, config, detector_file, threshold
from oddwave.config import Detection
from oddwave.errors import ConfigError, InputError, nearest
from oddwave.events import Event
from oddwave.metadata import Metadata
from oddwave.one_pass import Pass
from oddwave.result import Result, Scored
from oddwave.runtime import Runtime
from oddwave.series import Columns, Floats, Series, batch
from oddwave.stream import Stream
from oddwave.stretch import StretchScorer
from oddwave.terms import Constants
from oddwave.threads import Threads

FILE_NAME = "detector.onnx"  # in a training output folder
_PIECE_CELLS = 102_400  # scored at once: more of them wait for memory, fewer look up too many rows before them
# Numbers to take and give back once: until it has seen an array as large come and go, the C library gives the
# memory of each series back to the system, which clears it for the next one: a quarter of a small request's time.
_ONCE = 1 << 20
_WEIGHTS = Path(__file__).parent / "weights"


def shipped() -> list[str]:
    """Return the names of the detectors in the package."""
    return sorted(file.stem for file in _WEIGHTS.glob("*.onnx"))


def shipped_scores() -> dict[str, dict[str, float]]:
    """Return `vus_pr` and `f1` of the shipped detectors, and of scores without one, on the same unseen rows."""
    scores: dict[str, dict[str, float]] = msgspec.json.decode((_WEIGHTS / "scores.json").read_bytes())
    return scores


def find(model: str | PathLike[str]) -> Path:
    """Return the detector file that a name, a path or a training output folder means.

    Raises
    ------
    ConfigError
        If there is none.
    """
    path = Path(model)
    if path.is_dir():
        if (path / FILE_NAME).is_file():
            return path / FILE_NAME
        raise ConfigError(f"The folder {model} holds no {FILE_NAME}. Give a training output folder or a detector file.")
    if path.is_file():
        return path
    name = str(model)
    if name in shipped():
        return _WEIGHTS / f"{name}.onnx"
    raise ConfigError(
        f"There is no detector {name!r}: no file, no folder, none of the shipped ones.{nearest(name, shipped())}\n"
        f"Shipped are {', '.join(shipped())}."
    )


class Detector:
    """A trained model with its scaler, scoring and thresholds; `load` makes one from a file.

    Parameters
    ----------
    data
        Bytes of a detector file.
    source
        Where it came from; messages name it.
    device
        `cpu`, `gpu:0`, …
    threads
        How many work on a long series; None: one for each processor.
    use_hpip
        Look for a faster engine on this machine; the attribute `choices` says what was found.
    """

    def __init__(
        self,
        data: bytes,
        source: str = "the detector",
        device: str = "cpu",
        threads: int | None = None,
        use_hpip: bool = False,
    ) -> None:
        self.metadata: Metadata = detector_file.decode(data, source)
        self.source = source
        self.data = data
        self._runtime = Runtime(data, source, device)
        self.device = self._runtime.device
        self.notes: tuple[str, ...] = ()  # of the training that made it
        self._threads = Threads(threads)
        self._piece = max(self._threads.count * _PIECE_CELLS // len(self.metadata.channels), 2 * self.metadata.size)
        self._constants: dict[str, Constants] = {}
        np.empty(_ONCE)
        self.choices: tuple[str, ...] = ()
        if use_hpip:
            from oddwave import hpip

            self.choices = hpip.hasten(self._runtime, data, self.metadata, self._threads.count, self.detect_series)

    @classmethod
    def load(
        cls, model: str | PathLike[str], device: str = "cpu", threads: int | None = None, use_hpip: bool = False
    ) -> Detector:
        """Load a shipped detector by its name, a detector file, or a training output folder.

        Raises
        ------
        ConfigError
            If there is no such detector.
        DetectorFileError
            If the file is damaged, unsafe, or of a newer format.
        DeviceError
            If the device can't be had.
        """
        path = find(model)
        return cls(detector_file.read(path), str(path), device, threads, use_hpip)

    def __repr__(self) -> str:
        data = self.metadata
        return f"Detector({data.model}, {len(data.channels)} channels, windows of {data.size})"

    def columns(
        self, time_col: str | None = None, group_col: str | None = None, label_col: str | None = None
    ) -> Columns:
        """Say which columns of a table this detector reads."""
        known = None if self.metadata.time.kind == "row" else self.metadata.time.name
        return Columns(tuple(self.metadata.channels), time_col, group_col, label_col, known)

    def detect(self, data: Any, **settings: Any) -> Result:
        """Score one series: a file, a frame, an array; see `oddwave.config.Detection` for the settings."""
        from oddwave import read

        columns = {name: settings.pop(name) for name in ("time_col", "group_col", "label_col") if name in settings}
        found = list(islice(read.read(data, self.columns(**columns)), 2))
        if len(found) != 1:
            count = "several" if found else "none"
            raise InputError(f"detect takes one series, but got {count}. Use create_pipeline(...).predict for many.")
        return self.detect_series(found[0], config.build(Detection, settings, "detect"))

    def detect_series(self, series: Series, settings: Detection | None = None, names_channels: bool = True) -> Result:
        """Score every row of a series that is in memory; the result keeps the order of its rows.

        With `names_channels=False` the events don't name the channels that contribute most, which saves time.

        Raises
        ------
        TooShortError
            If the series has fewer rows than a window.
        """
        settings = settings or Detection()
        order = None
        series = ordered = self._aligned(series)
        if len(series) > 1 and not (series.ticks[1:] >= series.ticks[:-1]).all():
            order = np.argsort(series.ticks, kind="stable")
            ordered = _reordered(series, order)
        scoring = self._pass(settings, ordered, names_channels)
        found = scoring.whole(ordered) if len(ordered) <= self._piece else None
        rows, parts = found or self._in_pieces(scoring, ordered)
        score, label, reason = rows.score, rows.label, rows.reason
        notes = [*series.notes, *scoring.notes()]
        if order is not None:
            back = np.argsort(order)
            score, label, reason = score[back], label[back], reason[back]
            parts = parts[back] if settings.contributions else parts
            notes.append("The rows were not in time order: they were scored in it, and the output keeps yours.")
        return Result(
            series=series, score=score, label=label, reason=reason, events=scoring.events.finish(),
            threshold=scoring.threshold, model=self.metadata.model, scoring=settings.scoring, notes=tuple(notes),
            contribution=parts if settings.contributions else None,
        )  # fmt: skip

    def _in_pieces(self, scoring: Pass, series: Series) -> tuple[Scored, Floats]:
        step, n_rows = self._piece, len(series)
        pieces = [scoring.push(series.rows(i, i + step), i + step >= n_rows) for i in range(0, n_rows, step)]
        pieces.append(scoring.finish())
        pieces = [(rows, parts) for rows, parts in pieces if len(rows)]
        fields = ("index", "score", "label", "reason")
        rows = Scored(*(_joined([getattr(piece, name) for piece, _ in pieces]) for name in fields))
        return rows, _joined([part for _, part in pieces])

    def detect_chunks(
        self, chunks: Iterable[Series], settings: Detection | None = None
    ) -> Generator[Scored, None, tuple[list[Event], list[str]]]:
        """Score a series that comes in pieces, in memory bounded by them.

        Yields the rows in their order as soon as no later row can change them; returns the events and the notes.

        Raises
        ------
        UnsortedError
            If the rows are not in time order.
        """
        settings = settings or Detection()
        pieces = iter(chunks)
        head = list(_at_least(pieces, clean.STEP_ROWS))
        if not head:
            return [], []
        ticks = np.concatenate([piece.ticks for piece in head])
        scoring = self._pass(settings, replace(head[0], ticks=ticks))
        read_notes: tuple[str, ...] = ()
        for chunk in map(self._aligned, chain(head, pieces)):
            read_notes = chunk.notes or read_notes  # those of a chunk are of all rows so far
            for i in range(0, len(chunk), self._piece):
                yield scoring.push(chunk.rows(i, i + self._piece))[0]
        yield scoring.finish()[0]
        return scoring.events.finish(), [*read_notes, *scoring.notes()]

    def stream(self, **settings: Any) -> Stream:
        """Return a stream: push rows as they come, get each one's causal score and label at once."""
        chosen = config.build(Detection, {**settings, "scoring": "causal"}, "stream")
        return Stream(self.metadata, lambda series: self._pass(chosen, series))

    def threshold(self, settings: Detection) -> float:
        """Return the score above which a row is anomalous: as set, for another budget, or the detector's own."""
        return threshold.chosen(self.metadata, settings)

    def stretch_scorer(self, scoring: str, least: float) -> StretchScorer:
        """Return a scorer for one gap-free stretch of rows; contributions are of pieces with a score above `least`."""
        if scoring not in self._constants:
            self._constants[scoring] = Constants(self.metadata, scoring)
        constants = self._constants[scoring]
        return StretchScorer(constants, self._runtime.errors, batch(self.metadata.size), least, self._threads)

    def _aligned(self, series: Series) -> Series:
        """Put the channels in the detector's order."""
        names, wanted = series.channels, tuple(self.metadata.channels)
        if names == wanted:
            return series
        missing = [name for name in wanted if name not in names]
        if missing or len(names) != len(wanted):
            raise InputError(
                f"{series.title} has the channels {', '.join(names)}, but this detector reads {', '.join(wanted)}.\n"
                "Give these, or train a detector with yours."
            )
        return replace(series, values=series.values[:, [names.index(name) for name in wanted]], channels=wanted)

    def _pass(self, settings: Detection, series: Series, names_channels: bool = True) -> Pass:
        return Pass(self.metadata, partial(self.stretch_scorer, settings.scoring), settings, series, names_channels)


def _reordered(series: Series, order: NDArray[np.intp]) -> Series:
    return replace(
        series, values=series.values[order], ticks=series.ticks[order], index=series.index[order], labels=None
    )


def _joined(pieces: list[NDArray[Any]]) -> NDArray[Any]:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _at_least(pieces: Iterator[Series], n_rows: int) -> Iterator[Series]:
    """Take pieces until they hold enough rows."""
    seen = 0
    for piece in pieces:
        yield piece
        seen += len(piece)
        if seen >= n_rows:
            return
