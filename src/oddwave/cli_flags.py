"""The command line's flags: which there are, what they take, what their help says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from oddwave import __version__
from oddwave.errors import ConfigError, nearest

COMMANDS = ("predict", "train", "models")
PLANNED = ("check", "evaluate", "export", "serve", "bench")
FORMATS = ("csv", "json", "xlsx", "html", "png")
BARE_ONLY = ("--pipeline", "--input", "--get_pipeline_config", "--serve")

DATA = "file, URL, folder, pattern, or - for a CSV on standard input"

BARE = """\
Find anomalies in time series: every row gets a score and a label, and anomalous rows are joined into events.

commands (each with --help):
  oddwave predict DATA...    the same as the flags below, in short
  oddwave train DATA         train a detector on normal rows
  oddwave models             list the shipped detectors"""

BARE_EXAMPLE = """\
examples:
  oddwave --pipeline ts_ad --input ts_ad.csv --save_path output/
  oddwave --pipeline my_path/ts_ad.yaml --input data/ --format csv,xlsx,html --save_path output/
  oddwave --get_pipeline_config ts_ad --save_path my_path

exit status: 0 done; 2 something to mend on your side; 3 anomalies found (with --fail-on-anomaly);
70 a fault of Oddwave; 130 interrupted"""

PREDICT_EXAMPLE = """\
examples:
  oddwave predict new.csv --model runs/pump --save_path output/
  oddwave predict new.csv --model runs/pump --save_path picture.png
  cat new.csv | oddwave predict - --quiet --fail-on-anomaly || echo "look at the pump"
"""

TRAIN_EXAMPLE = """\
example:
  oddwave train normal.csv --model DLinear_ad --out runs/pump
  oddwave predict new.csv --model runs/pump --save_path output/
"""


class Parser(argparse.ArgumentParser):
    """argparse, with one message and the nearest flag instead of a usage text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ConfigError(f"{message}\nSee: {self.prog} --help")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse every word, or say which flag was probably meant."""
        flags, rest = self.parse_known_args(words)
        if rest:
            flag = next((word for word in rest if word.startswith("-")), "").partition("=")[0]
            known = [flag for action in self._actions for flag in action.option_strings]
            wrong = (
                f"{flag} is no flag of {self.prog}.{nearest(flag, known)}" if flag else f"{rest[0]!r} is one too many."
            )
            self.error(wrong)
        return flags


def bare() -> Parser:
    """Return the parser of the command without a subcommand: the tutorial's flags, and ours."""
    parser = Parser(prog="oddwave", description=BARE, epilog=BARE_EXAMPLE)
    add = parser.add_argument
    add("--pipeline", metavar="NAME|YAML", help="ts_ad, or a pipeline file")
    add("--input", metavar="DATA", nargs="+", help=DATA)
    add("--get_pipeline_config", metavar="NAME", help="write the pipeline file NAME.yaml, then stop")
    add("--serve", action="store_true", help="comes with a later version")
    add("--version", action="version", version=f"oddwave {__version__}")
    _add_model(parser, default="the pipeline's")
    _add_settings(parser)
    _add_output(parser)
    return parser


def predict() -> Parser:
    """Return the parser of `oddwave predict`."""
    parser = Parser(prog="oddwave predict", description="Score new data.", epilog=PREDICT_EXAMPLE)
    parser.add_argument("input", metavar="DATA", nargs="+", help=DATA)
    _add_model(parser, default="DLinear_ad")
    _add_settings(parser)
    _add_output(parser)
    return parser


def train() -> Parser:
    """Return the parser of `oddwave train`."""
    parser = Parser(
        prog="oddwave train",
        description="Train a detector on data in which nothing, or next to nothing, is anomalous.",
        epilog=TRAIN_EXAMPLE,
    )
    add = parser.add_argument
    add("data", metavar="DATA", help="file of rows in normal operation, or - for standard input")
    add("--model", metavar="NAME", default="DLinear_ad", help="what to train (default: DLinear_ad)")
    add("--out", metavar="DIR", default="output", help="folder for the detector (default: output)")
    add("--epochs", type=_whole, metavar="N", help="passes over the training windows, at most")
    add("--batch_size", type=_whole, metavar="N", help="windows a training step")
    add("--learning_rate", type=_decimal, metavar="X", help="size of a training step")
    add("--input_len", type=_whole, metavar="N", help="rows a window")
    add("--seed", type=_whole, metavar="N", help="start of the random numbers")
    add("--time_col", metavar="NAME", help="column with the times (default: found by its name)")
    add("--label_col", metavar="NAME", help="column with known labels, 0 or 1; rows with 1 are left out")
    add("--quiet", action="store_true", help="print errors only")
    return parser


def models() -> Parser:
    """Return the parser of `oddwave models`."""
    return Parser(prog="oddwave models", description="List the shipped detectors.", epilog="example:\n  oddwave models")


def _add_model(parser: Parser, default: str) -> None:
    group = parser.add_argument_group("detector")
    add = group.add_argument
    add("--model", metavar="NAME|PATH", help=f"shipped, a file or a training output (default: {default})")
    add("--device", metavar="DEVICE", help="cpu, auto, or a kind and number such as gpu:0 (default: cpu)")
    add("--use_hpip", action="store_const", const=True, help="no faster engine exists yet")


def _add_settings(parser: Parser) -> None:
    group = parser.add_argument_group("settings")
    add = group.add_argument
    add("--scoring", metavar="WAY", help="full: all windows that hold a row (default); causal: the past only")
    add("--threshold", type=_decimal, metavar="X", help="score above which a row is anomalous")
    add("--time_col", metavar="NAME", help="column with the times (default: found by its name)")
    add("--group_col", metavar="NAME", help="column that splits the table into series, scored one by one")
    add("--step_s", type=_decimal, metavar="X", help="time step in seconds, or units of a whole-number time")
    add("--max_gap", type=_whole, metavar="N", help="longest run of missing rows to fill")
    add("--merge_gap", type=_whole, metavar="N", help="join events with at most N rows between (default: 5)")
    add("--min_length", type=_whole, metavar="N", help="drop events shorter than N rows (default: 1)")


def _add_output(parser: Parser) -> None:
    group = parser.add_argument_group("output")
    add = group.add_argument
    add(
        "--save_path",
        metavar="DIR|FILE",
        help="folder to save results in, or the file for a single one, such as out.html",
    )
    add(
        "--format",
        type=_formats,
        metavar="LIST",
        help=f"what to save, with commas: {', '.join(FORMATS)} (default: as --save_path ends, or csv)",
    )
    add("--fail-on-anomaly", action="store_true", help="exit with status 3 if a row is anomalous")
    add("--quiet", action="store_true", help="print errors only")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _decimal(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    for word in formats:
        if word not in FORMATS:
            known = ", ".join(FORMATS)
            raise argparse.ArgumentTypeError(f"{word!r} can't be saved.{nearest(word, FORMATS)} Known: {known}")
    if not formats:
        raise argparse.ArgumentTypeError(f"nothing to save. Known: {', '.join(FORMATS)}")
    return formats
