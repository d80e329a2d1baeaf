"""Shapes between the nodes of a graph: what each operator gives. One without a rule here is refused.

Operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from oddwave.protobuf import WireError

MAX_ELEMENTS = 16_000_000


class Tensor(NamedTuple):
    """The shape of a tensor, and its values if it is a short list of whole numbers, such as a shape."""

    shape: tuple[int, ...]
    numbers: tuple[int, ...] | None = None


Shape = tuple[int, ...]
Attributes = Mapping[str, tuple[int, ...]]
"""A node's attributes: their whole numbers, or nothing for fractions, which no shape depends on."""
Rule = Callable[[Sequence[Tensor], Attributes], Shape]


class Operator(NamedTuple):
    """How an operator's output is shaped, how many inputs it takes at most, and its attributes."""

    rule: Rule
    inputs: int
    attributes: frozenset[str] = frozenset()


def infer(name: str, inputs: Sequence[Tensor], attributes: Attributes, most: int = MAX_ELEMENTS) -> Tensor:
    """Return the output of a node.

    Raises
    ------
    WireError
        If the operator or an attribute isn't allowed, the inputs don't fit, or the output is too large.

    Examples
    --------
    >>> infer("MatMul", [Tensor((96, 96)), Tensor((32, 96, 25))], {}).shape
    (32, 96, 25)
    """
    if name not in RULES:
        raise WireError(f"the operator {name!r} is not allowed")
    operator = RULES[name]
    if unknown := set(attributes) - operator.attributes:
        raise WireError(f"{name} has the attribute {min(unknown)!r}, which is not allowed")
    try:
        if len(inputs) > operator.inputs:
            raise ValueError
        shape = operator.rule(inputs, attributes)
    except (ValueError, LookupError):
        shapes = ", ".join(str(list(item.shape)) for item in inputs)
        raise WireError(f"{name} doesn't fit inputs of shape {shapes or 'none'}") from None
    if math.prod(shape) > most:
        raise WireError(f"{name} makes a tensor of shape {list(shape)}, more than {most} elements")
    return Tensor(shape)


def _same(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    if "axis" in attributes:
        _axis(attributes, inputs[0])
    return inputs[0].shape


def _broadcast(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:  # noqa: ARG001 (it has none)
    one, other = inputs
    return np.broadcast_shapes(one.shape, other.shape)


def _matrix_product(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:  # noqa: ARG001 (it has none)
    (*left, rows, inner), (*right, inner_too, columns) = (item.shape for item in inputs)
    if inner != inner_too:
        raise ValueError
    return (*np.broadcast_shapes(tuple(left), tuple(right)), rows, columns)


def _reshape(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:  # noqa: ARG001 (a 0 is refused either way)
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


def _transpose(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    (data,) = inputs
    order = attributes.get("perm", tuple(reversed(range(len(data.shape)))))
    if sorted(order) != list(range(len(data.shape))):
        raise ValueError
    return tuple(data.shape[axis] for axis in order)


def _concat(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    axis = _axis(attributes, inputs[0])
    apart = {(*item.shape[:axis], *item.shape[axis + 1 :]) for item in inputs}
    if len(apart) != 1 or len({len(item.shape) for item in inputs}) != 1:
        raise ValueError
    first = inputs[0].shape
    return (*first[:axis], sum(item.shape[axis] for item in inputs), *first[axis + 1 :])


def _slice(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:  # noqa: ARG001 (it has none)
    data, *parts = inputs
    numbers = [part.numbers or () for part in parts]
    starts, ends, axes = numbers[:3]
    steps = numbers[3] if len(numbers) > 3 else (1,) * len(axes)
    if not len(starts) == len(ends) == len(axes) == len(steps) or min(steps, default=0) < 1:
        raise ValueError
    dims = list(data.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        dims[axis] = len(range(data.shape[axis])[start:end:step])
    return tuple(dims)


def _mean(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    """Shape a mean over the last axis; one over another would depend, in its last digits, on the batch."""
    data, axes = inputs
    if axes.numbers not in ((-1,), (len(data.shape) - 1,)):
        raise ValueError
    return (*data.shape[:-1], 1) if attributes.get("keepdims", (1,)) == (1,) else data.shape[:-1]


def _convolution(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    (batch, channels, *dims), (filters, of_group, *kernel) = (item.shape for item in inputs[:2])
    n = len(dims)
    (group,) = attributes.get("group", (1,))
    pads, strides, dilations = (
        attributes.get(name, (usual,) * count)
        for name, usual, count in (("pads", 0, 2 * n), ("strides", 1, n), ("dilations", 1, n))
    )
    if not n or len(kernel) != n or len(strides) != n or len(dilations) != n or len(pads) != 2 * n:
        raise ValueError
    if min(*pads, group - 1, *(step - 1 for step in (*strides, *dilations))) < 0 or of_group * group != channels:
        raise ValueError
    if attributes.get("kernel_shape", tuple(kernel)) != tuple(kernel) or filters % group:
        raise ValueError
    out = [
        (dim + pads[i] + pads[n + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, dim in enumerate(dims)
    ]
    if min(out) < 1:
        raise ValueError
    return (batch, filters, *out)


def _axis(attributes: Attributes, data: Tensor) -> int:
    """Return an axis counted from the front."""
    (axis,) = attributes["axis"]
    return range(len(data.shape))[axis]


def _named(*names: str) -> frozenset[str]:
    return frozenset(names)


# Plain arithmetic: nothing that branches, loops, reads a file, draws a random number, or takes sizes from the data.
RULES: dict[str, Operator] = {
    **dict.fromkeys(("Abs", "Erf", "Exp", "Identity", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh"), Operator(_same, 1)),
    **dict.fromkeys(("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"), Operator(_broadcast, 2)),
    "Clip": Operator(_same, 3),
    "Concat": Operator(_concat, 64, _named("axis")),
    "Conv": Operator(_convolution, 3, _named("dilations", "group", "kernel_shape", "pads", "strides")),
    "LayerNormalization": Operator(_same, 3, _named("axis", "epsilon", "stash_type")),
    "MatMul": Operator(_matrix_product, 2),
    "ReduceMean": Operator(_mean, 2, _named("keepdims", "noop_with_empty_axes")),
    "Reshape": Operator(_reshape, 2, _named("allowzero")),
    "Slice": Operator(_slice, 5),
    "Softmax": Operator(_same, 1, _named("axis")),
    "Transpose": Operator(_transpose, 1, _named("perm")),
}
