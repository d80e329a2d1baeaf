"""The training file: one YAML for check, train, evaluate, export and predict, with the tutorial's keys and ours."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from oddwave import config
from oddwave.config import Detection, Scoring, Section, description, hints_of, load_yaml, read_yaml
from oddwave.errors import ConfigError, nearest
from oddwave.train import Training, names
from oddwave.train.plan import Plan

AnySection = TypeVar("AnySection", bound=Section)
Mode = Literal["check_dataset", "train", "evaluate", "export", "predict", None]  # noqa: PYI061 (a Literal's choices are named in messages)
Percent = Annotated[int, Meta(ge=1, le=99)]

NAMES = {"epochs": "epochs_iters", "step_s": "freq"}
"""What the tutorial calls a setting of `oddwave.train`; all others have one name."""
UNITS_S = {"ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0, "t": 60.0, "h": 3600.0, "d": 86_400.0}
"""Seconds of the units that `freq` may have."""


class Global(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for every mode."""

    model: Annotated[str, Meta(description="The model to train.")] = "DLinear_ad"
    mode: Annotated[Mode, Meta(description="What to do; null: what the command says.")] = None
    dataset_dir: Annotated[
        str | None,
        Meta(description="The data: a file, or a folder with train.* and val.* (CSV, XLSX, Parquet)."),
    ] = None
    device: Annotated[str, Meta(description="cpu, auto, or a kind and number such as gpu:0.")] = "cpu"
    output: Annotated[str, Meta(description="Folder for what is made; it is the run folder of a training.")] = "output"


class Convert(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Convert tables to CSV."""

    enable: Annotated[bool, Meta(description="Write each XLSX and XLS of the folder as CSV, too.")] = False
    src_dataset_type: Annotated[
        str | None, Meta(description="Kept for files written for the tutorial: the kind is seen from the file.")
    ] = None


class Split(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Cut the rows into train and val."""

    enable: Annotated[bool, Meta(description="Cut the rows, in time order; the originals stay as NAME.bak.")] = False
    train_percent: Annotated[Percent | None, Meta(description="Share of the rows for train; null: 80.")] = None
    val_percent: Annotated[Percent | None, Meta(description="Share of the rows for val; null: the rest.")] = None


class CheckDataset(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `oddwave check` does beside checking."""

    convert: Convert = Convert()
    split: Split = Split()


class Evaluate(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How `oddwave evaluate` judges a detector."""

    weight_path: Annotated[
        str | None, Meta(description="Run folder, detector file or shipped model; null: the folder Global.output.")
    ] = None
    scoring: Annotated[Scoring, Meta(description="full: all windows that hold a row; causal: the past only.")] = "full"
    threshold: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="Score above which a row is anomalous; null: the detector's."),
    ] = None
    false_alarms: Annotated[
        str | None, Meta(description='Another budget of false alarms, such as "1/week"; null: the detector\'s.')
    ] = None
    window: Annotated[int, Meta(ge=1, description="Rows around an event's edges that VUS and ranges tolerate.")] = 100
    seed: Annotated[int, Meta(ge=0, description="Seed of the random score and of the bootstrap.")] = 0


class Export(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `oddwave export` takes along."""

    weight_path: Annotated[
        str | None, Meta(description="Run folder or detector file; null: the folder Global.output.")
    ] = None


class Predict(Detection, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `oddwave predict` scores, and how."""

    model_dir: Annotated[
        str | None, Meta(description="Run folder, detector file or shipped model; null: the folder Global.output.")
    ] = None
    input: Annotated[
        str | list[str] | None, Meta(description="File, URL, folder, pattern or list of these to score.")
    ] = None
    batch_size: Annotated[
        int, Meta(ge=1, description="Kept for files written for the tutorial; changes no result.")
    ] = 1


def _train_section() -> type[Section]:
    """Gather the settings of every training, of the plan and of the model in one section."""
    described = {
        "time_col": Annotated[str | None, Meta(description="Column with the times; null: found by its name.")],
        "label_col": Annotated[
            str | None,
            Meta(description="Column with known labels, 0 or 1; rows with 1 are not learned. null: label, if there."),
        ],
        "step_s": Annotated[
            float | str | None,
            Meta(description="Time step: a number (seconds, or units of the time), 5min, 1h; null: the median."),
        ],
    }
    fields: list[tuple[str, Any, Any]] = []
    for name, default in _defaults(Training).items():
        fields.append((NAMES.get(name, name), described.get(name, hints_of(Training)[name]), default))
    for name in Plan.__struct_fields__:
        hint = hints_of(Plan)[name]
        text = f"{description(hint)} null: the model's own."
        fields.append((NAMES.get(name, name), Annotated[hint | None, Meta(description=text)], None))
    rows = Annotated[int, Meta(ge=1, description="Epochs from one line about the progress to the next, in a pipe.")]
    fields.append(("log_interval", rows, 10))
    own = Annotated[dict[str, Any], Meta(description="The model's own settings, by their names; see models.md.")]
    fields.append(("settings", own, msgspec.field(default_factory=dict)))
    first = ("epochs_iters", "batch_size", "learning_rate", "time_col", "freq", "input_len", "feature_cols")
    order = (*first, "label_col", "log_interval")
    fields.sort(key=lambda field: order.index(field[0]) if field[0] in order else len(order))
    options: dict[str, Any] = {"frozen": True, "forbid_unknown_fields": True, "kw_only": True}
    made: Any = msgspec.defstruct("Train", fields, bases=(Section,), module=__name__, **options)
    made.__doc__ = "How `oddwave train` trains."
    section: type[Section] = made
    return section


def _defaults(kind: type[Section]) -> dict[str, Any]:
    return msgspec.structs.asdict(kind())


Train: type[Section] = _train_section()


class TrainingFile(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A training file; its attributes are called like its sections."""

    Global: Global = Global()
    CheckDataset: CheckDataset = CheckDataset()
    Train: Section = Train()
    Evaluate: Evaluate = Evaluate()
    Export: Export = Export()
    Predict: Predict = Predict()


def read(
    source: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> TrainingFile:
    """Read a training file, or the built-in one of a model.

    Parameters
    ----------
    source
        A model's name, or the path of a YAML; None: the defaults.
    overrides
        `Section.key=value`, the value as YAML; they win over the file.
    flags
        Values by `Section.key`; they win over both.

    Raises
    ------
    ConfigError
        If the file can't be read, or a key or value can't be used.

    Examples
    --------
    >>> read("PCA_ad", ["Train.input_len=16", "CheckDataset.split.enable=True"]).Global.model
    'PCA_ad'
    >>> read("PCA_ad", ["Train.epochs=16"])
    Traceback (most recent call last):
    oddwave.errors.ConfigError: -o Train.epochs=16, section Train: epochs is no setting. Did you mean epochs_iters?
    ...
    """
    file = TrainingFile()
    if source is not None:
        named = os.fspath(source)
        content = {"Global": {"model": named}} if named in names() else _content(named)
        file = _updated(file, content, named)
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"-o {text} has no value. Write -o Section.key=value, as in -o Train.epochs_iters=10.")
        file = _updated(file, _nested(key.strip(), load_yaml(value, f"-o {text}"), f"-o {text}"), f"-o {text}")
    for key, value in (flags or {}).items():
        file = _updated(file, _nested(key, value, "the command line"), "the command line")
    return _checked(file)


def settings(file: TrainingFile) -> dict[str, Any]:
    """Return what a training file says about training as settings of `oddwave.train`; what is at its default, not.

    Examples
    --------
    >>> settings(read("DLinear_ad", ["Train.epochs_iters=3", "Train.freq=5min", "Train.feature_cols=flow, heat"]))
    {'epochs': 3, 'step_s': 300.0, 'feature_cols': ('flow', 'heat')}
    """
    values, usual = msgspec.structs.asdict(file.Train), _defaults(Train)
    back = {theirs: ours for ours, theirs in NAMES.items()}
    found = {back.get(key, key): value for key, value in values.items() if value != usual[key]}
    for name in ("log_interval", "settings"):
        found.pop(name, None)
    if "step_s" in found:
        found["step_s"] = step_s(found["step_s"])
    own: dict[str, Any] = values["settings"]
    return found | own


def of(model: str, given: Mapping[str, Any], dataset_dir: str | None = None, output: str = "output") -> TrainingFile:
    """Return the training file of a training, from the settings that `oddwave.train` was given.

    Parameters
    ----------
    given
        Fields of `Training`, of the plan and of the model's own settings, which go to `Train.settings`.
    """
    known = {**_defaults(Training), **_defaults(Plan)}
    values = {NAMES.get(name, name): value for name, value in given.items() if name in known}
    own = {name: value for name, value in given.items() if name not in known}
    general = Global(model=model, dataset_dir=dataset_dir, output=output)
    return TrainingFile(Global=general, Train=Train(**values, settings=own))


def step_s(freq: float | str) -> float:
    """Read the tutorial's `freq`.

    Examples
    --------
    >>> step_s("5min"), step_s("h"), step_s(1)
    (300.0, 3600.0, 1.0)
    """
    number, unit = freq, ""
    if isinstance(freq, str):
        match = re.fullmatch(r"\s*(\d*\.?\d*)\s*([A-Za-z]*)\s*", freq)
        number, unit = match.groups() if match else ("", "?")
    seconds = UNITS_S.get(unit.lower(), 0) if unit else 1.0
    try:
        step = float(number or 1) * seconds
    except ValueError:
        step = 0
    if not 0 < step < float("inf"):
        raise ConfigError(
            f"freq is {freq!r}, which is no time step. Give a number, or a number with a unit: 30s, 1min, 5min, 1h, 1d."
        )
    return step


def text(file: TrainingFile) -> str:
    """Return a training file with every key, each explained."""
    lines = [
        "# Training file of Oddwave. Use it with: oddwave check|train|evaluate|export|predict -c THIS_FILE",
        "# -o Section.key=value and flags win over what stands here. A key that is left out is at its default.",
    ]
    for name in file.__struct_fields__:
        lines += [f"{name}:", *_lines(getattr(file, name), "  ")]
    return "\n".join(lines) + "\n"


def _lines(section: Section, indent: str) -> list[str]:
    hints, lines = hints_of(type(section)), []
    for key in section.__struct_fields__:
        value = getattr(section, key)
        if isinstance(value, Section):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            about = description(hints[key]).replace("None:", "null:")
            lines += [f"{indent}# {about}", f"{indent}{key}: {msgspec.json.encode(value).decode()}"]
    return lines


def _updated(base: AnySection, values: Mapping[Any, Any], where: str) -> AnySection:
    """Return a section with values over its own; those of the sections within it are sections of the file."""
    config.check_known(values, base.__struct_fields__, where)
    hints, parts, plain = hints_of(type(base)), {}, {}
    for key, value in values.items():
        old = getattr(base, key)
        if isinstance(old, Section) and isinstance(value, Mapping | None):
            parts[key] = _updated(
                old, value or {}, f"{where}.{key}" if ", section " in where else f"{where}, section {key}"
            )
        elif isinstance(old, Section):
            raise ConfigError(f"{where}: {key} is a section, but {value!r:.80} was given. Name a key of it: {key}.….")
        elif isinstance(old, dict) and isinstance(value, Mapping):
            plain[key] = {**old, **value}
        else:
            plain[key] = _prepared(value, hints[key])
    return msgspec.structs.replace(config.build(type(base), plain, where, base), **parts)


def _prepared(value: Any, hint: Any) -> Any:
    """Split lists that are text, and take as text what only looks like a number to YAML."""
    kinds = _kinds(hint)
    is_plain = isinstance(value, (int, float, date)) and not isinstance(value, bool)
    if tuple in kinds and isinstance(value, list):
        return tuple(item if isinstance(item, str) else str(item) for item in value)
    if tuple in kinds and (is_plain or isinstance(value, str)):
        return tuple(word.strip() for word in str(value).split(",") if word.strip())
    return str(value) if is_plain and str in kinds and not {int, float} & kinds else value


def _kinds(hint: Any) -> set[Any]:
    """Return the types that a hint allows."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _kinds(get_args(hint)[0])
    if origin in (Union, UnionType):
        return set().union(*map(_kinds, get_args(hint)))
    return {origin or hint}


def _nested(key: str, value: Any, where: str) -> dict[str, Any]:
    *outer, last = key.split(".")
    if not outer:
        sections = [
            name for name in TrainingFile.__struct_fields__ if last in getattr(TrainingFile(), name).__struct_fields__
        ]
        raise ConfigError(
            f"{where}: {key} has no section. Write {sections[0] if sections else 'Section'}.{key}=…\n"
            f"Sections are {', '.join(TrainingFile.__struct_fields__)}."
        )
    found = {last: value}
    for name in reversed(outer):
        found = {name: found}
    return found


def _checked(file: TrainingFile) -> TrainingFile:
    """Refuse values that don't go together."""
    split = file.CheckDataset.split
    if split.train_percent and split.val_percent and split.train_percent + split.val_percent != 100:
        raise ConfigError(
            f"CheckDataset.split: train_percent {split.train_percent} and val_percent {split.val_percent} "
            "don't add up to 100. Give two whole numbers that do, such as 80 and 20."
        )
    for name, part in (("Evaluate", file.Evaluate), ("Predict", file.Predict)):
        if part.threshold is not None and part.false_alarms is not None:
            raise ConfigError(f"{name}: threshold and false_alarms both set the threshold. Leave one of them out.")
    freq = msgspec.structs.asdict(file.Train)["freq"]
    if freq is not None:
        step_s(freq)
    return file


def _content(path: str) -> Any:
    """Read the sections of a file, or say what it is instead."""
    if not os.path.lexists(path):
        stem = Path(path).stem
        advice = f" That model's built-in configuration is: -c {stem}" if stem in names() else nearest(path, names())
        raise ConfigError(f"There is no file {path!r}.{advice}\n-c takes a YAML or a model: {', '.join(names())}.")
    content = read_yaml(path, "training file")
    if not isinstance(content, dict) or not content:
        raise ConfigError(
            f"{path} has no sections. A training file has {', '.join(TrainingFile.__struct_fields__)}, each optional."
        )
    if "Pipeline" in content:
        raise ConfigError(f"{path} is a pipeline file, not a training file. Use it with: oddwave --pipeline {path}")
    return content
