"""A graph's steps as loops in C, over tensors in as few arrays as they need."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from oddwave.export_c.graph import Step, Steps

_SIGNS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
_ALIAS = "Reshape"  # the same numbers in the same order


def number(value: float, suffix: str = "") -> str:
    """Write a number so that C reads the same one.

    Examples
    --------
    >>> number(0.1), number(3.0, "f"), number(1e25)
    ('0.1', '3.0f', '1e+25')
    """
    return f"{_short(value)}{suffix}" if suffix else repr(float(value))


def _short(value: float) -> str:
    text = f"{float(np.float32(value)):.9g}"
    return text if any(sign in text for sign in ".e") else f"{text}.0"


def table(kind: str, name: str, values: Iterable[float]) -> str:
    """Write an array of constants."""
    texts = [number(value, "f" if kind == "float" else "") for value in values]
    lines = [", ".join(texts[at : at + 8]) for at in range(0, len(texts), 8)]
    return f"static const {kind} {name}[{len(texts)}] = {{\n    " + ",\n    ".join(lines) + "};\n"


def weights(steps: Steps) -> str:
    """Write the constants of the graph."""
    named = {name: f"weight_{place}" for place, name in enumerate(steps.constants)}
    return "\n".join(table("float", named[name], value.ravel().tolist()) for name, value in steps.constants.items())


def function(steps: Steps) -> str:
    """Write the body of the function from `window` to `error`."""
    names = {name: f"weight_{place}" for place, name in enumerate(steps.constants)}
    names["window"] = "window"
    sizes = _place(steps, names)
    lines = [f"    static float array_{place}[{size}];" for place, size in enumerate(sizes)]
    for step in steps.steps:
        if step.operator != _ALIAS:
            lines.append(f"    /* {step.operator}: {' x '.join(map(str, step.shape))} */")
            lines += [f"    {line}" for line in _loops(step, names, steps)]
    return "\n".join(lines)


def _place(steps: Steps, names: dict[str, str]) -> list[int]:
    """Give each tensor an array that no tensor needs any more; return the sizes of the arrays."""
    root = {name: name for name in names}
    last: dict[str, int] = {}
    for at, step in enumerate(steps.steps):
        root[step.output] = root[step.inputs[0]] if step.operator == _ALIAS else step.output
        last |= {root[name]: at for name in step.inputs}
    sizes: list[int] = []
    free: list[int] = []
    places: dict[str, int] = {}
    for at, step in enumerate(steps.steps):
        if step.output == "error":
            names["error"] = "error"
        elif root[step.output] != step.output:
            names[step.output] = names[root[step.output]]
        else:
            if not free:
                free.append(len(sizes))
                sizes.append(0)
            place = free.pop()
            sizes[place] = max(sizes[place], math.prod(step.shape))
            places[step.output], names[step.output] = place, f"array_{place}"
        free += [places.pop(name) for name in list(places) if last.get(name, at) == at]
    return sizes


def _loops(step: Step, names: dict[str, str], steps: Steps) -> list[str]:
    """Write one step."""
    shapes = [steps.shapes[name] for name in step.inputs]
    x, out = names[step.inputs[0]], names[step.output]
    if step.operator == "MatMul":
        return _product(x, names[step.inputs[1]], out, shapes[0][-2:], shapes[1][-1])
    at = _index(step.shape, step.shape)
    if step.operator in _SIGNS:
        a, b = (f"{names[name]}[{_index(shape, step.shape)}]" for name, shape in zip(step.inputs, shapes, strict=True))
        return _nested(step.shape, f"{out}[{at}] = {a} {_SIGNS[step.operator]} {b};")
    if step.operator == "Transpose":
        strides = _strides(shapes[0])
        from_ = _sum([(axis, strides[source]) for axis, source in enumerate(step.numbers)], step.shape)
        return _nested(step.shape, f"{out}[{at}] = {x}[{from_}];")
    if step.operator == "ReduceMean":
        return _mean(step, x, out, shapes[0])
    value = f"{x}[{_index(shapes[0], step.shape)}]"
    if step.operator == "Clip":
        low, high = (f"{names[name]}[0]" for name in step.inputs[1:])
        value = f"fminf(fmaxf({value}, {low}), {high})"
    elif step.operator == "Relu":
        value = f"fmaxf({value}, 0.0f)"
    elif step.operator == "Abs":
        value = f"fabsf({value})"
    return _nested(step.shape, f"{out}[{at}] = {value};")


def _product(a: str, b: str, out: str, shape: tuple[int, ...], columns: int) -> list[str]:
    """Multiply two matrices, row by row of the second, in which order a compiler can use vectors."""
    rows, inner = shape
    return [
        f"for (int i = 0; i < {rows}; i++) {{",
        f"    for (int j = 0; j < {columns}; j++) {out}[i * {columns} + j] = 0.0f;",
        f"    for (int k = 0; k < {inner}; k++)",
        f"        for (int j = 0; j < {columns}; j++)",
        f"            {out}[i * {columns} + j] += {a}[i * {inner} + k] * {b}[k * {columns} + j];",
        "}",
    ]


def _nested(shape: tuple[int, ...], *body: str) -> list[str]:
    lines, depth = [], 0
    for axis, count in enumerate(shape):
        if count > 1:
            lines.append(f"{'    ' * depth}for (int i{axis} = 0; i{axis} < {count}; i{axis}++)")
            depth += 1
    if len(body) > 1:
        lines[-1:] = [f"{lines[-1]} {{"] if lines else ["{"]
    lines += [f"{'    ' * depth}{line}" for line in body]
    return [*lines, f"{'    ' * max(depth - 1, 0)}}}"] if len(body) > 1 else lines


def _strides(shape: tuple[int, ...]) -> list[int]:
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _index(shape: tuple[int, ...], whole: tuple[int, ...]) -> str:
    """Return the place in a tensor that is broadcast to a whole shape."""
    before = len(whole) - len(shape)
    strides = _strides(shape)
    return _sum([(before + axis, strides[axis]) for axis, count in enumerate(shape) if count > 1], whole)


def _sum(terms: list[tuple[int, int]], whole: tuple[int, ...]) -> str:
    parts = [f"i{axis}" if stride == 1 else f"i{axis} * {stride}" for axis, stride in terms if whole[axis] > 1]
    return " + ".join(parts) or "0"


def _mean(step: Step, x: str, out: str, shape: tuple[int, ...]) -> list[str]:
    axis = step.numbers[0] % len(shape)
    strides = _strides(shape)
    from_ = _sum([(at, strides[at]) for at in range(len(shape)) if at != axis], step.shape)
    at = _index(step.shape, step.shape)
    return _nested(
        step.shape,
        "float sum = 0.0f;",
        f"for (int k = 0; k < {shape[axis]}; k++) sum += {x}[{from_} + k * {strides[axis]}];",
        f"{out}[{at}] = sum / {shape[axis]}.0f;",
    )
