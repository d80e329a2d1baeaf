"""Predict from the command line: print and save each input in turn; one that fails stops no other."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from oddwave import config, save
from oddwave.config import PipelineSection
from oddwave.errors import ConfigError, InputError, OddwaveError, OutputError
from oddwave.pipeline import Pipeline, find, paths
from oddwave.result import Summary

STREAMED = 4 << 20  # bytes of a file from which it is scored straight to disk, in bounded memory
PACKED = 8  # a .gz or Parquet file counts for so many times its size
IN_MEMORY = 2 << 30  # bytes of an unsorted file that are still sorted in memory
WRITERS = {"csv": save.to_csv, "json": save.to_json}


def predict(flags: Namespace) -> bool:
    """Score, print and save every input; say whether an anomaly was found.

    Raises
    ------
    OddwaveError
        If the only input fails, or at the end if some of several did, with the list of them.
    """
    pipeline, data = _pipeline(flags)
    sources = pipeline.sources(data)
    saver = _Saver(flags, pipeline, paths(sources), several=len(sources) > 1)
    screen = _Screen(flags.quiet)
    failed: list[str] = []
    found = False
    for source in _progress(sources, flags.quiet):
        try:
            for summary in saver.summaries(source):
                found = found or summary.anomalous > 0
                screen.show(summary, several=len(sources) > 1)
        except OddwaveError as error:
            if len(sources) == 1:
                raise
            failed.append(_indented(source, error))
        if screen.is_closed and not flags.save_path and not flags.fail_on_anomaly:
            break
    if failed:
        raise InputError(f"{len(failed)} of {len(sources)} inputs failed, the others are done:\n" + "\n".join(failed))
    return found


def _pipeline(flags: Namespace) -> tuple[Pipeline, Any]:
    if flags.format and not flags.save_path:
        raise ConfigError("--format says what to save, but not where. Add --save_path DIR.")
    file = find(getattr(flags, "pipeline", None) or "ts_ad")
    settings = {name: getattr(flags, name) for name in config.FLAGS if getattr(flags, name) is not None}
    section = config.build(PipelineSection, settings, "the command line", file.pipeline)
    data = flags.input or file.general.input
    if not data:
        raise ConfigError("There is nothing to read. Give --input DATA, or an input in the pipeline file.")
    return Pipeline(section), data[0] if isinstance(data, list) and len(data) == 1 else data


class _Saver:
    """Save what was asked for, each result to a file of its own, and hand on what is printed."""

    def __init__(self, flags: Namespace, pipeline: Pipeline, inputs: frozenset[str], several: bool) -> None:
        self.pipeline = pipeline
        self.is_quiet = flags.quiet
        self.save_path = flags.save_path
        self.formats = flags.format or (("json",) if _is_json(flags.save_path) else ("csv",))
        self.inputs = inputs
        self.names = save.Names()
        has_folder = not self.save_path or save.target(self.save_path, ".csv", "") != Path(self.save_path)
        several = several or pipeline.settings.group_col is not None or len(self.formats) > 1
        if not has_folder and several:
            raise OutputError(
                f"--save_path {self.save_path} is one file, but there are several results to save.\n"
                "Give a folder: a name without suffix, or one that ends in /."
            )

    def summaries(self, source: Any) -> Iterator[Summary]:
        """Score one input, save its results and yield what is printed of each."""
        from oddwave.clean import UnsortedError

        if self.save_path and self.formats == ("csv",) and is_streamed(source, self.pipeline.settings):
            try:
                yield self._stream(source)
                return
            except UnsortedError as error:
                _check_memory(source, error)
        for result in self.pipeline.results(source, self.pipeline.settings, self.names, self.inputs):
            if self.save_path:
                for form in self.formats:
                    WRITERS[form](result, self.save_path)
            yield result.summary()

    def _stream(self, source: Any) -> Summary:
        """Score a file straight to disk; its rows are never all in memory."""
        path = save.target(self.save_path, ".csv", self.names.peek(os.fspath(source)))
        if self.is_quiet or not sys.stderr.isatty():
            summary = self.pipeline.write_csv(source, path, self.inputs)
        else:
            from tqdm import tqdm

            with tqdm(unit="row", unit_scale=True, leave=False) as bar:
                summary = self.pipeline.write_csv(source, path, self.inputs, progress=bar.update)
        self.names.new(os.fspath(source))
        return summary


class _Screen:
    """Print results on standard output and notes on standard error, unless told to be quiet."""

    def __init__(self, is_quiet: bool) -> None:
        self.is_closed = False
        self.is_quiet = is_quiet

    def show(self, summary: Summary, several: bool) -> None:
        """Print one result; a reader that went away is no error."""
        if self.is_quiet:
            return
        name = f"{summary.input_path}: " if several else ""
        for note in summary.notes:
            print(f"note: {name}{note}", file=sys.stderr)
        if self.is_closed:
            return
        try:
            summary.print()
            sys.stdout.flush()
        except BrokenPipeError:
            self._close()
        except OSError as error:
            self._close()
            raise OutputError(f"Standard output can't be written: {error.strerror}.") from None

    def _close(self) -> None:
        """Send what is still in the buffer nowhere, or Python complains at exit."""
        self.is_closed = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_streamed(source: Any, settings: PipelineSection) -> bool:
    """Say whether an input goes straight to disk: a large CSV or Parquet file, not split by a column."""
    if settings.group_col is not None or not isinstance(source, (str, os.PathLike)):
        return False
    name = os.fspath(source).lower()
    is_packed = name.endswith((".gz", ".parquet", ".pq"))
    if not is_packed and not name.endswith((".csv", ".txt", ".tsv")):
        return False
    return _size(source) * (PACKED if is_packed else 1) > STREAMED


def _size(source: str | os.PathLike[str]) -> int:
    try:
        return Path(source).stat().st_size
    except (OSError, ValueError):
        return 0  # a URL, or what reading it will complain about


def _check_memory(source: Any, error: InputError) -> None:
    if _size(source) > IN_MEMORY:
        raise InputError(
            f"{error}\nThe file is larger than {IN_MEMORY >> 30} GB, so it isn't sorted in memory. "
            "Sort it by time first, for instance with: sort -t, -k1,1"
        ) from None


def _is_json(save_path: str | None) -> bool:
    return bool(save_path) and str(save_path).lower().endswith(".json")


def _progress(sources: list[Any], is_quiet: bool) -> Iterable[Any]:
    """Show a bar on a terminal if there are several inputs and their results go elsewhere."""
    if len(sources) < 2 or not sys.stderr.isatty() or (sys.stdout.isatty() and not is_quiet):
        return sources
    from tqdm import tqdm

    return tqdm(sources, unit="input", leave=False)


def _indented(source: Any, error: OddwaveError) -> str:
    text = str(error)
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    text = text if name in text else f"{name}: {text}"
    return "  " + text.replace("\n", "\n    ")
