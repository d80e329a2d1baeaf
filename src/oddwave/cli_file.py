"""What a command is to do: the training file, then -o, then flags, each over the one before."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from oddwave import training_file
from oddwave.cli_terminal import tell
from oddwave.config import Detection
from oddwave.detector import FILE_NAME
from oddwave.errors import ConfigError
from oddwave.training_file import Train, TrainingFile

MODES = {"check": "check_dataset"}  # of a command whose mode is called otherwise
COMMANDS = {mode: command for command, mode in MODES.items()}

# What a flag sets in the training file; those of the section Train that are called as their key are not listed.
_COMMON = {"data": "Global.dataset_dir", "out": "Global.output"}
KEYS = {
    "check": {**_COMMON, "convert": "CheckDataset.convert.enable"},
    "train": {**_COMMON, "model": "Global.model", "epochs": "Train.epochs_iters"},
    "evaluate": {
        "data": "Global.dataset_dir",
        "model": "Evaluate.weight_path",
        "scoring": "Evaluate.scoring",
        "threshold": "Evaluate.threshold",
        "false_alarms": "Evaluate.false_alarms",
        "window": "Evaluate.window",
        "seed": "Evaluate.seed",
    },
    "export": {"model": "Export.weight_path"},
    "predict": {
        **{name: f"Predict.{name}" for name in Detection.__struct_fields__},
        "model": "Predict.model_dir",
        "input": "Predict.input",
        "device": "Global.device",
    },
}


def read(flags: Namespace, command: str) -> TrainingFile:
    """Return the training file with what -o and the flags say over it.

    Raises
    ------
    ConfigError
        If a key or a value can't be used, or -o asks for another mode than the command.
    """
    overrides = flags.override or []
    keys = {**{name: f"Train.{name}" for name in Train.__struct_fields__}, **KEYS[command]}
    given = {
        keys[name]: value
        for name, value in vars(flags).items()
        if name in keys and value is not None and value is not False and value != []  # but 0 is given
    }
    if getattr(flags, "exclude", None):
        given["Train.exclude"] = ",".join(flags.exclude)
    if getattr(flags, "split", None):
        train, val = flags.split
        split = "CheckDataset.split."
        given |= {f"{split}enable": True, f"{split}train_percent": train, f"{split}val_percent": val}
    file = training_file.read(flags.config, overrides, given)
    mode, asked = file.Global.mode, MODES.get(command, command)
    if mode not in (None, asked):
        if any(text.partition("=")[0].strip() == "Global.mode" for text in overrides):
            raise ConfigError(f"oddwave {command} can't be told Global.mode={mode}. Leave one of the two out.")
        if not flags.quiet:
            tell(f"Global.mode is {mode} in {flags.config}; the command says {command}, and that is done.", "note")
    return file


def run_of(named: str | None, file: TrainingFile) -> str:
    """Return the detector that a section names, by default that of the output folder.

    The tutorial's paths within an output folder (`output/best_model/model.pdparams`, `output/inference`) mean the
    detector of that folder, if there is nothing under their own name.
    """
    if named is None:
        if not Path(file.Global.output).is_dir():
            raise ConfigError(
                f"There is no detector in {file.Global.output}, where a training puts it. "
                "Name its run folder, a detector file or a shipped model."
            )
        return file.Global.output
    if Path(named).exists():
        return named
    for folder in list(Path(named).parents)[:-1]:
        if (folder / FILE_NAME).is_file():
            tell(f"There is no {named}; the detector of {folder} is used.", "note")
            return str(folder)
    return named
