"""The tutorial's API, create_pipeline and create_model; and detect and load, for one series."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oddwave import config, save
from oddwave.config import Detection, PipelineConfig, PipelineSection
from oddwave.errors import ConfigError, InputError
from oddwave.result import Result, Scored, Summary
from oddwave.series import Columns, Series

if TYPE_CHECKING:
    from oddwave.detector import Detector


class Pipeline:
    """A detector with its settings, ready for any number of inputs.

    Parameters
    ----------
    settings
        What holds for every call of `predict` that doesn't say otherwise.
    input
        What `predict` reads if it is given nothing.
    """

    def __init__(self, settings: PipelineSection, input: str | list[str] | None = None) -> None:  # noqa: A002
        self.settings = settings
        self.input = input
        self.detector = load(settings.model, settings.device, settings.use_hpip)
        self.detector.threshold(config.detection(settings))  # what can't be had is told at once
        chosen = (f"The device auto: {self.detector.device} was chosen.",) if settings.device == "auto" else ()
        self.notes: tuple[str, ...] = (*chosen, *self.detector.choices)
        self.detector_ids = save.file_ids([self.detector.source], strict=False)

    def predict(self, data: Any = None, **settings: Any) -> Iterator[Result]:
        """Yield one result an input, or one a group of it, reading each only when its turn comes.

        A group that can't be scored doesn't stop the others of its input; the error comes after them.

        Parameters
        ----------
        data
            A path (CSV, CSV.GZ, XLSX, XLS, Parquet), `-` (standard input), a URL, a folder or pattern of
            files, a pandas or polars DataFrame, a pyarrow Table, an array (time, channel), a dict
            `{"ts": any of these}`, or a list or iterator of any of these; of an iterator, one at a time is taken.
            None: the input that the pipeline file names.
        settings
            Any of `scoring`, `threshold`, `step_s`, `max_gap`, `merge_gap`, `min_length`, `contributions`,
            `time_col` and `group_col`, for this call; `batch_size` is taken too and changes no result.

        Raises
        ------
        ConfigError
            At once, if a setting can't be used.
        InputError
            When its turn comes, if an input can't be read or used; after the others, if a group can't be.
        """
        chosen = self.chosen(settings)
        sources = self.sources(data)
        if isinstance(sources, list) and len(sources) == 1:
            return self.results(sources[0], chosen)
        names = save.Names()
        inputs = inputs_of(sources) if isinstance(sources, list) else frozenset()
        return (result for source in sources for result in self.results(source, chosen, names, inputs))

    def chosen(self, settings: dict[str, Any]) -> PipelineSection:
        """Return the pipeline's settings with those of one call over them."""
        fixed = {"model", "device", "use_hpip"} & settings.keys()
        if fixed:
            name = min(fixed)
            raise ConfigError(f"predict: {name} is fixed when the pipeline is made. Give it to create_pipeline.")
        return config.build(PipelineSection, settings, "predict", self.settings) if settings else self.settings

    def sources(self, data: Any = None) -> list[Any] | Iterator[Any]:
        """Return the single inputs in `data`, none of them read yet; an iterator is left one."""
        from oddwave import read

        data = self.input if data is None else data
        if data is None:
            raise InputError("No input was given, and the pipeline names none. Give a file, a folder or a table.")
        found = read.sources(data)
        return found if isinstance(data, Iterator) else list(found)

    def results(
        self,
        source: Any,
        settings: PipelineSection,
        names: save.Names | None = None,
        inputs: frozenset[save.FileId] = frozenset(),
    ) -> Iterator[Result]:
        """Read one input and yield the result of each series in it.

        Raises
        ------
        InputError
            If the input can't be read or used; if only some of its groups can't be, after the results of the others.
        """
        from oddwave import read

        is_lone = names is None  # a single result is called after its input
        names = names or save.Names()
        detection = config.detection(settings)
        failed: list[InputError] = []
        n_series = 0
        for series in read.read_one(source, self.columns(settings)):
            n_series += 1
            try:
                result = self.detector.detect_series(series, detection)
            except InputError as error:
                failed.append(error)
                continue
            if not is_lone or series.group is not None:
                result.name = names.new(series.source, series.group)
            result.inputs = inputs | self.detector_ids
            result.notes += self.notes
            yield result
        if failed and n_series == 1:
            raise failed[0]
        if failed:
            raise InputError(several_failed(failed, n_series, "groups"))

    def write_csv(
        self,
        source: str | os.PathLike[str],
        path: str | os.PathLike[str] | None,
        inputs: frozenset[save.FileId] = frozenset(),
        chunk_rows: int = 1 << 15,
        progress: Callable[[int], object] | None = None,
    ) -> Summary:
        """Score a CSV or Parquet file straight to a CSV file, in memory bounded by the chunk.

        Parameters
        ----------
        path
            File to write; an existing one is replaced whole. None: the rows are only summed up.
        inputs
            `save.file_ids` of further files that must not be overwritten; the source and the detector never are.
        chunk_rows
            Rows read at a time; changes no result.
        progress
            Called with the number of rows after each piece is written.

        Raises
        ------
        UnsortedError
            If the rows are not in time order: they have to be sorted in memory, which `predict` does.
        """
        from oddwave import read

        if path is not None:
            save.protect(Path(path), os.fspath(source), inputs | self.detector_ids)
        detection = config.detection(self.settings)
        chunks = _ahead(read.read_chunks(Path(source), self.columns(self.settings), chunk_rows))
        first = next(chunks, None)
        if first is None:
            raise InputError(f"{os.fspath(source)} has no rows.")
        about = self.detector.metadata
        limit = self.detector.threshold(detection)
        summary = Summary(first.source, first.time_name, first.kind, limit, about.model, detection.scoring, first.group)

        def rows() -> Iterator[Scored]:
            summary.events, notes = yield from self.detector.detect_chunks(chain([first], chunks), detection)
            summary.notes = (*notes, *self.notes)

        to = nullcontext() if path is None else save.CsvWriter(Path(path), first.time_name)
        with closing(chunks), to as writer:
            for piece in rows():
                if writer is not None:
                    writer.append(piece)
                summary.add(piece)
                if progress is not None:
                    progress(len(piece))
        return summary

    def columns(self, settings: PipelineSection) -> Columns:
        """Return which columns of an input are read."""
        return self.detector.columns(time_col=settings.time_col, group_col=settings.group_col)


def create_pipeline(
    pipeline: str | os.PathLike[str] = "ts_ad",
    model: str | os.PathLike[str] | None = None,
    device: str | None = None,
    use_hpip: bool | None = None,
    **settings: Any,
) -> Pipeline:
    """Return a pipeline by name, or as a pipeline file says; what is given here wins over the file.

    Parameters
    ----------
    pipeline
        `ts_ad`, or the path of a YAML file.
    model
        A shipped detector, a detector file, or a training output folder.
    device
        `cpu`, `auto`, or a kind and numbers such as `gpu:0` or `gpu:0,1`.
    use_hpip
        Take the engine that is fastest on this machine, measured once for each detector; each result's notes say
        which. Labels stay the same.
    settings
        Any key of the file's section Pipeline; see `Pipeline.predict`.

    Examples
    --------
    >>> pipeline = create_pipeline(pipeline="ts_ad")  # doctest: +SKIP
    >>> for res in pipeline.predict("ts_ad.csv"):  # doctest: +SKIP
    ...     res.print()
    ...     res.save_to_csv("./output/")
    """
    found = config_of(pipeline)
    given = {"model": model, "device": device, "use_hpip": use_hpip}
    settings |= {key: value for key, value in given.items() if value is not None}
    section = config.build(PipelineSection, settings, "create_pipeline", found.pipeline) if settings else found.pipeline
    return Pipeline(section, found.general.input)


def create_model(
    model_name: str | os.PathLike[str] = "DLinear_ad",
    device: str = "cpu",
    use_hpip: bool = False,
    **settings: Any,
) -> Pipeline:
    """Return one detector, shipped or your own, to `predict` with; settings as in `create_pipeline`."""
    settings |= {"model": model_name, "device": device, "use_hpip": use_hpip}
    return Pipeline(config.build(PipelineSection, settings, "create_model"))


def load(model: str | os.PathLike[str], device: str = "cpu", use_hpip: bool = False) -> Detector:
    """Load a detector: a shipped one by name, a detector file, or a training output folder.

    With `use_hpip` its attribute `choices` says which engine was chosen.

    Raises
    ------
    ConfigError
        If there is none.
    DetectorFileError
        If it is damaged or unsafe.
    DeviceError
        If the device can't be had.
    """
    from oddwave.detector import Detector

    return Detector.load(model, device, use_hpip=use_hpip)


def detect(data: Any, model: str | os.PathLike[str] = "DLinear_ad", device: str = "cpu", **settings: Any) -> Result:
    """Return the result of exactly one series; settings as in `Pipeline.predict`.

    Raises
    ------
    InputError
        If `data` holds no series or several: `create_pipeline(...).predict` takes those.

    Examples
    --------
    >>> detect("ts_ad.csv").events  # doctest: +SKIP
    """
    pipeline = create_model(model, device, **settings)
    names = (*Detection.__struct_fields__, "time_col", "group_col")
    chosen = {name: getattr(pipeline.settings, name) for name in names}
    result = pipeline.detector.detect(data, **chosen)
    result.inputs = pipeline.detector_ids
    result.notes += pipeline.notes
    return result


def config_of(pipeline: str | os.PathLike[str]) -> PipelineConfig:
    """Return the configuration of a pipeline, by name or from its file."""
    text = os.fspath(pipeline)
    path = Path(text)
    is_file = path.suffix.lower() in {".yaml", ".yml"} or path.name != text or path.is_file()
    if is_file and text not in config.PIPELINES:
        return config.read_pipeline_config(text)
    config.check_pipeline_name(text)
    return PipelineConfig()


def inputs_of(sources: list[Any]) -> frozenset[save.FileId]:
    """Return what tells several inputs that are files from others: no result may be saved over them."""
    return save.file_ids(sources, strict=False) if len(sources) > 1 else frozenset()


def several_failed(errors: Iterable[Exception | str], count: int, what: str) -> str:
    """Return one message for several errors among `count` inputs or groups."""
    lines = ["  " + str(error).replace("\n", "\n    ") for error in errors]
    some = f"{len(lines)} of {count} {what} failed, the others are done"
    which = some if len(lines) < count else f"All {count} {what} failed"
    return f"{which}:\n" + "\n".join(lines)


def _ahead(chunks: Iterator[Series]) -> Generator[Series, None, None]:
    """Read the next chunk in a thread of its own while the last one is scored; what is raised there is raised here."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "reader") as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk
