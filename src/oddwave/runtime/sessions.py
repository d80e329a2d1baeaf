"""ONNX Runtime: a session on each device asked for, or what to install to have one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from oddwave import device as devices
from oddwave.device import Device
from oddwave.errors import DetectorFileError, DeviceError
from oddwave.runtime.engine import Engine, several
from oddwave.series import Windows

_CPU = "CPUExecutionProvider"


class Provider(NamedTuple):
    """What runs graphs on a kind of device: ONNX Runtime's name for it, the package it comes in, its options."""

    name: str
    package: str
    options: dict[str, str | int] = {}  # noqa: RUF012 (read only)


# Of a kind with several the first that is there is taken. TF32 would round each factor to 11 bits.
_PROVIDERS: dict[str, tuple[Provider, ...]] = {
    "cpu": (Provider(_CPU, "onnxruntime"),),
    "gpu": (
        Provider("CUDAExecutionProvider", "onnxruntime-gpu", {"use_tf32": 0}),
        Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
        Provider("DmlExecutionProvider", "onnxruntime-directml"),
    ),
    "npu": (Provider("CANNExecutionProvider", "onnxruntime-cann"),),
    "dcu": (Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx"),),
}
_VENDORS = {
    "xpu": "a Kunlun XPU (not Intel's, which PyTorch calls the same)",
    "mlu": "a Cambricon MLU",
}
_FOR_OTHERS = {"gpu": "\nFor a GPU of AMD it is onnxruntime-migraphx, for any under Windows onnxruntime-directml."}


def engine(model: bytes, source: str, device: str) -> tuple[str, Engine]:
    """Make a graph ready to run on a device; return the device's name, too, which `auto` leaves open.

    Raises
    ------
    DetectorFileError
        If ONNX Runtime can't use the graph.
    DeviceError
        If the device can't be had: nothing falls back silently.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or importing it opens a store of events to send
    import onnxruntime

    available = onnxruntime.get_available_providers()
    wanted = devices.parse(device)
    if wanted.kind != "auto":
        return device, _on(model, source, device, wanted, available)
    for choice in _choices(available):  # a provider is listed whether or not there is a device for it
        try:
            return choice, _on(model, source, choice, devices.parse(choice), available)
        except DeviceError:
            continue
    return "cpu", _on(model, source, "cpu", Device("cpu"), available)


def _choices(available: list[str]) -> Iterator[str]:
    """List the devices that `auto` tries before the CPU."""
    for kind, providers in _PROVIDERS.items():
        if kind != "cpu" and any(provider.name in available for provider in providers):
            yield f"{kind}:0"


def _on(model: bytes, source: str, device: str, wanted: Device, available: list[str]) -> Engine:
    provider = _provider(device, wanted.kind, available)
    if wanted.kind == "cpu":
        return session(model, source, device, provider, {})
    numbers = wanted.numbers
    return several([session(model, source, device, provider, {"device_id": number}) for number in numbers])


def _provider(device: str, kind: str, available: list[str]) -> Provider:
    """Find what runs graphs on a kind of device, or say what to install."""
    if kind not in _PROVIDERS:
        known = ", ".join(_PROVIDERS)
        raise DeviceError(
            f"The device {device} was asked for. That is {_VENDORS[kind]}, and no provider of ONNX Runtime for it is\n"
            f"known to Oddwave: such runtimes come from the vendor. Use cpu, or one of {known}."
        )
    for provider in _PROVIDERS[kind]:
        if provider.name in available:
            return provider
    raise DeviceError(
        f"The device {device} was asked for, but this onnxruntime offers only {', '.join(available)}.\n"
        f"Install {_PROVIDERS[kind][0].package} in its place, or use --device cpu.{_FOR_OTHERS.get(kind, '')}"
    )


def session(model: bytes, source: str, device: str, provider: Provider, place: dict[str, Any]) -> Engine:
    """Build a session and make sure that it is where it was asked for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False
    if provider.name == "DmlExecutionProvider":
        options.enable_mem_pattern = False  # it can't have one
    try:
        found = onnxruntime.InferenceSession(model, options, providers=[(provider.name, provider.options | place)])
    except Exception as error:  # noqa: BLE001 (the runtime has no common base for what it raises)
        text = str(error).splitlines()[0]
        if provider.name != _CPU:
            raise DeviceError(f"The device {device} was asked for, but {provider.name} can't use it: {text}.") from None
        raise DetectorFileError(f"{source} is not a usable detector: {text}. Train it again.") from None
    if provider.name not in found.get_providers():  # it falls back to the CPU with no more than a warning
        raise DeviceError(
            f"The device {device} was asked for, but {provider.name} couldn't start.\n"
            f"Check its number and its drivers, and which versions of them {provider.package} needs."
        )

    def run(windows: Windows) -> Windows:
        errors: Windows = found.run(["error"], {"window": windows})[0]
        return errors

    return run
