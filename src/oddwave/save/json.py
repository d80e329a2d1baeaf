"""A result as one JSON object."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from oddwave.atomic import Atomic
from oddwave.result import REASONS, Result, as_dict
from oddwave.save.paths import place, utf8


def to_json(result: Result, save_path: str | PathLike[str]) -> Path:
    """Write one JSON object; what has no value is null."""
    path = place(result, save_path, ".json")
    with Atomic(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(as_json(result)), indent=0))
        file.write(b"\n")
    return path


def as_json(result: Result) -> dict[str, Any]:
    """Return a result as plain lists, texts and numbers; NaN is left for the encoder to write as null."""
    series = result.series
    rows: dict[str, Any] = {
        "time": series.index.tolist(),
        "label": [None if label < 0 else label for label in result.label.tolist()],
        "score": result.score.tolist(),
    }
    if result.reason.any():
        rows["reason"] = [REASONS[code] or None for code in result.reason.tolist()]
    if result.contribution is not None:
        columns = zip(series.channels, result.contribution.T, strict=True)
        rows["contribution"] = {channel: column.tolist() for channel, column in columns}
    return {
        "input_path": utf8(result.input_path),
        **({} if result.group is None else {"group": utf8(result.group)}),
        "model": result.model,
        "scoring": result.scoring,
        "threshold": result.threshold,
        "time_name": series.time_name,
        "rows": rows,
        "events": [as_dict(event) for event in result.events],
        "notes": [utf8(note) for note in result.notes],
    }
