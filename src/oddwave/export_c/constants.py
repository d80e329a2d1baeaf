"""What a detector's metadata says, as constants in C."""

from __future__ import annotations

import numpy as np

from oddwave.export_c.loops import number, table
from oddwave.metadata import TERMS, Metadata
from oddwave.terms import MOST, Constants

_TABLES = ("spread_center", "spread_scale", "distance_scale", "shift_scale")


def words(metadata: Metadata) -> dict[str, str]:
    """Return what the templates leave open, by name."""
    ways = {name: Constants(metadata, name) for name in ("full", "causal")}
    causal = ways["causal"]
    step = metadata.time.step if metadata.time.kind != "row" else None
    sizes = {
        "channels": len(metadata.channels), "scored": len(causal.center), "size": metadata.size,
        "stride": metadata.stride, "max_gap": metadata.max_gap,
        "history": causal.reach.before + 1, "smoothing": causal.smoothing.before + 1,
    }  # fmt: skip
    picked = np.arange(len(metadata.channels))[causal.pick].tolist()
    texts = {
        "model": metadata.model,
        "names": ",\n    ".join(_text(name) for name in metadata.channels),
        "time_name": _text(metadata.time.name),
        "time_is_text": str(int(metadata.time.kind == "datetime")),
        "time_step": number(step or 0.0),
        "picked": "static const int scored[] = {" + ", ".join(map(str, picked)) + "};\n",
        "scaling": table("double", "center", causal.center.tolist()) + table("double", "scale", causal.scale.tolist()),
        "ways": "\n".join(_way(metadata, name, constants) for name, constants in ways.items()),
    }
    return {name: str(value) for name, value in sizes.items()} | texts


def _way(metadata: Metadata, name: str, constants: Constants) -> str:
    tables = [table("double", f"{name}_{key}", getattr(constants, key).tolist()) for key in _TABLES]
    tails = []
    for term, (knots, rare, slope), most in zip(TERMS, constants.tails, MOST.tolist(), strict=True):
        tables += [table("double", f"{name}_{term}_knots", knots.tolist())]
        tables += [table("double", f"{name}_{term}_surprises", rare.tolist())]
        cap = "HUGE_VAL" if most == float("inf") else number(most)
        tails.append(f"{{{name}_{term}_knots, {name}_{term}_surprises, {len(knots)}, {number(slope)}, {cap}}}")
    spans = (constants.rolling, constants.long_rolling, constants.smoothing)
    numbers = [constants.error_rows, *(rows for span in spans for rows in span), constants.warm_up]
    threshold = number(getattr(metadata, name).alarm.threshold)
    return (
        "".join(tables)
        + f"const DetectorWay detector_{name} = {{\n    {', '.join(map(str, numbers))}, {threshold},\n    "
        + ", ".join(f"{name}_{key}" for key in _TABLES)
        + ",\n    {"
        + ",\n     ".join(tails)
        + "}};\n"
    )


def _text(text: str) -> str:
    """Write a text as C does, in ASCII; signs beyond are bytes of UTF-8."""
    plain = set(map(chr, range(32, 127))) - set('"\\?')
    return (
        '"'
        + "".join(sign if sign in plain else "".join(f"\\{byte:03o}" for byte in sign.encode()) for sign in text)
        + '"'
    )
