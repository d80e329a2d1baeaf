"""Every mistake a user can make, as one tree; each message says what, where, which value, what to do.

The command line prints the message and exits with 2; a fault of ours is any other exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Any


class OddwaveError(Exception):
    """Base of all errors that Oddwave raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process with the message as it is, whatever the class is made from."""
        return _again, (self.__class__, *self.args)


def _again(kind: type[OddwaveError], *args: Any) -> OddwaveError:
    return kind.__new__(kind, *args)


class InputError(OddwaveError):
    """The data can't be read or used as given."""


class ConfigError(OddwaveError):
    """A setting, a flag or a configuration file is wrong."""


class DetectorFileError(OddwaveError):
    """A detector file is damaged, unsafe, or of a kind this version doesn't read."""


class DeviceError(OddwaveError):
    """The device asked for can't be had on this machine."""


class OutputError(OddwaveError):
    """A result can't be written where it was asked for."""


class TrainingError(OddwaveError):
    """Training can't go on with the given data or settings."""


class TooShortError(InputError):
    """The series has fewer rows than one window.

    Examples
    --------
    >>> print(TooShortError("pump.csv", n_rows=40, size=96))
    pump.csv has 40 rows, but this detector reads windows of 96.
    Give at least 96 rows, or train with input_len 40 or less.
    """

    def __init__(self, source: str, n_rows: int, size: int) -> None:
        super().__init__(
            f"{source} has {n_rows} rows, but this detector reads windows of {size}.\n"
            f"Give at least {size} rows, or train with input_len {n_rows} or less."
        )


class UnsortedError(InputError):
    """A series that is read in pieces is not in time order."""

    def __init__(self, source: str, row: int) -> None:
        super().__init__(
            f"{source} is not in time order: row {row} is earlier than the row before it.\n"
            "Sort it by time, or give a file that fits in memory."
        )


class MissingExtraError(OddwaveError):
    """A feature needs a package that isn't installed.

    Examples
    --------
    >>> print(MissingExtraError("reading .xlsx files", package="python-calamine", extra="excel"))
    reading .xlsx files needs the package python-calamine, which isn't installed.
    Install it with: pip install 'oddwave[excel]'
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the package {package}, which isn't installed.\n"
            f"Install it with: pip install 'oddwave[{extra}]'"
        )


def visible(text: str) -> str:
    r"""Write signs that a terminal would obey as escapes.

    Examples
    --------
    >>> visible("flow\x1b[2J")
    'flow\\x1b[2J'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, as a sentence to append; empty if none is near.

    Examples
    --------
    >>> nearest("bach_size", ["batch_size", "device"])
    ' Did you mean batch_size?'
    """
    close = difflib.get_close_matches(word[:200], list(islice(known, 1000)), n=1)  # more would take long
    return f" Did you mean {close[0]}?" if close else ""
