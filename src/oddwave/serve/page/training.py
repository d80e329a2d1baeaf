"""Training in the page: one at a time, in a process of its own, so that requests are answered meanwhile."""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from oddwave import classical
from oddwave.serve.answers import Answer, Refused, answer_json
from oddwave.serve.app import Request
from oddwave.serve.bodies import decoded
from oddwave.serve.page import detectors
from oddwave.serve.page.files import shown_name
from oddwave.serve.page.trainer import CANCEL, EPOCHS, STATE, Task
from oddwave.serve.page.visits import Visit, check_is_page
from oddwave.train import Training, neural
from oddwave.train.plan import Plan

MOST_S = 3600.0
MOST_BYTES = 64 << 20  # of the file: rows are held in memory while they are learned from
ENDING_S = 0.5  # a training that has said what came of it holds the lock for a moment more
LOCK = "training.lock"
DETECTOR_BYTES = 4 << 20
WANTED = 'Send {"file": …, "model": …, "channels": […], "settings": {}, "name": …}.'
OFFERED = ("input_len", "max_gap", "false_alarms")  # of every model
OFFERED_EPOCHS = ("epochs", "batch_size", "learning_rate", "patience", "seed")
_processes: list[subprocess.Popen[bytes]] = []  # of this worker: waited for, so that none stays behind


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What to train on what."""

    file: str
    model: str
    channels: list[str] | None = None
    settings: dict[str, float | int | str] = {}
    name: str = "detector"


_wish = msgspec.json.Decoder(Wish)


def about(request: Request) -> dict[str, Any]:
    """Say what can be trained here, or why nothing can."""
    if not request.app.settings.training:
        return {"allowed": False, "why": "Training is switched off here.", "models": []}
    return {"allowed": True, "why": None, "models": [{"name": name, "settings": _settings(name)} for name in _models()]}


async def begin(request: Request) -> Answer:
    """Answer `POST /page/trainings`."""
    check_is_page(request)
    return await request.app.work(request, _begin, lambda _: True)


async def look(request: Request) -> Answer:
    """Answer `GET /page/trainings/{id}`."""
    return await request.app.aside(request, lambda: answer_json(_state(request)))


async def cancel(request: Request) -> Answer:
    """Answer `DELETE /page/trainings/{id}`."""
    check_is_page(request)
    (Visit(request).get("trainings", request.path[0]) / CANCEL).touch()
    return Answer(b"", status=204)


def _begin(request: Request, body: bytes | bytearray) -> Answer:
    wish = decoded(_wish, body, WANTED)
    _check(request, wish)
    visit = Visit(request)
    file = visit.get("files", wish.file)
    data = next(file.glob("data.*"))
    if data.stat().st_size > MOST_BYTES:
        raise Refused(413, f"To train here, a file may have {MOST_BYTES >> 20} MB. Use oddwave train.", "too_large")
    with _lock(request, ENDING_S) as lock:
        draft = visit.draft("detectors", DETECTOR_BYTES)
        training = visit.keep(visit.draft("trainings", 1 << 20))
        settings = dict(wish.settings)
        if wish.channels is not None:
            settings["feature_cols"] = wish.channels  # type: ignore[assignment]
        task = Task(
            str(data), msgspec.json.decode((file / "about.json").read_bytes())["name"], wish.model, settings,
            str(visit.get("trainings", training)), str(draft), secrets.token_hex(16), shown_name(wish.name), MOST_S,
        )  # fmt: skip
        _start(task, lock)
    return answer_json({"training": training}, 202)


def _check(request: Request, wish: Wish) -> None:
    if not request.app.settings.training:
        raise Refused(403, "Training is switched off here.", "bad_request")
    if wish.model not in _models():
        raise Refused(422, f"{wish.model[:100]!r} can't be trained. There are {', '.join(_models())}.", "bad_request")
    offered = [setting["name"] for setting in _settings(wish.model)]
    strangers = [name for name in wish.settings if name not in offered]
    if strangers:
        said = f"{strangers[0][:100]!r} can't be set here. {wish.model} has {', '.join(offered)}."
        raise Refused(422, said, "bad_settings")


@contextmanager
def _lock(request: Request, wait_s: float = 0.0) -> Iterator[int]:
    """Hold the lock of all trainings; a process that gets the open file holds it on."""
    file = os.open(Path(request.app.settings.state_dir or "") / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(file, wait_s)
        yield file
    except BlockingIOError:
        message = "A detector is being trained here already. Wait until it is done."
        raise Refused(503, message, "busy", (("retry-after", "30"),)) from None
    finally:
        os.close(file)


def _take(file: int, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.02)
        else:
            return


def _start(task: Task, lock: int) -> None:
    """Start the process; we are in a thread that may use every processor, and so may it."""
    _processes[:] = [process for process in _processes if process.poll() is None]
    command = [sys.executable, "-m", "oddwave.serve.page.trainer"]
    process = subprocess.Popen(  # noqa: S603 (this very program)
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[lock]
    )
    _processes.append(process)
    if process.stdin is not None:
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        process.stdin.close()


def _state(request: Request) -> dict[str, Any]:
    """Say how far a training is."""
    visit = Visit(request)
    folder = visit.get("trainings", request.path[0])
    is_over = _is_idle(request)  # before its state is looked for: it may end between the two
    losses = [msgspec.json.decode(line) for line in _lines(folder / EPOCHS)]
    last = losses[-1] if losses else {}
    found = {"state": "running", "epoch": last.get("epoch", 0), "epochs": last.get("epochs", 0), "losses": losses}
    if (folder / STATE).exists():
        found |= msgspec.json.decode((folder / STATE).read_bytes())
    elif is_over:
        found |= {"state": "failed", "message": "The training ended before its end: perhaps memory ran out."}
    if found["state"] == "done":
        found["model"] = detectors.own_about(request, visit, found.pop("detector"))
    return found


def _is_idle(request: Request) -> bool:
    try:
        with _lock(request):
            return True
    except Refused:
        return False


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


@cache
def _models() -> list[str]:
    has_torch = all(find_spec(name) is not None for name in ("torch", "onnx", "onnxscript", "safetensors"))
    return [*(neural() if has_torch else ()), *classical.SETTINGS]


@cache
def _settings(model: str) -> list[dict[str, Any]]:
    """Describe the settings that the page offers for a model; those without a default are the model's own."""
    found = [_setting(Training, name) for name in OFFERED]
    if model not in classical.SETTINGS:
        found += [_setting(Plan, name) | {"default": None} for name in OFFERED_EPOCHS]
    return found


def _setting(section: type[msgspec.Struct], name: str) -> dict[str, Any]:
    kind = msgspec.inspect.type_info(section)
    (field,) = [one for one in kind.fields if one.name == name]  # type: ignore[attr-defined]
    hint, help_ = field.type, ""
    while isinstance(hint, (msgspec.inspect.Metadata, msgspec.inspect.UnionType)):
        if isinstance(hint, msgspec.inspect.Metadata):
            help_ = (hint.extra_json_schema or {}).get("description", help_)
            hint = hint.type
        else:
            hint = hint.types[0]
    form = {msgspec.inspect.IntType: "int", msgspec.inspect.FloatType: "float"}.get(type(hint), "text")
    if name == "false_alarms":
        form = "text"
    least, most = getattr(hint, "ge", None), getattr(hint, "le", None)
    default = None if field.default is msgspec.NODEFAULT else field.default
    return {
        "name": name, "kind": form, "default": default, "help": help_, "min": least, "max": most,
    }  # fmt: skip
