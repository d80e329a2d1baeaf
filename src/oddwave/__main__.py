"""`python -m oddwave` is the command line."""

from oddwave.cli import run

run()
