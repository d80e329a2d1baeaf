"""Bench from the command line: which ways to compare, and the table."""

from __future__ import annotations

from argparse import Namespace

from oddwave.bench import Way, table
from oddwave.detector import Detector
from oddwave.errors import ConfigError


def bench(flags: Namespace) -> None:
    """Print the table."""
    if flags.runs < 1:
        raise ConfigError(f"--runs {flags.runs} measures nothing. Give 1 or more.")
    ways = [Way("cpu", Detector.load(flags.model))]
    if flags.device:
        ways.append(Way(flags.device, Detector.load(flags.model, flags.device)))
    if flags.use_hpip:
        ways.append(Way("use_hpip", Detector.load(flags.model, use_hpip=True)))
    print(table(ways, flags.data, flags.runs))
