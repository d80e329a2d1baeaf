"""The wire format: what is written reads back, the runtime's own reading agrees, and any bytes read or are refused."""

from __future__ import annotations

import struct

import made
import pytest
from hypothesis import given, strategies as st

from oddwave import protobuf
from oddwave.protobuf import WireError, block, extend, fields, number, varint

numbers = st.integers(1, (1 << 29) - 1)


def twin_varint(value):
    """Encode a number as the documentation says it: groups of 7 bits, lowest first, a 1 before all but the last."""
    bits = f"{value:b}"
    bits = bits.zfill(-(-len(bits) // 7) * 7)
    groups = [bits[i : i + 7] for i in range(0, len(bits), 7)][::-1]
    return bytes(int(("0" if i == len(groups) - 1 else "1") + group, 2) for i, group in enumerate(groups))


@given(st.integers(0, (1 << 64) - 1))
def test_a_number_is_written_in_groups_of_7_bits(value):
    assert varint(value) == twin_varint(value)


def packed(field):
    found = []
    extend(found, field)
    return found


@given(numbers, st.integers(-(1 << 63), (1 << 63) - 1))
def test_an_integer_field_reads_back_with_its_sign(field, value):
    (found,) = fields(number(field, value))
    assert (found.number, found.int()) == (field, value)
    assert packed(found) == [value]


@given(numbers, st.binary(max_size=300))
def test_a_field_of_bytes_reads_back(field, value):
    (found,) = fields(block(field, value))
    assert (found.number, found.wire, found.bytes()) == (field, protobuf.BYTES, value)


@given(numbers, st.text(st.characters(exclude_categories=["Cs"])))
def test_a_field_of_text_reads_back(field, value):
    (found,) = fields(block(field, value))
    assert found.text() == value


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=protobuf.MAX_NUMBERS))
def test_packed_numbers_read_back(values):
    (found,) = fields(block(1, b"".join(varint(value & (1 << 64) - 1) for value in values)))
    assert packed(found) == values


def test_fields_come_in_their_order_with_repeats():
    data = number(3, 7) + block(1, b"a") + number(3, 8) + made.fixed32(2, struct.pack("<f", 1.5))
    assert [found.number for found in fields(data)] == [3, 1, 3, 2]
    assert struct.unpack("<f", list(fields(data))[3].value) == (1.5,)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x00\x01", "field number 0"),
        (b"\x08", "ends after the message"),
        (b"\x08" + b"\xff" * 10, "over 64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "over 64 bits"),
        (b"\x0a\x05abc", "ends after the message"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends after the message"),
        (b"\x0d\x01\x02", "ends after the message"),
        (b"\x09\x01\x02", "ends after the message"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x0e", "wire type 6"),
        (b"\x0f", "wire type 7"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_reason(data, problem):
    with pytest.raises(WireError, match=problem):
        list(fields(data))


def test_a_field_of_another_kind_than_expected_is_refused():
    (text,) = fields(block(5, b"\xff"))
    (whole,) = fields(number(5, 1))
    with pytest.raises(WireError, match="field 5 should hold a number"):
        text.int()
    with pytest.raises(WireError, match="field 5 should hold bytes"):
        whole.bytes()
    with pytest.raises(WireError, match="field 5 isn't UTF-8"):
        text.text()


@given(st.binary(max_size=200))
def test_any_bytes_read_to_the_end_or_are_refused(data):
    try:
        found = list(fields(data))
    except WireError:
        return
    assert all(field.number > 0 for field in found)
    assert bool(found) == bool(data)


@given(st.binary(max_size=60))
def test_any_bytes_as_packed_numbers_read_or_are_refused(data):
    (found,) = fields(block(1, data))
    try:
        values = packed(found)
    except WireError:
        return
    assert all(-(1 << 63) <= value < 1 << 63 for value in values)


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_message_cut_short_is_refused_or_ends_between_two_fields(value, data):
    whole = block(1, value) + number(2, 300) + block(3, value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    ends = {0, len(block(1, value)), len(block(1, value) + number(2, 300))}
    if cut in ends:
        assert len(list(fields(whole[:cut]))) == sorted(ends).index(cut)
    else:
        with pytest.raises(WireError):
            list(fields(whole[:cut]))
