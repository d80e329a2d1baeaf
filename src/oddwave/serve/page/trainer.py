"""Trainer: the process of one training. Its task comes on standard input; it ends when that ends.

It holds the lock of all trainings by the open file that it was started with. What it says is in its folder: an epoch a
line in `epochs.jsonl`, and at its end `state.json`. The detector is made in a draft folder, which then gets its name.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from oddwave.errors import OddwaveError

if TYPE_CHECKING:
    from oddwave.train.loop import Epoch

EPOCHS, STATE, CANCEL = "epochs.jsonl", "state.json", "cancel"
POLITENESS = 10  # requests go first
CHECK_S = 0.1


class Task(msgspec.Struct):
    """What to train.

    Parameters
    ----------
    folder
        Of this training.
    draft
        Folder of the detector that is made; `name` is what it is called when it is whole.
    """

    data: str
    shown: str
    model: str
    settings: dict[str, Any]
    folder: str
    draft: str
    name: str
    title: str
    max_s: float


def main() -> None:
    """Train, and leave a state behind whatever happens."""
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    os.nice(POLITENESS)
    threading.Thread(target=_watch, args=(task,), daemon=True).start()
    try:
        state = _train(task)
    except OddwaveError as error:
        state = {"state": "failed", "message": str(error).replace(task.data, task.shown)}
    except MemoryError:
        state = {"state": "failed", "message": "There isn't enough memory for this. Train on fewer rows."}
    _end(task, state)


def _train(task: Task) -> dict[str, Any]:
    import oddwave

    began = time.monotonic()
    draft = Path(task.draft)
    detector = oddwave.train(
        task.data, model=task.model, out=draft / "run", progress=lambda epoch: _note(task, epoch), **task.settings
    )
    (draft / "run" / "detector.onnx").replace(draft / "detector.onnx")
    shutil.rmtree(draft / "run")
    (draft / "name.json").write_bytes(msgspec.json.encode(task.title))
    draft.rename(draft.with_name(task.name))
    facts: dict[str, Any] = detector.metadata.training
    seen = facts.get("verified", {}).get("full", {})
    scores = {"rows": facts["rows"], "threshold": detector.metadata.full.alarm.threshold}
    if seen:
        scores |= {"rows kept aside": seen["rows"], "flagged": seen["flagged"], "expected": seen["expected_flagged"]}
    seconds = time.monotonic() - began
    return {"state": "done", "scores": scores, "seconds": seconds, "notes": list(detector.notes), "detector": task.name}


def _note(task: Task, epoch: Epoch) -> None:
    """Write down an epoch that is done."""
    if epoch.share < 1:
        return
    said = {"epoch": epoch.epoch, "epochs": epoch.epochs, "loss": epoch.loss, "held_out_loss": epoch.held_out_loss}
    with (Path(task.folder) / EPOCHS).open("ab") as file:
        file.write(msgspec.json.encode(said) + b"\n")


def _watch(task: Task) -> None:
    """End when the visitor cancels, the time is over, or the worker that began it has ended."""
    end = time.monotonic() + task.max_s
    began_by = os.getppid()
    while True:
        time.sleep(CHECK_S)
        if (Path(task.folder) / CANCEL).exists() or os.getppid() != began_by:
            _end(task, {"state": "cancelled"})
        if time.monotonic() > end:
            said = f"The training took longer than {task.max_s / 60:g} minutes. Train fewer epochs, or on fewer rows."
            _end(task, {"state": "failed", "message": said})


def _end(task: Task, state: dict[str, Any]) -> None:
    """Leave the state, whole, and nothing else; end at once, also in the middle of a step."""
    shutil.rmtree(task.draft, ignore_errors=True)
    folder = Path(task.folder)
    if folder.is_dir():
        draft = folder / f"{STATE}.part"
        draft.write_bytes(msgspec.json.encode(state))
        draft.replace(folder / STATE)
    os._exit(0)


if __name__ == "__main__":
    main()
