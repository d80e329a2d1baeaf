"""Supervisor: the parent of the workers. It holds the port, starts a worker again that died, and ends them in peace.

The workers listen on one port together (SO_REUSEPORT): the kernel spreads the connections over them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from oddwave.errors import ConfigError
from oddwave.serve.settings import ServiceSettings
from oddwave.serve.worker import DRAIN, MAKE_ROOM, READY

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0  # before a worker that died soon is started again
SOON_S = 5.0
END_S = 5.0  # beyond the deadline of requests, until workers that don't end are killed
ANY = ("0.0.0.0", "::", "")  # noqa: S104 (compared with, not listened on)


class Supervisor:
    """The workers of a service.

    Parameters
    ----------
    tell
        Called with what the operator should know.
    """

    def __init__(self, settings: ServiceSettings, tell: Callable[[str], object]) -> None:
        self.settings, self._operator = settings, tell
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._is_ending = False
        self._end = asyncio.Event()
        self._drain_s = 0.0

    async def run(self) -> None:
        """Serve until a signal says to end.

        Raises
        ------
        ConfigError
            If the port can't be had, or the workers can't start with these settings.
        """
        with _held_port(self.settings.host, self.settings.port) as held, _scratch() as scratch:
            state = self.settings.state_dir or str(Path(scratch) / "page")
            self.settings = msgspec.structs.replace(self.settings, port=held.getsockname()[1], state_dir=state)
            self._scratch = Path(scratch)
            _make_private(Path(state))
            loop = asyncio.get_running_loop()
            for name, drain_s in ((signal.SIGTERM, self.settings.drain_s), (signal.SIGINT, 0.0), (signal.SIGHUP, 0.0)):
                if signal.getsignal(name) is not signal.SIG_IGN:
                    loop.add_signal_handler(name, self._order_end, drain_s)
            try:
                await asyncio.gather(*(self._start(number) for number in range(self.settings.workers)))
                keepers = [loop.create_task(self._keep(number)) for number in range(self.settings.workers)]
                self._tell(f"ready at {address(self.settings)} with {self._about()}; Ctrl-C ends it")
                await self._end.wait()
                await self._drain()
                for keeper in keepers:
                    keeper.cancel()
            finally:
                await self._stop()

    def _tell(self, message: str) -> None:
        """Tell the operator; that a disk is full of messages is no reason to end."""
        with contextlib.suppress(OSError):
            self._operator(message)

    def _about(self) -> str:
        count = self.settings.workers
        models = ", ".join(self.settings.models)
        return f"{models} in {count} worker{'' if count == 1 else 's'}"

    def _order_end(self, drain_s: float) -> None:
        """End; a second signal doesn't wait."""
        self._drain_s = 0.0 if self._is_ending else drain_s
        self._is_ending = True
        self._end.set()

    async def _start(self, number: int) -> None:
        """Start a worker and wait until it serves."""
        environment = os.environ | {
            "PROMETHEUS_MULTIPROC_DIR": str(self._scratch),
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",  # else each thread keeps memory of its own
            "MALLOC_MMAP_THRESHOLD_": str(1 << 20),  # larger blocks grow without a copy, and go back at once
            "MALLOC_TRIM_THRESHOLD_": str(4 << 20),  # what small requests use is kept, not asked for each time
            "PYTHONSAFEPATH": "1",  # nothing in the current folder is imported
        }
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "oddwave.serve.worker", env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._workers[number] = worker
        orders, answers = _pipes(worker)
        orders.write(msgspec.json.encode(msgspec.structs.replace(self.settings, worker=number)) + b"\n")
        said = await answers.readline()
        if said != READY:
            rest = await answers.read()
            message = (said + rest).decode("utf-8", "replace").strip()
            cause = _cause(await worker.wait())
            raise ConfigError(message or f"A worker ended at once ({cause}). The lines above may say why.")

    async def _keep(self, number: int) -> None:
        """Start a worker again whenever it dies."""
        pause = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            worker = self._workers[number]
            status = await worker.wait()
            self._forget(worker.pid)
            if self._is_ending:
                return
            self._tell(f"worker {number + 1} died ({_cause(status)}); it is started again")
            pause = FIRST_PAUSE_S if time.monotonic() - began > SOON_S else min(2 * pause, LONGEST_PAUSE_S)
            await asyncio.sleep(pause)
            await self._revive(number)

    async def _revive(self, number: int) -> None:
        """Start a worker, however often that takes: its detector's file may be good again later."""
        hindrance, pause = "", FIRST_PAUSE_S
        while not self._is_ending:
            try:
                await self._start(number)
            except (ConfigError, OSError) as error:  # OSError: too many processes, or files
                if str(error) != hindrance:
                    hindrance = str(error)
                    said = " ".join(hindrance.split()).rstrip(".")
                    self._tell(f"worker {number + 1} can't be started: {said}. It is tried until it starts")
            else:
                if hindrance:
                    self._tell(f"worker {number + 1} serves again")
                return
            pause = min(2 * pause, LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    def _forget(self, pid: int) -> None:
        """Take a dead worker's requests in progress out of the metrics."""
        for file in self._scratch.glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    async def _drain(self) -> None:
        """Say that the service isn't ready, and go on for a while: who sends requests must first learn of it."""
        for worker in self._workers.values():
            if worker.returncode is None:
                _pipes(worker)[0].write(DRAIN)
        self._end.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._end.wait(), self._drain_s)

    async def _stop(self) -> None:
        """Let the workers end the requests in progress, and kill those that don't end."""
        self._is_ending = True
        living = [worker for worker in self._workers.values() if worker.returncode is None]
        for worker in living:
            with contextlib.suppress(ProcessLookupError):  # by its number: `terminate` would take its status away
                os.kill(worker.pid, signal.SIGTERM)
        waits = [asyncio.create_task(worker.wait()) for worker in living]
        if waits:
            await asyncio.wait(waits, timeout=self.settings.timeout_s + END_S)
        for worker in living:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()


def address(settings: ServiceSettings) -> str:
    """Return the URL at which the service is reached."""
    host = "127.0.0.1" if settings.host in ANY else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _held_port(host: str, port: int) -> socket.socket:
    """Hold a port for the workers, after making sure that nobody listens on it; 0: one that is free."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(place)
            place = alone.getsockname()
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(place)
        return held
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "Another program listens there. End it, or give another --port.",
            errno.EACCES: "Ports below 1024 need rights. Give another --port.",
        }.get(error.errno or 0, "Check --host and --port.")
        raise ConfigError(f"The service can't listen on {host}, port {port}: {error.strerror}. {advice}") from None


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for the counters that the workers share."""
    try:
        return tempfile.TemporaryDirectory(prefix="oddwave-")
    except OSError as error:
        raise ConfigError(f"The service has no place for its counters: {error.strerror}. {MAKE_ROOM}") from None


def _make_private(folder: Path) -> None:
    """Make the folder of the page's visitors, which nobody else may look into."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"{folder} can't hold the page's files: {error.strerror}. Give another --state-dir."
        ) from None


def _pipes(worker: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker without pipes")
    return worker.stdin, worker.stdout


def _cause(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
