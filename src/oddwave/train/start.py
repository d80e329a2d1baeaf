"""Fine-tuning: start from the weights of a shipped model or of an earlier training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

import oddwave
from oddwave.config import Section
from oddwave.errors import ConfigError, TrainingError, nearest
from oddwave.train import checkpoint, models
from oddwave.train.checkpoint import About

_BEST = "best."
_COUNTED = ("running_mean", "running_var", "num_batches_tracked")  # what a batch normalisation learns by counting


@dataclass(frozen=True)
class Weights:
    """The best weights of a training, and what it was of."""

    source: str
    about: About
    tensors: dict[str, Tensor]

    @property
    def sha256(self) -> str:
        """Hash of all of it."""
        return checkpoint.digest(self.about, self.tensors)


def weights(start: str, model: str) -> Weights:
    """Read weights for a model to start from.

    Parameters
    ----------
    start
        The name of a shipped model, a training's folder, or a safetensors file from one.

    Raises
    ------
    ConfigError
        If there are none, or if they are another model's.
    """
    path = _path(start)
    try:
        about, tensors = checkpoint.load(path)
    except TrainingError as error:
        raise ConfigError(f"start: {error}") from None
    best = {name.removeprefix(_BEST): value for name, value in tensors.items() if name.startswith(_BEST)}
    found = Weights(start, about, best)
    if about.model != model:
        raise _misfit(found, "are of", about.model, model, f"Train {about.model}, or start from a {model}.")
    return found


def give(start: Weights, model: nn.Module, name: str, settings: Section, size: int, channels: int) -> None:
    """Set what a model learns to these weights; what it takes from its training rows without learning stays.

    Raises
    ------
    ConfigError
        If they were trained with another window, other settings or, where it matters, other channels.
    """
    then = {"input_len": start.about.size, **start.about.settings}
    for key, now in {"input_len": size, **msgspec.json.decode(msgspec.json.encode(settings))}.items():
        if then.get(key) != now:
            raise _misfit(
                start, f"were trained with {key}", then.get(key), now, f"Give {key} {then.get(key)}, or train anew."
            )
    own = _learned(model)
    for key, value in own.items():
        if key not in start.tensors:
            raise ConfigError(f"start: {start.source} lacks the weights {key} of {name}. Train anew.")
        if start.tensors[key].shape != value.shape:
            free = ", ".join(filter(_takes_any_channels, models.names()))
            advice = f"Give the same channels, or train anew. With any number of channels start {free}."
            raise _misfit(start, "learned from a number of channels of", start.about.channels, channels, advice)
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(start.tensors[key])


def save_small(run: Path, path: Path) -> None:
    """Write what a checkpoint's best model learned, in half precision: a start needs no more."""
    about, tensors = checkpoint.load(run)
    model = models.build(about.model, models.settings(about.model, about.settings), about.size, about.channels)
    best = {_BEST + name: tensors[_BEST + name] for name in _learned(model)}
    half = {name: value.half() if value.is_floating_point() else value for name, value in best.items()}
    checkpoint.save(path, about, half)


def _path(start: str) -> Path:
    """Find the file."""
    path = Path(start)
    if start in models.names():
        path = Path(oddwave.__file__).parent / "weights" / f"{start}.safetensors"
    elif path.is_dir():
        path /= checkpoint.FILE_NAME
    if not path.is_file():
        raise ConfigError(
            f"start: there are no weights at {path}.{nearest(start, models.names())}\n"
            f"Give the folder of a training, or one of {', '.join(models.names())}."
        )
    return path


def _learned(model: nn.Module) -> dict[str, Tensor]:
    counted = {name: value for name, value in model.named_buffers() if name.rpartition(".")[2] in _COUNTED}
    return dict(model.named_parameters()) | counted


def _takes_any_channels(name: str) -> bool:
    size = 8
    one, two = (_learned(models.build(name, models.settings(name), size, channels)) for channels in (1, 2))
    return {key: value.shape for key, value in one.items()} == {key: value.shape for key, value in two.items()}


def _misfit(start: Weights, what: str, then: object, now: object, advice: str) -> ConfigError:
    return ConfigError(f"start: the weights of {start.source} {what} {then}, but here it is {now}.\n{advice}")
