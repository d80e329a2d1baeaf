"""Bodies: JSON of a known form, and base64."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import numpy as np
import pybase64

from oddwave.clean import typical_step
from oddwave.config import Detection
from oddwave.detector import Detector
from oddwave.series import TICKS_PER_S, Series
from oddwave.serve.answers import Refused

MAX_COLUMNS = 10_000
SEPARATORS = (b",", b";", b"\t")

URL_SAFE, BLANKS = bytes.maketrans(b"-_", b"+/"), b" \t\r\n"
UNREADABLE = {b"\x1f\x8b": "gzip", b"PK": "ZIP or XLSX", b"PAR1": "Parquet", b"\xd0\xcf": "XLS"}
Form = TypeVar("Form")


def decoded(decoder: msgspec.json.Decoder[Form], body: bytes | bytearray, wanted: str) -> Form:
    """Read JSON.

    Parameters
    ----------
    wanted
        What to send instead, as a sentence.

    Raises
    ------
    Refused
        400 if it isn't JSON, 422 if it is JSON of another form.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "")
        raise Refused(422, f"The body has another form than is read: {reason}. {wanted}", "bad_request") from None
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refused(400, f"The body isn't JSON: {reason}. {wanted}", "bad_json") from None


def from_base64(text: str) -> bytes:
    r"""Return the bytes of a CSV in base64; the URL-safe alphabet, line ends and missing padding are taken too.

    Raises
    ------
    Refused
        422, if it isn't base64, or of something else than text.

    Examples
    --------
    >>> from_base64("dGltZSxmbG93"), from_base64("8J-YgA")[:4]
    (b'time,flow', b'\xf0\x9f\x98\x80')
    """
    try:
        found = pybase64.b64decode(text, validate=True)
    except ValueError:
        found = _lenient(text)
    for head, kind in UNREADABLE.items():
        if found.startswith(head):
            raise Refused(422, f"This is base64 of {kind}, not of a UTF-8 CSV. Send the CSV itself.", "bad_data")
    return found


def _lenient(text: str) -> bytes:
    try:
        plain = text.encode("ascii").translate(URL_SAFE, BLANKS).rstrip(b"=")
        return pybase64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise Refused(422, "csv isn't base64. Encode the bytes of the CSV as base64.", "bad_data") from None


def check_rows(n_rows: int, max_rows: int) -> None:
    """Refuse a series with too many rows."""
    if n_rows > max_rows:
        message = f"There are {n_rows:,} rows, more than {max_rows:,}. Send fewer at a time, or raise --max-rows."
        raise Refused(413, message, "too_many_rows")


def check_columns(n_columns: int) -> None:
    """Refuse a table with too many columns."""
    if n_columns > MAX_COLUMNS:
        message = f"There are {n_columns:,} columns, more than {MAX_COLUMNS:,}. Send those that the detector reads."
        raise Refused(413, message, "too_many_columns")


def check_csv(body: bytes | bytearray, max_rows: int) -> None:
    """Refuse a CSV with too many rows or columns."""
    check_rows(body.count(b"\n") - body.endswith(b"\n"), max_rows)
    end = body.find(b"\n") if b"\n" in body else len(body)
    check_columns(1 + max(body.count(sign, 0, end) for sign in SEPARATORS))


def check_filled(series: Series, settings: Detection, detector: Detector, max_rows: int) -> None:
    """Refuse a series that would have too many rows when its gaps are filled as the request asks for."""
    if series.kind == "row" or (settings.step_s is None and settings.max_gap is None):
        return
    trained, unit = detector.metadata.time, TICKS_PER_S if series.kind == "datetime" else 1
    known = trained.step if trained.kind == series.kind and settings.scoring == "causal" else None
    step = (settings.step_s or known or 0.0) * unit or typical_step(series.ticks)
    max_gap = detector.metadata.max_gap if settings.max_gap is None else settings.max_gap
    with np.errstate(all="ignore"):
        missing = np.diff(np.sort(series.ticks)).astype(np.float64) / (step or 1.0) - 0.5
    n_rows = len(series) + int(missing[(missing > 0) & (missing <= max_gap + 1)].sum())
    if n_rows > max_rows:
        message = f"With its gaps filled the series has {n_rows:,} rows, more than {max_rows:,}."
        raise Refused(413, f"{message} Set a larger step_s, or a smaller max_gap.", "too_many_rows")
