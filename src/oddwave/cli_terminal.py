"""The user's terminal: messages on standard error, and standard output when its reader has gone."""

from __future__ import annotations

import os
import sys

from oddwave.errors import visible


def tell(message: str, what: str = "oddwave") -> None:
    """Print a message for the user on standard error; signs that a terminal would obey are written as escapes."""
    print(f"{what}:", "\n".join(map(visible, message.split("\n"))), file=sys.stderr)


def silence() -> None:
    """Send what is still in the buffer of standard output nowhere, or Python complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
