"""use_hpip: the faster engine gives the same, what was found is kept, and nothing about it can stop a detector."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import made
import msgspec
import numpy as np
import pytest

from oddwave import hpip
from oddwave.config import Detection
from oddwave.detector import Detector
from oddwave.runtime import compiled
from oddwave.runtime.engine import whole_batches
from oddwave.series import batch

if not compiled.is_there() and not os.environ.get("CI"):
    pytest.skip("OpenVINO isn't installed", allow_module_level=True)

FAST = hpip.Choice(is_equal=True, gain=2.5)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Return the folder that stands for the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def kept(detector, threads=1):
    """Return the file that holds what was found for a detector."""
    return hpip._path(detector.data, threads)


def keep(detector, choice):
    kept(detector).parent.mkdir(parents=True)
    kept(detector).write_bytes(msgspec.json.encode(choice))


def hastened(detector):
    return Detector(detector.data, threads=1, use_hpip=True)


def test_what_was_found_is_said_and_kept(detector):
    first = hastened(detector)
    (said,) = first.choices
    choice = msgspec.json.decode(kept(detector).read_bytes(), type=hpip.Choice)
    assert choice.is_equal
    assert f"{choice.gain:.2f} times as fast" in said
    assert first.detect_series(made.series_of(made.rows(300))).notes == ()


def test_what_was_kept_holds_and_is_not_measured_again(detector):
    keep(detector, FAST)
    assert hastened(detector).choices == (
        "use_hpip: OpenVINO was chosen: 2.50 times as fast as ONNX Runtime on this machine.",
    )
    kept(detector).write_bytes(msgspec.json.encode(hpip.Choice(is_equal=True, gain=0.5)))
    other = hastened(detector)
    assert other.choices == ("use_hpip: ONNX Runtime was chosen: OpenVINO is 0.50 times as fast on this machine.",)
    kept(detector).write_bytes(msgspec.json.encode(hpip.Choice(is_equal=False, gain=9)))
    assert "gives other scores" in hastened(detector).choices[0]


@pytest.mark.parametrize("gain", [0.2, 1.0, 1.049])
def test_an_engine_that_is_not_clearly_faster_is_not_taken(gain):
    assert not hpip.Choice(is_equal=True, gain=gain).is_fast
    assert not hpip.Choice(is_equal=False, gain=10 * gain).is_fast


@pytest.mark.parametrize("content", [b"", b"{", b'{"is_equal": true}', b'{"is_equal": true, "gain": -1}', b"\xff" * 9])
def test_a_damaged_choice_is_measured_again(detector, content):
    kept(detector).parent.mkdir(parents=True)
    kept(detector).write_bytes(content)
    first, second = hastened(detector).choices
    assert "can't be read, so it was measured anew" in first
    assert second.startswith("use_hpip: ")
    assert msgspec.json.decode(kept(detector).read_bytes(), type=hpip.Choice).is_equal


def test_a_cache_that_cant_be_written_only_costs_time(detector, cache, monkeypatch):
    (cache / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    first, second = hastened(detector).choices
    assert "isn't kept, and will be measured again" in first
    assert "times as fast" in second


def test_another_detector_another_number_of_threads_and_other_versions_are_measured_on_their_own(monkeypatch):
    found = {hpip._path(model, threads) for model in (b"a", b"b") for threads in (1, 2)}
    monkeypatch.setattr(hpip, "__version__", "9.9")
    assert len(found | {hpip._path(b"a", 1)}) == 5


def test_the_cache_is_in_the_home_folder_unless_said_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hpip._path(b"a", 1).parent == tmp_path / ".cache" / "oddwave" / "hpip"


@pytest.mark.parametrize("model", ["TimesNet_ad", "Nonstationary_ad", "PatchTST_ad", "AutoEncoder_ad", "DLinear_ad"])
@pytest.mark.parametrize("scoring", ["full", "causal"])
def test_labels_are_the_same_and_scores_equal(model, scoring):
    usual = Detector.load(model, threads=1)
    keep(usual, FAST)
    fast = Detector.load(model, threads=1, use_hpip=True)
    assert "OpenVINO was chosen" in fast.choices[0]
    series = hpip._noise(usual.metadata, 3600 if scoring == "full" else 360, hpip._NEAR)
    expected, found = (each.detect_series(series, Detection(scoring=scoring)) for each in (usual, fast))
    np.testing.assert_array_equal(found.label, expected.label)
    apart = np.abs(found.score - expected.score) / np.maximum(expected.score, expected.threshold)
    assert np.nanmax(apart) <= 1e-5
    assert 0 < (expected.label == 1).sum() < len(series)


def test_a_window_gives_the_same_wherever_it_stands_and_whoever_asks():
    detector = Detector.load("TimesNet_ad")
    shape = (32, detector.metadata.size, len(detector.metadata.channels))
    windows = hpip._windows(detector.metadata, 128)
    batches = [windows[i : i + 32] for i in range(0, 128, 32)]
    one, two = (compiled.engine(detector.data, shape, threads) for threads in (1, 2))
    expected = np.concatenate([one(each) for each in batches])
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(np.concatenate(list(pool.map(two, batches))), expected)
    turned = one(np.ascontiguousarray(windows[5:37]))
    np.testing.assert_array_equal(turned, expected[5:37])


def test_only_whole_batches_go_to_the_faster_engine():
    engine = whole_batches(lambda windows: windows + 1, lambda windows: windows + 2, 3)
    sums = [float(engine(np.zeros((count, 1, 1), np.float32)).sum()) for count in (1, 2, 3, 4)]
    assert sums == [2, 4, 3, 8]


@pytest.mark.parametrize(
    ("engine", "is_equal"),
    [(1.0, True), (1 + 1e-7, True), (1.001, False), (0.0, False), (np.nan, False)],
)
def test_an_engine_that_gives_something_else_is_found_out(detector, engine, is_equal):
    usual = detector._runtime.run
    count = batch(detector.metadata.size)
    other = whole_batches(lambda windows: usual(windows) * np.float32(engine), usual, count)
    assert hpip._is_equal(detector._runtime, other, detector.metadata, detector.detect_series) == is_equal
    assert detector._runtime.run is usual


def test_an_engine_that_differs_only_where_a_channel_stands_still_is_found_out(detector):
    usual, count = detector._runtime.run, batch(detector.metadata.size)

    def other(windows):
        return usual(windows) * np.where(np.ptp(windows, axis=1, keepdims=True) > 0, 1, 1.001).astype(np.float32)

    engine = whole_batches(other, usual, count)
    assert not hpip._is_equal(detector._runtime, engine, detector.metadata, detector.detect_series)


def test_an_engine_that_fails_is_not_taken(detector):
    usual = detector._runtime.run
    (said,) = hpip.hasten(detector._runtime, b"no graph", detector.metadata, 1, detector.detect_series)
    assert "ONNX Runtime is used as without it: OpenVINO can't run this detector" in said
    assert detector._runtime.run is usual


def test_results_with_other_labels_or_scores_are_not_equal(detector):
    series = made.series_of(made.rows(120))
    first, same, label, score = (detector.detect_series(series) for _ in range(4))
    label.label[7] = 1 - label.label[7]
    score.score[7] += 2e-5 * max(first.threshold, score.score[7])
    assert [hpip._are_equal(first, other) for other in (same, label, score)] == [True, False, False]


def test_without_openvino_the_package_is_named(detector, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert 'pip install "oddwave[openvino]"' in hastened(detector).choices[0]
    assert not kept(detector).exists()


def test_a_device_other_than_the_cpu_has_no_other_engine(detector):
    runtime = Detector(detector.data)._runtime
    runtime.device = "gpu:0"
    (said,) = hpip.hasten(runtime, detector.data, detector.metadata, 1, detector.detect_series)
    assert said == "use_hpip: gpu:0 is used as without it: other engines are known for the CPU only."


def test_openvino_reports_its_use_to_nobody(detector, tmp_path):
    (tmp_path / "detector.onnx").write_bytes(detector.data)
    code = (
        "import sys; from oddwave.detector import Detector; d = Detector.load('detector.onnx', use_hpip=True)\n"
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules, *d.choices)"
    )
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True False use_hpip: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "detector.onnx"]
