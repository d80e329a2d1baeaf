"""Shapes: each rule gives what the runtime gives, and what doesn't fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from oddwave.protobuf import WireError
from oddwave.shapes import MAX_ELEMENTS, RULES, Tensor, infer

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

# operator, shapes of the data that it reads, short lists of whole numbers after them, attributes
CASES = [
    *(
        (name, [(2, 3, 4)], [], {})
        for name in ("Abs", "Erf", "Exp", "Identity", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh")
    ),
    *((name, [(2, 3, 4), (3, 1)], [], {}) for name in ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub")),
    ("Add", [(4,), (2, 3, 4)], [], {}),
    ("Clip", [(2, 3), (), ()], [], {}),
    ("Concat", [(2, 3), (2, 1), (2, 5)], [], {"axis": 1}),
    ("Concat", [(2, 3, 4), (2, 1, 4)], [], {"axis": -2}),
    ("Conv", [(2, 3, 7, 9), (4, 3, 3, 5), (4,)], [], {"pads": [1, 0, 2, 2]}),
    ("Conv", [(1, 4, 10), (6, 2, 3)], [], {"group": 2, "strides": [2], "dilations": [2], "kernel_shape": [3]}),
    ("LayerNormalization", [(2, 3, 8), (8,), (8,)], [], {"axis": -1, "epsilon": 1e-5}),
    ("MatMul", [(5, 4), (2, 4, 3)], [], {}),
    ("MatMul", [(2, 1, 5, 4), (3, 4, 6)], [], {}),
    ("ReduceMean", [(2, 3, 4)], [[-1]], {}),
    ("ReduceMean", [(2, 3, 4)], [[2]], {"keepdims": 0}),
    ("Reshape", [(2, 3, 4)], [[-1, 6]], {}),
    ("Slice", [(2, 9, 4)], [[1], [7], [1], [2]], {}),
    ("Slice", [(2, 9, 4)], [[-3, 0], [100, 3], [1, -1]], {}),
    ("Softmax", [(2, 3, 4)], [], {"axis": -1}),
    ("Transpose", [(2, 3, 4)], [], {"perm": [0, 2, 1]}),
    ("Transpose", [(2, 3, 4)], [], {}),
]


def inferred(name, shapes, numbers, attributes):
    inputs = [*map(Tensor, shapes), *(Tensor((len(item),), tuple(item)) for item in numbers)]
    whole = {
        key: tuple(np.atleast_1d(value)) if not isinstance(value, float) else () for key, value in attributes.items()
    }
    return infer(name, inputs, whole).shape


def run(name, shapes, numbers, attributes):
    """Let ONNX Runtime say what comes out."""
    from onnx import TensorProto, helper

    kinds = [TensorProto.FLOAT] * len(shapes) + [TensorProto.INT64] * len(numbers)
    dims = [*shapes, *((len(item),) for item in numbers)]
    names = [f"input{i}" for i in range(len(dims))]
    ends = [helper.make_tensor_value_info(*item) for item in zip(names, kinds, dims, strict=True)]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node(name, names, ["out"], **attributes)], "one", ends, [out])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    values = [np.ones(shape, np.float32) for shape in shapes] + [np.array(item) for item in numbers]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, values, strict=True)))[0].shape


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]}")
def test_a_rule_gives_the_shape_that_the_runtime_gives(case):
    assert inferred(*case) == run(*case)


def test_every_rule_is_compared_with_the_runtime():
    assert {case[0] for case in CASES} == set(RULES)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_convolution_has_the_runtimes_shape_or_is_refused(data):
    draw = lambda low, high, n: data.draw(st.lists(st.integers(low, high), min_size=n, max_size=n))  # noqa: E731
    group, filters = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    shapes = [(2, 2 * group, *draw(1, 9, 2)), (filters * group, 2, *draw(1, 4, 2))]
    attributes = {"group": group, "pads": draw(0, 3, 4), "strides": draw(1, 3, 2), "dilations": draw(1, 3, 2)}
    try:
        shape = inferred("Conv", shapes, [], attributes)
    except WireError:
        reach = [d * (k - 1) + 1 for d, k in zip(attributes["dilations"], shapes[1][2:], strict=True)]
        padded = [shapes[0][2 + i] + attributes["pads"][i] + attributes["pads"][2 + i] for i in range(2)]
        assert any(r > p for r, p in zip(reach, padded, strict=True))
    else:
        assert shape == run("Conv", shapes, [], attributes)


@pytest.mark.parametrize(
    "case",
    [
        ("Abs", [], [], {}),
        ("Abs", [(2,), (2,)], [], {}),
        ("Add", [(2, 3), (4, 3)], [], {}),
        ("Concat", [(2, 3), (3, 3)], [], {"axis": 1}),
        ("Concat", [(2, 3), (2, 3, 1)], [], {"axis": 0}),
        ("Concat", [(2, 3), (2, 3)], [], {"axis": 2}),
        ("Conv", [(2, 3, 7), (4, 2, 3)], [], {}),
        ("Conv", [(2, 3, 7), (4, 3, 9)], [], {}),
        ("Conv", [(2, 3, 7), (4, 3, 3)], [], {"strides": [0]}),
        ("Conv", [(2, 3, 7), (4, 3, 3)], [], {"pads": [-1, 0]}),
        ("Conv", [(2, 3, 7), (4, 3, 3)], [], {"group": 0}),
        ("Conv", [(2, 3, 7), (4, 3, 3)], [], {"kernel_shape": [2]}),
        ("MatMul", [(4,), (4, 3)], [], {}),
        ("ReduceMean", [(2, 3, 4)], [[1]], {}),
        ("ReduceMean", [(2, 3, 4)], [[]], {}),
        ("Slice", [(2, 9)], [[1], [7], [1], [0]], {}),
        ("Slice", [(2, 9)], [[1], [7], [1], [-1]], {}),
        ("Slice", [(2, 9)], [[0], [7], [2]], {}),
        ("Softmax", [(2, 9)], [], {"axis": 2}),
        ("Transpose", [(2, 9)], [], {"perm": [0, 0]}),
    ],
    ids=lambda case: f"{case[0]} {case[1:]}",
)
def test_what_does_not_fit_is_refused_with_the_shapes(case):
    with pytest.raises(WireError, match=f"{case[0]} doesn't fit inputs of shape"):
        inferred(*case)


def test_an_attribute_without_a_meaning_here_is_refused_by_name():
    with pytest.raises(WireError, match="Softmax has the attribute 'body', which is not allowed"):
        inferred("Softmax", [(2, 3)], [], {"body": 1})


def test_padding_that_makes_a_huge_tensor_is_refused():
    with pytest.raises(WireError, match=f"more than {MAX_ELEMENTS} elements"):
        inferred("Conv", [(1, 1, 4), (1, 1, 1)], [], {"pads": [0, 1 << 60]})
