"""The command line's flags: which there are, what they take, what their help says."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from shutil import get_terminal_size
from typing import Any, NoReturn

from oddwave import __version__
from oddwave.cli_texts import (
    BARE,
    BARE_EXAMPLE,
    BENCH_EXAMPLE,
    CHECK_EXAMPLE,
    EVALUATE_EXAMPLE,
    EXPORT_EXAMPLE,
    PREDICT_EXAMPLE,
    SERVE_EXAMPLE,
    TRAIN_EXAMPLE,
)
from oddwave.errors import ConfigError, nearest

COMMANDS = ("check", "train", "evaluate", "export", "predict", "serve", "models", "bench")
FORMATS = ("csv", "json", "xlsx", "html", "png")
BARE_ONLY = ("--pipeline", "--input", "--get_pipeline_config", "--serve")

DATA = "file, URL, folder, pattern, or - for a CSV on standard input"
BUDGET = 'false alarms to put up with: "1/day", "1/week", or a share of the rows such as 0.001'


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, width=min(get_terminal_size().columns, 100) - 2)


class Parser(argparse.ArgumentParser):
    """argparse, with one message and the nearest flag instead of a usage text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **options)

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
    add("--serve", action="store_true", help="answer requests over HTTP; see oddwave serve --help for its flags")
    add("--version", action="version", version=f"oddwave {__version__}")
    _add_model(parser, default="the pipeline's")
    _add_settings(parser)
    _add_output(parser)
    return parser


def predict() -> Parser:
    """Return the parser of `oddwave predict`."""
    parser = Parser(prog="oddwave predict", description="Score new data.", epilog=PREDICT_EXAMPLE)
    parser.add_argument("input", metavar="DATA", nargs="*", help=DATA)
    _add_file(parser)
    _add_model(parser, default="DLinear_ad")
    _add_settings(parser)
    _add_output(parser)
    return parser


def check() -> Parser:
    """Return the parser of `oddwave check`."""
    parser = Parser(
        prog="oddwave check",
        description="Say what training would stumble over, and what to do about it.",
        epilog=CHECK_EXAMPLE,
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", help="file, or folder with train.* and, if there are labels, val.*")
    add("--val", metavar="FILE", help="labelled rows, if DATA is one file")
    add("--convert", action="store_true", help="first write each XLSX and XLS of the folder as CSV")
    add("--split", metavar="TRAIN/VAL", type=_percents, help="first cut the rows in time order, as in 80/20")
    _add_out(parser, "folder for check_dataset_result.json")
    _add_columns(parser)
    _add_file(parser)
    return parser


def train() -> Parser:
    """Return the parser of `oddwave train`."""
    parser = Parser(
        prog="oddwave train",
        description="Train a detector on data in which nothing, or next to nothing, is anomalous.",
        epilog=TRAIN_EXAMPLE,
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", help="file of normal rows, folder of such, or - for standard input")
    add("--model", metavar="NAME", help="what to train (default: DLinear_ad)")
    _add_out(parser, "folder for the detector and all about the training")
    add("--force", action="store_true", help="replace the detector, or the interrupted training, in --out")
    add("--resume", action="store_true", help="go on with the training that was interrupted in --out")
    add("--from", dest="start", metavar="RUN|NAME", help="start from the weights of a run, or of a shipped model")
    _add_budget(parser)
    _add_rows(parser)
    _add_plan(parser)
    _add_file(parser)
    return parser


def _add_rows(parser: Parser) -> None:
    group = parser.add_argument_group("rows and columns")
    add = group.add_argument
    _add_columns(group)
    add("--per_group", action="store_true", help="train one detector a group, not one for all")
    add("--exclude", metavar="START/END", nargs="+", action="extend", help="times to leave out, such as maintenance")
    add("--mask_col", metavar="NAME", help="column with 1 in the rows to leave out")


def _add_plan(parser: Parser) -> None:
    group = parser.add_argument_group("training (default: the model's own)")
    add = group.add_argument
    add("--epochs", type=_whole, metavar="N", help="passes over the training windows, at most")
    add("--batch_size", type=_whole, metavar="N", help="windows a training step")
    add("--learning_rate", type=_decimal, metavar="X", help="size of a training step")
    add("--input_len", type=_whole, metavar="N", help="rows a window")
    add("--seed", type=_whole, metavar="N", help="start of the random numbers")


def evaluate() -> Parser:
    """Return the parser of `oddwave evaluate`."""
    parser = Parser(
        prog="oddwave evaluate",
        description="Score labelled rows, and say how good that is beside scores that need no model.",
        epilog=EVALUATE_EXAMPLE,
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", help="file with labels, or folder with val.*")
    add("--model", metavar="RUN|PATH", help="run folder, detector file or shipped model (default: output)")
    add("--train", metavar="FILE", help="normal rows for the scores beside it, if neither run nor DATA has them")
    _add_out(parser, "folder for evaluate_result.json and the report", default="that of the run")
    _add_labelling(parser)
    add("--window", type=_whole, metavar="N", help="rows around an event in which VUS is lenient (default: 100)")
    add("--seed", type=_whole, metavar="N", help="start of the random numbers (default: 0)")
    _add_columns(parser)
    _add_file(parser)
    return parser


def export() -> Parser:
    """Return the parser of `oddwave export`."""
    parser = Parser(
        prog="oddwave export",
        description="Check a training's detector and copy it; finish a training that was interrupted.",
        epilog=EXPORT_EXAMPLE,
    )
    parser.add_argument("model", metavar="RUN|NAME", nargs="?", help="run folder, detector file or shipped model")
    parser.add_argument(
        "--target", metavar="KIND", default="onnx", help="onnx (default), or c: a C99 library and program"
    )
    _add_out(parser, "file that ends in .onnx, or folder for detector.onnx or C files", default="RUN/inference")
    parser.add_argument("--force", action="store_true", help="replace another detector at --out")
    _add_file(parser)
    return parser


def by_mode() -> Parser:
    """Return the parser of the tutorial's form, `-c FILE -o Global.mode=train`, for these two flags only."""
    parser = Parser(prog="oddwave", add_help=False)
    _add_file(parser)
    return parser


def serve(is_bare: bool = False) -> Parser:
    """Return the parser of `oddwave serve`; bare: of `oddwave --serve`."""
    name = "oddwave --serve" if is_bare else "oddwave serve"
    parser = Parser(prog=name, description="Answer requests over HTTP until Ctrl-C.", epilog=SERVE_EXAMPLE)
    add = parser.add_argument
    if is_bare:
        add("--pipeline", metavar="NAME|YAML", help="ts_ad, or a pipeline file")
    add("--host", metavar="HOST", help="address to listen on (default: 127.0.0.1, this machine only)")
    add("--port", type=_whole, metavar="N", help="port to listen on; 0: one that is free (default: 8080)")
    add("--workers", type=_whole, metavar="N", help="processes (default: one a processor, up to 8)")
    add("--log", metavar="LEVEL", help="requests to log: errors (default), all or off")
    group = parser.add_argument_group("detectors")
    add = group.add_argument
    add(
        "--model",
        metavar="NAME|PATH",
        action="append",
        help="shipped, a file, a run, or a folder of these; may be given several times, the first is the default one",
    )
    add("--device", metavar="DEVICE", help="cpu, auto, or a kind and numbers such as gpu:0,1 (default: cpu)")
    _add_hpip(group)
    _add_settings(parser, has_groups=False)
    group = parser.add_argument_group("access and limits")
    add = group.add_argument
    add("--api-key-file", metavar="FILE", help="let in only who sends one of the keys in this file")
    add("--new-key", metavar="NAME", help="make a key for NAME, add it to --api-key-file, print it, and stop")
    add("--allow-origin", metavar="ORIGIN", action="append", help="let web pages of this origin in")
    add("--allow-url-host", metavar="HOST", action="append", help="fetch CSV files from this host if a request says so")
    add("--no-page", action="store_true", help="no web page at /")
    add("--no-training", action="store_true", help="no training in the web page")
    add("--state-dir", metavar="DIR", help="where the page keeps its visitors' files (default: a temporary folder)")
    add("--max-upload", metavar="BYTES", help="largest file that the page takes (default: 256M)")
    add("--max-body", metavar="BYTES", help="largest body of a request (default: 16M)")
    add("--max-rows", type=_whole, metavar="N", help="most rows in a request (default: 200000)")
    add("--slots", type=_whole, metavar="N", help="requests at once in a worker, others get 503 (default: 64)")
    add("--timeout", dest="timeout_s", type=_decimal, metavar="S", help="longest time for a request (default: 30)")
    add("--drain", dest="drain_s", type=_decimal, metavar="S", help="time between not ready and the end (default: 1)")
    return parser


def models() -> Parser:
    """Return the parser of `oddwave models`."""
    return Parser(prog="oddwave models", description="List the shipped detectors.", epilog="example:\n  oddwave models")


def bench() -> Parser:
    """Return the parser of `oddwave bench`."""
    parser = Parser(
        prog="oddwave bench",
        description="Say how fast a detector is on this machine, and whether a device gives what the CPU gives.",
        epilog=BENCH_EXAMPLE,
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", help="a file of yours (default: rows like those it was trained on)")
    add("--model", metavar="NAME|PATH", default="DLinear_ad", help="default: DLinear_ad")
    add("--device", metavar="DEVICE", help="also measure this device, and compare it with the CPU")
    add("--use_hpip", action="store_true", help="also measure the engine that is fastest here, and compare it")
    add("--runs", metavar="N", type=_whole, default=5, help="runs of each measurement (default: 5)")
    return parser


def _add_out(parser: Parser, text: str, default: str = "output") -> None:
    parser.add_argument("--out", metavar="DIR", help=f"{text} (default: {default})")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def _add_columns(parser: argparse._ActionsContainer) -> None:
    add = parser.add_argument
    add("--time_col", metavar="NAME", help="column with the times (default: found by its name)")
    add("--group_col", metavar="NAME", help="column that splits the table into series, such as host")
    add("--label_col", metavar="NAME", help="column with known labels, 0 or 1 (default: label)")


def _add_file(parser: Parser) -> None:
    group = parser.add_argument_group("training file")
    add = group.add_argument
    add("-c", "--config", metavar="NAME|YAML", help="a model's built-in configuration, or a training file")
    add("-o", "--override", metavar="KEY=VALUE", action="append", help="key of the file, as in Train.epochs_iters=10")


def _add_model(parser: Parser, default: str) -> None:
    group = parser.add_argument_group("detector")
    add = group.add_argument
    add("--model", metavar="NAME|PATH", help=f"shipped, a file or a training output (default: {default})")
    add("--device", metavar="DEVICE", help="cpu, auto, or a kind and numbers such as gpu:0,1 (default: cpu)")
    _add_hpip(group)


def _add_hpip(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--use_hpip", action="store_const", const=True, help="take the engine that is fastest here, measured once"
    )


def _add_labelling(parser: argparse._ActionsContainer) -> None:
    """Add what decides which rows are anomalous."""
    add = parser.add_argument
    add("--scoring", metavar="WAY", help="full: all windows that hold a row (default); causal: the past only")
    add("--threshold", type=_decimal, metavar="X", help="score above which a row is anomalous")
    _add_budget(parser)


def _add_budget(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--false-alarms", dest="false_alarms", metavar="BUDGET", help=BUDGET)


def _add_settings(parser: Parser, has_groups: bool = True) -> None:
    group = parser.add_argument_group("settings")
    add = group.add_argument
    _add_labelling(group)
    add("--time_col", metavar="NAME", help="column with the times (default: found by its name)")
    if has_groups:
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


def _percents(text: str) -> tuple[int, int]:
    train, slash, val = text.partition("/")
    if not slash or not (train.strip().isdecimal() and val.strip().isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no split; write the two percentages, as in 80/20")
    return int(train), int(val)


def _formats(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    for word in formats:
        if word not in FORMATS:
            known = ", ".join(FORMATS)
            raise argparse.ArgumentTypeError(f"{word!r} can't be saved.{nearest(word, FORMATS)} Known: {known}")
    if not formats:
        raise argparse.ArgumentTypeError(f"nothing to save. Known: {', '.join(FORMATS)}")
    return formats


PARSERS: dict[str, Callable[[], Parser]] = {
    "check": check,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "predict": predict,
    "serve": serve,
    "models": models,
    "bench": bench,
}
