"""A detector's graph as steps for one window: constants folded, every shape known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddwave.protobuf import extend, fields

Array = NDArray[Any]
_TYPES = {1: "<f4", 7: "<i8"}
PAIRS = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
SINGLES: dict[str, Callable[[Array], Any]] = {"Abs": np.abs, "Relu": lambda x: np.maximum(x, np.float32(0))}


class UnsupportedError(ValueError):
    """The graph has something that isn't written in C."""


class Step(NamedTuple):
    """One operation on one window: `output` has this shape, the inputs are earlier outputs, constants or `window`."""

    operator: str
    inputs: list[str]
    output: str
    numbers: tuple[int, ...]
    shape: tuple[int, ...]


class Steps(NamedTuple):
    """A graph: its constants by name, the shapes of all tensors, and what is done in which order."""

    constants: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]
    steps: list[Step]


def read(data: bytes, size: int, channels: int) -> Steps:
    """Read the graph of a detector file, which has been inspected already.

    Raises
    ------
    UnsupportedError
        If an operator, or how it is used, isn't known here.
    """
    graph = next(field.bytes() for field in fields(data) if field.number == 7)
    parts = list(fields(graph))
    constants = dict(_constant(part.bytes()) for part in parts if part.number == 5)
    values = {"window": np.zeros((1, size, channels), dtype=np.float32)}
    steps = []
    for part in parts:
        if part.number != 1:
            continue
        operator, inputs, output, attributes = _node(part.bytes())
        whole = [constants[name] for name in inputs[1:] if name in constants and constants[name].dtype.kind == "i"]
        numbers = tuple(whole[0].tolist()) if whole else attributes.get("perm", attributes.get("axes", ()))
        if whole:
            inputs = inputs[:1]
        if operator == "ReduceMean" and not attributes.get("keepdims", (1,))[0]:
            raise UnsupportedError("ReduceMean without keepdims isn't known")
        result = apply(operator, [constants[n] if n in constants else values[n] for n in inputs], numbers)
        if all(name in constants for name in inputs):
            constants[output] = result
        else:
            values[output] = result
            steps.append(Step(operator, inputs, output, numbers, result.shape))
    if not steps or steps[-1].output != "error" or steps[-1].operator == "Reshape":
        raise UnsupportedError("its last operation doesn't give the error")
    used = {name for step in steps for name in step.inputs}
    constants = {name: value for name, value in constants.items() if name in used}
    if not all(np.isfinite(value).all() for value in constants.values()):
        raise UnsupportedError("a weight isn't finite")
    shapes = {name: value.shape for name, value in (constants | values).items()}
    return Steps(constants, shapes, steps)


def run(steps: Steps, window: Array) -> Array:
    """Compute the errors of one window, shape (1, size, channel), as the C code does."""
    values: dict[str, Array] = {**steps.constants, "window": window}
    for step in steps.steps:
        values[step.output] = apply(step.operator, [values[name] for name in step.inputs], step.numbers)
    return values["error"]


def apply(operator: str, inputs: list[Array], numbers: tuple[int, ...]) -> Array:
    """Do one operation in numpy."""
    x = inputs[0]
    if operator in PAIRS:
        return np.asarray(PAIRS[operator](x, inputs[1]))
    if operator == "MatMul":
        if any(value.ndim < 2 or math.prod(value.shape[:-2]) != 1 for value in inputs):
            raise UnsupportedError("a product of more than two matrices isn't known")
        return np.asarray(x @ inputs[1])
    if operator in SINGLES:
        return np.asarray(SINGLES[operator](x))
    if operator == "Clip" and len(inputs) == 3:
        return np.clip(x, inputs[1], inputs[2])
    if (operator == "Transpose" and numbers) or (operator == "Reshape" and 0 not in numbers):
        return np.transpose(x, numbers) if operator == "Transpose" else x.reshape(numbers)
    if operator == "ReduceMean" and len(numbers) == 1:
        return np.asarray(x.mean(axis=numbers[0], keepdims=True, dtype=np.float32))
    raise UnsupportedError(f"the operator {operator} isn't known, or not as it is used here")


def _constant(data: bytes) -> tuple[str, Array]:
    name, raw, kind = "", b"", 0
    dims: list[int] = []
    for field in fields(data):
        if field.number == 1:
            extend(dims, field)
        elif field.number == 2:
            kind = field.int()
        elif field.number == 8:
            name = field.text()
        elif field.number == 9:
            raw = field.bytes()
    if kind not in _TYPES:
        raise UnsupportedError(f"weights of type {kind} aren't known")
    return name, np.frombuffer(raw, _TYPES[kind]).reshape(dims)


def _node(data: bytes) -> tuple[str, list[str], str, dict[str, tuple[int, ...]]]:
    parts = list(fields(data))
    inputs = [part.text() for part in parts if part.number == 1]
    output, operator = (next(part.text() for part in parts if part.number == number) for number in (2, 4))
    attributes = {}
    for part in parts:
        if part.number == 5:
            name, numbers = "", list[int]()
            for field in fields(part.bytes()):
                if field.number == 1:
                    name = field.text()
                elif field.number in (3, 8):
                    extend(numbers, field)
            attributes[name] = tuple(numbers)
    return operator, inputs, output, attributes
