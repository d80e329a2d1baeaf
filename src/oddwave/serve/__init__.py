"""The service: the tutorial's API, a JSON API and the Open Inference Protocol over HTTP.

supervisor -> workers, each: routes -> app -> limits -> read -> Detector -> answer
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from oddwave.errors import MissingExtraError
from oddwave.serve.settings import ServiceSettings

__all__ = ["ServiceSettings", "serve"]

PACKAGES = {"granian": "granian", "prometheus_client": "prometheus-client", "pybase64": "pybase64"}


def serve(settings: ServiceSettings, tell: Callable[[str], object]) -> None:
    """Serve until a signal says to end.

    Parameters
    ----------
    tell
        Called with what the operator should know: that the service is ready, that a worker died.

    Raises
    ------
    ConfigError
        If the port can't be had, or a detector or the key file can't be used: nothing is served then.
    MissingExtraError
        If the packages of the extra `serve` aren't there.
    """
    from importlib.util import find_spec

    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError("the service", package=package, extra="serve")
    from oddwave.serve.supervisor import Supervisor

    async def run() -> None:
        await Supervisor(settings, tell).run()

    asyncio.run(run())
