"""Baselines: scores that need no trained model, treated as a detector's own.

Each is one number a row: a mean or a maximum over the scored channels, smoothed by the detector's moving average,
measured in how rare it is on held-out normal rows, with a threshold from these rows for the detector's budget. So a
detector that isn't better adds nothing to its smoothing and its channel rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from oddwave import calibrate, score, threshold
from oddwave.atomic import Atomic
from oddwave.calibrate import rounded, tail as tail_of
from oddwave.detector import Detector
from oddwave.errors import InputError
from oddwave.metadata import TERMS, Alarm, Metadata, Part, Tail
from oddwave.series import Floats
from oddwave.stretch import StretchScorer
from oddwave.terms import Constants, curve, surprises

FILE_NAME = "baselines.json"  # in a run folder
RANDOM, AS_MANY, ALL, Z_MAX, Z_MEAN = "random", "random, as many", "all rows", "largest z-score", "mean z-score"
WINDOW_MEAN, PCA, TWO_TERMS, NO_MODEL = "window mean", "PCA of rows", "spread + distance", "no model"
MEANS = {
    RANDOM: "a random number for each row",
    AS_MANY: "the same, not smoothed, with as many rows flagged as the detector flags",
    ALL: "every row flagged",
    Z_MAX: "the largest absolute z-score of a channel",
    Z_MEAN: "the mean absolute z-score of the channels",
    WINDOW_MEAN: "the distance from the rolling mean",
    PCA: "the error of principal components of single rows that keep 95 % of the variance",
    TWO_TERMS: "the detector's terms spread and distance alone (U + Wm)",
    NO_MODEL: "all of the detector's terms that need no model: spread, distance and shift",
}
_FUSED = {
    TWO_TERMS: (1, 2),
    NO_MODEL: (1, 2, 4),
}  # which of the detector's terms, already measured in how rare they are
_VARIANCE = 0.95
_MOST_COMPONENTS = 32
_CELLS = 1 << 18  # values looked at together


class Way(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One baseline in one way to score: how rare its values are on normal rows (null: it tells itself), its alarm."""

    tail: Tail | None
    alarm: Alarm


class Baselines(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What baselines learned from training rows; the file baselines.json of a run.

    Parameters
    ----------
    graph_sha256
        Of the detector that they stand beside: channels, scaling and smoothing are its own.
    components
        Principal components of single rows, scaled, shape (component, channel); empty if they weren't fitted.
    """

    format: Literal[1] = 1
    graph_sha256: str
    components: list[list[float]]
    full: dict[str, Way]
    causal: dict[str, Way]

    def scores(
        self, detector: Detector, stretches: Sequence[Floats], scoring: str, seed: int = 0
    ) -> dict[str, tuple[Floats, float]]:
        """Score gap-free stretches, end to end: by name the scores, shape (time,), and the threshold.

        The threshold is NaN if no training rows set one; what can't be scored without them is left out, and so is
        what takes the detector's labels, see `as_many`.
        """
        ways: dict[str, Way] = getattr(self, scoring)
        raw = _raw(detector.metadata, stretches, scoring, np.array(self.components), np.random.default_rng(seed))
        found: dict[str, tuple[Floats, float]] = {}
        for name, values in raw.items():
            way = ways.get(name)
            tail = None if way is None else way.tail
            rare = values if tail is None else score.surprise(values, *curve(tail))
            found[name] = (rare, math.nan if way is None else way.alarm.threshold)
        found[ALL] = (np.ones(sum(map(len, stretches))), 0.5)
        return {name: found[name] for name in MEANS if name in found}

    def with_budget(self, wanted: threshold.Budget, step_s: float | None) -> Baselines:
        """Return the same with thresholds for another budget of false alarms."""
        ways = {
            scoring: {
                name: msgspec.structs.replace(
                    way, alarm=msgspec.structs.replace(way.alarm, threshold=threshold.limit(way.alarm, wanted, step_s))
                )
                for name, way in getattr(self, scoring).items()
            }
            for scoring in ("full", "causal")
        }
        return msgspec.structs.replace(self, **ways)

    def save(self, folder: str | Path) -> Path:
        """Write them into a run folder, whole or not at all; return the path."""
        path = Path(folder) / FILE_NAME
        with Atomic(path) as file:
            file.write(msgspec.json.encode(self))
        return path


def fit(
    detector: Detector,
    learned: Sequence[Floats],
    hold: Sequence[Floats],
    budget: threshold.Budget | float | None = None,
) -> Baselines:
    """Fit the baselines that stand beside a detector.

    Parameters
    ----------
    learned
        Stretches of normal rows that scaling and model were fitted to, each (time, channel).
    hold
        Stretches of normal rows that they weren't, the last in time. Tails and thresholds come from both, each block of
        time with what the others say is usual, as those of the detector.
    budget
        False alarms that the thresholds may give; None: the share of normal rows that the detector expects to flag.
    """
    metadata = detector.metadata
    blocks, held = _blocks(learned, hold, metadata.size)
    folds = [(fold, _components(fold.metadata, fold.others)) for fold in calibrate.folds(metadata, blocks)]
    step_s = threshold.seconds_a_row(metadata)
    ways: dict[str, dict[str, Way]] = {}
    for scoring in ("full", "causal"):
        wanted = budget or getattr(metadata, scoring).alarm.rate
        raw = [
            _raw(fold.metadata, fold.rows, scoring, components, np.random.default_rng(i), is_apart=True)
            for i, (fold, components) in enumerate(folds, 1)
        ]
        ways[scoring] = {
            name: _way([values[name] for values in raw], held, name not in _FUSED, wanted, step_s) for name in raw[0]
        }
    return Baselines(
        graph_sha256=metadata.graph_sha256, components=[rounded(row) for row in _components(metadata, learned)],
        full=ways["full"], causal=ways["causal"],
    )  # fmt: skip


def as_many(flagged: float, count: int, seed: int) -> Floats:
    """Return random scores of so many rows, of which about this share is above 0."""
    values = np.random.default_rng(seed).random(count)
    found: Floats = values - np.quantile(values, 1 - flagged)
    return found


def bare(detector: Detector) -> Baselines:
    """Return what can be said without training rows: no thresholds, no principal components."""
    return Baselines(graph_sha256=detector.metadata.graph_sha256, components=[], full={}, causal={})


def read(folder: str | Path, detector: Detector) -> Baselines | None:
    """Return the baselines of a run folder; None if it has none, or another detector's.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Baselines)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            f"{path} can't be read: {error}.\n"
            "Train anew; or delete it, and have the training rows as train.* beside val.*."
        ) from None
    return found if found.graph_sha256 == detector.metadata.graph_sha256 else None


def _blocks(learned: Sequence[Floats], hold: Sequence[Floats], size: int) -> tuple[list[list[Floats]], int]:
    """Cut rows into blocks of time as calibration does; return also how many rows at the end were held out."""
    from oddwave.train import blocks

    stretches = [*learned, *hold]
    n_rows = sum(map(len, stretches))
    count = min(blocks.FOLDS, max(1, n_rows // (2 * size)))
    found = []
    for block in blocks.split(stretches, [1 / count] * count):
        rest = 1 - min(1.0, blocks.MOST_SCORED / sum(map(len, block)))
        found.append(blocks.split(block, (rest / 2, 1 - rest))[1])
    return found, sum(map(len, hold)) + len(hold) - 1


def _way(
    values: Sequence[Floats], held: int, has_tail: bool, wanted: threshold.Budget | float, step_s: float | None
) -> Way:
    joined = np.concatenate(values)
    tail = tail_of(joined[~np.isnan(joined)]) if has_tail else None
    rare = values if tail is None else [score.surprise(part, *curve(tail)) for part in values]
    return Way(tail=tail, alarm=threshold.fit(rare, wanted, step_s, rare[-1][-held:]))


def _raw(
    metadata: Metadata,
    stretches: Sequence[Floats],
    scoring: str,
    components: Floats,
    rng: np.random.Generator,
    is_apart: bool = False,
) -> dict[str, Floats]:
    """Return each baseline's smoothed values of stretches, end to end or with a NaN between two."""
    pieces = [_stretch(metadata, stretch, scoring, components, rng) for stretch in stretches]
    between = [np.full(1, np.nan)] if is_apart else []
    return {
        name: np.concatenate([part for piece in pieces for part in (*between, piece[name])][len(between) :])
        for name in (pieces[0] if pieces else ())
    }


def _stretch(
    metadata: Metadata, stretch: Floats, scoring: str, components: Floats, rng: np.random.Generator
) -> dict[str, Floats]:
    names = [Z_MAX, Z_MEAN, PCA] if len(components) else [Z_MAX, Z_MEAN]
    rows = np.concatenate([_by_row(metadata, z, components) for z in _scaled(metadata, stretch)])
    rows = np.column_stack([rng.random(len(rows)), rows])
    smooth = score.rolling_mean(
        rows, 0, 0, len(rows), range(len(rows)), score.span(getattr(metadata, scoring).smoothing, scoring)
    )
    terms = _local(metadata, stretch, scoring)
    rare = surprises(terms, [curve(getattr(getattr(metadata, scoring), term)) for term in TERMS])
    found = dict(zip([RANDOM, *names], np.ascontiguousarray(smooth.T), strict=True))
    found |= {name: score.fuse(np.ascontiguousarray(rare[:, columns])) for name, columns in _FUSED.items()}
    return found | {WINDOW_MEAN: terms[:, 2]}


def _by_row(metadata: Metadata, z: Floats, components: Floats) -> Floats:
    """Return the evidence of single rows, shape (row, 2 or 3)."""
    pick: Any = slice(None) if all(metadata.scored) else np.flatnonzero(metadata.scored)
    size = np.abs(z[:, pick])
    found = [size.max(axis=1), size.mean(axis=1)]
    if len(components):
        found.append(np.square(z - z @ components.T @ components)[:, pick].mean(axis=1))
    return np.stack(found, axis=1)


def _local(metadata: Metadata, stretch: Floats, scoring: str) -> Floats:
    """Return the smoothed terms; those that need no window, and so no model, are in columns 1, 2 and 4."""
    rowwise = msgspec.structs.replace(metadata, size=1, stride=1)
    step = max(_CELLS // len(metadata.channels), 2 * getattr(metadata, scoring).long_rolling)
    scorer = StretchScorer(Constants(rowwise, scoring), np.zeros_like, batch=step, threshold=math.inf)
    pieces = [scorer.push(stretch[i : i + step]).terms for i in range(0, len(stretch), step)]
    return np.concatenate([*pieces, scorer.finish().terms])


def _components(metadata: Metadata, learned: Sequence[Floats]) -> Floats:
    """Return principal components of single rows: Pearson, "On lines and planes of closest fit", 1901."""
    channels = len(metadata.channels)
    squares = np.zeros((channels, channels))
    for stretch in learned:
        for z in _scaled(metadata, stretch):
            squares += z.T @ z
    variances, directions = np.linalg.eigh(squares)
    kept = int((np.cumsum(variances[::-1]) < _VARIANCE * variances.sum()).sum()) + 1
    basis: Floats = directions[:, ::-1][:, : min(kept, _MOST_COMPONENTS, channels - 1)].T
    # eigenvectors have no sign of their own: fix it, so that a file doesn't depend on the linear algebra library's
    return basis * np.where(basis[np.arange(len(basis)), np.abs(basis).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]


def _scaled(metadata: Metadata, stretch: Floats) -> Iterator[Floats]:
    """Yield the rows in units of each channel's deviation, piece by piece."""
    center, scale = np.array(metadata.center), np.array(metadata.scale)
    step = max(1, _CELLS // len(center))
    for start in range(0, len(stretch), step):
        yield (np.asarray(stretch[start : start + step]) - center) / scale
