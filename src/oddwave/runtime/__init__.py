"""The one place that imports onnxruntime and openvino: a detector's graph made ready to run.

sessions.py: ONNX Runtime, on any device     compiled.py: OpenVINO     engine.py: what both give, and several as one
"""

from __future__ import annotations

import math

import numpy as np

from oddwave.errors import DetectorFileError
from oddwave.runtime import sessions
from oddwave.runtime.engine import Engine
from oddwave.series import Windows

__all__ = ["WORST", "Runtime"]

WORST = 1e25  # an error that isn't a number, or infinite, counts as this


class Runtime:
    """A detector's graph, ready to run: windows in, errors out.

    Parameters
    ----------
    model
        Bytes of an inspected ONNX model.
    device
        `cpu`, a kind and numbers such as `gpu:0,1`, or `auto`; the attribute `device` says what it is.

    Attributes
    ----------
    run
        What computes the errors; another engine that gives the same may take its place.

    Raises
    ------
    DeviceError
        If the device can't be had; nothing falls back silently.
    """

    def __init__(self, model: bytes, source: str, device: str = "cpu") -> None:
        self._source = source
        self.run: Engine
        self.device, self.run = sessions.engine(model, source, device)

    def errors(self, windows: Windows) -> Windows:
        """Run windows of shape (window, size, channel) through the graph; return errors of the same shape."""
        try:
            out = self.run(windows)
        except Exception as error:  # noqa: BLE001 (runtimes have no common base for what they raise)
            text = str(error).splitlines()[0]
            raise DetectorFileError(f"{self._source} can't be run: {text}. Train it again.") from None
        if out.shape != windows.shape or out.dtype != np.float32:
            raise DetectorFileError(f"{self._source} gives errors of shape {out.shape} for windows of {windows.shape}.")
        return out if math.isfinite(out.sum()) else np.nan_to_num(out, copy=False, nan=WORST, posinf=WORST)
