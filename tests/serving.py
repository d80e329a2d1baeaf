"""The real service for tests, in processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

SRC = Path(__file__).resolve().parent.parent / "src"
PATIENCE_S = 60


class Service:
    """A service that runs: its address, its process, and what it wrote to standard error."""

    def __init__(self, process, errors):
        self.process = process
        self._errors = errors
        self.url = self._wait()

    def errors(self):
        """Return what it has written to standard error so far."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def _wait(self):
        """Wait for the line that says it is ready, and return the address in it."""
        end = time.monotonic() + PATIENCE_S
        while not (line := re.search(r"http://127\.0\.0\.1:\d+", self.errors())):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the service didn't start:\n{self.errors()}")
            time.sleep(0.02)
        return line[0]


@contextmanager
def service(*flags, cwd=None, command=()) -> Iterator[Service]:
    """Start `oddwave serve` with these flags on a free port; end it by SIGTERM, and show its errors if it won't.

    `command` goes before Python's, as ("prlimit", "--nofile=64").
    """
    words = [*command, sys.executable, "-m", "oddwave", "serve", "--port", "0", *map(str, flags)]
    paths = [str(SRC), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with (
        TemporaryFile() as errors,
        subprocess.Popen(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors) as process,
    ):
        try:
            yield Service(process, errors)
        finally:
            end(process)


def end(process):
    """End a process: as asked first, then whether it will or not."""
    process.send_signal(signal.SIGTERM)  # nothing, if it has ended
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
