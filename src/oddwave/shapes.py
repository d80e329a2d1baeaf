"""Shapes between the nodes of a graph: what each operator gives. One without a rule here is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from oddwave.protobuf import WireError

MAX_ELEMENTS = 16_000_000


class Tensor(NamedTuple):
    """The shape of a tensor, and its values if it is a short list of whole numbers, such as a shape."""

    shape: tuple[int, ...]
    numbers: tuple[int, ...] | None = None


Rule = Callable[[Sequence[Tensor]], tuple[int, ...]]


def infer(operator: str, inputs: Sequence[Tensor]) -> Tensor:
    """Return the output of a node.

    Raises
    ------
    WireError
        If the operator isn't allowed, its inputs don't fit, or its output is too large.

    Examples
    --------
    >>> infer("MatMul", [Tensor((96, 96)), Tensor((32, 96, 25))]).shape
    (32, 96, 25)
    """
    if operator not in RULES:
        raise WireError(f"the operator {operator!r} is not allowed")
    try:
        shape = RULES[operator](inputs)
    except (ValueError, IndexError):
        shapes = ", ".join(str(list(item.shape)) for item in inputs)
        raise WireError(f"{operator} doesn't fit inputs of shape {shapes or 'none'}") from None
    if math.prod(shape) > MAX_ELEMENTS:
        raise WireError(f"{operator} makes a tensor of shape {list(shape)}, more than {MAX_ELEMENTS} elements")
    return Tensor(shape)


def _same(inputs: Sequence[Tensor]) -> tuple[int, ...]:
    return inputs[0].shape


def _broadcast(inputs: Sequence[Tensor]) -> tuple[int, ...]:
    one, other = inputs
    return np.broadcast_shapes(one.shape, other.shape)


def _matrix_product(inputs: Sequence[Tensor]) -> tuple[int, ...]:
    (*left, rows, inner), (*right, inner_too, columns) = (item.shape for item in inputs)
    if inner != inner_too:
        raise ValueError
    return (*np.broadcast_shapes(tuple(left), tuple(right)), rows, columns)


def _reshape(inputs: Sequence[Tensor]) -> tuple[int, ...]:
    data, wanted = inputs
    dims = list(wanted.numbers or [])
    count = math.prod(data.shape)
    if 0 in dims:
        raise ValueError
    if dims.count(-1) == 1:
        dims[dims.index(-1)] = count // -math.prod(dims)
    if not dims or min(dims) < 1 or math.prod(dims) != count:
        raise ValueError
    return tuple(dims)


# Plain arithmetic: nothing that branches, loops, reads a file, draws a random number, or takes sizes from the data.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("Abs", "Clip", "Identity", "Relu"), _same),
    **dict.fromkeys(("Add", "Div", "Mul", "Sub"), _broadcast),
    "MatMul": _matrix_product,
    "Reshape": _reshape,
}
