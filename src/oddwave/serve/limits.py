"""Limits: how many requests at once, how large a body, how long it may take to come."""

from __future__ import annotations

import asyncio
from typing import Any

from oddwave.serve.answers import CLOSE, Refused
from oddwave.serve.settings import ServiceSettings

ALONE = 1 << 20  # bytes of a body up to which it is taken in one piece
HELD_BODIES = 2  # of the largest size, in memory at once in one worker


class Slots:
    """Room for requests in progress, and for the bytes of their bodies.

    Parameters
    ----------
    count
        Requests at once.
    max_bytes
        Bytes of bodies at once.
    """

    def __init__(self, count: int, max_bytes: int) -> None:
        self.free = count
        self.free_bytes = max_bytes

    def take(self, n_bytes: int) -> None:
        """Take a slot.

        Raises
        ------
        Refused
            503, if there is no room.
        """
        if self.free <= 0 or self.free_bytes < n_bytes:
            message = "The service is busy: all its slots are taken. Send the request again after Retry-After seconds."
            raise Refused(503, message, "busy", (("retry-after", "1"),))
        self.free -= 1
        self.free_bytes -= n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Give a slot back."""
        self.free += 1
        self.free_bytes += n_bytes


def declared_bytes(headers: Any, max_body: int) -> int | None:
    """Return how many bytes a body has; None if it doesn't say: of two lengths, the server goes by the chunks.

    Raises
    ------
    Refused
        413, if it says that it is larger than a body may be: it isn't read at all.
    """
    length = headers.get("content-length")
    if length is None or "transfer-encoding" in headers:
        return None
    n_bytes = int(length) if length.isdecimal() else 0  # what is no number doesn't pass the server
    if n_bytes > max_body:
        raise too_large(max_body)
    return n_bytes


async def read_body(proto: Any, headers: Any, n_bytes: int | None, settings: ServiceSettings) -> bytes | bytearray:
    """Read a body, with an eye on the clock and on its size.

    Parameters
    ----------
    n_bytes
        What it says it has, or None.

    Raises
    ------
    Refused
        408 if it doesn't come in time, 413 if it grows too large, 400 if it breaks off.
    """
    try:
        async with asyncio.timeout(settings.timeout_s):
            if n_bytes is not None and n_bytes <= ALONE:
                body: bytes = await proto()
                return body
            whole, n_empty = bytearray(), 0
            async for piece in proto:
                if len(whole) + len(piece) > settings.max_body:
                    raise too_large(settings.max_body)
                whole += piece
                n_empty = 0 if piece else n_empty + 1
            # the server ends every body with an empty piece; another stands for a break, or for headers that follow
            if (n_bytes is not None and len(whole) < n_bytes) or (n_empty > 1 and "trailer" not in headers):
                raise _broken()
            return whole
    except TimeoutError:
        message = f"The body didn't come within {settings.timeout_s:g} s. Send it again."
        raise Refused(408, message, "slow_body", CLOSE) from None
    except RuntimeError:  # the server's name for a connection that broke
        raise _broken() from None


def _broken() -> Refused:
    return Refused(400, "The body ended before its end. Send it again.", "broken_body", CLOSE)


def too_large(max_body: int) -> Refused:
    """Return the refusal of a body."""
    message = f"The body is larger than {max_body:,} bytes. Send fewer rows at a time, or raise --max-body."
    return Refused(413, message, "too_large", CLOSE)
