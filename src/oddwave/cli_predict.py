"""Predict from the command line: print and save each input in turn; one that fails stops no other."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from oddwave import config, save
from oddwave.cli_flags import FORMATS
from oddwave.cli_terminal import silence, tell
from oddwave.config import PipelineSection
from oddwave.errors import ConfigError, InputError, OddwaveError, OutputError, UnsortedError
from oddwave.pipeline import Pipeline, config_of, inputs_of, several_failed
from oddwave.result import Summary
from oddwave.save.paths import OTHERS

STREAMED = 4 << 20  # bytes of a file from which it is scored piece by piece, in bounded memory
PACKED = 8  # a .gz file counts for so many times its size
IN_MEMORY = 2 << 30  # bytes of a file that is still read whole: to sort it, to split it, or to save it not as CSV
PARQUET = (".parquet", ".pq")
TOLD = 5  # saved files that are named one by one


def predict(flags: Namespace) -> bool:
    """Score, print and save every input; say whether an anomaly was found.

    Raises
    ------
    OddwaveError
        If the only input fails, or at the end if some of several did, with the list of them.
    """
    pipeline, data = _pipeline(flags)
    sources = list(pipeline.sources(data))
    saver = _Saver(flags, pipeline, inputs_of(sources), several=len(sources) > 1)
    screen = _Screen(flags.quiet)
    failed: list[str] = []
    blind: list[str] = []
    found = False
    try:
        for source in _progress(sources, flags.quiet):
            try:
                for summary in saver.summaries(source):
                    found = found or summary.anomalous > 0
                    if summary.rows == sum(summary.unscored.values()):
                        blind.append(f"{_title(summary)}: no row could be scored: {', '.join(summary.unscored)}")
                    screen.show(summary, several=len(sources) > 1)
            except OddwaveError as error:
                if len(sources) == 1:
                    raise
                failed.append(_named(source, error))
            if screen.is_closed and not flags.save_path and not flags.fail_on_anomaly:
                break
    finally:
        saver.tell_saved()
    if failed:
        raise InputError(several_failed(failed, len(sources), "inputs"))
    if blind and flags.fail_on_anomaly and not found:  # 0 would say that all is well
        raise InputError("\n".join([*blind, "So it isn't known whether there are anomalies. Give more rows."]))
    if flags.quiet:
        for line in blind:
            tell(line, "note")
    return found


def _pipeline(flags: Namespace) -> tuple[Pipeline, Any]:
    if getattr(flags, "config", None) or getattr(flags, "override", None):
        return _of_training_file(flags)
    if flags.format and not flags.save_path:
        raise ConfigError("--format says what to save, but not where. Add --save_path DIR.")
    if flags.threshold is not None and flags.false_alarms is not None:
        raise ConfigError("--threshold and --false-alarms both set the threshold. Leave one of them out.")
    file = config_of(getattr(flags, "pipeline", None) or "ts_ad")
    settings = {name: getattr(flags, name) for name in config.FLAGS if getattr(flags, name) is not None}
    section = config.build(PipelineSection, settings, "the command line", file.pipeline)
    data = flags.input or file.general.input
    if not data:
        raise ConfigError("There is nothing to read. Give --input DATA, or an input in the pipeline file.")
    return Pipeline(section), data[0] if isinstance(data, list) and len(data) == 1 else data


def _of_training_file(flags: Namespace) -> tuple[Pipeline, Any]:
    """Take the training file's section Predict; as in the tutorial, the results are saved in its output folder."""
    from oddwave import cli_file

    file = cli_file.read(flags, "predict")
    part = file.Predict
    if not part.input:
        raise ConfigError("There is nothing to read. Give DATA, or -o Predict.input=FILE.")
    flags.save_path = flags.save_path or os.path.join(file.Global.output, "")
    settings = {name: getattr(part, name) for name in config.Detection.__struct_fields__}
    columns = asdict(file.Train)
    settings |= {name: columns[name] for name in ("time_col", "group_col")}
    section = PipelineSection(
        model=cli_file.run_of(part.model_dir, file),
        device=file.Global.device,
        use_hpip=bool(flags.use_hpip),
        **settings,
    )
    return Pipeline(section), part.input


class _Saver:
    """Save what was asked for, each result to a file of its own, and hand on what is printed."""

    def __init__(self, flags: Namespace, pipeline: Pipeline, inputs: frozenset[save.FileId], several: bool) -> None:
        self.pipeline = pipeline
        self.is_quiet = flags.quiet
        self.save_path = flags.save_path
        self.formats = flags.format or (_format_of(flags.save_path),)
        if self.save_path:
            for form in self.formats:
                save.need(f".{form}")
        self.saved: list[Path] = []
        self.inputs = inputs
        self.names = save.Names()
        has_folder = self.save_path is None or (
            save.target(self.save_path, f".{self.formats[0]}", "") != Path(self.save_path)
        )
        several = several or pipeline.settings.group_col is not None or len(self.formats) > 1
        if not has_folder and several:
            raise OutputError(
                f"--save_path {self.save_path} is one file, but there are several results to save.\n"
                "Give a folder: a name without suffix, or one that ends in /."
            )

    def summaries(self, source: Any) -> Iterator[Summary]:
        """Score one input, save its results and yield what is printed of each."""
        is_csv = not self.save_path or self.formats == ("csv",)
        size = _size(source)
        if is_csv and is_streamed(source, self.pipeline.settings, size):
            try:
                yield self._stream(source)
                return
            except UnsortedError as error:
                _check_memory(size, f"{error}\nThe file", "sorted", "Sort it by time first, as with: sort -t, -k1,1")
        else:
            wish = "Save it as CSV only" if self.pipeline.settings.group_col is None else "Split it by the group column"
            _check_memory(size, str(source), "read whole", f"{wish}, or split it by time.")
        for result in self.pipeline.results(source, self.pipeline.settings, self.names, self.inputs):
            if self.save_path:
                for form in self.formats:
                    self.saved.append(getattr(result, f"save_to_{form}")(self.save_path))
            yield result.summary()

    def _stream(self, source: Any) -> Summary:
        """Score a file straight to disk, or only for what is printed; its rows are never all in memory."""
        name = self.names.peek(os.fspath(source))
        path = save.target(self.save_path, ".csv", name) if self.save_path else None
        if self.is_quiet or not sys.stderr.isatty():
            summary = self.pipeline.write_csv(source, path, self.inputs)
        else:
            from tqdm import tqdm

            with tqdm(unit="row", unit_scale=True, leave=False) as bar:
                summary = self.pipeline.write_csv(source, path, self.inputs, progress=bar.update)
        self.names.new(os.fspath(source))
        if path is not None:
            self.saved.append(path)
        return summary

    def tell_saved(self) -> None:
        """Say where the results are, unless told to be quiet."""
        if self.is_quiet:
            return
        if len(self.saved) > TOLD:
            tell(f"{len(self.saved):,} files in {self.save_path}", "saved")
            return
        for path in self.saved:
            tell(str(path), "saved")


class _Screen:
    """Print results on standard output and notes on standard error, unless told to be quiet."""

    def __init__(self, is_quiet: bool) -> None:
        self.is_closed = False
        self.is_quiet = is_quiet

    def show(self, summary: Summary, several: bool) -> None:
        """Print one result; a reader that went away is no error."""
        if self.is_quiet:
            return
        name = f"{_title(summary, several)}: " if several or summary.group is not None else ""
        for note in summary.notes:
            tell(f"{name}{note}", "note")
        if self.is_closed:
            return
        try:
            summary.print()
            sys.stdout.flush()
        except BrokenPipeError:
            self.is_closed = True
            silence()
        except OSError as error:
            silence()
            raise OutputError(f"Standard output can't be written: {error.strerror}.") from None


def _title(summary: Summary, has_source: bool = True) -> str:
    names = [summary.input_path] if has_source else []
    return ", ".join(names if summary.group is None else [*names, f"group {summary.group}"])


def is_streamed(source: Any, settings: PipelineSection, size: int) -> bool:
    """Say whether an input is scored piece by piece: a large CSV or Parquet file, not split by a column."""
    if settings.group_col is not None or not isinstance(source, (str, os.PathLike)):
        return False
    return _suffix(source) in (".csv", ".txt", ".tsv", ".gz", *PARQUET) and size > STREAMED


def _suffix(source: str | os.PathLike[str]) -> str:
    return Path(os.fsdecode(source)).suffix.lower()


def _size(source: str | os.PathLike[str]) -> int:
    """Return about how many bytes a file is unpacked; 0 for a URL, or for what reading it will complain about."""
    if _suffix(source) in PARQUET:
        from oddwave.read.table import parquet_bytes

        return parquet_bytes(Path(source))
    try:
        return Path(source).stat().st_size * (PACKED if _suffix(source) == ".gz" else 1)
    except (OSError, ValueError):
        return 0


def _check_memory(size: int, what: str, how: str, advice: str) -> None:
    if size > IN_MEMORY:
        raise InputError(f"{what} is larger than {IN_MEMORY >> 30} GB, so it isn't {how} in memory. {advice}")


def _format_of(save_path: str | None) -> str:
    """Return what the name of a file says that it is to hold; CSV if it says nothing, or is that of a folder."""
    suffix = "" if not save_path or save_path.endswith(("/", os.sep)) else _suffix(save_path)
    if suffix not in OTHERS or Path(save_path or "").is_dir():
        return "csv"
    if suffix[1:] not in FORMATS:
        raise OutputError(
            f"{save_path} ends in {suffix}, as nothing that can be saved does.\n"
            f"Give a name that ends in {', '.join(f'.{form}' for form in FORMATS)}, or a folder."
        )
    return suffix[1:]


def _progress(sources: list[Any], is_quiet: bool) -> Iterable[Any]:
    """Show a bar on a terminal if there are several inputs and their results go elsewhere."""
    if len(sources) < 2 or not sys.stderr.isatty() or (sys.stdout.isatty() and not is_quiet):
        return sources
    from tqdm import tqdm

    return tqdm(sources, unit="input", leave=False)


def _named(source: Any, error: OddwaveError) -> str:
    text = str(error)
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    return text if name in text else f"{name}: {text}"
