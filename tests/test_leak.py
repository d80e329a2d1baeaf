"""A sketch finds training rows in other data, however these were saved, and keeps quiet where it can't tell."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from made import rows, series_of

from oddwave import leak, read
from oddwave.errors import InputError
from oddwave.series import Columns

MINUTE = 60_000_000


def minutes(count, start=0):
    return (np.arange(count) + start) * MINUTE


def idle(count):
    """Return rows of a machine that does nothing but switch between four states."""
    return np.repeat(np.arange(4.0), -(-count // 4))[:count, None] * np.ones(3)


def test_all_training_rows_are_found_again():
    values = rows(3000)
    shared = leak.share(leak.sketch(None, values), None, values)
    assert shared.rows == pytest.approx(3000, rel=0.25)
    assert shared.found == leak.KEPT


def test_rows_of_another_time_share_nothing():
    shared = leak.share(leak.sketch(None, rows(3000)), None, rows(3000, seed=1))
    assert (shared.rows, shared.found) == (0, 0)


def test_the_share_of_a_part_is_estimated():
    values = rows(40_000)
    found = [leak.share(leak.sketch(None, values), None, values[:n]).rows for n in (4_000, 20_000)]
    assert found == [pytest.approx(4_000, rel=0.5), pytest.approx(20_000, rel=0.3)]


def test_fewer_rows_than_are_kept_are_counted():
    values = rows(100)
    assert leak.share(leak.sketch(None, values), None, np.concatenate([values[:30], rows(500, seed=1)])).rows == 30


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=0, max_size=3))
def test_however_the_rows_are_cut_the_merged_sketch_is_that_of_all(cuts):
    values, ticks = rows(400), minutes(400)
    pieces = zip(np.split(values, sorted(cuts)), np.split(ticks, sorted(cuts)), strict=True)
    assert leak.merge([leak.sketch(times, part) for part, times in pieces]) == leak.sketch(ticks, values)


def test_a_sketch_equals_its_slow_twin():
    def mixed(code):
        code = (code + 0x9E3779B97F4A7C15) % 2**64
        code = (code ^ (code >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        code = (code ^ (code >> 27)) * 0x94D049BB133111EB % 2**64
        return code ^ (code >> 31)

    values = rows(300)
    codes = set()
    for row in values.astype("<f4"):
        code = 0
        for cell in row:
            code = mixed((code + int(cell.view("<u4"))) % 2**64)
        codes.add(code)
    assert leak.sketch(None, values) == [f"v{code:016x}" for code in sorted(codes)[: leak.KEPT]]


def test_minus_zero_and_kinds_of_missing_are_one():
    strange = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    one, other = np.array([[0.0, np.nan]]), np.array([[-0.0, strange]])
    assert leak.sketch(None, one) == leak.sketch(None, other)


def test_rows_saved_as_csv_and_as_parquet_are_the_same(tmp_path):
    values = rows(600)
    table = pl.DataFrame(dict(zip("abc", values.T, strict=True)))
    table.write_csv(tmp_path / "rows.csv")
    table.cast(pl.Float32).write_parquet(tmp_path / "rows.parquet")
    for file in ("rows.csv", "rows.parquet"):
        (series,) = read.read(tmp_path / file, Columns())
        assert leak.share(leak.sketch(None, values), None, series.values).found == leak.KEPT


def test_repeating_rows_without_dates_tell_nothing():
    assert leak.share(leak.sketch(None, idle(900)), None, idle(900)) is None


def test_repeating_rows_are_told_apart_by_their_dates():
    sketch = leak.sketch(minutes(900), idle(900))
    assert leak.share(sketch, minutes(900), idle(900)).found == leak.KEPT
    assert leak.share(sketch, minutes(900, start=900), idle(900)).found == 0


def test_dated_rows_are_found_again_without_their_dates():
    values = rows(900)
    assert leak.share(leak.sketch(minutes(900), values), None, values).found == leak.KEPT


def test_a_check_refuses_training_rows_and_says_where_they_are():
    values = np.concatenate([rows(500), rows(500, seed=1)])
    with pytest.raises(InputError) as caught:
        leak.check(leak.sketch(None, values[:500]), series_of(values))
    message = str(caught.value)
    assert "the test holds rows that the detector was trained on: about 5" in message
    last = int(message.partition(" or farther")[0].split()[-1])
    assert 400 < last < 500
    assert "leave these out" in message


def test_a_check_lets_new_rows_pass_in_silence():
    assert leak.check(leak.sketch(None, rows(500)), series_of(rows(500, seed=1))) is None


def test_one_row_in_common_is_only_told_of():
    values = rows(500, seed=1)
    values[7] = rows(100)[0]
    assert "about 1 of its 500 rows (0%) may be training rows" in leak.check(
        leak.sketch(None, rows(100)), series_of(values)
    )


@pytest.mark.parametrize(
    ("sketch", "says"), [([], "keeps no sketch"), (leak.sketch(None, idle(90)), "too many repeat each other's values")]
)
def test_what_cannot_be_told_is_said(sketch, says):
    assert says in leak.check(sketch, series_of(idle(900)))


def test_nothing_overflows_in_huge_values():
    assert len(leak.sketch(None, np.array([[1e300], [-1e300], [1.0]]))) == 3
