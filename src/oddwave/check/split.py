"""Split: the rows of a dataset into train and val by percent, in time order; the originals stay as NAME.bak."""

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from oddwave.atomic import Atomic
from oddwave.errors import ConfigError, InputError, OutputError
from oddwave.read.columns import LABEL_NAMES
from oddwave.series import Columns, Series

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Split:
    """What a split wrote.

    Parameters
    ----------
    backups
        The originals, under their new names.
    """

    train: Path
    val: Path
    train_rows: int
    val_rows: int
    backups: tuple[Path, ...]
    notes: tuple[str, ...]


class _Part(NamedTuple):
    """One file: its rows as they are, in time order, and the same rows as read."""

    path: Path
    frame: pl.DataFrame
    series: Series
    first: float
    last: float
    separator: str


def split(
    data: str | PathLike[str],
    train_percent: int,
    val_percent: int,
    *,
    time_col: str | None = None,
    label_col: str | None = None,
) -> Split:
    """Divide the rows of `train.*`, and of `val.*` if there is one, anew: the first percent to train, the rest to val.

    Parameters
    ----------
    data
        A dataset folder; or one file, which is divided into `train` and `val` beside it.
    train_percent, val_percent
        Whole numbers that add up to 100.

    Raises
    ------
    ConfigError
        If the percentages don't add up to 100.
    InputError
        If there is nothing to split, the two files overlap in time, or have different columns.
    OutputError
        If there are backups of an earlier split already, or a file can't be written.
    """
    if train_percent + val_percent != 100 or min(train_percent, val_percent) < 1:
        raise ConfigError(
            f"split: {train_percent} and {val_percent} percent were given.\n"
            "Give whole numbers from 1 to 99 that add up to 100, such as 80 and 20."
        )
    paths, folder = _files(Path(data))
    backups = {path: path.with_name(path.name + ".bak") for path in paths}
    _refuse_backups(backups)
    parts = sorted((_part(path, time_col, label_col) for path in paths), key=lambda part: part.first)
    frame, label = _joined(parts, label_col)
    cut = len(frame) * train_percent // 100
    if not 0 < cut < len(frame):
        raise InputError(f"{paths[0]} has {len(frame)} rows: too few to split.")
    suffix = ".parquet" if parts[0].path.suffix.lower() == ".parquet" else ".csv"
    train, val = folder / f"train{suffix}", folder / f"val{suffix}"
    _refuse_strangers({train, val} - set(paths))
    _replace(backups, {val: frame[cut:], train: frame[:cut]}, parts[0].separator)
    notes = list(_notes(frame[cut:], label))
    if any(_is_unclear(part.series) for part in parts):
        notes.append("Times were written as YYYY-MM-DD: a part of the file may not tell day from month any more.")
    return Split(train, val, cut, len(frame) - cut, tuple(backups.values()), tuple(notes))


def _files(data: Path) -> tuple[list[Path], Path]:
    """Return the files to split and the folder to write to."""
    from oddwave.train import rows

    train, val = rows.train_file(data), rows.val_file(data)
    paths = [path for path in (train, val) if path is not None] if data.is_dir() else [data]
    if not paths or (data.is_dir() and train is None) or not paths[0].exists():
        raise InputError(f"There is nothing to split in {data}.\nGive a folder with train.csv, or a file.")
    for path in paths:
        if path.suffix.lower() in (".xlsx", ".xlsm", ".xls"):
            raise InputError(f"{path} is an Excel workbook.\nConvert it to CSV first; split divides that.")
    return paths, data if data.is_dir() else data.parent


def _refuse_backups(backups: dict[Path, Path]) -> None:
    there = [(path, backup) for path, backup in backups.items() if backup.exists()]
    if there and not all(backup.samefile(path) for path, backup in there):  # else it was cut short before it began
        path, backup = next((path, backup) for path, backup in there if not backup.samefile(path))
        raise OutputError(
            f"{backup} is there already: this dataset was split before.\n"
            f"To split the original again, rename {backup.name} to {path.name} first (and so all .bak); to split "
            "what is there now, move the .bak files away."
        )


def _refuse_strangers(paths: set[Path]) -> None:
    for path in paths:
        if path.exists():
            raise OutputError(f"{path} is there already and would be overwritten.\nTake it away, or rename it.")


def _part(path: Path, time_col: str | None, label_col: str | None) -> _Part:
    import polars as pl

    from oddwave import read

    label = None if label_col in LABEL_NAMES else label_col
    whole = list(read.read_one(path, Columns(None, time_col, None, label, finds_label=True)))
    series = whole[0]
    separator = "" if path.suffix.lower() == ".parquet" else _separator(path)
    frame = _frame(path, separator)
    if len(frame) != len(series):
        raise InputError(f"{path} has blank lines among its {len(series):,} rows.\nTake them out first.")
    if _is_unclear(series):
        frame = frame.with_columns(pl.Series(series.time_name, _iso(series)))
    order = np.argsort(series.ticks, kind="stable")
    if (np.diff(order) < 0).any():
        frame = frame[order]
    ticks = series.ticks[order]
    return _Part(path, frame, series, float(ticks[0]), float(ticks[-1]), separator)


def _is_unclear(series: Series) -> bool:
    """Tell whether times are dates such as 03/04/2026: a part of the file may not tell day from month any more."""
    return any(note.startswith("Dates such as ") for note in series.notes)


def _iso(series: Series) -> list[str]:
    has_zone = any(mark in str(series.index[0])[10:] for mark in ("+", "-", "Z", "z", "UTC", "GMT"))
    times = np.datetime_as_string(series.ticks.astype("datetime64[us]"), unit="auto")
    return [f"{time.replace('T', ' ')}{'+00:00' if has_zone else ''}" for time in times.tolist()]


def _frame(path: Path, separator: str) -> pl.DataFrame:
    """Read all columns of a file, the cells of a CSV as the texts that they are."""
    import polars as pl

    if not separator:
        return pl.read_parquet(path, glob=False)
    try:
        return pl.read_csv(path, separator=separator, infer_schema=False, glob=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} can't be split: {str(error).splitlines()[0][:200]}.") from None


def _separator(path: Path) -> str:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if is_packed else path.open("rb") as file:
        return max(",;\t|", key=file.readline().decode("utf-8", "replace").count)


def _joined(parts: list[_Part], label_col: str | None) -> tuple[pl.DataFrame, str | None]:
    """Lay the files end to end; one that has no labels gets 0s."""
    import polars as pl

    first, last = parts[0], parts[-1]
    frames = [part.frame for part in parts]
    label = next(
        (name for part in parts for name in part.frame.columns if name.strip() in (label_col, *LABEL_NAMES)), None
    )
    if len(parts) > 1:
        if first.series.kind != "row" and first.last > last.first:
            raise InputError(
                f"{first.path} and {last.path} overlap in time, so that their rows have no common order.\n"
                "Join them in one file whose times go on, or leave them as they are."
            )
        frames = [
            frame.with_columns(_zeros(label, parts)) if label is not None and label not in frame.columns else frame
            for frame in frames
        ]
        columns = frames[0].columns
        if set(frames[1].columns) != set(columns):
            odd = sorted(set(frames[1].columns) ^ set(columns))
            raise InputError(
                f"{first.path} and {last.path} have different columns: {', '.join(odd[:5])}.\nGive both the same."
            )
        frames = [frame.select(columns) for frame in frames]
    return pl.concat(frames, how="vertical_relaxed"), label


def _zeros(label: str, parts: list[_Part]) -> pl.Expr:
    import polars as pl

    kind = next(part.frame[label].dtype for part in parts if label in part.frame.columns)
    return pl.lit("0" if kind == pl.String else 0).cast(kind).alias(label)


def _replace(backups: dict[Path, Path], frames: dict[Path, pl.DataFrame], separator: str) -> None:
    """Keep the originals under a second name, then put the new files in their place.

    Whenever it is cut short, the originals are whole: under their own names, or as backups.
    """
    for path, backup in backups.items():
        if not backup.exists():
            _second_name(path, backup)
    for path, frame in frames.items():
        with Atomic(path) as file:
            if separator:
                frame.write_csv(file, separator=separator)
            else:
                frame.write_parquet(file)
    for path in backups.keys() - frames.keys():  # of another name than train and val: its backup stays
        path.unlink()


def _second_name(path: Path, backup: Path) -> None:
    try:
        os.link(path, backup)
    except OSError:  # a disk that has no links
        with path.open("rb") as old, Atomic(backup) as new:
            shutil.copyfileobj(old, new)


def _notes(val: pl.DataFrame, label: str | None) -> list[str]:
    if label is None:
        return ["The rows have no labels: without them, val can't be used to evaluate with."]
    if not val[label].cast(str).str.strip_chars().is_in(["1", "1.0", "true", "True"]).any():
        return ["No row of val is labelled anomalous: to evaluate, give val a larger share, or other rows."]
    return []
