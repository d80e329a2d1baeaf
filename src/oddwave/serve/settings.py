"""Settings of the service: one section, handed by the parent process to its workers as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from oddwave.config import PipelineSection, Section
from oddwave.threads import processors

MAX_BODY = 16 << 20
MAX_UPLOAD = 256 << 20
DEFAULT_WORKERS = 8  # at most so many unless asked for: each holds every detector


class ServiceSettings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the service serves, where it listens, and what it refuses."""

    models: tuple[str, ...] = (
        "DLinear_ad",
    )  # names, files, run folders, or folders that hold these; the first is the default
    pipeline: PipelineSection = PipelineSection()
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    worker: int = 0  # which of them this is
    api_key_file: str | None = None
    max_body: Annotated[int, Meta(ge=1024, le=1 << 31)] = MAX_BODY
    max_rows: Annotated[int, Meta(ge=1)] = 200_000
    slots: Annotated[int, Meta(ge=1)] = 64  # requests in progress in one worker
    timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    drain_s: Annotated[float, Meta(ge=0)] = 1.0
    allow_url_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    page: bool = True
    training: bool = True  # in the page
    state_dir: str | None = None  # of the page's visitors; a temporary folder unless given
    max_upload: Annotated[int, Meta(ge=1024, le=1 << 36)] = MAX_UPLOAD  # the page's files
    log: Literal["errors", "all", "off"] = "errors"


def default_workers() -> int:
    """Return how many workers are started unless a number is given."""
    return min(len(processors()), DEFAULT_WORKERS)
