"""Graphs: those built here run as told, and inspection lets nothing but plain arithmetic through."""

from __future__ import annotations

from itertools import pairwise

import made
import numpy as np
import pytest

from oddwave import graph
from oddwave.errors import DetectorFileError
from oddwave.protobuf import WireError, block, fields, number, varint
from oddwave.runtime import Runtime

SIZE, CHANNELS = 2, 3
PLAIN = graph.node("Identity", ["window"], "error")


def model_of(nodes=(PLAIN,), tensors=(), extra_graph=b"", extra=b"", opset=None):
    """Encode a model by hand, field by field, so that anything can be wrong with it."""
    window, error = graph._value("window", SIZE, CHANNELS), graph._value("error", SIZE, CHANNELS)
    body = b"".join(block(1, node) for node in nodes) + block(2, "detector")
    body += b"".join(block(5, tensor) for tensor in tensors)
    body += block(11, window) + block(12, error) + extra_graph
    opset = number(2, 17) if opset is None else opset
    return number(1, 8) + block(2, "oddwave") + block(7, body) + block(8, opset) + extra


def raw_tensor(dims, kind=1, data=b"", extra=b""):
    return b"".join(number(1, dim) for dim in dims) + number(2, kind) + block(8, "w") + block(9, data) + extra


def assert_refused(data, reason):
    with pytest.raises(DetectorFileError, match=reason) as found:
        graph.inspect(data, "pump.onnx", SIZE, CHANNELS)
    assert str(found.value).startswith("pump.onnx is not a usable detector: ")


def inspect(data, size=SIZE, channels=CHANNELS):
    graph.inspect(data, "pump.onnx", size, channels)
    return True


# What is built


def test_a_built_graph_passes_inspection_and_runs_as_written():
    weights = {"shift": np.array([1.0, 2.0, 3.0]), "factor": np.array([2.0])}
    nodes = [graph.node("Sub", ["window", "shift"], "x"), graph.node("Mul", ["x", "factor"], "error")]
    model = graph.model(nodes, weights, SIZE, CHANNELS)
    assert inspect(model)
    window = np.arange(12, dtype=np.float32).reshape(2, SIZE, CHANNELS)
    np.testing.assert_array_equal(Runtime(model, "the test").errors(window), (window - [1, 2, 3]) * 2)


def test_the_same_graph_gives_the_same_bytes():
    assert made.bare_graph(8, 2) == made.bare_graph(8, 2)


def test_the_onnx_package_agrees_that_a_built_graph_is_valid():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(made.bare_graph(8, 2))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [graph.OPSET]


def test_the_plain_model_of_these_tests_passes():
    assert inspect(model_of())
    assert inspect(model_of(tensors=[raw_tensor([2, 2], data=bytes(16))]))


# What is refused


@pytest.mark.parametrize(
    "operator",
    ["Loop", "If", "Scan", "RandomNormal", "RandomUniformLike", "Expand", "Tile", "Range", "Constant",
     "ConstantOfShape", "Bernoulli", "Optional", "CastLike", "Resize", "", "matmul", "MatMul\0", "PythonOp"],
)  # fmt: skip
def test_an_operator_that_is_not_on_the_list_is_refused_by_name(operator):
    assert_refused(model_of([graph.node(operator, ["window"], "error")]), "the operator .* is not allowed")


def test_a_node_without_an_operator_is_refused():
    assert_refused(model_of([block(1, "window") + block(2, "error")]), "the operator '' is not allowed")


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "ai.onnx", "x"])
def test_a_custom_domain_is_refused(domain):
    assert_refused(model_of([PLAIN + block(7, domain)]), f"custom operators .{domain}. are not allowed")
    opset = block(1, domain) + number(2, 1)
    assert_refused(model_of(extra=block(8, opset)), f"custom operators .{domain}. are not allowed")


def test_the_empty_domain_is_the_standard_one():
    assert inspect(model_of([PLAIN + block(7, "")], opset=block(1, "") + number(2, 17)))


@pytest.mark.parametrize("version", [0, 1, 12, 23, 999, -1])
def test_an_operator_set_outside_13_to_22_is_refused(version):
    assert_refused(model_of(opset=number(2, version)), f"operator set {version} is not supported")


@pytest.mark.parametrize(
    ("field", "name"), [(5, "tensor"), (6, "sub-graph"), (9, "strings"), (10, "tensors"), (11, "graphs"), (13, "doc"),
                        (14, "type"), (15, "types"), (21, "reference"), (22, "sparse"), (23, "sparse tensors")],
)  # fmt: skip
def test_an_attribute_holds_numbers_only(field, name):
    attribute = block(1, "body") + block(field, b"") + number(20, 5)
    assert_refused(model_of([PLAIN + block(5, attribute)]), f"an attribute has field {field}")


@pytest.mark.parametrize("field", [4, 5, 6, 20, 25, 26, 100])
def test_a_model_field_that_detectors_do_not_use_is_refused(field):  # 25 are functions, 20 training
    assert_refused(model_of(extra=block(field, b"")), f"the model has field {field}")


@pytest.mark.parametrize("field", [10, 13, 14, 15, 16])
def test_a_graph_field_that_detectors_do_not_use_is_refused(field):  # 14 quantization, 15 sparse weights
    assert_refused(model_of(extra_graph=block(field, b"")), f"the graph has field {field}")


@pytest.mark.parametrize("field", [6, 8, 9, 10])
def test_a_node_field_that_detectors_do_not_use_is_refused(field):
    assert_refused(model_of([PLAIN + block(field, b"")]), f"a node has field {field}")


@pytest.mark.parametrize("field", [3, 4, 5, 6, 7, 10, 11, 12, 13, 14])
def test_a_tensor_keeps_its_numbers_as_raw_data_and_in_this_file(field):  # 13 names another file, 14 says so
    outside = block(13, block(1, "location") + block(2, "/etc/passwd")) if field == 13 else b""
    outside = number(14, 1) if field == 14 else outside or block(field, b"")
    assert_refused(model_of(tensors=[raw_tensor([1], data=bytes(4), extra=outside)]), f"a tensor has field {field}")


@pytest.mark.parametrize("kind", [0, 2, 3, 8, 10, 12, 14, 16, 99])
def test_weights_of_a_type_that_detectors_do_not_use_are_refused(kind):
    assert_refused(model_of(tensors=[raw_tensor([1], kind, bytes(4))]), f"weights of type {kind} are not allowed")


@pytest.mark.parametrize(
    ("dims", "stored"), [([2, 2], 15), ([2, 2], 17), ([2, 2], 0), ([], 0), ([], 8), ([0], 4), ([3], 4), ([1 << 40], 4),
                         ([1 << 32, 1 << 32], 0), ([1 << 62, 4], 0), ([1 << 63 - 1] * 5, 4)],
)  # fmt: skip
def test_a_tensor_whose_bytes_do_not_fill_its_shape_is_refused(dims, stored):
    assert_refused(model_of(tensors=[raw_tensor(dims, data=bytes(stored))]), f"holds {stored} bytes")


def test_a_tensor_of_negative_size_is_refused():
    assert_refused(model_of(tensors=[raw_tensor([-1, -4], data=bytes(16))]), r"shape \[-1, -4\]")


def test_packed_and_plain_sizes_both_count():
    packed = block(1, varint(2) + varint(2)) + number(2, 1) + block(8, "w") + block(9, bytes(16))
    assert inspect(model_of(tensors=[packed]))
    both = number(1, 2) + packed
    assert_refused(model_of(tensors=[both]), r"shape \[2, 2, 2\] holds 16 bytes")


def test_more_weights_than_a_detector_has_are_refused(monkeypatch):
    monkeypatch.setattr(graph, "MAX_ELEMENTS", 100)
    tensors = [raw_tensor([20, 3], data=bytes(240)), raw_tensor([50], data=bytes(200)) + block(8, "v")]
    assert_refused(model_of(tensors=tensors), "110 weights, more than 100")
    assert inspect(model_of(tensors=tensors[:1]))


def chain(length):
    names = ["window", *(f"v{i}" for i in range(length - 1)), "error"]
    return [graph.node("Identity", [one], other) for one, other in pairwise(names)]


def test_more_nodes_than_a_detector_has_are_refused():
    assert inspect(model_of(chain(graph.MAX_NODES)))
    assert_refused(model_of(chain(graph.MAX_NODES + 1)), "4097 nodes, more than 4096")


def ends(window=("window", 1, ["batch", SIZE, CHANNELS]), error=("error", 1, ["batch", SIZE, CHANNELS])):
    def value(name, kind, dims):
        shape = b"".join(block(1, block(2, dim) if isinstance(dim, str) else number(1, dim)) for dim in dims)
        return block(1, name) + block(2, block(1, number(1, kind) + block(2, shape)))

    return value(*window), value(*error)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": ("windows", 1, ["batch", 2, 3])},
        {"window": ("window", 11, ["batch", 2, 3])},
        {"window": ("window", 1, ["batch", 2, 4])},
        {"window": ("window", 1, ["batch", 3, 3])},
        {"window": ("window", 1, ["batch", "size", 3])},
        {"window": ("window", 1, [1, 2, 3])},
        {"window": ("window", 1, ["batch", 2])},
        {"window": ("window", 1, ["batch", 2, 3, 1])},
        {"window": ("window", 1, [])},
        {"error": ("score", 1, ["batch", 2, 3])},
        {"error": ("error", 7, ["batch", 2, 3])},
        {"error": ("error", 1, ["batch", 2])},
        {"error": ("error", 1, ["batch", -2, 3])},
    ],
    ids=str,
)
def test_an_input_or_output_of_another_shape_is_refused(wrong):
    name = next(iter(wrong))
    expected = rf"expected one {name}: float32 \['batch', 2, 3\]"
    body = ends(**wrong)
    data = number(1, 8) + block(7, block(1, PLAIN) + block(11, body[0]) + block(12, body[1])) + block(8, number(2, 17))
    assert_refused(data, expected)


def test_a_second_input_or_output_or_none_is_refused():
    window, error = ends()
    assert_refused(model_of(extra_graph=block(11, window)), "expected one window")
    assert_refused(model_of(extra_graph=block(12, error)), "expected one error")
    assert_refused(number(1, 8) + block(7, block(1, PLAIN)) + block(8, number(2, 17)), "expected one window")


@pytest.mark.parametrize("kind", [4, 5, 8, 9])
def test_an_input_that_is_no_tensor_is_refused(kind):  # a sequence, a map, …
    data = block(1, "window") + block(2, block(kind, b""))
    body = block(1, PLAIN) + block(11, data) + block(12, ends()[1])
    assert_refused(number(1, 8) + block(7, body), f"a type has field {kind}")


def test_a_model_without_a_graph_or_with_two_is_refused():
    assert_refused(number(1, 8), "no single graph")
    assert_refused(b"", "no single graph")
    (graph_field,) = [field.bytes() for field in fields(model_of()) if field.number == 7]
    assert_refused(model_of(extra=block(7, graph_field)), "no single graph")


def test_deep_nesting_is_refused_and_not_followed():
    deep = b""
    for _ in range(3000):
        deep = block(6, block(1, block(5, deep)))
    assert_refused(model_of([PLAIN + block(5, block(1, "body") + deep)]), "an attribute has field 6")


def test_fields_of_the_wrong_wire_type_are_refused():
    assert_refused(model_of([PLAIN + number(4, 1)]), "field 4 should hold bytes")
    assert_refused(model_of(extra=number(7, 1)), "field 7 should hold bytes")
    assert_refused(model_of(tensors=[raw_tensor([1], data=bytes(4), extra=number(9, 1))]), "field 9 should hold bytes")
    assert_refused(
        model_of(tensors=[raw_tensor([1], data=bytes(4)) + made.fixed32(2, bytes(4))]), "field 2 should hold"
    )


def test_the_last_of_repeated_fields_counts_as_it_does_for_the_runtime():
    assert_refused(model_of([PLAIN + block(4, "Loop")]), "the operator 'Loop' is not allowed")
    doubled = raw_tensor([1], data=bytes(4)) + block(9, bytes(8))
    assert_refused(model_of(tensors=[doubled]), "holds 8 bytes")


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([("Sub", ["window", "nothing"], "error")], "'nothing' out of order"),
        ([("Abs", ["late"], "error"), ("Abs", ["window"], "late")], "'late' out of order"),
        ([("Abs", ["window"], "error"), ("Abs", ["window"], "error")], "'error' out of order"),
        ([("Abs", ["window"], "other")], "isn't of the window's shape"),
        ([("MatMul", ["window", "square"], "error")], "MatMul doesn't fit"),
        ([("Add", ["window"], "error")], "Add doesn't fit"),
        ([("Add", ["window", "wide"], "error")], "isn't of the window's shape"),
        ([("Reshape", ["window", "flat"], "row"), ("Abs", ["row"], "error")], "isn't of the window's shape"),
        ([("Reshape", ["window", "wrong"], "error")], "Reshape doesn't fit"),
        ([("Reshape", ["window", "square"], "error")], "Reshape doesn't fit"),
        ([("Reshape", ["window", "one"], "error")], "Reshape doesn't fit"),
        ([("Reshape", ["window", "zero"], "error")], "Reshape doesn't fit"),
        ([("Gelu", ["window"], "error")], "'Gelu' is not allowed"),
        ([("Concat", ["window", "window"], "error")], "Concat doesn't fit"),
        ([("Clip", ["window", ""], "error")], "'' out of order"),
    ],
)
def test_a_graph_whose_shapes_do_not_fit_is_refused(nodes, reason):
    weights = {
        "square": np.ones((7, 7)),
        "wide": np.ones((3, 1, SIZE, CHANNELS)),
        "flat": np.array([-1, SIZE * CHANNELS]),
        "wrong": np.array([-1, SIZE * CHANNELS + 1]),
        "zero": np.array([-1, 0]),
        "one": np.array([1, SIZE, CHANNELS]),  # fits a single window, not two
    }
    assert_refused(graph.model([graph.node(*node) for node in nodes], weights, SIZE, CHANNELS), reason)


def test_a_small_file_that_makes_a_huge_tensor_is_refused():
    column, row = np.ones((100_000, 1)), np.ones((1, 100_000))
    nodes = [
        graph.node("Add", ["column", "row"], "huge"),  # 40 GB
        graph.node("Mul", ["window", "huge"], "error"),
    ]
    assert_refused(graph.model(nodes, {"column": column, "row": row}, SIZE, CHANNELS), "more than 16000000 elements")


def test_a_dimension_counts_as_the_runtime_counts_it_by_its_last_field():
    twice = block(1, block(2, "batch") + number(1, 7))
    value = block(1, "window") + block(2, block(1, number(1, 1) + block(2, twice)))
    assert graph._read_value(value) == ("window", 1, [7])
    with pytest.raises(WireError, match="wrong type"):
        graph._read_dim(number(2, 8))


def test_errors_of_another_shape_than_the_windows_are_refused_at_run_time():
    runtime = Runtime(graph.model([graph.node("Identity", ["window"], "error")], {}, 4, 2), "pump.onnx")
    runtime.run = lambda windows: windows[:1]
    with pytest.raises(DetectorFileError, match="shape"):
        runtime.errors(np.zeros((3, 4, 2), dtype=np.float32))


def test_an_error_that_is_no_number_is_as_bad_as_can_be():
    nodes = [graph.node("Div", ["window", "window"], "error")]  # 0 / 0
    runtime = Runtime(graph.model(nodes, {}, 2, 1), "pump.onnx")
    found = runtime.errors(np.array([[[0], [3]]], dtype=np.float32))
    assert found[0, :, 0].tolist() == [np.float32(1e25), 1]


# Found by trying to get past the inspection


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_tensor_of_many_huge_dimensions_is_refused_at_once(is_packed):
    dims = block(1, b"".join(varint(1 << 62) for _ in range(100_000))) if is_packed else number(1, 1 << 62) * 70
    tensor = dims + number(2, 1) + block(8, "w") + block(9, b"")
    assert_refused(model_of(tensors=[tensor]), "over 64")


def test_an_attribute_of_many_numbers_is_refused_at_once():
    attribute = block(1, "perm") + block(8, bytes(1 << 20)) + number(20, 7)
    assert_refused(model_of([PLAIN + block(5, attribute)]), "a list of over 64 numbers")


def test_a_tensor_without_a_name_is_refused_for_the_runtime_takes_it_as_missing():
    nodes = [graph.node("Slice", ["window", "one", "two", "", "one"], "error")]
    weights = {"one": np.array([0]), "two": np.array([2]), "": np.array([1])}
    assert_refused(graph.model(nodes, weights, SIZE, CHANNELS), "no name")
    del weights[""]
    assert_refused(graph.model(nodes, weights, SIZE, CHANNELS), "'' out of order")
    assert_refused(graph.model([graph.node("Abs", ["window"], "")], {}, SIZE, CHANNELS), "without a name")


def test_weights_under_one_name_are_refused():
    twice = [raw_tensor([1], data=bytes(4))] * 2
    assert_refused(model_of(tensors=twice), "no name, or one that is taken")
    assert_refused(model_of(tensors=[raw_tensor([1], data=bytes(4)) + block(8, "window")]), "one that is taken")


def test_many_tensors_that_are_large_together_are_refused():
    weights = {"column": np.ones((4000, 1)), "row": np.ones((1, 4000))}
    nodes = [graph.node("Mul", ["column", "row"], f"large{i}") for i in range(80)]
    nodes.append(graph.node("Abs", ["window"], "error"))
    assert_refused(graph.model(nodes, weights, SIZE, CHANNELS), "elements in a call")


def test_a_tensor_that_is_large_for_the_windows_of_a_call_is_refused():
    weights = {"wide": np.ones((3, 4_000_000)), "long": np.ones((4_000_000, 3))}
    nodes = [graph.node("MatMul", ["window", "wide"], "x"), graph.node("MatMul", ["x", "long"], "error")]
    weights = {name: value[:, :1_000_000] if name == "wide" else value[:1_000_000] for name, value in weights.items()}
    assert_refused(graph.model(nodes, weights, SIZE, CHANNELS), "MatMul makes a tensor of shape")
