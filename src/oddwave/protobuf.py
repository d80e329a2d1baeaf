"""Protocol Buffers on the wire: the little that ONNX files need, so that the core needs no onnx package.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 100_000  # of one message
MAX_NUMBERS = 64  # of one list: dimensions, or an attribute's


class WireError(ValueError):
    """The bytes are not a well-formed message."""


class FieldValue(NamedTuple):
    """One field of a message: its number, wire type, and value (an int, or bytes for the other types)."""

    number: int
    wire: int
    value: int | bytes

    def int(self) -> int:
        """Return the value of a varint field, as a signed 64-bit number."""
        if not isinstance(self.value, int):
            raise WireError(f"field {self.number} should hold a number")
        return self.value - (1 << 64) if self.value >> 63 else self.value

    def bytes(self) -> bytes:
        """Return the value of a length-delimited field."""
        if self.wire != BYTES or not isinstance(self.value, bytes):
            raise WireError(f"field {self.number} should hold bytes")
        return self.value

    def text(self) -> str:
        """Return the value of a string field."""
        try:
            return self.bytes().decode()
        except UnicodeDecodeError:
            raise WireError(f"field {self.number} isn't UTF-8 text") from None


def fields(data: bytes) -> Iterator[FieldValue]:
    """Walk the fields of one message in order; raise WireError where it is malformed."""
    at = count = 0
    while at < len(data):
        count += 1
        if count > MAX_FIELDS:
            raise WireError(f"a message of over {MAX_FIELDS} fields")
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        if wire == VARINT:
            value, at = _read_varint(data, at)
            yield FieldValue(number, wire, value)
            continue
        if wire == BYTES:
            length, at = _read_varint(data, at)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise WireError(f"wire type {wire}")
        if length > len(data) - at:
            raise WireError("a field ends after the message")
        yield FieldValue(number, wire, data[at : at + length])
        at += length


def extend(numbers: list[int], field: FieldValue) -> None:
    """Append the numbers of a repeated integer field, packed or not, to those before."""
    for value in (field.int(),) if field.wire == VARINT else _packed(field.bytes()):
        if len(numbers) == MAX_NUMBERS:
            raise WireError(f"a list of over {MAX_NUMBERS} numbers")
        numbers.append(value)


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _read_varint(data, at)
        yield value - (1 << 64) if value >> 63 else value


def number(field: int, value: int) -> bytes:
    """Encode an integer field."""
    return varint(field << 3 | VARINT) + varint(value & (1 << 64) - 1)


def block(field: int, value: bytes | str) -> bytes:
    """Encode a field of bytes, text or an embedded message."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """Encode a non-negative integer in base 128.

    Examples
    --------
    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WireError("a number ends after the message")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                raise WireError("a number of over 64 bits")
            return value, at
    raise WireError("a number of over 64 bits")
