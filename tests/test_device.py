"""Devices: names are read strictly, what can't be had is refused with the package, several share the work."""

from __future__ import annotations

import warnings

import made
import numpy as np
import pytest
import torch

from oddwave import device
from oddwave.device import Device
from oddwave.errors import DetectorFileError, DeviceError
from oddwave.runtime import Runtime, sessions
from oddwave.runtime.engine import several
from oddwave.runtime.sessions import Provider
from oddwave.train import neural, train
from oddwave.train.device import device_of

GRAPH = made.bare_graph(4, 2)
CPU = Provider("CPUExecutionProvider", "onnxruntime")


def session():
    return sessions.session(GRAPH, "the test", "cpu", CPU, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", Device("cpu")),
        ("auto", Device("auto")),
        ("gpu", Device("gpu", (0,))),
        ("gpu:0,1", Device("gpu", (0, 1))),
        ("npu:3", Device("npu", (3,))),
        ("xpu:0", Device("xpu", (0,))),
        ("mlu:12", Device("mlu", (12,))),
        ("dcu:1,0", Device("dcu", (1, 0))),
    ],
)
def test_a_device_is_a_kind_and_numbers(text, expected):
    assert device.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GPU:0",
        "gpu:",
        "gpu:-1",
        "gpu:0,",
        "gpu:0,0",
        "gpu: 0",
        "gpu:1.0",
        "gpu:²",
        "gpu:a",
        "gpu0",
        "cuda:0",
        "cpu:0",
        "auto:1",
        "gpu:99999",
        "cpu,gpu:0",
        "gpu:0;gpu:1",
        " cpu",
    ],
)
def test_any_other_name_is_refused(text):
    with pytest.raises(DeviceError, match="The device"):
        Runtime(GRAPH, "the test", text)


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("gpu:0", "onnxruntime-gpu"),
        ("gpu:0,1", "onnxruntime-migraphx"),
        ("npu:0", "onnxruntime-cann"),
        ("dcu:0", "onnxruntime-migraphx"),
        ("xpu:0", "a Kunlun XPU (not Intel's"),
        ("mlu:0", "a Cambricon MLU"),
    ],
)
def test_a_device_that_isnt_there_is_refused_with_what_is_and_what_to_install(text, package):
    with pytest.raises(DeviceError) as caught:
        Runtime(GRAPH, "the test", text)
    message = str(caught.value)
    assert message.startswith(f"The device {text} was asked for")
    assert package in message
    assert "cpu" in message.lower()


def test_a_provider_that_falls_back_to_the_cpu_is_refused():
    missing = Provider("CUDAExecutionProvider", "onnxruntime-gpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all that ONNX Runtime does about it
        with pytest.raises(DeviceError, match=r"The device gpu:7 was asked for, but CUDAExecutionProvider"):
            sessions.session(GRAPH, "the test", "gpu:7", missing, {"device_id": 7})


def test_a_graph_that_cant_be_used_is_the_file_s_fault_on_the_cpu():
    with pytest.raises(DetectorFileError, match="is not a usable detector"):
        Runtime(b"no graph", "pump.onnx")


def test_only_auto_chooses_and_says_what():
    assert Runtime(GRAPH, "the test", "auto").device == "cpu"
    assert list(sessions._choices(["CPUExecutionProvider"])) == []
    assert list(sessions._choices(["CUDAExecutionProvider", "CPUExecutionProvider"])) == ["gpu:0"]
    assert list(sessions._choices(["CANNExecutionProvider", "MIGraphXExecutionProvider"])) == [
        "gpu:0",
        "npu:0",
        "dcu:0",
    ]


def test_auto_takes_the_cpu_if_what_is_offered_cant_start(monkeypatch):
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]  # as with onnxruntime-gpu where there is no GPU
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: offered)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert Runtime(GRAPH, "the test", "auto").device == "cpu"


@pytest.mark.parametrize("n_sessions", [1, 2, 3])
@pytest.mark.parametrize("n_windows", [1, 2, 3, 7, 32])
def test_several_sessions_give_what_one_gives_to_the_bit(n_sessions, n_windows):
    windows = np.random.default_rng(0).normal(size=(n_windows, 4, 2)).astype(np.float32)
    shared = several([session() for _ in range(n_sessions)])
    np.testing.assert_array_equal(shared(windows), session()(windows))


def test_windows_are_shared_out_in_order_and_single_ones_by_turns():
    def numbered(number):
        return lambda windows: np.full_like(windows, number)

    shared = several([numbered(number) for number in range(3)])
    assert shared(np.zeros((8, 1, 1), np.float32)).ravel().tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    one = np.zeros((1, 1, 1), np.float32)
    assert [float(shared(one)[0, 0, 0]) for _ in range(4)] == [0, 1, 2, 0]


def test_what_fails_on_one_of_several_devices_is_told():
    def broken(windows):
        raise RuntimeError("the cable is out")

    runtime = Runtime(GRAPH, "pump.onnx")
    runtime.run = several([session(), broken])
    with pytest.raises(DetectorFileError, match=r"pump\.onnx can't be run: the cable is out"):
        runtime.errors(np.zeros((4, 4, 2), np.float32))


@pytest.mark.parametrize("model", ["DLinear_ad", "PCA_ad"])
def test_training_takes_the_cpu_and_auto_says_what_it_is(model):
    assert device_of(model, "cpu", model in neural()) == "cpu"
    assert device_of(model, "auto", model in neural()) in ("cpu", "gpu:0")


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        ("DLinear_ad", "gpu:999", "The device gpu:999 was asked for, but"),
        ("DLinear_ad", "dcu:0", "ROCm build of PyTorch"),
        ("DLinear_ad", "npu:0", "package torch_npu"),
        ("DLinear_ad", "mlu:0", "package torch_mlu"),
        ("DLinear_ad", "xpu:0", "what PyTorch itself calls xpu is Intel's"),
        ("DLinear_ad", "gpu:0,1", "training takes one. Give gpu:0"),
        ("DLinear_ad", "foo", "isn't known"),
        ("PCA_ad", "gpu:0", "PCA_ad is fitted on the CPU"),
        ("PCA_ad", "foo", "isn't known"),
    ],
)
def test_a_device_that_training_cant_have_is_refused_before_anything_is_read(model, text, expected):
    with pytest.raises(DeviceError, match=expected):
        train("nothing.csv", model, device=text)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_detector_trained_on_a_gpu_is_as_good_as_any():
    rows = made.rows(900)
    one, other = (train(rows, "DLinear_ad", device=where, epochs=2, input_len=24) for where in ("cpu", "gpu:0"))
    np.testing.assert_allclose(other.detect(rows).score, one.detect(rows).score, rtol=0.1, atol=0.1)
