"""Check: what is wrong with a dataset before it is trained on; and its conversion and division.

read -> findings of each series -> findings between train and val -> `check_dataset_result.json`
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from oddwave.atomic import Atomic
from oddwave.check import labels, picture, times, values
from oddwave.check.convert import convert
from oddwave.check.finding import Finding
from oddwave.check.seen import HEAD, Seen, see
from oddwave.check.split import Split, split
from oddwave.errors import OddwaveError
from oddwave.read.columns import LABEL_NAMES
from oddwave.series import Columns, Series

__all__ = ["Checked", "Finding", "Split", "check_dataset", "convert", "findings", "split"]

RESULT_NAME = "check_dataset_result.json"
_ORDER = {"error": 0, "warning": 1, "note": 2}
_WINDOW, _MAX_GAP = 96, 3
_OF_VAL = ("order", "repeats", "clock", "label_like", "reading")
_SHORT = ("length", "stretches")


@dataclass(frozen=True)
class Checked:
    """What a check found, worst first.

    Parameters
    ----------
    result
        What `check_dataset_result.json` holds.
    """

    findings: tuple[Finding, ...]
    result: dict[str, Any]

    @property
    def is_passed(self) -> bool:
        """Whether there is no error among the findings."""
        return not any(finding.severity == "error" for finding in self.findings)

    def __str__(self) -> str:
        counts = [sum(finding.severity == severity for finding in self.findings) for severity in _ORDER]
        told = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in zip(counts, _ORDER, strict=True) if n)
        end = "Check dataset passed !" if self.is_passed else "Check dataset failed: correct the errors above."
        return "\n".join([*map(str, self.findings), *([told + "."] if told else []), end])


def check_dataset(
    data: Any,
    val: Any = None,
    *,
    out: str | os.PathLike[str] | None = None,
    time_col: str | None = None,
    group_col: str | None = None,
    label_col: str | None = None,
    feature_cols: tuple[str, ...] | None = None,
    window: int = _WINDOW,
    max_gap: int = _MAX_GAP,
) -> Checked:
    """Check rows to train on and, if there are some, labelled rows to evaluate with.

    Large files are checked in bounded memory: times, labels and shared rows on all rows, values on a sample.

    Parameters
    ----------
    data
        A folder with `train.*` and perhaps `val.*`, or anything that can be trained on.
    val
        Labelled rows, if `data` is no such folder.
    out
        Folder for `check_dataset_result.json` and the picture; None: nothing is written.
    label_col
        Column of the labels; None: `label`, if there is one.
    window
        Rows of a window that training will use.

    Raises
    ------
    OutputError
        If the result can't be written.
    """
    from oddwave.train import rows

    label = None if label_col in LABEL_NAMES else label_col  # these are found, and may be absent
    columns = Columns(feature_cols, time_col, group_col, label, finds_label=True)
    train_path, val_path = rows.train_file(data), rows.val_file(data)
    found: list[Finding] = []
    if train_path is None and val_path is not None:
        found.append(Finding("files", "error", f"{data} has {val_path.name}, but no train.csv.", "Give it one."))
    train = _read(train_path or data, columns, found) if train_path or not val_path else []
    wanted = val if val is not None else val_path
    labelled = [] if wanted is None else _read(wanted, columns, found)
    of_train = [(seen, [*_of(seen, True, window, max_gap), *labels.of_train(seen)]) for seen in train]
    found += labels.merged([(seen.series.title, one) for seen, ones in _lenient(of_train) for one in ones])
    for seen in labelled:
        of_val = [one for one in _of(seen, False, window, max_gap) if one.name in _OF_VAL]
        found += [replace(one, what=f"val: {one.what}") for one in of_val]
        found += labels.of_val(seen)
    found += _alike(train)
    if train and labelled:
        found += labels.between(train[0], labelled[0])
    elif wanted is None:
        found.append(Finding("val", "note", "There is no val, so nothing to evaluate with.",
                             "Labelled rows go into val.csv beside train.csv, or are made with split."))  # fmt: skip
    found.sort(key=lambda one: _ORDER[one.severity])
    result = _result(data, train, labelled, found)
    if out is not None:
        _write(result, train, labelled, Path(out))
    return Checked(tuple(found), result)


def findings(series: Series) -> list[Finding]:
    """Return what is odd about one series to train on."""
    return list(_of(see(iter([series])), True, _WINDOW, _MAX_GAP))


def _of(seen: Seen, is_normal: bool, window: int, max_gap: int) -> Iterator[Finding]:
    for note in seen.series.notes:
        if " missing (first: " not in note:  # told of by channel
            is_guess = "a guess" in note  # of day and month
            advice = "Write dates as YYYY-MM-DD, or make sure that the guess is right." if is_guess else ""
            yield Finding("reading", "warning" if is_guess else "note", note, advice)
    if seen.every > 1:
        yield Finding(
            "sample", "note", f"{len(seen):,} rows: values were checked on every {seen.every}th row, times on all."
        )
    yield from times.findings(seen, window, max_gap)
    yield from values.findings(seen.series, is_normal)


def _lenient(found: list[tuple[Seen, list[Finding]]]) -> list[tuple[Seen, list[Finding]]]:
    """Series too short for a window do no harm beside one that is long enough."""
    is_short = [any(one.name in _SHORT and one.severity == "error" for one in ones) for _, ones in found]
    if all(is_short):
        return found
    return [
        (
            seen,
            [
                replace(one, severity="warning") if one.name in _SHORT and one.severity == "error" else one
                for one in ones
            ],
        )
        for seen, ones in found
    ]


def _read(data: Any, columns: Columns, found: list[Finding]) -> list[Seen]:
    """Read every series that can be read; what can't be is a finding."""
    from oddwave import read
    from oddwave.train import rows

    seen: list[Seen] = []
    for source in read.sources(data):
        try:
            if rows.is_large(source) and columns.group_col is None:
                seen.append(see(read.read_chunks(source, columns)))
            else:
                seen += [see(iter([series])) for series in read.read_one(source, columns)]
        except OddwaveError as error:
            what, _, advice = str(error).partition("\n")
            found.append(Finding("unreadable", "error", what, advice))
    return seen


def _alike(train: list[Seen]) -> Iterator[Finding]:
    """Yield the series whose channels aren't those of the first one."""
    for seen in train[1:]:
        if set(seen.series.channels) != set(train[0].series.channels):
            odd = sorted(set(seen.series.channels) ^ set(train[0].series.channels))
            yield Finding(
                "channels", "error",
                f"{seen.series.title} and {train[0].series.title} have different channels: {', '.join(odd[:5])}.",
                "Name the channels that all have with feature_cols, or train a detector for each.", tuple(odd),
            )  # fmt: skip


def _result(data: Any, train: list[Seen], val: list[Seen], found: list[Finding]) -> dict[str, Any]:
    is_path = isinstance(data, (str, os.PathLike))
    return {
        "done_flag": True,
        "check_pass": not any(finding.severity == "error" for finding in found),
        "attributes": {
            "train_samples": sum(map(len, train)),
            "val_samples": sum(map(len, val)),
            "train_table": _table(train),
            "val_table": _table(val),
        },
        "analysis": {"histogram": ""},
        "dataset_path": os.fspath(data) if is_path else type(data).__name__,
        "show_type": "csv",
        "dataset_type": "TSADDataset",
        "findings": [asdict(finding) for finding in found],
    }


def _table(seen: list[Seen]) -> list[list[Any]]:
    """Return a header and the first ten rows."""
    if not seen:
        return []
    head = seen[0].head
    header = [*([] if head.kind == "row" else [head.time_name]), *head.channels]
    table: list[list[Any]] = [[*header, "label"] if head.labels is not None else header]
    for at in range(min(HEAD, len(head))):
        cells = [cell if math.isfinite(cell) else None for cell in head.values[at].tolist()]
        time = head.index[at]
        row = [*([] if head.kind == "row" else [time if isinstance(time, str) else time.item()]), *cells]
        table.append(row if head.labels is None else [*row, int(head.labels[at])])
    return table


def _write(result: dict[str, Any], train: list[Seen], val: list[Seen], out: Path) -> None:
    shown: Mapping[str, Seen] = {name: one[0] for name, one in (("train", train), ("val", val)) if one}
    if shown and picture.can_draw():
        picture.draw(shown, out / "check_dataset" / "histogram.png")
        result["analysis"] = {"histogram": "check_dataset/histogram.png"}
    elif shown:
        result["analysis"]["why"] = "No picture: matplotlib isn't installed. pip install 'oddwave[plot]'"
    with Atomic(out / RESULT_NAME) as file:
        file.write(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
