"""Write tests/data/vectors/ with the slow twin: `python tests/make_vectors.py`. See docs/detector-format.md.

The numbers in vectors.json come from the twin alone; the package only trains the detector that is written beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

import made
import numpy as np
import twin

FOLDER = Path(__file__).parent / "data" / "vectors"
SIZE = 8


def series() -> tuple[list, list]:
    """Return times and rows: missing rows and cells, short and long, a repeated time and faults."""
    values = made.rows(140, 3, seed=11)
    values[25:29, 1] += 12  # a jump
    values[44:52, 2] = values[44, 2]  # a sensor that is stuck
    values[70:78, 0] += np.linspace(0, 9, 8)  # a drift
    values = [[round(cell, 4) for cell in row] for row in values.tolist()]
    for row, channels in {
        0: [0],
        1: [0, 2],
        33: [1],
        34: [1],
        90: [0, 1, 2],
        110: [2],
        111: [2],
        112: [2],
        113: [2],
        114: [2],
    }.items():
        for c in channels:
            values[row][c] = None
    times = list(range(1000, 1140))
    for first, more in ((40, 1), (60, 3), (85, 4), (120, 0.3), (125, 50), (132, 0.7)):
        times[first:] = [time + more for time in times[first:]]
    times[56] = times[55]
    return times, values


def windows() -> list:
    """Return windows, the second far outside the usual."""
    values = made.rows(3 * SIZE, 3, seed=12).reshape(3, SIZE, 3)
    values[1] *= 1000
    return [[[round(cell, 4) for cell in row] for row in window] for window in values.tolist()]


def vectors(data: bytes) -> dict:
    """Compute all that vectors.json holds with the twin."""
    times, values = series()
    ways = {}
    for scoring in ("full", "causal"):
        found = twin.detect(data, times, values, kind="number", scoring=scoring)
        ways[scoring] = {
            "threshold": twin.metadata_of(data)[scoring]["alarm"]["threshold"],
            "score": found.score,
            "label": found.label,
        }
    errors = [
        [[float(f"{cell:.9g}") for cell in row] for row in twin.window_errors(data, window)] for window in windows()
    ]
    return {
        "windows": windows(),
        "errors": errors,
        "series": {"channels": twin.metadata_of(data)["channels"], "time": times, "values": values},
        **ways,
    }


def text_of(content: dict) -> str:
    """Write JSON with a window, a row or a run of numbers on a line."""

    def lines(items, indent):
        return (
            "[\n"
            + ",\n".join(" " * indent + json.dumps(item, allow_nan=False) for item in items)
            + "\n"
            + " " * (indent - 2)
            + "]"
        )

    parts = [f'  "{key}": ' + lines(content[key], 4) for key in ("windows", "errors")]
    rows = content["series"]
    parts.append(
        '  "series": {\n    "channels": ' + json.dumps(rows["channels"]) + ',\n    "time": ' + json.dumps(rows["time"])
        + ',\n    "values": ' + lines(rows["values"], 6) + "\n  }"
    )  # fmt: skip
    for scoring in ("full", "causal"):
        way = content[scoring]
        inner = ",\n".join(
            f'    "{key}": {json.dumps(way[key], allow_nan=False)}' for key in ("threshold", "score", "label")
        )
        parts.append(f'  "{scoring}": {{\n{inner}\n  }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    detector = made.trained("PCA_ad", 3, input_len=SIZE, stride=3, false_alarms=0.01)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "detector.onnx").write_bytes(detector.data)
    (FOLDER / "vectors.json").write_text(text_of(vectors(detector.data)), encoding="utf-8")
