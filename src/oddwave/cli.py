"""The command line: parse, one call, print; every error is one message and an exit status."""

from __future__ import annotations

import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from oddwave import cli_flags
from oddwave.cli_flags import COMMANDS
from oddwave.cli_terminal import silence, tell
from oddwave.errors import ConfigError, OddwaveError, nearest

DONE, MISTAKE, ANOMALIES, FAULT, INTERRUPTED = 0, 2, 3, 70, 130


def run() -> NoReturn:
    """Run the command line and end the process."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as `>&-` does
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (open to the end)
    # numpy would start a thread for each processor, which takes longer than the little linear algebra done here
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in ("SIGTERM", "SIGHUP"):
        if getattr(signal, name, None) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), _stop)
    sys.exit(main(sys.argv[1:]))


def _stop(number: int, frame: object) -> NoReturn:  # noqa: ARG001 (Python gives it)
    """End as the signal would have, but take half-written files along."""
    sys.exit(128 + number)


def main(words: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal can't show is no reason to fail
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _command(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has seen enough
        silence()
        return DONE
    except OddwaveError as error:
        tell(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        tell("interrupted; what was not yet saved whole is not saved.")
        return INTERRUPTED
    except MemoryError:
        tell("there is not enough memory for this input. Split it, or sort it by time and save only CSV.")
        return MISTAKE
    except Exception as error:  # noqa: BLE001 (the last place that can still explain)
        return _fault(error)


def _fault(error: Exception) -> int:
    if os.environ.get("ODDWAVE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    tell(
        f"a fault of ours, sorry: {type(error).__name__}: {error}\n"
        "Please report it with the command, `oddwave --version` and, if you may, the input.\n"
        "Set ODDWAVE_DEBUG=1 and run it again to see where it happened; add that to the report."
    )
    return FAULT


def _command(words: Sequence[str]) -> int:
    if not words:
        cli_flags.bare().print_help()
        return MISTAKE
    first = words[0]
    if first in COMMANDS:
        return _subcommand(first, words[1:])
    if not first.startswith("-"):
        file = f"\nTo score the file, type: oddwave predict {first}" if Path(first).exists() else ""
        raise ConfigError(f"{first!r} is no command.{nearest(first, COMMANDS)}{file}\nSee: oddwave --help")
    return _bare(words)


def _subcommand(name: str, words: Sequence[str]) -> int:
    mixed = [flag for flag in (word.partition("=")[0] for word in words) if flag in cli_flags.BARE_ONLY]
    if mixed:
        raise ConfigError(
            f"{mixed[0]} belongs to the command without a subcommand; it can't stand together with {name}.\n"
            f"See: oddwave --help, and oddwave {name} --help"
        )
    flags = cli_flags.PARSERS[name]().parse(words)
    others = {"predict": _predict, "serve": _serve, "models": _models, "bench": _bench}
    if name in others:
        return others[name](flags)
    from oddwave import cli_train

    if name == "check":
        return DONE if cli_train.check(flags) else MISTAKE
    if name == "train":
        return DONE if cli_train.train(flags) else INTERRUPTED
    (cli_train.evaluate if name == "evaluate" else cli_train.export)(flags)
    return DONE


def _by_mode(words: Sequence[str]) -> int:
    """Do what Global.mode says, as the tutorial's `main.py -c FILE -o Global.mode=train` does."""
    from oddwave import cli_file, training_file

    flags, _ = cli_flags.by_mode().parse_known_args(words)
    mode = training_file.read(flags.config, flags.override or []).Global.mode
    if mode is None:
        raise ConfigError(
            "-c and -o don't say what to do. Give a command, as in oddwave train -c FILE, or -o Global.mode=train."
        )
    return _subcommand(cli_file.COMMANDS.get(mode, mode), words)


def _bare(words: Sequence[str]) -> int:
    if any(re.match("-[co]|--(config|override)(=|$)", word) for word in words):
        return _by_mode(words)
    parser = cli_flags.bare()
    flags, rest = parser.parse_known_args(words)
    for word in [*rest, *(flags.input or [])[1:]]:
        if word in COMMANDS and not Path(word).exists():
            raise ConfigError(
                f"The subcommand {word} can't stand together with flags before it.\n"
                f"Give either oddwave {word} ..., or flags alone; see: oddwave --help"
            )
    if flags.serve:
        return _serve(cli_flags.serve(is_bare=True).parse([word for word in words if word != "--serve"]))
    flags = parser.parse(words)
    if flags.get_pipeline_config is not None:
        return _get_pipeline_config(flags)
    return _predict(flags)


def _get_pipeline_config(flags: Namespace) -> int:
    from oddwave.config import write_pipeline_config

    apart = {"get_pipeline_config", "save_path", "quiet"}
    others = [name for name, value in vars(flags).items() if name not in apart and value]
    if others:
        raise ConfigError(f"--{others[0]} can't stand together with --get_pipeline_config. Leave one of them out.")
    path = write_pipeline_config(flags.get_pipeline_config, flags.save_path or ".")
    if not flags.quiet:
        print(f"The pipeline file is saved as {path}")
    return DONE


def _predict(flags: Namespace) -> int:
    from oddwave.cli_predict import predict

    found = predict(flags)
    return ANOMALIES if found and flags.fail_on_anomaly else DONE


def _serve(flags: Namespace) -> int:
    from oddwave.cli_serve import serve

    serve(flags)
    return DONE


def _bench(flags: Namespace) -> int:
    from oddwave.cli_bench import bench

    bench(flags)
    return DONE


def _models(flags: Namespace) -> int:  # noqa: ARG001 (every command takes them)
    from oddwave import detector_file
    from oddwave.detector import find, shipped, shipped_scores

    scores = shipped_scores()
    rows: list[tuple[str, ...]] = [("name", "size", "channels", "window", "VUS-PR", "F1")]
    for name, found in scores.items():
        about = ["", "", ""]  # of a score that needs no training
        if name in shipped():
            data = detector_file.read(find(name))
            metadata = detector_file.decode(data, name)
            rows_a_window = f"{metadata.size} row{'' if metadata.size == 1 else 's'}"
            about = [f"{len(data) / 1024:.0f} KB", f"{len(metadata.channels)}", rows_a_window]
        rows.append((name, *about, *(f"{found[key]:.3f}" for key in ("vus_pr", "f1"))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        print(
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
            sep="  ",
        )
    print(
        "\nTrained on server metrics; VUS-PR and F1 are of later rows of these, beside scores that need no training.\n"
        "Your series needs its own detector: oddwave train normal.csv --out runs/mine"
    )
    return DONE
