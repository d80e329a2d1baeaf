"""A training that is broken off, however it is, goes on to the same weights; what a checkpoint refuses."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

if os.environ.get("CI") != "true":
    pytest.importorskip("torch")

import safetensors.torch
import torch

from oddwave.errors import OutputError, TrainingError
from oddwave.train import checkpoint, loop, models
from oddwave.train.log import Log
from oddwave.train.plan import Plan

SIZE = 16
SHORT = Plan(epochs=3, epoch_windows=256, batch_size=64)
LONG = Plan(epochs=8, epoch_windows=256, batch_size=16, patience=8)
KILLS = 10 if os.environ.get("CI") == "true" else 3
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")


def rows(n_rows: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n_rows, 2))
    return (np.sin(np.arange(n_rows)[:, None] / [2.0, 5.0]) + 0.1 * noise).astype(np.float32)


def train(
    path: Path | None, name: str = "PatchTST_ad", plan: Plan = SHORT, n_rows: int = 300, **more: Any
) -> tuple[torch.nn.Module, loop.History]:
    fit, stop = [rows(n_rows)], [rows(60, seed=1)]
    more = {"settings": models.settings(name), **more}
    return loop.fit(name, fit=fit, stop=stop, size=SIZE, channels=2, plan=plan, checkpoint=path, **more)


def assert_same(one: tuple[torch.nn.Module, loop.History], other: tuple[torch.nn.Module, loop.History]) -> None:
    assert one[1] == other[1]
    weights, others = one[0].state_dict(), other[0].state_dict()
    assert weights.keys() == others.keys()
    for key, value in weights.items():
        assert torch.equal(value, others[key]), key


@pytest.fixture(autouse=True)
def listens_to_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt, as in a terminal: a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class BrokenError(Exception):
    """What breaks a training off in these tests."""


class After:
    """Does something at the n-th report."""

    def __init__(self, n_reports: int, act: Any) -> None:
        self.left, self.act = n_reports, act

    def __call__(self, epoch: loop.Epoch) -> None:
        self.left -= 1
        if not self.left:
            self.act()


def break_off() -> None:
    raise BrokenError


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def often(monkeypatch):
    """Save and report at each step."""
    monkeypatch.setattr(loop, "SAVE_S", 0.0)
    monkeypatch.setattr(loop, "REPORT_S", 0.0)


@pytest.mark.parametrize("name", models.names())
def test_a_training_broken_off_within_an_epoch_goes_on_to_the_same_weights(name, often, tmp_path):
    path = tmp_path / "run" / "checkpoint.safetensors"
    for _ in range(2):  # each time it gets five steps of twelve further
        with pytest.raises(BrokenError):
            train(path, name, progress=After(5, break_off), resume=True)
    told: list[loop.Epoch] = []
    assert_same(train(path, name, progress=told.append, resume=True), train(None, name))
    assert [news.done for news in told] == pytest.approx([11 / 12, 1.0])


def test_a_training_that_was_complete_is_not_trained_again(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    whole = train(path)
    told: list[loop.Epoch] = []
    assert_same(train(path, resume=True, progress=told.append), whole)
    assert told == []


def test_without_resume_a_training_begins_anew(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train(path)
    told: list[loop.Epoch] = []
    train(path, progress=told.append)
    assert [news.epoch for news in told if news.share == 1] == [1, 2, 3]


def test_the_random_numbers_of_dropout_go_on_as_well(tmp_path):
    def run() -> checkpoint.Run:
        about = checkpoint.About(model="m", size=1, channels=1, settings={}, chosen={}, plan={})
        return checkpoint.Run(torch.nn.Linear(2, 2), SHORT, about)

    path = tmp_path / "checkpoint.safetensors"
    with torch.random.fork_rng(devices=[]):
        run().save(path)
        first = torch.rand(5)
        torch.manual_seed(3)
        run().load(path)
        assert torch.equal(torch.rand(5), first)


@POSIX
@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_weights(tmp_path):
    path, moments = tmp_path / "checkpoint.safetensors", random.Random(4)
    for i in range(KILLS):
        process = start_child(train_slowly, path)
        if i % 3:  # else at any moment of its start, too
            wait_for_another(path, process)
        time.sleep(moments.uniform(0, 0.06))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    about, _ = checkpoint.load(path)
    assert about.losses or about.step
    assert [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")] == [path.name]
    assert_same(train(path, plan=LONG, resume=True), train(None, plan=LONG))


def train_slowly(path: Path) -> None:
    """Train so that each step is saved and takes a hundredth of a second."""
    loop.SAVE_S = loop.REPORT_S = 0.0
    train(path, plan=LONG, resume=True, progress=lambda epoch: time.sleep(0.01))


@POSIX
def test_a_full_disk_is_one_clear_error_and_the_last_checkpoint_stays(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    process = start_child(train_on_a_full_disk, path, tmp_path / "said")
    process.join()
    assert process.exitcode == 0
    said = (tmp_path / "said").read_text()
    assert said.startswith(f"{path} can't be written: ")
    assert said.endswith("\nThe last checkpoint is still there: resume goes on from it.")
    about, _ = checkpoint.load(path)
    assert len(about.losses) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.safetensors", "said"]
    assert_same(train(path, resume=True), train(None))


def train_on_a_full_disk(path: Path, said: Path) -> None:
    """Train, allowed to write no file as large as the checkpoint from the second epoch on."""
    import resource

    def fill_up() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

    with pytest.raises(OutputError) as error:
        train(path, progress=After(1, fill_up))
    said.write_text(str(error.value))


def start_child(work: Any, *args: Any) -> BaseProcess:
    """Start another process, with torch already loaded: not a fork of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oddwave.train.loop", "torch._dynamo", "hypothesis", "pytest"])
    process = context.Process(target=work, args=args)
    process.start()
    return process


def wait_for_another(path: Path, process: BaseProcess) -> None:
    """Wait until the checkpoint is another one."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.is_alive() and (not path.exists() or path.stat().st_mtime_ns == before):
        time.sleep(0.001)


def test_ctrl_c_keeps_the_best_so_far(often, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    model, history = train(path, progress=After(6, ctrl_c))
    assert history.is_interrupted
    assert (len(history.losses), history.best_epoch) == (1, 1)
    one_epoch = train(
        None, plan=Plan(epochs=3, epoch_windows=256, batch_size=64, patience=1), progress=After(5, ctrl_c)
    )
    assert_same((model, history), one_epoch)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(train(path, resume=True), train(None))


def test_ctrl_c_before_the_first_epochs_end_interrupts_but_loses_nothing(often, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(path, progress=After(2, ctrl_c))
    assert checkpoint.load(path)[0].step == 3
    assert_same(train(path, resume=True), train(None))


def test_a_second_ctrl_c_interrupts_at_once(often):
    def twice() -> None:
        ctrl_c()
        ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        train(None, progress=After(6, twice))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"plan": Plan(epochs=4, epoch_windows=256, batch_size=64)}, "epochs was 3 and is 4 now"),
        ({"settings": models.settings("PatchTST_ad", {"layers": 1})}, "layers was 2 and is 1 now"),
        ({"name": "DLinear_ad"}, "model was PatchTST_ad and is DLinear_ad now"),
        ({"n_rows": 301}, "the training rows are others now"),
        ({"identity": "of other rows"}, "the training rows or the settings are others now"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_with_what_differs(more, message, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    train(path)
    before = path.read_bytes()
    with pytest.raises(TrainingError) as error:
        train(path, resume=True, **more)
    assert str(error.value).startswith(f"{path} can't be resumed: {message}.\n")
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "checkpoint.safetensors"
    train(path, "DLinear_ad")
    return path.read_bytes()


def test_what_is_no_checkpoint_is_refused_in_one_message(saved, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    half, foreign = saved[: len(saved) // 2], safetensors.torch.save({"weight": torch.ones(3)})
    for content in (b"", b"epoch,loss\n1,0.5\n", b"\xff" * 64, half, foreign, saved + b"more"):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"is damaged or no checkpoint of Oddwave: .*\.\nTrain anew"):
            train(path, "DLinear_ad", resume=True)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(TrainingError, match="can't be read: "):
            checkpoint.load(missing)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_flipped_bit_passes(saved, tmp_path, data):
    header = 8 + int.from_bytes(saved[:8], "little")
    i = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(saved) - 1)))
    broken = bytearray(saved)
    broken[i] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(broken)
    with pytest.raises(TrainingError):
        checkpoint.load(path)


def test_weights_of_another_shape_are_refused(saved, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(saved)
    about, tensors = checkpoint.load(path)
    for name, other in (("weights.trend.bias", torch.zeros(SIZE + 1)), ("adam.trend.bias.step", torch.zeros(1))):
        checkpoint.save(path, about, tensors | {name: other})
        with pytest.raises(TrainingError, match="its weights don't fit the model"):
            train(path, "DLinear_ad", resume=True)
    checkpoint.save(path, about, tensors | {"random.masks": torch.zeros(7, dtype=torch.uint8)})
    with pytest.raises(TrainingError, match="its random state can't be used"):
        train(path, "DLinear_ad", resume=True)


def test_the_log_has_a_line_for_each_epoch_and_goes_on_when_resumed(often, tmp_path):
    path = tmp_path / "run" / "train.log"
    log = Log(path)
    log.say("train on rows.csv")

    def told(epoch: loop.Epoch) -> None:
        log(epoch)
        if epoch.epoch == 2:
            raise BrokenError

    with pytest.raises(BrokenError):
        train(tmp_path / "checkpoint.safetensors", progress=told)
    _, history = train(tmp_path / "checkpoint.safetensors", progress=Log(path, goes_on=True), resume=True)
    begin, *lines = path.read_text().splitlines()
    assert begin.endswith(" train on rows.csv")
    assert len(lines) == 3
    for number, (line, loss, held_out) in enumerate(
        zip(lines, history.losses, history.held_out_losses, strict=True), 1
    ):
        assert f" epoch {number} of 3: loss {loss:.6g}, held-out loss {held_out:.6g}, " in line
        assert "windows/s" in line
    Log(path)
    assert path.read_text() == ""


def test_a_log_that_cant_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(OutputError, match="can't be written"):
        Log(tmp_path)
