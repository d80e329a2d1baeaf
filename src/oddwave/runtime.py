"""The one file that imports onnxruntime: sessions, threads and devices."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from oddwave import device as devices
from oddwave.errors import DetectorFileError, DeviceError
from oddwave.series import Windows

WORST = 1e25  # an error that isn't a number, or infinite, counts as this

# device name -> (execution provider, package to install)
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "gpu": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "dcu": ("MIGraphXExecutionProvider", "onnxruntime-migraphx"),
    "npu": ("CANNExecutionProvider", "onnxruntime-cann"),
}


class Runtime:
    """A detector's graph, ready to run: windows in, errors out.

    Parameters
    ----------
    model
        Bytes of an inspected ONNX model.
    device
        `cpu`, a kind and a number such as `gpu:0`, or `auto`; the attribute `device` says what it is.

    Raises
    ------
    DeviceError
        If the device can't be had; nothing falls back silently.
    """

    def __init__(self, model: bytes, source: str, device: str = "cpu") -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or importing it opens a store of events to send
        import onnxruntime as ort

        self._source = source
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        available = ort.get_available_providers()
        self.device = _choose(available) if device == "auto" else device
        provider, settings = _provider(self.device, available)
        try:
            self._session = ort.InferenceSession(model, options, providers=[(provider, settings)])
        except Exception as error:  # noqa: BLE001 (the runtime has no common base for what it raises)
            text = str(error).splitlines()[0]
            raise DetectorFileError(f"{source} is not a usable detector: {text}. Train it again.") from None
        if provider not in self._session.get_providers():
            raise DeviceError(f"The device {device} was asked for, but {provider} couldn't start. Check its drivers.")

    def errors(self, windows: Windows) -> Windows:
        """Run windows of shape (window, size, channel) through the graph; return errors of the same shape."""
        try:
            out: Windows = self._session.run(["error"], {"window": windows})[0]
        except Exception as error:  # noqa: BLE001 (as above)
            text = str(error).splitlines()[0]
            raise DetectorFileError(f"{self._source} can't be run: {text}. Train it again.") from None
        if out.shape != windows.shape or out.dtype != np.float32:
            raise DetectorFileError(f"{self._source} gives errors of shape {out.shape} for windows of {windows.shape}.")
        return out if math.isfinite(out.sum()) else np.nan_to_num(out, copy=False, nan=WORST, posinf=WORST)


def _choose(available: list[str]) -> str:
    """Say what `auto` means on this machine."""
    return "gpu:0" if _PROVIDERS["gpu"][0] in available else "cpu"


def _provider(device: str, available: list[str]) -> tuple[str, dict[str, Any]]:
    """Find the provider of a device and its options, or say which package to install."""
    kind, numbers = devices.parse(device)
    if len(numbers) > 1:
        raise DeviceError(f"The device {device!r} names several; only one at a time works yet. Give {kind}:0.")
    if kind not in _PROVIDERS:
        raise DeviceError(
            f"The device {device} was asked for, but no ONNX Runtime provider for {kind} is known to Oddwave.\n"
            f"Use cpu, or one of {', '.join(_PROVIDERS)}."
        )
    provider, package = _PROVIDERS[kind]
    if provider not in available:
        raise DeviceError(
            f"The device {device} was asked for, but this onnxruntime offers only {', '.join(available)}.\n"
            f"Install {package} in its place, or use --device cpu."
        )
    return provider, {} if kind == "cpu" else {"device_id": numbers[0]}
