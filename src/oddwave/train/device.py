"""Where to train: the names that `--device` takes, as PyTorch's devices."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from oddwave import device as devices
from oddwave.errors import DeviceError, MissingExtraError

if TYPE_CHECKING:
    import torch

# kind -> PyTorch's name for it, the package that adds it to PyTorch
_ADDED = {"npu": ("npu", "torch_npu"), "mlu": ("mlu", "torch_mlu")}


def device_of(model: str, name: str, is_neural: bool) -> str:
    """Return the device to train on, which `auto` leaves open.

    Raises
    ------
    DeviceError
        If it can't be had; a classical model is fitted on the CPU.
    """
    kind = devices.parse(name).kind
    if not is_neural:
        if kind not in ("cpu", "auto"):
            raise DeviceError(f"The device {name} can't be used: {model} is fitted on the CPU. Give cpu.")
        return "cpu"
    if find_spec("torch") is None:
        raise MissingExtraError(f"training {model}", package="torch", extra="train")
    found = find(name)
    return name if kind != "auto" else "gpu:0" if found.type == "cuda" else "cpu"


def find(name: str) -> torch.device:
    """Return PyTorch's device of this name; `auto` is the first GPU if there is one, else the CPU.

    Raises
    ------
    DeviceError
        If it can't be had, or names several: training takes one.

    Examples
    --------
    >>> find("cpu")
    device(type='cpu')
    """
    import torch

    kind, numbers = devices.parse(name)
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if len(numbers) > 1:
        raise DeviceError(f"The device {name} names several, but training takes one. Give {kind}:{numbers[0]}.")
    number = numbers[0] if numbers else 0
    if kind in ("gpu", "dcu", "auto"):
        return _cuda(name, kind, number)
    if kind not in _ADDED:
        raise DeviceError(
            f"The device {name} was asked for: a Kunlun XPU, whose PyTorch comes from the vendor and isn't known to\n"
            "Oddwave; what PyTorch itself calls xpu is Intel's. Train with device cpu."
        )
    own, package = _ADDED[kind]
    if find_spec(package) is None:
        raise DeviceError(
            f"The device {name} was asked for, but PyTorch knows it only with the package {package}.\n"
            "Install it, with the version of PyTorch that it needs, or train with device cpu."
        )
    import_module(package)
    return _counted(name, getattr(torch, own).device_count(), torch.device(own, number))


def _cuda(name: str, kind: str, number: int) -> torch.device:
    """Return a GPU of NVIDIA or AMD, which PyTorch calls by one name."""
    import torch

    needed = (
        "a ROCm build of PyTorch, for a DCU from its vendor" if kind == "dcu" else "a CUDA or ROCm build of PyTorch"
    )
    if not torch.cuda.is_available() or (kind == "dcu" and torch.version.hip is None):
        raise DeviceError(
            f"The device {name} was asked for, but this PyTorch ({torch.__version__}) sees none.\n"
            f"Install {needed} and check the drivers, or train with device cpu."
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else its products differ from run to run
    return _counted(name, torch.cuda.device_count(), torch.device("cuda", number))


def _counted(name: str, count: int, device: torch.device) -> torch.device:
    if device.index >= count:
        raise DeviceError(f"The device {name} was asked for, but there are {count}, counted from 0.")
    return device
