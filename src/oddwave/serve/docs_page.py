"""The page at /docs."""

from __future__ import annotations


def page() -> bytes:
    """Return the page."""
    return b""
