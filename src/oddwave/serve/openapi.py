"""OpenAPI: what the service answers, as a document."""

from __future__ import annotations

from typing import Any


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return {"openapi": "3.1.0", "info": {"title": "Oddwave", "version": "1"}, "paths": {}}
