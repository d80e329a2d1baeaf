"""Settings: frozen sections with bounds; unknown keys are refused with the nearest known name."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from oddwave.errors import ConfigError, OutputError, nearest

Scoring = Literal["full", "causal"]
AnySection = TypeVar("AnySection", bound="Section")

PIPELINES = ("ts_ad",)
MAX_BYTES = 1 << 20  # a pipeline file is some hundred bytes; what is larger is something else


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section of a configuration."""


class Detection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a detector is applied to a series."""

    scoring: Annotated[Scoring, Meta(description="full: all windows that hold a row; causal: the past only.")] = "full"
    threshold: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Score above which a row is anomalous; null: the detector's."),
    ] = None
    false_alarms: Annotated[
        str | float | None,
        Meta(
            description="Budget of false alarms that sets the threshold: 1/day, 2/week, or a share of normal rows such "
            "as 0.001; null: the detector's."
        ),
    ] = None
    step_s: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="Time step, in seconds or in units of a whole-number time; "
            "null: the series' median (causal: the detector's)."
        ),
    ] = None
    max_gap: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None,
        Meta(description="Longest run of missing rows to fill; null: the detector's."),
    ] = None
    merge_gap: Annotated[int, Meta(ge=0, description="Join events with at most this many rows between.")] = 5
    min_length: Annotated[int, Meta(ge=1, description="Drop events shorter than this many rows.")] = 1
    contributions: Annotated[
        bool, Meta(description="Keep each channel's contribution for every row, not only in events.")
    ] = False


class GlobalSection(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section Global of a pipeline file."""

    pipeline_name: Annotated[str, Meta(description="ts_ad: time series anomaly detection.")] = "ts_ad"
    input: Annotated[
        str | list[str] | None,
        Meta(description="File, URL, folder, pattern or list of these, read if no --input is given."),
    ] = None


class PipelineSection(Detection, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section Pipeline of a pipeline file: the detector, where it runs, and how it is applied."""

    model: Annotated[str, Meta(description="A shipped detector, a detector file, or a training output folder.")] = (
        "DLinear_ad"
    )
    batch_size: Annotated[
        int, Meta(ge=1, description="Kept for files written for the tutorial; changes no result.")
    ] = 1
    device: Annotated[str, Meta(description="cpu, auto, or a kind and numbers such as gpu:0 or gpu:0,1.")] = "cpu"
    use_hpip: Annotated[bool, Meta(description="Take the engine that is fastest here, measured once.")] = False
    time_col: Annotated[str | None, Meta(description="Column with the times; null: found by its name.")] = None
    group_col: Annotated[
        str | None, Meta(description="Column that splits the table into series; null: one series.")
    ] = None


class PipelineConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pipeline file."""

    general: GlobalSection = GlobalSection()
    pipeline: PipelineSection = PipelineSection()


# What flags of the command line set; the other keys are for files and for Python.
FLAGS = tuple(name for name in PipelineSection.__struct_fields__ if name not in ("batch_size", "contributions"))
SECTIONS: dict[str, type[Section]] = {"Global": GlobalSection, "Pipeline": PipelineSection}


def detection(section: PipelineSection) -> Detection:
    """Return the part of a pipeline's settings that the detector takes."""
    return Detection(**{name: getattr(section, name) for name in Detection.__struct_fields__})


def build(
    kind: type[AnySection],
    values: Mapping[Any, Any],
    where: str,
    base: AnySection | None = None,
    strict: bool = True,
) -> AnySection:
    """Return a section with these values, or say what is wrong with the first that can't be used.

    Parameters
    ----------
    where
        Where the values come from, for messages: "ts_ad.yaml, section Pipeline".
    base
        Section whose values hold where none is given; None: the defaults.
    strict
        Refuse a number that is given as text; else it is read.

    Examples
    --------
    >>> build(Detection, {"max_gap": 5}, "predict").max_gap
    5
    >>> build(Detection, {"max_gaps": 5}, "predict")
    Traceback (most recent call last):
    oddwave.errors.ConfigError: predict: max_gaps is no setting. Did you mean max_gap?
    Known are: scoring, threshold, false_alarms, step_s, max_gap, merge_gap, min_length, contributions.
    """
    hints = hints_of(kind)
    check_known(values, kind.__struct_fields__, where)
    checked = {key: _checked(key, value, hints[key], where, strict) for key, value in values.items()}
    return msgspec.structs.replace(base, **checked) if base is not None else kind(**checked)


@cache
def hints_of(kind: type[Section]) -> dict[str, Any]:
    """Return the types of a section's keys, with their bounds and descriptions."""
    return get_type_hints(kind, include_extras=True)


def check_known(keys: Iterable[Any], known: Sequence[str], where: str) -> None:
    """Refuse a key that is no setting, with the nearest that is."""
    for key in keys:
        if key not in known:
            text = key[:80] if isinstance(key, str) else _shown(key)
            raise ConfigError(f"{where}: {text} is no setting.{nearest(text, known)}\nKnown are: {', '.join(known)}.")


def _checked(key: str, value: Any, hint: Any, where: str, strict: bool) -> Any:
    if getattr(value, "shape", None) == ():  # a number from numpy
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    about = description(hint)
    reason = "it must be finite."
    try:
        found = msgspec.convert(value, hint, strict=strict)
        if not isinstance(found, float) or math.isfinite(found):
            return found
    except msgspec.ValidationError as error:
        choices = [option for option in _choices(hint) if isinstance(option, str)]
        if choices:
            reason = f"it must be one of {', '.join(choices)}.{nearest(str(value), choices)}"
        else:
            reason = f"{str(error).replace('`', '').lower()}."
    wrong = f"{where}: {key} is {_shown(value)}, which can't be used: {reason}"
    raise ConfigError(f"{wrong}\n{key}: {about}" if about else wrong)


def _choices(hint: Any) -> tuple[Any, ...]:
    inner = next(iter(get_args(hint)), None)
    return get_args(inner) if get_origin(inner) is Literal else ()


def description(hint: Any) -> str:
    """Return what a key is for, from its type."""
    return next((meta.description or "" for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta)), "")


def _shown(value: Any) -> str:
    """Return a value for a message; lists and sections, which a file's aliases may blow up, only by kind."""
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, (list, tuple, set)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def read_pipeline_config(path: str | os.PathLike[str]) -> PipelineConfig:
    """Read a pipeline file.

    Raises
    ------
    ConfigError
        If the file can't be read, isn't YAML, or has a key or value that can't be used.
    """
    return _pipeline_config(read_yaml(path, "pipeline file"), os.fspath(path))


def parse_pipeline_config(text: str, where: str) -> PipelineConfig:
    """Return the settings in a pipeline file's text; see `read_pipeline_config`."""
    return _pipeline_config(load_yaml(text, where), where)


def _pipeline_config(content: Any, where: str) -> PipelineConfig:
    if not isinstance(content, dict) or not content:
        raise ConfigError(
            f"{where} has no sections. A pipeline file has Global and Pipeline;\n"
            "get one with: oddwave --get_pipeline_config ts_ad"
        )
    for name, section in content.items():
        if name not in SECTIONS:
            raise ConfigError(
                f"{where}: {_shown(name)} is no section of a pipeline file."
                f"{nearest(str(name)[:80], SECTIONS)}\nKnown are: {', '.join(SECTIONS)}."
            )
        if not isinstance(section, dict | None):
            raise ConfigError(f"{where}: the section {name} is {_shown(section)}. Write its keys indented below it.")
    general = build(GlobalSection, content.get("Global") or {}, f"{where}, section Global")
    pipeline = build(PipelineSection, content.get("Pipeline") or {}, f"{where}, section Pipeline")
    check_pipeline_name(general.pipeline_name, f"{where}, section Global: ")
    return PipelineConfig(general=general, pipeline=pipeline)


def check_pipeline_name(name: str, where: str = "") -> None:
    """Refuse what is no pipeline, with the nearest name."""
    if name not in PIPELINES:
        raise ConfigError(
            f"{where}{name!r} is no pipeline.{nearest(name, PIPELINES)}\n"
            f"Known: {', '.join(PIPELINES)}; or give the path of a pipeline file (.yaml)."
        )


def read_yaml(path: str | os.PathLike[str], kind: str) -> Any:
    """Return what a YAML file holds.

    Parameters
    ----------
    kind
        What it is called in messages, as "pipeline file".

    Raises
    ------
    ConfigError
        If it can't be read, or isn't YAML.
    """
    where = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{where} is larger than 1 MB, no {kind} is. Check the path.")
        return load_yaml(data.decode("utf-8-sig"), where)
    except OSError as error:
        raise ConfigError(f"{where} can't be read: {error.strerror}. Check the path of the {kind}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} isn't UTF-8 at byte {error.start}. Save it as UTF-8.") from None


def load_yaml(text: str, where: str) -> Any:
    """Return what a text of YAML holds; only plain values, each key once.

    Raises
    ------
    ConfigError
        If it isn't such.
    """
    import re

    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that is given twice, or that merges; reads 1e-3 as a number, as YAML 1.2 does."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":  # merges of merges grow without bound
                    line = key_node.start_mark.line + 1
                    raise ConfigError(f"{where}, line {line}: the key << isn't read. Write the keys out.")
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, str) and key in seen:
                    line = key_node.start_mark.line + 1
                    raise ConfigError(f"{where}, line {line}: {key} is given twice. Keep one of them.")
                if isinstance(key, str):
                    seen.add(key)
            return super().construct_mapping(node, deep)

    exponent = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", exponent, list("-+0123456789"))
    try:
        return yaml.load(text, Loader)  # noqa: S506 (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{where}{place}: this isn't YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: this isn't YAML: {str(error).splitlines()[0]}.") from None
    except RecursionError:
        raise ConfigError(f"{where}: this is nested too deeply to be read.") from None


def pipeline_config_text(name: str = "ts_ad") -> str:
    """Return a pipeline file with every key at its default, each explained."""
    lines = [
        f"# Pipeline file of Oddwave. Use it with: oddwave --pipeline {name}.yaml [--input DATA]",
        "# Flags on the command line win over what stands here. A key that is left out has the value shown.",
    ]
    shown = {
        "Global": GlobalSection(pipeline_name=name, input="examples/ts_ad.csv"),
        "Pipeline": PipelineSection(),
    }
    first = ("model", "batch_size", "device", "use_hpip", "time_col", "group_col")
    for title, section in shown.items():
        hints = hints_of(type(section))
        keys = sorted(section.__struct_fields__, key=lambda key: first.index(key) if key in first else len(first))
        lines.append(f"{title}:")
        for key in keys:
            value = msgspec.json.encode(getattr(section, key)).decode()
            choices = _choices(hints[key])
            plain = value.strip('"') if choices or key in ("pipeline_name", "model", "input") else value
            lines += [f"  # {description(hints[key])}", f"  {key}: {plain}"]
    return "\n".join(lines) + "\n"


def write_pipeline_config(name: str = "ts_ad", folder: str | os.PathLike[str] = ".") -> Path:
    """Write the pipeline file to a folder, or as a .yaml file, but never over an edited one; return its path."""
    check_pipeline_name(name)
    path = Path(folder)
    if path.is_dir() or path.suffix.lower() not in {".yaml", ".yml"}:
        path /= f"{name}.yaml"
    text = pipeline_config_text(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if error.errno != errno.EEXIST or not path.is_file():
            raise OutputError(f"{path} can't be written: {error.strerror}. Choose another folder.") from None
        if path.read_text(encoding="utf-8", errors="replace") != text:
            raise OutputError(
                f"{path} exists already and differs from a new one.\n"
                "Move it, or choose another folder with --save_path."
            ) from None
    return path
