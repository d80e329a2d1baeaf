"""Table: data frames, Arrow tables, arrays and Parquet files, column by column, as blocks.

pandas and pyarrow are never imported here: whoever passes one of their objects has them loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oddwave.errors import InputError
from oddwave.read.block import Block, Text
from oddwave.read.cells import numbers
from oddwave.read.columns import TIME_NAMES, Roles, assign, listed
from oddwave.read.times import Stamps, stamps
from oddwave.series import Columns, Floats

if TYPE_CHECKING:
    import polars as pl

Column: TypeAlias = "NDArray[Any] | list[str] | Stamps"
MAX_CELLS = 1 << 28
"""Most rows times columns of a Parquet file that is read in one piece: 2 GB as numbers."""


@dataclass
class Table:
    """Named columns, each as numbers, texts or typed times."""

    names: list[str]
    columns: Sequence[Any]
    source: str
    n_rows: int
    time_name: str | None = None

    def column(self, at: int) -> Column:
        """Return one column; converted only when asked for."""
        given = self.columns[at]
        if isinstance(given, (np.ndarray, Stamps, list)):
            return given
        if type(given).__module__.startswith("polars"):
            return _polars_column(given)
        return _pandas_column(given)

    def block(self, roles: Roles, first_row: int = 1) -> Block:
        """Read the columns that have a role."""
        block = Block(
            np.empty((self.n_rows, len(roles.channels))),
            np.arange(first_row, first_row + self.n_rows, dtype=np.int64),
        )
        for at, column in enumerate(roles.channels):
            block.values[:, at] = self._numbers(block, at, self.column(column))
        if roles.time is not None:
            block.times = _times(self.column(roles.time))
        if roles.group is not None:
            block.groups = _texts(self.column(roles.group))
        if roles.label is not None:
            labels = self.column(roles.label)
            block.labels = labels.astype(np.float64) if isinstance(labels, np.ndarray) else _texts(labels)
        return block

    def _numbers(self, block: Block, at: int, column: Column) -> Floats:
        if isinstance(column, np.ndarray):
            return column.astype(np.float64)
        texts = _texts(column)
        values, odd = numbers(texts)
        if odd.text_count:
            block.texts[at] = Text(odd.text_count, int(block.lines[odd.first_text]), texts[odd.first_text])
        return values


def table_of(data: Any, columns: Columns) -> Table | None:
    """Take a pandas or polars frame, an Arrow table or an array as a table; None if it is none of these."""
    if isinstance(data, np.ndarray):
        return _array(data, columns)
    pandas, polars, pyarrow = (sys.modules.get(name) for name in ("pandas", "polars", "pyarrow"))
    if pandas is not None and isinstance(data, (pandas.DataFrame, pandas.Series)):
        return _pandas(data.to_frame() if isinstance(data, pandas.Series) else data, columns)
    if pyarrow is not None and isinstance(data, (pyarrow.Table, pyarrow.RecordBatch)):
        _refuse_twins(data.column_names)
        import polars as pl

        return polars_table(pl.DataFrame(data), "Table")
    if polars is not None and isinstance(data, (polars.DataFrame, polars.Series, polars.LazyFrame)):
        frame = data.collect() if isinstance(data, polars.LazyFrame) else data
        return polars_table(frame.to_frame() if isinstance(frame, polars.Series) else frame, "DataFrame")
    return None


def polars_table(frame: pl.DataFrame, source: str) -> Table:
    """Take a polars frame as a table."""
    return Table([name.strip() for name in frame.columns], frame.get_columns(), source, len(frame))


def roles_of(names: Sequence[str], columns: Columns, source: str, n_rows: int) -> Roles:
    """Find the columns of a table that has rows."""
    try:
        roles = assign(names, columns)
    except InputError as error:
        raise InputError(f"{source} {error}") from None
    if not n_rows:
        raise InputError(f"{source} has columns, but no rows.\nCheck what wrote it.")
    return roles


def parquet_bytes(path: Path) -> int:
    """Return what a Parquet file takes in memory, however small it is packed; 0 if it can't be read."""
    import polars as pl

    try:
        return 8 * _cells(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return 0  # reading it will tell why


def _cells(file: Path | IO[bytes]) -> int:
    """Return rows times columns, from the footer."""
    import polars as pl

    frame = pl.scan_parquet(file, glob=False)
    return int(frame.select(pl.len()).collect().item()) * len(frame.collect_schema())


def parquet_tables(file: Path | IO[bytes], source: str, rows: int | None) -> Iterator[Table]:
    """Yield a Parquet file's table, whole if it isn't too large, or in pieces of `rows` rows."""
    import polars as pl

    try:
        if rows is None:
            cells = _cells(file)
            if cells > MAX_CELLS:
                raise InputError(
                    f"{source} has {cells:,} cells, more than {MAX_CELLS:,}, the most that is read in one piece.\n"
                    "Take out rows or columns, or, if it is in time order, save the results as CSV: that needs less."
                )
            yield polars_table(pl.read_parquet(file, glob=False), source)
            return
        for frame in pl.scan_parquet(file, glob=False).collect_batches(chunk_size=rows, maintain_order=True):
            for start in range(0, len(frame), rows):
                yield polars_table(frame[start : start + rows], source)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = str(error).splitlines()[0][:200]
        raise InputError(f"{source} is no Parquet file that can be read: {why}.\nWrite it again.") from None


def _array(data: NDArray[Any], columns: Columns) -> Table:
    if data.ndim not in (1, 2) or data.dtype.kind not in "buif":
        raise InputError(
            f"The array has the shape {data.shape} and the type {data.dtype}.\n"
            "Give numbers of the shape (time,) or (time, channel)."
        )
    if isinstance(data, np.ma.MaskedArray):
        data = np.ma.filled(data.astype(np.float64), np.nan)
    matrix = data[:, None] if data.ndim == 1 else data
    names = columns.channels or tuple(f"feature_{at}" for at in range(matrix.shape[1]))
    if len(names) != matrix.shape[1]:
        raise InputError(
            f"The array has {matrix.shape[1]} columns, but {len(names)} channels are read: {listed(names)}.\n"
            "Give a column for each channel, in this order, or a DataFrame with names."
        )
    return Table(list(names), list(matrix.T), "array", len(matrix))


def _pandas(frame: Any, columns: Columns) -> Table:
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name).strip() for name in frame]
    series = [frame.iloc[:, at] for at in range(len(names))]
    index = frame.index
    index_name = "" if index.name is None else str(index.name)
    is_typed = type(index).__name__ in ("DatetimeIndex", "PeriodIndex")
    wanted = {columns.time_col, columns.known_time_col}
    is_time = is_typed or index_name in wanted - {None} or index_name.lower() in TIME_NAMES
    if is_time and index_name not in names and (columns.time_col is None or columns.time_col not in names):
        index = index.to_timestamp() if type(index).__name__ == "PeriodIndex" else index
        name = index_name or columns.time_col or columns.known_time_col or "timestamp"
        if name not in names:
            return Table([name, *names], [index.to_series(), *series], "DataFrame", len(frame), name)
    return Table(names, series, "DataFrame", len(frame))


def _pandas_column(column: Any) -> Column:
    dtype = column.dtype
    if getattr(dtype, "tz", None) is not None:
        return stamps(column.dt.tz_localize(None).to_numpy(), column.dt.tz_convert(None).to_numpy())
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, np.dtype) and kind in "buif":
        return np.asarray(column.to_numpy())
    if kind in "iu" and not column.hasnans:
        return np.asarray(column.to_numpy(dtype=np.int64 if kind == "i" else np.uint64))
    if kind in "buif":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "M":
        return stamps(column.to_numpy(dtype="datetime64[us]"))
    return [_text(cell, is_blank) for cell, is_blank in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _text(cell: Any, is_blank: bool) -> str:
    if is_blank:
        return ""
    return str(cell.isoformat(sep=" ")) if hasattr(cell, "hour") and hasattr(cell, "year") else str(cell)


def _polars_column(column: pl.Series) -> Column:
    import polars as pl

    kind = column.dtype
    if kind == pl.Date:
        return stamps(column.cast(pl.Datetime("us")).to_numpy(), is_date=True)
    if isinstance(kind, pl.Datetime):
        local = column.dt.replace_time_zone(None).cast(pl.Datetime("us")).to_numpy()
        if kind.time_zone is None:
            return stamps(local)
        utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
        return stamps(local, utc.to_numpy())
    if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
        is_whole = kind.is_integer() and not column.null_count()
        return np.asarray((column if is_whole else column.cast(pl.Float64)).to_numpy())
    texts = column.cast(pl.String) if kind in (pl.Categorical, pl.Enum) else column
    return ["" if cell is None else str(cell) for cell in texts.to_list()]


def _times(column: Column) -> Any:
    if not isinstance(column, np.ndarray):
        return column
    is_whole = column.dtype.kind in "iu" and not (len(column) and int(column.max()) > np.iinfo(np.int64).max)
    return column.astype(np.int64 if is_whole else np.float64)


def _texts(column: Column) -> list[str]:
    if isinstance(column, list):
        return column
    if isinstance(column, Stamps):
        return [str(text) for text in column.text]
    return ["" if str(cell) == "nan" else str(cell) for cell in column.tolist()]


def _refuse_twins(names: Sequence[str]) -> None:
    roles_of(names, Columns(), "Table", n_rows=1)  # before polars, which would rename them
