"""Oddwave finds anomalies in time series; the public names, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from oddwave.detector import Detector as Detector
    from oddwave.errors import (
        ConfigError as ConfigError,
        DetectorFileError as DetectorFileError,
        DeviceError as DeviceError,
        InputError as InputError,
        MissingExtraError as MissingExtraError,
        OddwaveError as OddwaveError,
        OutputError as OutputError,
        TooShortError as TooShortError,
        TrainingError as TrainingError,
    )
    from oddwave.evaluate import evaluate as evaluate
    from oddwave.events import Event as Event
    from oddwave.pipeline import (
        Pipeline as Pipeline,
        create_model as create_model,
        create_pipeline as create_pipeline,
        detect as detect,
        load as load,
    )
    from oddwave.result import Result as Result
    from oddwave.train import train as train

_HOME = {
    "ConfigError": "errors",
    "Detector": "detector",
    "DetectorFileError": "errors",
    "DeviceError": "errors",
    "Event": "events",
    "InputError": "errors",
    "MissingExtraError": "errors",
    "OddwaveError": "errors",
    "OutputError": "errors",
    "Pipeline": "pipeline",
    "Result": "result",
    "TooShortError": "errors",
    "TrainingError": "errors",
    "create_model": "pipeline",
    "create_pipeline": "pipeline",
    "detect": "pipeline",
    "evaluate": "evaluate",
    "load": "pipeline",
    "train": "train",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604 (each is a text)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOME[name]}")
    # `oddwave.train` is the folder of that name whoever imports it first, so the folder itself can be called
    value = home if name in ("evaluate", "train") else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
