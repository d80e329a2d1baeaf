"""train.log: what happened in a training, as lines of text."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oddwave.atomic import cant_write

if TYPE_CHECKING:
    from oddwave.train.loop import Epoch


class Log:
    """A log file that each finished epoch adds a line to: a `Progress`.

    Parameters
    ----------
    goes_on
        Add to the file that is there; else begin a new one.
    """

    def __init__(self, path: Path, goes_on: bool = False) -> None:
        self.path = path
        if not goes_on:
            self._write("", "w")

    def __call__(self, epoch: Epoch) -> None:
        """Write down a finished epoch."""
        if epoch.share < 1:
            return
        held_out = "" if epoch.held_out_loss is None else f", held-out loss {epoch.held_out_loss:.6g}"
        best = ", best so far" if epoch.is_best else ""
        self.say(
            f"epoch {epoch.epoch} of {epoch.epochs}: loss {epoch.loss:.6g}{held_out}, "
            f"{epoch.windows_per_s:,.0f} windows/s{best}"
        )

    def say(self, text: str) -> None:
        """Write a line, or several, with the time before the first."""
        self._write(f"{datetime.now().astimezone().isoformat(' ', 'seconds')} {text}\n", "a")

    def _write(self, text: str, mode: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise cant_write(self.path, error) from None
