"""Bodies: JSON of a known form, and base64."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pybase64

from oddwave.serve.answers import Refused

URL_SAFE = str.maketrans("-_", "+/", " \t\r\n")
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
    plain = text.translate(URL_SAFE).rstrip("=")
    try:
        return pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise Refused(422, "csv isn't base64. Encode the bytes of the CSV as base64.", "bad_data") from None


def check_rows(n_rows: int, max_rows: int) -> None:
    """Refuse a series with too many rows."""
    if n_rows > max_rows:
        message = f"There are {n_rows:,} rows, more than {max_rows:,}. Send fewer at a time, or raise --max-rows."
        raise Refused(413, message, "too_many_rows")
