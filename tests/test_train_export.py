"""The exported graph: the numbers of the torch module, the same bytes again, nothing of this machine."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import onnx
import onnxruntime
import torch

from oddwave import graph, shapes
from oddwave.train import models
from oddwave.train.export import to_onnx
from oddwave.train.scored import Scored

SIZE = 96
LARGEST = {  # bytes, at 96 x 38
    "AutoEncoder_ad": 45_000,
    "DLinear_ad": 60_000,
    "Nonstationary_ad": 700_000,
    "PatchTST_ad": 230_000,
    "TimesNet_ad": 200_000,
}


def scored(name: str, channels: int, size: int = SIZE) -> Scored:
    torch.manual_seed(0)
    random = np.random.default_rng(channels)
    center, scale = 100.0 * random.standard_normal(channels), 10.0 ** random.uniform(-3, 3, channels)
    model = models.build(name, models.settings(name), size, channels).eval()
    return Scored(model, center, scale, random.uniform(0.1, 3.0, channels))


def windows(module: Scored, count: int, size: int = SIZE) -> np.ndarray:
    """Return windows in the user's units, some values far outside the usual."""
    z = np.random.default_rng(1).standard_t(2, (count, size, len(module.center)))
    return (z * module.scale.numpy() + module.center.numpy()).astype(np.float32)


def run(data: bytes, window: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(["error"], {"window": window})[0]


@functools.cache
def exported(name: str, channels: int, size: int = SIZE) -> bytes:
    return to_onnx(scored(name, channels, size), size, channels)


@pytest.fixture(scope="module", params=models.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def data(name: str) -> bytes:
    return exported(name, 25)


@pytest.mark.parametrize(("size", "channels"), [(96, 1), (96, 25), (96, 200), (24, 3)])
def test_the_graph_gives_the_modules_errors_on_other_data(name: str, size: int, channels: int) -> None:
    module = scored(name, channels, size)
    window = windows(module, 5, size)
    with torch.no_grad():
        expected = module(torch.from_numpy(window)).numpy()
    errors = run(exported(name, channels, size), window)
    # sums of float32 in another order: the difference is relative to the channel's largest error
    largest = np.maximum(expected.max(axis=1, keepdims=True), 1.0)
    assert (np.abs(errors - expected) / largest).max() < 1e-5


@pytest.mark.parametrize("channels", [1, 3, 25])
@pytest.mark.parametrize("batch_size", [2, 3, 7, 8, 32])
def test_a_windows_errors_are_the_same_to_the_bit_in_any_batch(name: str, channels: int, batch_size: int) -> None:
    module = scored(name, channels)
    window = windows(module, batch_size)
    graph_bytes = exported(name, channels)
    alone = np.concatenate([run(graph_bytes, window[i : i + 1]) for i in range(batch_size)])
    np.testing.assert_array_equal(run(graph_bytes, window), alone)


def test_the_same_weights_give_the_same_bytes(name: str, data: bytes) -> None:
    assert to_onnx(scored(name, 25), SIZE, 25) == data


def test_the_graph_passes_the_inspection_of_detector_files(data: bytes) -> None:
    graph.inspect(data, "the test", SIZE, 25)
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= set(shapes.RULES)


def test_nothing_of_the_exporter_is_left(data: bytes) -> None:
    model = onnx.load_from_string(data)
    assert not model.metadata_props
    assert not model.functions
    assert not model.graph.value_info
    assert not model.producer_version
    assert not any(node.name or node.doc_string or node.metadata_props or node.domain for node in model.graph.node)
    for tensor in model.graph.initializer:
        tensor.raw_data = b""
    for word in (b"torch", b".py", b"site-packages"):
        assert word not in model.SerializeToString()
    assert "/" not in str(model.graph)  # not in the bytes, where it may be a length


@pytest.mark.parametrize(("name", "products"), [("AutoEncoder_ad", 4), ("DLinear_ad", 1)])
def test_where_layers_only_mix_time_channels_become_rows_once_and_windows_again(name: str, products: int) -> None:
    operators = [node.op_type for node in onnx.load_from_string(exported(name, 25)).graph.node]
    assert operators.count("Transpose") == 2
    assert operators.count("MatMul") + operators.count("Gemm") == products


@pytest.mark.parametrize(("name", "count"), [("PatchTST_ad", 2), ("TimesNet_ad", 3)])
def test_the_runtime_knows_gelu_again(name: str, count: int, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(exported(name, 25), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("Gelu") == count
    assert "Erf" not in operators


def test_the_file_is_small(name: str) -> None:
    assert len(exported(name, 38)) < LARGEST[name]


def test_a_module_that_does_not_fold_is_exported_as_it_is() -> None:
    class Half(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x) * 0.5

    module = Scored(Half(), np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([0.5, 1.0]))
    window = windows(module, 3, 8)
    with torch.no_grad():
        expected = module(torch.from_numpy(window)).numpy()
    data = to_onnx(module, 8, 2)
    graph.inspect(data, "the test", 8, 2)
    assert "Relu" in {node.op_type for node in onnx.load_from_string(data).graph.node}
    np.testing.assert_allclose(run(data, window), expected, rtol=1e-5, atol=1e-5)


def test_exporting_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    to_onnx(scored("DLinear_ad", 2, 8), 8, 2)
    assert capfd.readouterr() == ("", "")
