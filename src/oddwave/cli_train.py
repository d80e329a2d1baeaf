"""check, train, evaluate and export from the command line: what the training file says, one call, print."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec.structs import asdict

import oddwave
from oddwave import cli_file, training_file
from oddwave.atomic import Atomic, cant_write
from oddwave.cli_terminal import tell
from oddwave.detector import FILE_NAME, Detector
from oddwave.errors import ConfigError, DetectorFileError, OutputError, nearest
from oddwave.series import TICKS_PER_S, Series
from oddwave.train.folder import CHECKPOINT, CONFIG, RESULT

BOOKS = (".xlsx", ".xlsm", ".xls")
TARGETS = ("onnx", "c")

if TYPE_CHECKING:
    from oddwave.train.loop import Epoch
    from oddwave.training_file import TrainingFile


def check(flags: Namespace) -> bool:
    """Convert and split if asked to, then check; say whether the data can be trained on."""
    from oddwave import check as checking

    file = cli_file.read(flags, "check")
    data: Any = _data(file, "check")
    wanted = file.CheckDataset
    settings = training_file.settings(file)
    columns: dict[str, Any] = {name: settings.get(name) for name in ("time_col", "label_col")}
    if wanted.convert.enable:
        made = checking.convert(data)
        _say(flags, "\n".join(f"Converted: {path}" for path in made))
        data = _tables(data, made)
    if wanted.split.enable:
        if isinstance(data, list):
            raise ConfigError(f"{file.Global.dataset_dir} holds {len(data)} tables. Name the one to split.")
        train = wanted.split.train_percent or 100 - (wanted.split.val_percent or 20)
        parts = checking.split(data, train, 100 - train, **columns)
        for note in parts.notes:
            tell(note, "note")
        kept = ", ".join(map(str, parts.backups))
        _say(flags, f"Split: {parts.train} has {parts.train_rows:,} rows, {parts.val} has {parts.val_rows:,}.")
        _say(flags, f"The original is kept as {kept}")
        data = str(parts.train.parent)
    for name in ("group_col", "feature_cols"):
        columns[name] = settings.get(name)
    given = {"window": settings.get("input_len"), "max_gap": settings.get("max_gap")}
    columns |= {name: value for name, value in given.items() if value is not None}
    checked = checking.check_dataset(data, flags.val, out=file.Global.output, **columns)
    _say(flags, f"{checked}\nAll of it is in {Path(file.Global.output) / checking.RESULT_NAME}")
    return checked.is_passed


def _tables(data: str, made: list[Path]) -> Any:
    """Return what to check after workbooks became CSV files: these instead of the workbooks."""
    from oddwave.read.inputs import data_files
    from oddwave.train.rows import train_file

    if train_file(data) is not None:
        return data
    found = [path for path in data_files(data) if not path.lower().endswith(BOOKS)] if Path(data).is_dir() else made
    return found[0] if len(found) == 1 else found


def _say(flags: Namespace, text: str) -> None:
    if not flags.quiet:
        print(text)


def train(flags: Namespace) -> bool:
    """Train, and say what came of it and what to do next; return whether it came to its end."""
    if flags.resume and not flags.data and not flags.config:
        flags.config = _config(Path(flags.out or "output"))
    file = cli_file.read(flags, "train")
    data = _data(file, "train on", " before --exclude" if flags.exclude else "")
    out = Path(file.Global.output)
    settings = _settings(file, flags) | {"device": _device(file, flags)}
    _protect(out, is_resumed=bool(settings.get("resume")), is_forced=flags.force)
    show = Progress(flags.quiet, asdict(file.Train)["log_interval"])
    with closing(show):
        for folder, detector in _trained(data, file.Global.model, out, show, settings):
            show.close()
            if not flags.quiet:
                _tell_trained(detector, folder, asdict(file.Train)["false_alarms"])
            if _is_interrupted(folder):
                tell(
                    "interrupted; the detector is of the best weights so far. Go on with:\n"
                    f"oddwave train --resume --out {out}"
                )
                return False
    if not flags.quiet:
        _tell_next(data, out, is_per_group=bool(settings.get("per_group")))
    return True


def _device(file: TrainingFile, flags: Namespace) -> str:
    """Return where to train; if that was left open, say what was chosen."""
    from oddwave.train import neural
    from oddwave.train.device import device_of

    device = device_of(file.Global.model, file.Global.device, is_neural=file.Global.model in neural())
    if file.Global.device == "auto" and not flags.quiet:
        tell(f"The device auto: {device} was chosen.", "note")
    return device


def _config(out: Path) -> str:
    """Return the file that says how the training in a folder is repeated; that of any group is that of all."""
    found = sorted(out.glob(CONFIG)) or sorted(out.glob(f"*/{CONFIG}"))
    if not found:
        raise ConfigError(f"There is no training to go on with in {out}. Name its folder with --out.")
    return str(found[0])


def _trained(
    data: str, model: str, out: Path, show: Progress, settings: dict[str, Any]
) -> Iterator[tuple[Path, Detector]]:
    """Yield each run folder and its detector: one, or one a group."""
    from oddwave.train import train_groups

    if settings.get("per_group"):
        for name, detector in train_groups(data, model=model, out=out, progress=show, **settings):
            yield out / name, detector
    else:
        yield out, oddwave.train(data, model=model, out=out, progress=show, **settings)


def _data(file: TrainingFile, purpose: str, where: str = "") -> str:
    if file.Global.dataset_dir is None:
        raise ConfigError(f"There is nothing to {purpose}. Give DATA{where}, or -o Global.dataset_dir=FOLDER.")
    return file.Global.dataset_dir


def _settings(file: TrainingFile, flags: Namespace) -> dict[str, Any]:
    """Return the settings of the training; for a model that is fitted at once, those of epochs are none."""
    from oddwave import classical
    from oddwave.train import neural
    from oddwave.train.plan import Plan

    settings = training_file.settings(file)
    model = file.Global.model
    if model not in classical.SETTINGS:
        return settings
    idle = [name for name in Plan.__struct_fields__ if name in settings]
    flagged = [f"--{name}" for name in idle if getattr(flags, name, None) is not None]
    if flagged:
        raise ConfigError(
            f"{model} is fitted in one step, without epochs: leave {', '.join(flagged)} out,\n"
            f"or train one of {', '.join(sorted(neural()))}."
        )
    named = [training_file.NAMES.get(name, name) for name in idle]
    if named and not flags.quiet:
        tell(f"{model} is fitted in one step, without epochs: {', '.join(named)} change nothing.", "note")
    return {name: value for name, value in settings.items() if name not in idle}


def _protect(out: Path, is_resumed: bool, is_forced: bool) -> None:
    """Refuse before anything is trained what would be refused after it, or would lose an earlier training.

    Raises
    ------
    OutputError
        If the folder can't be written to, or holds a training.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise cant_write(out, error) from None
    if is_resumed or is_forced:
        return
    if [*out.glob(FILE_NAME), *out.glob(f"*/{FILE_NAME}")]:
        raise OutputError(
            f"{out} holds a detector already, which would be lost.\nGive another --out, or --force to replace it."
        )
    if [*out.glob(CHECKPOINT), *out.glob(f"*/{CHECKPOINT}")]:
        raise OutputError(
            f"{out} holds a training that was interrupted. Go on with it: oddwave train --resume --out {out}\n"
            f"Make a detector of what it has: oddwave export {out}. Begin anew: --force, or another --out."
        )


class Progress:
    """A bar on a terminal; in a pipe a line now and then."""

    def __init__(self, is_quiet: bool, log_interval: int) -> None:
        self.is_quiet = is_quiet
        self.log_interval = log_interval
        self.bar: Any = None

    def __call__(self, epoch: Epoch) -> None:
        """Show an epoch."""
        if self.is_quiet:
            return
        if sys.stderr.isatty():
            self._draw(epoch, _line(epoch, "#.3g", _clock(epoch.seconds_left)))
        elif epoch.share == 1 and epoch.epoch % self.log_interval == 0:
            tell(f"{epoch.epoch} of {epoch.epochs}: {_line(epoch, '.4f', _time(epoch.seconds_left))}", "epoch")

    def _draw(self, epoch: Epoch, text: str) -> None:
        """Draw a line of some 80 signs: what is longer, the terminal's width cuts."""
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(desc="epoch 1", total=1.0, bar_format="|{bar:6}| {desc}", leave=False)
        self.bar.set_description_str(f"epoch {epoch.epoch}/{epoch.epochs}, {text}", refresh=False)
        self.bar.n = epoch.done
        self.bar.refresh()

    def close(self) -> None:
        """Take the bar off the screen."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _line(epoch: Epoch, form: str, left: str) -> str:
    held_out = "" if epoch.held_out_loss is None else f", held out {epoch.held_out_loss:{form}}"
    return f"loss {epoch.loss:{form}}{held_out}, {epoch.windows_per_s:,.0f} windows/s, {left} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _is_interrupted(folder: Path) -> bool:
    """Say whether Ctrl-C ended the training: its detector is made of the best weights until then."""
    stopped = msgspec.json.decode((folder / RESULT).read_bytes()).get("stopped")
    return bool(stopped == "interrupted")


def _tell_trained(detector: Detector, folder: Path, budget: float | str) -> None:
    for note in detector.notes:
        tell(note, "note")
    about = detector.metadata
    channels = f"{len(about.channels):,} channel{'' if len(about.channels) == 1 else 's'}"
    print(f"{about.model} was trained on {about.training['rows']:,} rows of {channels}, in windows of {about.size}.")
    from oddwave.report.trust import budget_words

    wanted = budget_words(str(budget))
    for scoring, alarm in (("full", about.full.alarm), ("causal", about.causal.alarm)):
        print(f"Threshold ({scoring}) {alarm.threshold:.3f}, for false alarms of {wanted} at most.")
        if seen := about.training.get("verified", {}).get(scoring):
            print(
                f"  Tried on {seen['rows']:,} normal rows kept aside: {seen['flagged']:,} above it "
                f"(at most {seen['expected_flagged']:.2g} expected),\n"
                f"    in {seen['events']:,} event{'' if seen['events'] == 1 else 's'} "
                f"(at most {seen['expected_events']:.2g} expected)."
            )
    print(f"In {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _tell_next(data: str, out: Path, is_per_group: bool) -> None:
    from oddwave.train.rows import val_file

    run = f"{out}/GROUP" if is_per_group else str(out)
    print(f"Next:\n  oddwave evaluate {data if val_file(data) else 'LABELLED.csv'} --model {run}")
    print(f"  oddwave predict NEW.csv --model {run} --save_path results/")


def evaluate(flags: Namespace) -> None:
    """Evaluate a detector, and print how good it is."""
    from oddwave.evaluate.evaluation import FILE_NAME as FIGURES, REPORT_NAME

    file = cli_file.read(flags, "evaluate")
    data = _data(file, "evaluate on")
    wanted = file.Evaluate
    model = cli_file.run_of(wanted.weight_path, file)
    out = Path(flags.out or (model if Path(model).is_dir() else file.Global.output))
    columns = asdict(file.Train)
    found = oddwave.evaluate(
        data,
        model,
        train=flags.train,
        out=out,
        time_col=columns["time_col"],
        group_col=columns["group_col"],
        label_col=columns["label_col"] or "label",
        **{name: value for name, value in asdict(wanted).items() if name != "weight_path"},
    )
    _say(flags, f"{found}\nIn {out}: {FIGURES}, {REPORT_NAME}")


def export(flags: Namespace) -> None:
    """Check a detector and copy it; of an interrupted training, make one of the best weights so far."""
    if flags.target not in TARGETS:
        raise ConfigError(
            f"There is no target {flags.target!r}.{nearest(flags.target, TARGETS)} Targets are {' and '.join(TARGETS)}."
        )
    file = cli_file.read(flags, "export")
    source = Path(cli_file.run_of(file.Export.weight_path, file))
    if source.is_dir() and not (source / FILE_NAME).exists() and (source / CHECKPOINT).exists():
        from oddwave.train import finish

        finish(source)
        tell(f"The training in {source} was interrupted: its best weights so far became a detector.", "note")
    detector = Detector.load(str(source))
    _try(detector)
    out = Path(flags.out or (source if source.is_dir() else source.parent) / "inference")
    if flags.target == "c":
        from oddwave.export_c import export_c

        export_c(detector, out, flags.force)
        if not flags.quiet:
            print(f"{detector.metadata.model} is saved as C99 in {out}\nBuild and use it with: make -C {out}")
        return
    path = out if out.suffix.lower() == ".onnx" and not out.is_dir() else out / FILE_NAME
    if path.exists() and path.read_bytes() != detector.data and not flags.force:
        raise OutputError(f"{path} is another detector, which would be lost. Give another --out, or --force.")
    with Atomic(path) as draft:
        draft.write(detector.data)
    if not flags.quiet:
        about = detector.metadata
        size = f"{len(detector.data) / 1024:,.0f} KB"
        print(f"{about.model}, {len(about.channels):,} channels, windows of {about.size}, {size}: loads and scores.")
        print(f"It is saved as {path}\nUse it with: oddwave predict NEW.csv --model {path}")


def _try(detector: Detector) -> None:
    """Score the shortest series that the detector takes, at the usual values of its channels."""
    about = detector.metadata
    ticks = np.arange(about.size) * np.int64(
        (about.time.step or 1) * (TICKS_PER_S if about.time.kind == "datetime" else 1)
    )
    values = np.tile(np.array(about.center), (about.size, 1))
    series = Series(values, tuple(about.channels), ticks, about.time.kind, ticks, about.time.name, "one window")
    if not np.isfinite(detector.detect_series(series).score).all():
        raise DetectorFileError(f"{detector.source} gives scores that are no numbers. Train it anew.")
