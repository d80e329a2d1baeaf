"""Origins: whose web pages may use the service, and what their browsers are told (CORS)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from oddwave.serve.answers import Answer, Refused

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
Headers = tuple[tuple[str, str], ...]
VARY: Headers = (("vary", "Origin"),)
EXPOSED = "Retry-After, Inference-Header-Content-Length"
ACCEPTED = "Content-Type, Authorization, X-API-Key, Inference-Header-Content-Length"
ASKED_METHOD = "access-control-request-method"
MAX_AGE_S = 600


class Origins:
    """The origins whose pages may use the service: those that were named, and its own where it is on this machine.

    Parameters
    ----------
    allowed
        As browsers write them: `https://dashboard.example`.
    host
        Where the service listens.
    """

    def __init__(self, allowed: tuple[str, ...], host: str) -> None:
        self._allowed = frozenset(allowed)
        self._own = (*LOCAL_NAMES, host)

    def check(self, headers: Any, authority: str) -> None:
        """Let a request in that comes from no page, or from one that may.

        Raises
        ------
        Refused
            403, if its page may not.
        """
        if "origin" not in headers:
            return
        origin = headers.get("origin") or ""
        if origin not in self._allowed and not self._is_own(origin, authority):
            message = "Pages of other origins may not use this service. Start it with --allow-origin ORIGIN to let one."
            raise Refused(403, message, "origin")

    def _is_own(self, origin: str, host: str) -> bool:
        """Say whether a page is the service's own.

        That its host is the one asked isn't enough: a name of somebody else's may lead to this machine.
        """
        try:
            return urlsplit(origin).netloc == host and urlsplit(f"//{host}").hostname in self._own
        except ValueError:  # a bracket that isn't closed
            return False

    def headers(self, headers: Any) -> Headers:
        """Return what goes with every answer, so that a page of an allowed origin may read it."""
        if not self._allowed:
            return ()
        origin = headers.get("origin")
        if origin not in self._allowed:
            return VARY
        return *VARY, ("access-control-allow-origin", origin), ("access-control-expose-headers", EXPOSED)


def is_preflight(method: str, headers: Any) -> bool:
    """Say whether a browser asks what a page of another origin may send."""
    return method == "OPTIONS" and "origin" in headers and ASKED_METHOD in headers


def preflight(methods: list[str]) -> Answer:
    """Answer that question, for a path that takes these methods."""
    told = (
        ("access-control-allow-methods", ", ".join(methods)),
        ("access-control-allow-headers", ACCEPTED),
        ("access-control-max-age", str(MAX_AGE_S)),
    )
    return Answer(b"", "text/plain; charset=utf-8", 204, told)
