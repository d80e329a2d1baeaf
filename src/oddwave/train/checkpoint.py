"""A training run at one moment, in one safetensors file: weights, Adam's state, random numbers, how far it came."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import safetensors.torch
import torch
from msgspec import Meta, Struct
from safetensors import SafetensorError, safe_open
from torch import Generator, Tensor, nn

from oddwave.atomic import Atomic
from oddwave.errors import TrainingError
from oddwave.train.plan import Plan

FILE_NAME = "checkpoint.safetensors"
_KEY = "oddwave"  # of the file's metadata, all of which is JSON under this one name
_SAME = ("model", "size", "channels", "settings", "chosen", "plan", "windows", "start", "identity")
_Count = Annotated[int, Meta(ge=0)]


class About(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a run is of, and how far it came: a checkpoint's metadata.

    Parameters
    ----------
    settings, chosen
        The model's settings as given, and with what it chose itself.
    windows
        How many windows there are to learn from and to stop by.
    start
        SHA-256 of the weights that it started from; empty: fresh ones.
    identity
        Hash of data and settings, as the caller made it.
    step, total
        Steps of the epoch that isn't complete, and the sum of its losses, window by window.
    """

    format: int = 1
    model: str
    size: int
    channels: int
    settings: dict[str, Any]
    chosen: dict[str, Any]
    plan: dict[str, Any]
    windows: tuple[int, int] = (0, 0)
    start: str = ""
    identity: str = ""
    losses: list[float] = []
    held_out_losses: list[float] = []
    best_epoch: _Count = 0
    step: _Count = 0
    total: float = 0.0
    sha256: str = ""


class Run:
    """A model in training and all that its next step depends on.

    The order of the windows and the hidden cells have random numbers of their own, so that an epoch that was
    broken off is taken up in the middle: its order is drawn again from `order_before`.
    """

    def __init__(self, model: nn.Module, plan: Plan, about: About) -> None:
        self.model, self.plan, self.about = model, plan, about
        self.device = next(model.parameters()).device
        is_fused = self.device.type in ("cpu", "cuda")
        self.optimizer = torch.optim.Adam(model.parameters(), lr=plan.learning_rate, fused=is_fused)
        for weight in model.parameters():  # as Adam itself would before the first step: so it can be loaded into
            moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            self.optimizer.state[weight] = {
                "step": torch.zeros((), device=weight.device if is_fused else None),
                **moments,
            }
        self.order, self.masks = (Generator().manual_seed(plan.seed + i) for i in range(2))
        self.order_before = self.order.get_state()
        self.best = {name: value.clone() for name, value in model.state_dict().items()}

    @property
    def epoch(self) -> int:
        """Complete epochs."""
        return len(self.about.losses)

    def keep(self) -> None:
        """Take the weights as the best so far."""
        self.about.best_epoch = self.epoch
        self.best = {name: value.clone() for name, value in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all, and through to the disk."""
        random = {"order": self.order_before, "masks": self.masks.get_state(), "global": torch.get_rng_state()}
        save(path, self.about, self._tensors() | {f"random.{name}": state for name, state in random.items()})

    def load(self, path: Path) -> None:
        """Go back to a checkpoint.

        Raises
        ------
        TrainingError
            If it is damaged, or of other data or settings.
        """
        about, tensors = load(path)
        for name in _SAME:
            _compare(path, name, getattr(about, name), getattr(self.about, name))
        random = [tensors.pop(f"random.{name}", torch.zeros(0)) for name in ("order", "masks", "global")]
        own = self._tensors()
        if {name: _kind(value) for name, value in own.items()} != {n: _kind(value) for n, value in tensors.items()}:
            raise damaged(path, "its weights don't fit the model")
        try:
            self.order.set_state(random[0])
            self.masks.set_state(random[1])
            torch.set_rng_state(random[2])
        except (RuntimeError, TypeError):
            raise damaged(path, "its random state can't be used") from None
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(tensors[name])
        self.order_before, self.about = random[0], about

    def _tensors(self) -> dict[str, Tensor]:
        """Return what is saved and loaded by name, as it is used: not copied."""
        adam = {
            f"adam.{name}.{key}": value
            for name, weight in self.model.named_parameters()
            for key, value in self.optimizer.state[weight].items()
        }
        kinds = {"weights": self.model.state_dict(), "best": self.best}
        return adam | {f"{kind}.{name}": value for kind, named in kinds.items() for name, value in named.items()}


def save(path: Path, about: About, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file with `about` as metadata; raises OutputError if it can't be written."""
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    about.sha256 = digest(about, own)
    data = safetensors.torch.save(own, {_KEY: msgspec.json.encode(about).decode()})
    with Atomic(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> tuple[About, dict[str, Tensor]]:
    """Read what `save` wrote, or say in one message why it can't be used."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
            about = msgspec.json.decode((file.metadata() or {}).get(_KEY, ""), type=About)
    except OSError as error:
        reason = error.strerror or str(error).partition(":")[0]
        raise TrainingError(f"{path} can't be read: {reason}. Give another path.") from None
    except SafetensorError as error:
        raise damaged(path, str(error)) from None
    except msgspec.MsgspecError:
        raise damaged(path, "it has no checkpoint's metadata") from None
    if about.format != 1:
        raise TrainingError(f"{path} has format {about.format}, but this version reads format 1. Update Oddwave.")
    if digest(about, tensors) != about.sha256:
        raise damaged(path, "its checksum doesn't fit")
    return about, tensors


def plain(section: Struct) -> dict[str, Any]:
    """Return settings as they come back from JSON."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(section))
    return found


def digest(about: About, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all that a checkpoint holds."""
    found = hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(about, sha256="")))
    for name in sorted(tensors):
        found.update(f"{name} {_kind(tensors[name])}".encode())
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()


def damaged(path: Path, why: str) -> TrainingError:
    """Return the error of a checkpoint that can't be used."""
    return TrainingError(
        f"{path} is damaged or no checkpoint of Oddwave: {why}.\nTrain anew without it, or give another file."
    )


def _kind(tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    return str(tensor.dtype), tuple(tensor.shape)


def _compare(path: Path, name: str, then: Any, now: Any) -> None:
    """Refuse to resume what was begun otherwise, and say what differs."""
    if then == now:
        return
    if isinstance(now, dict):
        name = next(key for key in {**now, **then} if then.get(key) != now.get(key))
        then, now = then.get(name), now.get(name)
    differs = {
        "windows": "the training rows are others now",
        "identity": "the training rows or the settings are others now",
        "start": "it started from other weights",
    }.get(name, f"{name} was {then} and is {now} now")
    raise TrainingError(
        f"{path} can't be resumed: {differs}.\nResume with the same data and settings, or train anew without resume."
    )
