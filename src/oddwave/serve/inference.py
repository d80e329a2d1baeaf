"""The Open Inference Protocol, version 2, for the clients of Triton and KServe: tensors in JSON, or as plain bytes.

Inputs: `rows`, shape [time, channel] or [1, time, channel], in the detector's order; maybe `time`, [time].
Outputs: `score`, `label` (-1: not scored), and if asked for `contribution`, shape [time, channel].
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from oddwave import __version__, config, read
from oddwave.config import Detection
from oddwave.errors import nearest
from oddwave.result import Result
from oddwave.serve.answers import Answer, Refused, answer_json
from oddwave.serve.app import Request
from oddwave.serve.bodies import check_filled, check_rows, decoded
from oddwave.serve.detectors import Served

WANTED = 'Send {"inputs": [{"name": "rows", "shape": [time, channel], "datatype": "FP64", "data": […]}]}.'
SIZE_HEADER = "inference-header-content-length"  # bytes of JSON before the tensors' own
OUTPUTS = ("score", "label", "contribution")
VERSION = "1"
TYPES = {
    "FP32": np.float32, "FP64": np.float64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
}  # fmt: skip
NAMES = {np.dtype(kind): name for name, kind in TYPES.items()}


class Tensor(msgspec.Struct):
    """A tensor that is sent, or the name of one that is asked for."""

    name: Annotated[str, Meta(description="Sent: `rows` or `time`. Asked for: `score`, `label` or `contribution`.")]
    shape: Annotated[list[int], Meta(description="Of `rows`: [time, channel] or [1, time, channel].")] = []
    datatype: Annotated[str, Meta(description="Of what is sent: FP32, FP64, or INT or UINT with its bits.")] = ""
    data: Annotated[
        list[Any] | None, Meta(description="The numbers, flat or nested; null: they follow the JSON as bytes.")
    ] = None
    parameters: Annotated[
        dict[str, Any],
        Meta(description="Sent: `binary_data_size`, the bytes that follow. Asked for: `binary_data`, true for bytes."),
    ] = {}


class InferRequest(msgspec.Struct):
    """A request; what the protocol allows beside is left alone."""

    inputs: Annotated[list[Tensor], Meta(description="`rows`, in the order of the detector's channels; maybe `time`.")]
    outputs: Annotated[list[Tensor], Meta(description="What to return; none: `score` and `label`.")] = []
    id: Annotated[str | None, Meta(description="Comes back with the answer.")] = None
    parameters: Annotated[
        dict[str, Any], Meta(description="`binary_data_output`, true for bytes; and any of the settings.")
    ] = {}


_form = msgspec.json.Decoder(InferRequest)


async def server(request: Request) -> Answer:  # noqa: ARG001 (every handler takes it)
    """Answer `GET /v2`."""
    return answer_json({"name": "oddwave", "version": __version__, "extensions": ["binary_tensor_data"]})


async def model(request: Request) -> Answer:
    """Answer `GET /v2/models/{name}`."""
    served = _served(request)
    width = len(served.detector.metadata.channels)
    rows = {"name": "rows", "datatype": "FP64", "shape": [-1, width]}
    outputs = [
        {"name": "score", "datatype": "FP64", "shape": [-1]},
        {"name": "label", "datatype": "INT8", "shape": [-1]},
        {"name": "contribution", "datatype": "FP64", "shape": [-1, width]},
    ]
    about = {"name": served.name, "versions": [VERSION], "platform": "oddwave", "inputs": [rows], "outputs": outputs}
    return answer_json(about)


async def model_ready(request: Request) -> Answer:
    """Answer `GET /v2/models/{name}/ready`."""
    return answer_json({"name": _served(request).name, "ready": True})


async def infer(request: Request) -> Answer:
    """Answer `POST /v2/models/{name}/infer`."""
    return await request.app.work(request, _infer)


def _served(request: Request) -> Served:
    """Return the detector that the path names."""
    served = request.app.detectors.get(request.path[0])
    if request.path[1:] not in ((), (VERSION,)):
        raise Refused(404, f"{served.name} has only the version {VERSION}.", "no_model")
    return served


def _infer(request: Request, body: bytes | bytearray) -> Answer:
    served = _served(request)
    size = request.header(SIZE_HEADER) or str(len(body))
    if not size.isdecimal() or (header := int(size[:20])) > len(body):
        raise Refused(400, f"{SIZE_HEADER} is {size[:20]}, but the body has {len(body)} bytes.", "bad_request")
    sent = decoded(_form, body[:header], WANTED)
    wanted = _wanted(sent)
    inputs = _inputs(sent, memoryview(body)[header:])
    request.stage("decode")
    channels = list(served.detector.metadata.channels)
    rows = _rows(inputs, len(channels))
    check_rows(len(rows), request.app.settings.max_rows)
    names, columns = list(channels), list(rows.T.astype(np.float64))
    if "time" in inputs:
        if inputs["time"].shape != (len(rows),):
            raise Refused(422, f"time has the shape {list(inputs['time'].shape)} for {len(rows)} rows.", "bad_request")
        names, columns = [*names, "time"], [*columns, inputs["time"]]
    series = read.parse_table(names, columns, served.columns, "The tensor rows")
    request.stage("parse")
    settings = {key: value for key, value in sent.parameters.items() if key in Detection.__struct_fields__}
    settings["contributions"] = "contribution" in wanted
    base = config.detection(request.app.settings.pipeline)
    detection = config.build(Detection, settings, "parameters", base)
    check_filled(series, detection, served.detector, request.app.settings.max_rows)
    result = served.detector.detect_series(series, detection)
    request.note(result, served)
    request.stage("score")
    about = {"model_name": served.name, "model_version": VERSION, **({"id": sent.id} if sent.id else {})}
    answer = _answer(about, result, wanted, is_binary=bool(sent.parameters.get("binary_data_output")))
    request.stage("encode")
    return answer


def _wanted(sent: InferRequest) -> dict[str, Tensor]:
    """Return the outputs that are asked for, by name."""
    for output in sent.outputs:
        if output.name not in OUTPUTS:
            known = ", ".join(OUTPUTS)
            message = f"There is no output {output.name[:80]!r}.{nearest(output.name, OUTPUTS)} Known: {known}."
            raise Refused(422, message, "bad_request")
    return {output.name: output for output in sent.outputs} or {name: Tensor(name) for name in OUTPUTS[:2]}


def _inputs(sent: InferRequest, rest: memoryview) -> dict[str, NDArray[Any]]:
    """Return the tensors that were sent, by name."""
    found: dict[str, NDArray[Any]] = {}
    for tensor in sent.inputs:
        kind = TYPES.get(tensor.datatype)
        if kind is None:
            known = ", ".join(TYPES)
            message = f"{tensor.name[:80]} is of the type {tensor.datatype[:80]!r}; read are {known}."
            raise Refused(422, message, "bad_request")
        size = tensor.parameters.get("binary_data_size")
        try:
            if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= len(rest):
                values, rest = np.frombuffer(rest[:size], dtype=kind), rest[size:]
            else:
                values = np.array(tensor.data, dtype=kind)
            found[tensor.name] = values.reshape(tensor.shape)
        except (TypeError, ValueError, OverflowError):
            shape = str(tensor.shape)[:80]
            message = f"The data of {tensor.name[:80]} doesn't fill the shape {shape} with {tensor.datatype}."
            raise Refused(422, message, "bad_request") from None
    return found


def _rows(inputs: dict[str, NDArray[Any]], width: int) -> NDArray[Any]:
    if "rows" not in inputs:
        raise Refused(422, f"The input rows is missing. {WANTED}", "bad_request")
    rows = inputs["rows"]
    if rows.ndim == 3 and len(rows) == 1:
        rows = rows[0]
    if rows.ndim != 2 or rows.shape[1] != width:
        raise Refused(
            422, f"rows has the shape {list(rows.shape)}; this detector reads [time, {width}].", "bad_request"
        )
    return rows


def _answer(about: dict[str, Any], result: Result, wanted: dict[str, Tensor], is_binary: bool) -> Answer:
    """Return the outputs, those that are asked for as bytes behind the JSON."""
    every = {"score": result.score, "label": result.label, "contribution": result.contribution}
    outputs: list[dict[str, Any]] = []
    blocks: list[bytes] = []
    for name, tensor in wanted.items():
        values = np.ascontiguousarray(every[name])
        output: dict[str, Any] = {"name": name, "datatype": NAMES[values.dtype], "shape": list(values.shape)}
        if tensor.parameters.get("binary_data", is_binary):
            blocks.append(values.tobytes())
            output["parameters"] = {"binary_data_size": len(blocks[-1])}
        else:
            output["data"] = values.ravel().tolist()
        outputs.append(output)
    head = msgspec.json.encode({**about, "outputs": outputs})
    if not blocks:
        return Answer(head)
    return Answer(b"".join([head, *blocks]), "application/octet-stream", headers=((SIZE_HEADER, str(len(head))),))
