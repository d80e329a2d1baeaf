"""Serve from the command line: flags and pipeline file to the service's settings."""

from __future__ import annotations

import re
from argparse import Namespace
from typing import TYPE_CHECKING

from oddwave import config
from oddwave.cli_terminal import tell
from oddwave.config import PipelineSection
from oddwave.errors import ConfigError
from oddwave.pipeline import config_of

if TYPE_CHECKING:
    from oddwave.serve.settings import ServiceSettings

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:]+\])(:\d+)?")
USUAL_PORT = re.compile(r"http://.*:80|https://.*:443")
SIZES = ("max_body", "max_upload")
OWN = ("host", "port", "workers", "api_key_file", "state_dir", "max_rows", "slots", "timeout_s", "drain_s", "log")


def serve(flags: Namespace) -> None:
    """Serve until a signal says to end, or only make a key."""
    if flags.new_key is not None:
        _new_key(flags)
        return
    from oddwave.serve import serve as run

    chosen = settings(flags)
    if chosen.pipeline.use_hpip:
        _tell_engines(chosen)
    run(chosen, tell)


def _tell_engines(settings: ServiceSettings) -> None:
    """Find each detector's engine before several workers at once do."""
    from oddwave.serve.detectors import Detectors

    for name, served in Detectors(settings.models, settings.pipeline.device, use_hpip=True).by_name.items():
        for choice in served.detector.choices:
            tell(f"{name}: {choice}", "note")


def settings(flags: Namespace) -> ServiceSettings:
    """Return the service's settings; what isn't given is the pipeline file's, or the default."""
    from oddwave.serve.settings import ServiceSettings, default_workers

    file = config_of(getattr(flags, "pipeline", None) or "ts_ad")
    if flags.threshold is not None and flags.false_alarms is not None:
        raise ConfigError("--threshold and --false-alarms both set the threshold. Leave one of them out.")
    names = [name for name in config.FLAGS if name != "model"]
    given = {name: getattr(flags, name) for name in names if getattr(flags, name, None) is not None}
    pipeline = config.build(PipelineSection, given, "the command line", file.pipeline)
    if pipeline.group_col is not None:
        raise ConfigError(
            "group_col: a request holds one series. Take it out of the pipeline file; send a request a group."
        )
    own = {name: getattr(flags, name) for name in OWN if getattr(flags, name) is not None}
    own.setdefault("workers", default_workers())
    own |= {name: _bytes(name, getattr(flags, name)) for name in SIZES if getattr(flags, name) is not None}
    own |= {"page": not flags.no_page, "training": not flags.no_training}
    own["models"] = tuple(flags.model or [pipeline.model])
    own["allow_url_hosts"] = tuple(flags.allow_url_host or ())
    own["allow_origins"] = tuple(map(_origin, flags.allow_origin or ()))
    return config.build(ServiceSettings, own | {"pipeline": pipeline}, "the command line")


def _new_key(flags: Namespace) -> None:
    from oddwave.serve.keys import new_key

    if flags.api_key_file is None:
        raise ConfigError("--new-key makes a key, but --api-key-file doesn't say where its hash is kept. Add it.")
    key = new_key(flags.api_key_file, flags.new_key)
    tell(
        f"{flags.api_key_file} holds the hash of a new key for {flags.new_key}; this is the key, shown only now:",
        "note",
    )
    print(key)


def _origin(text: str) -> str:
    """Refuse what no browser sends as an origin: nothing would ever match it.

    Examples
    --------
    >>> _origin("https://dash.example"), _origin("http://localhost:5173")
    ('https://dash.example', 'http://localhost:5173')
    >>> _origin("https://dash.example/")
    Traceback (most recent call last):
    oddwave.errors.ConfigError: --allow-origin 'https://dash.example/' is no origin as browsers send it.
    Give scheme and host in small letters, no path, a port only if it isn't the usual one: https://dash.example
    """
    if not ORIGIN.fullmatch(text) or USUAL_PORT.fullmatch(text):
        raise ConfigError(
            f"--allow-origin {text!r} is no origin as browsers send it.\n"
            "Give scheme and host in small letters, no path, a port only if it isn't the usual one: https://dash.example"
        )
    return text


def _bytes(name: str, text: str) -> int:
    """Read a number of bytes, with a unit if wanted.

    Examples
    --------
    >>> _bytes("max_body", "16M"), _bytes("max_body", "4096"), _bytes("max_body", "64 MB")
    (16777216, 4096, 67108864)
    """
    found = re.fullmatch(r"(\d+)\s*([KMG]?)(i?B)?", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError(f"--{name.replace('_', '-')} {text!r} is no size. Give bytes, or as in 16M.")
    return int(found[1]) * UNITS[found[2].upper()]
