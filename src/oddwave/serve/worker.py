"""Worker: one process of the service. Its settings and orders come on standard input, a line each, from its parent.

The first line is the settings as JSON; then `drain` (say that the service isn't ready, but go on), or the end of the
input (stop: the requests in progress are answered first). So no worker outlives its parent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from oddwave.errors import OddwaveError
from oddwave.serve.settings import ServiceSettings
from oddwave.threads import processors, stay_on

if TYPE_CHECKING:
    from granian.server.embed import Server

    from oddwave.serve.app import App

READY, DRAIN = b"ready\n", b"drain\n"
MAKE_ROOM = "If the disk of temporary files is full, make room there, or name another folder in TMPDIR."
ORDERS = 0  # standard input
HEADERS_S = 10.0  # longest time for a request's headers to come, if --timeout isn't shorter
NO_LIMIT = 1 << 16  # connections; how many requests are taken is the slots' affair


def main() -> None:
    """Run a worker to its end; before it serves, it says `ready` or what is wrong on standard output."""
    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServiceSettings)
    for name in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to the whole group; the parent decides
        signal.signal(name, signal.SIG_IGN)
    from oddwave.serve.app import App
    from oddwave.serve.detectors import Detectors
    from oddwave.serve.routes import routes

    try:
        how = settings.pipeline
        detectors = Detectors(settings.models, how.device, how.time_col, how.use_hpip)
        app = App(settings, detectors, routes(settings.page))
        own = processors()
        if len(own) == settings.workers > 1:  # a request that moves between them takes a third longer
            stay_on(own[settings.worker : settings.worker + 1])
    except OddwaveError as error:
        _say(str(error).encode())
        return
    except OSError as error:
        _say(f"A worker can't start: {error.strerror}. {MAKE_ROOM}".encode())
        return
    asyncio.run(_serve(app))


async def _serve(app: App) -> None:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    settings = app.settings
    server = Server(
        app, settings.host, settings.port, interface=Interfaces.RSGI, http=HTTPModes.http1, websockets=False,
        backlog=1024, backpressure=NO_LIMIT, log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=int(1000 * min(HEADERS_S, settings.timeout_s))),
    )  # fmt: skip
    logging.getLogger("_granian").setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.stop)
    loop.add_reader(ORDERS, _obey, app, loop, server)
    serving = loop.create_task(server.serve())
    await loop.run_in_executor(None, _wait_until_open, settings.host, settings.port)
    _say(READY)
    await serving


def _obey(app: App, loop: asyncio.AbstractEventLoop, server: Server) -> None:
    """Take orders."""
    orders = os.read(ORDERS, 1 << 10)
    app.is_ready = False
    if not orders:
        loop.remove_reader(ORDERS)
        server.stop()  # type: ignore[no-untyped-call]


def _wait_until_open(host: str, port: int) -> None:
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            time.sleep(0.001)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
