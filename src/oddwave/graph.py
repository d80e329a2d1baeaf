"""ONNX graphs: build small ones, and inspect any before it is run.

Inspection is an allow-list: every field, operator, type and size that a detector may hold is named here, all else
is refused.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import DetectorFileError
from oddwave.protobuf import BYTES, VARINT, FieldValue, WireError, block, extend, fields, number
from oddwave.series import batch
from oddwave.shapes import MAX_ELEMENTS, Attributes, Tensor, infer

OPSET = 17
IR_VERSION = 8
MAX_NODES = 4096
MAX_IN_CALL = 1 << 30  # elements of all tensors that the nodes of one call make
_ELEMENT_BYTES = {1: 4, 6: 4, 7: 8, 9: 1, 11: 8}  # float, int32, int64, bool, double
_FLOAT = 1
_INT64 = 7

# Allowed field numbers of each message, by their names in onnx.proto3.
_MODEL = {1, 2, 3, 7, 8, 14}  # ir_version, producer_name, producer_version, graph, opset_import, metadata_props
_GRAPH = {1, 2, 5, 11, 12}  # node, name, initializer, input, output
_NODE = {1, 2, 3, 4, 5, 7}  # input, output, name, op_type, attribute, domain
_ATTRIBUTE = {1, 2, 3, 7, 8, 20}  # name, f, i, floats, ints, type
_TENSOR = {1, 2, 8, 9}  # dims, data_type, name, raw_data: no external data, nothing but raw bytes


def tensor(name: str, values: NDArray[Any]) -> bytes:
    """Encode an initializer: float32, or int64 for shapes and axes."""
    is_whole = values.dtype.kind in "iu"
    array = np.ascontiguousarray(values, dtype="<i8" if is_whole else "<f4")
    dims = b"".join(number(1, dim) for dim in values.shape)
    return dims + number(2, _INT64 if is_whole else _FLOAT) + block(8, name) + block(9, array.tobytes())


def node(operator: str, inputs: Sequence[str], output: str) -> bytes:
    """Encode a node of the standard operator set with one output."""
    return b"".join(block(1, name) for name in inputs) + block(2, output) + block(3, output) + block(4, operator)


def model(nodes: Sequence[bytes], initializers: Mapping[str, NDArray[Any]], size: int, channels: int) -> bytes:
    """Encode a model that maps `window` to `error`, both float32 [batch, size, channels]."""
    graph = b"".join(block(1, item) for item in nodes) + block(2, "detector")
    graph += b"".join(block(5, tensor(name, values)) for name, values in initializers.items())
    graph += block(11, _value("window", size, channels)) + block(12, _value("error", size, channels))
    return number(1, IR_VERSION) + block(2, "oddwave") + block(7, graph) + block(8, number(2, OPSET))


def _value(name: str, size: int, channels: int) -> bytes:
    dims = block(1, block(2, "batch")) + block(1, number(1, size)) + block(1, number(1, channels))
    return block(1, name) + block(2, block(1, number(1, _FLOAT) + block(2, dims)))


def inspect(data: bytes, source: str, size: int, channels: int) -> None:
    """Refuse a model that is more than a plain function from `window` to `error` of the expected shape.

    Raises
    ------
    DetectorFileError
        Naming the first thing that isn't allowed: a damaged message, an operator, external data, a shape, a size.
    """
    try:
        _inspect_model(data, size, channels)
    except (WireError, RecursionError) as error:
        raise DetectorFileError(
            f"{source} is not a usable detector: {error}. Get a fresh copy, or train again."
        ) from None


def _checked(data: bytes, allowed: set[int], what: str) -> list[FieldValue]:
    found = list(fields(data))
    for field in found:
        if field.number not in allowed:
            raise WireError(f"{what} has field {field.number}, which detectors don't use")
    return found


def _inspect_model(data: bytes, size: int, channels: int) -> None:
    found = _checked(data, _MODEL, "the model")
    graphs = [field.bytes() for field in found if field.number == 7]
    if len(graphs) != 1:
        raise WireError("there is no single graph")
    for field in found:
        if field.number == 8:
            _inspect_opset(field.bytes())
    _inspect_graph(_checked(graphs[0], _GRAPH, "the graph"), size, channels)


def _inspect_opset(data: bytes) -> None:
    for field in _checked(data, {1, 2}, "an operator set"):
        if field.number == 1 and field.bytes():
            raise WireError(f"custom operators ({field.text()}) are not allowed")
        if field.number == 2 and not 13 <= field.int() <= 22:
            raise WireError(f"operator set {field.int()} is not supported")


def _inspect_graph(found: list[FieldValue], size: int, channels: int) -> None:
    nodes = [_read_node(field.bytes()) for field in found if field.number == 1]
    if len(nodes) > MAX_NODES:
        raise WireError(f"{len(nodes)} nodes, more than {MAX_NODES}")
    weights = [_read_tensor(field.bytes()) for field in found if field.number == 5]
    elements = sum(math.prod(tensor.shape) for _, tensor in weights)
    if elements > MAX_ELEMENTS:
        raise WireError(f"{elements} weights, more than {MAX_ELEMENTS}")
    expected = ["batch", size, channels]
    for slot, name in ((11, "window"), (12, "error")):
        values = [_read_value(field.bytes()) for field in found if field.number == slot]
        if values != [(name, _FLOAT, expected)]:
            raise WireError(f"expected one {name}: float32 {expected}, found {values}")
    names = [name for name, _ in weights]
    if len(set(names)) != len(names) or {"", "window"} & set(names):
        raise WireError("weights have no name, or one that is taken")
    # two sizes, to tell what follows the batch from what is fixed; and as many windows as are run in a call
    for count, most in ((1, MAX_ELEMENTS), (2, MAX_ELEMENTS), (batch(size), MAX_IN_CALL)):
        _inspect_shapes(nodes, dict(weights), (count, size, channels), most)


Node = tuple[str, list[str], str, Attributes]


def _inspect_shapes(nodes: list[Node], tensors: dict[str, Tensor], window: tuple[int, int, int], most: int) -> None:
    """Work out the shape of each tensor, in the order in which the nodes run."""
    tensors["window"] = Tensor(window)
    elements = 0
    for operator, inputs, output, attributes in nodes:
        unknown = [name for name in inputs if name not in tensors]
        if unknown or output in tensors:
            raise WireError(f"{operator} reads or writes {(unknown or [output])[0]!r} out of order")
        if not output or "" in inputs:  # to the runtime a missing one, whatever else has that name
            raise WireError(f"{operator} reads or writes a tensor without a name")
        tensors[output] = infer(operator, [tensors[name] for name in inputs], attributes, most)
        elements += math.prod(tensors[output].shape)
        if elements > MAX_IN_CALL:
            raise WireError(f"its tensors have over {MAX_IN_CALL} elements in a call")
    if tensors.get("error", Tensor(())).shape != window:
        raise WireError(f"the error isn't of the window's shape, {list(window)}")


def _read_node(data: bytes) -> Node:
    """Check a node; return its operator, the names of its inputs and of its output, and its attributes."""
    operator = ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, tuple[int, ...]] = {}
    for field in _checked(data, _NODE, "a node"):
        if field.number == 1:
            inputs.append(field.text())
        elif field.number == 2:
            outputs.append(field.text())
        elif field.number == 4:
            operator = field.text()
        elif field.number == 7 and field.bytes():
            raise WireError(f"custom operators ({field.text()}) are not allowed")
        elif field.number == 5:
            name, numbers = _read_attribute(field.bytes())
            if name in attributes:
                raise WireError(f"{operator} has the attribute {name!r} twice")
            attributes[name] = numbers
    if len(outputs) != 1:
        raise WireError(f"{operator} has {len(outputs)} outputs")
    return operator, inputs, outputs[0], attributes


def _read_attribute(data: bytes) -> tuple[str, tuple[int, ...]]:
    """Check an attribute; return its name and its whole numbers."""
    name = ""
    numbers: list[int] = []
    for field in _checked(data, _ATTRIBUTE, "an attribute"):
        if field.number == 1:
            name = field.text()
        elif field.number in (3, 8):
            extend(numbers, field)
    return name, tuple(numbers)


def _read_tensor(data: bytes) -> tuple[str, Tensor]:
    """Check an initializer; return its name and shape, and its values if they may be a shape themselves."""
    name, raw = "", b""
    dims: list[int] = []
    kind = 0
    for field in _checked(data, _TENSOR, "a tensor"):
        if field.number == 1:
            extend(dims, field)
        elif field.number == 2:
            kind = field.int()
        elif field.number == 8:
            name = field.text()
        elif field.number == 9:
            raw = field.bytes()
    if kind not in _ELEMENT_BYTES:
        raise WireError(f"weights of type {kind} are not allowed")
    if any(dim < 0 for dim in dims):
        raise WireError(f"a tensor has the shape {dims}")
    if math.prod(dims) * _ELEMENT_BYTES[kind] != len(raw):
        raise WireError(f"a tensor of shape {dims} holds {len(raw)} bytes")
    is_shape = kind == _INT64 and len(dims) == 1 and dims[0] <= 8
    return name, Tensor(tuple(dims), tuple(np.frombuffer(raw, "<i8").tolist()) if is_shape else None)


def _read_value(data: bytes) -> tuple[str, int, list[int | str]]:
    """Read a ValueInfoProto as (name, element type, dims)."""
    name, kind, dims = "", 0, []
    for field in _checked(data, {1, 2}, "an input or output"):
        if field.number == 1:
            name = field.text()
            continue
        for tensor_type in _checked(field.bytes(), {1}, "a type"):
            for part in _checked(tensor_type.bytes(), {1, 2}, "a tensor type"):
                if part.number == 1:
                    kind = part.int()
                else:
                    dims += [_read_dim(dim.bytes()) for dim in _checked(part.bytes(), {1}, "a shape")]
    return name, kind, dims


def _read_dim(data: bytes) -> int | str:
    """Read a dimension: field 1 a number, field 2 a name; the last one counts."""
    dim: int | str = "?"
    for field in _checked(data, {1, 2}, "a dimension"):
        if field.wire != (VARINT if field.number == 1 else BYTES):
            raise WireError("a dimension is of the wrong type")
        dim = field.int() if field.number == 1 else field.text()
    return dim
