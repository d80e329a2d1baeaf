"""OpenVINO: a graph compiled for this processor and batches of one size."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from typing import Any

from oddwave.runtime.engine import Engine
from oddwave.series import Windows

PACKAGE = "openvino"
_USAGE = "openvino_telemetry"


def is_there() -> bool:
    """Say whether OpenVINO is installed."""
    return find_spec(PACKAGE) is not None


def engine(model: bytes, shape: tuple[int, int, int], threads: int) -> Engine:
    """Compile a graph for windows of this shape; so many threads may call it at once, each call has one thread.

    Its last digits differ from ONNX Runtime's, and are the same wherever a window stands in a batch.
    """
    openvino = _quietly_imported()
    core = openvino.Core()
    graph = core.read_model(model, b"")
    graph.reshape({"window": list(shape)})
    compiled = core.compile_model(
        graph,
        "CPU",
        {
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # on some processors it would take bfloat16
            "ENABLE_CPU_PINNING": False,
        },
    )
    own = threading.local()

    def run(windows: Windows) -> Windows:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        own.request.infer([openvino.Tensor(windows, shared_memory=True)])
        errors: Windows = own.request.get_output_tensor().data.copy()
        return errors

    return run


def _quietly_imported() -> Any:
    """Import OpenVINO without the package by which each import of it would be reported to its makers."""
    is_first = _USAGE not in sys.modules
    if is_first:
        sys.modules[_USAGE] = None  # type: ignore[assignment]  # as if it weren't installed
    try:
        import openvino
    finally:
        if is_first:
            del sys.modules[_USAGE]
    return openvino
