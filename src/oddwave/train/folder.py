"""The run folder: what a training leaves beside its detector, so that it can be repeated, gone on with and trusted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from oddwave import baselines, bootstrap, report, threshold
from oddwave.atomic import Atomic, clear
from oddwave.calibrate import Verified
from oddwave.config import Scoring
from oddwave.detector import FILE_NAME, Detector
from oddwave.report import Loss, Report, Rows, Way
from oddwave.train import blocks
from oddwave.train.blocks import Blocks
from oddwave.train.fitting import Fitted
from oddwave.train.log import Log
from oddwave.train.rows import Normal

if TYPE_CHECKING:
    from oddwave.train import Training
    from oddwave.train.loop import Epoch, History, Progress

CONFIG, CHECKPOINT, LOG = "config.yaml", "checkpoint.safetensors", "train.log"
RESULT, REPORT = "train_result.json", "report.html"
_WORDS = {
    "all epochs": "All epochs were trained.",
    "patience": "It stopped early: the loss on the rows to stop by no longer fell.",
    "interrupted": "It was interrupted; the best weights so far were kept.",
    "loss": "The loss was no number any more; the best weights so far were kept.",
}
_BLOCK = 200  # rows, twice what a score looks at
_DRAWS = 400


@dataclass(frozen=True)
class Made:
    """What a training went through."""

    data: Any
    training: Training
    normal: Normal
    block: Blocks
    fitted: Fitted
    size: int
    verified: Mapping[Scoring, Verified]


class Folder:
    """A run folder.

    Parameters
    ----------
    goes_on
        Whether an earlier training in it is gone on with.
    """

    def __init__(self, path: str | os.PathLike[str], goes_on: bool = False) -> None:
        self.path, self.goes_on = Path(path), goes_on
        self.config = b""
        self.checkpoint = self.path / CHECKPOINT
        self.log = Log(self.path / LOG, goes_on)

    def begin(self, data: Any, model: str, training: Training, effective: Mapping[str, Any]) -> None:
        """Write down how this is to be repeated, before anything is trained."""
        from oddwave import training_file

        source = str(Path(data).resolve()) if isinstance(data, (str, os.PathLike)) and Path(data).exists() else None
        clear(self.path)
        given = {key: value for key, value in msgspec.structs.asdict(training).items() if key != "resume"}
        # what repeats the training of one group repeats that of all, each into its folder
        output = self.path.parent if training.per_group else self.path
        file = training_file.of(model, {**given, **effective}, dataset_dir=source, output=str(output.resolve()))
        note = f"# {self.path.name} is one of several groups: oddwave train -c THIS_FILE trains all of them.\n"
        self.config = ((note if training.per_group else "") + training_file.text(file)).encode()
        if not (self.goes_on and (self.path / CONFIG).exists()):  # what can't be gone on with stays as it is
            self._write_config()
        self.log.say(f"training {model} on {source or type(data).__name__}")

    def reporting(self, progress: Progress | None) -> Progress:
        """Return what logs an epoch and hands it on."""

        def both(epoch: Epoch) -> None:
            self.log(epoch)
            if progress is not None:
                progress(epoch)

        return both

    def end(self, detector: Detector, made: Made) -> None:
        """Write what stands beside the detector: baselines, result, report."""
        self._write_config()
        learned = blocks.spaced(made.block.learned)
        baselines.fit(
            detector, learned, [*made.block.hold, *made.block.verify], threshold.budget(made.training.false_alarms)
        ).save(self.path)
        with Atomic(self.path / RESULT) as draft:
            draft.write(msgspec.json.format(msgspec.json.encode(self._result(detector, made)), indent=2))
        report.write(self.path / REPORT, self._report(detector, made))
        for note in detector.notes:
            self.log.say(note)
        self.log.say(f"the detector is in {FILE_NAME}")

    def _write_config(self) -> None:
        with Atomic(self.path / CONFIG) as draft:
            draft.write(self.config)

    def _result(self, detector: Detector, made: Made) -> dict[str, Any]:
        """Return train_result.json: the tutorial's flag and paths, and what came of it."""
        metadata, history = detector.metadata, made.fitted.history
        return {
            "done_flag": True,
            "model": metadata.model,
            "train_log": LOG,
            "config": CONFIG,
            "report": REPORT,
            "baselines": baselines.FILE_NAME,
            "models": {
                "best": {
                    "score": made.fitted.facts.get("held_out_loss"),
                    "epoch": made.fitted.facts.get("best_epoch"),
                    "weights": CHECKPOINT if history else None,
                    "inference": FILE_NAME,
                }
            },
            "stopped": history.stopped if history else "fitted at once",
            "rows": {"read": made.normal.n_rows, "left_out": made.normal.n_left_out, **_counts(made.block)},
            "thresholds": {way: getattr(metadata, way).alarm.threshold for way in ("full", "causal")},
            "false_alarms": made.training.false_alarms,
            "verified": {scoring: seen.facts() for scoring, seen in made.verified.items()},
            "detector_sha256": hashlib.sha256(detector.data).hexdigest(),
            "notes": list(detector.notes),
        }

    def _report(self, detector: Detector, made: Made) -> Report:
        metadata, normal = detector.metadata, made.normal
        stretches = [stretch for series in normal.series for stretch in series]
        return Report(
            title=Path(normal.source).name or normal.source,
            detector=metadata,
            verdict=_verdict(metadata.model, made),
            trained_on=Rows(
                normal.source, normal.n_rows, left_out=normal.n_left_out,
                parts=tuple((name.replace("_", " "), count) for name, count in _counts(made.block).items()),
            ),
            findings=_findings(made),
            channels=report.channels(normal.channels, stretches, metadata.scored),
            loss=_loss(made.fitted.history),
            ways=[
                Way(scoring, str(made.training.false_alarms), seen.alarm, seen.held, seen.scores, *_seen(seen))
                for scoring, seen in made.verified.items()
            ],
            limits=_limits(normal, metadata.scored),
            notes=detector.notes,
            run=str(self.path),
            command=f"oddwave train -c {self.path / CONFIG} --out NEW_FOLDER",
        )  # fmt: skip


def _loss(history: History | None) -> Loss | None:
    if history is None:
        return None
    return Loss(history.losses, history.held_out_losses, history.best_epoch, _WORDS[history.stopped])


def _counts(block: Blocks) -> dict[str, int]:
    parts = {"learned_from": block.fit, "stopped_by": block.stop, "held_out": block.hold, "verified_on": block.verify}
    return {name: sum(map(len, part)) for name, part in parts.items()}


def _seen(seen: Verified) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Return intervals of the share of rows and of the number of events that were flagged, by blocks of time."""
    known, flags = ~np.isnan(seen.scores), seen.scores > seen.alarm.threshold
    at = bootstrap.borders(np.zeros(len(flags), dtype=np.bool_), [0], _BLOCK, 0)
    if len(at) < bootstrap.LEAST_BLOCKS:
        return None, None
    begins = np.zeros(len(flags))
    begins[[start for start, _ in threshold.events(seen.scores, flags)]] = 1
    drawn = np.random.default_rng(0).multinomial(len(at), np.full(len(at), 1 / len(at)), size=_DRAWS)
    n_known, n_flagged, n_begun = (drawn @ np.add.reduceat(kind * 1.0, at) for kind in (known, flags, begins))
    rows, events = bootstrap.interval(n_flagged / n_known), bootstrap.interval(n_begun.astype(np.float64))
    return rows and (rows.low, rows.high), events and (events.low, events.high)


def _verdict(model: str, made: Made) -> str:
    """Say what to expect of the detector, and what isn't known yet."""
    channels = len(made.normal.channels)
    text = f"{model} learned from {made.normal.n_rows:,} rows of {channels:,} channel{'' if channels == 1 else 's'}."
    seen = made.verified.get("full")
    if seen is None:
        return f"{text} There were too few rows to verify its threshold: evaluate it on rows it hasn't seen."
    facts = seen.facts()
    expected, flagged = facts["expected_flagged"], facts["flagged"]
    found = f"On {facts['rows']:,} normal rows kept aside it flagged {flagged:,}; at most {expected:.2g} were expected"
    if flagged > 3 * max(expected, 1):
        found += ": expect more false alarms than asked for, since what is normal changes over these rows"
    return f"{text} {found}. How well it finds faults isn't known before it is evaluated on labelled rows."


def _findings(made: Made) -> tuple[Any, ...]:
    from oddwave import check

    training = made.training
    if not isinstance(made.data, (str, os.PathLike)) or str(made.data) == "-":
        return ()
    columns = {name: getattr(training, name) for name in ("time_col", "group_col", "label_col", "feature_cols")}
    found = check.check_dataset(made.data, **columns, window=made.size, max_gap=training.max_gap)
    return tuple(finding for finding in found.findings if finding.name != "val")


def _limits(normal: Normal, scored: list[bool]) -> list[str]:
    """Say what this detector can't see."""
    aside = [name for name, is_scored in zip(normal.channels, scored, strict=True) if not is_scored]
    some = ", ".join(aside[:5]) + (" and others" if len(aside) > 5 else "")
    return (
        [f"{some}: read, but not scored; a fault there is seen only by what it does to other channels."]
        if aside
        else []
    )
