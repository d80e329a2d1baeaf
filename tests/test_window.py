"""Windows: where they start, what they hold, and their errors put back on the rows, against slow loops."""

from __future__ import annotations

import numpy as np
import twin
from hypothesis import given, settings, strategies as st

from oddwave import terms, window


@given(n_rows=st.integers(0, 200), size=st.integers(1, 50), share=st.floats(0, 1))
def test_windows_start_where_the_twin_starts_them(n_rows, size, share):
    stride = 1 + int(share * (size - 1))
    found = window.starts(n_rows, size, stride).tolist()
    assert found == twin.starts(n_rows, size, stride)
    held = {row for start in found for row in range(start, start + size)}
    assert held == (set(range(n_rows)) if n_rows >= size else set())  # every row is in a window


@given(n_rows=st.integers(1, 60), size=st.integers(1, 20), channels=st.integers(1, 3))
def test_a_window_holds_its_rows(n_rows, size, channels):
    values = np.arange(n_rows * channels, dtype=np.float32).reshape(n_rows, channels)
    first_rows = window.starts(n_rows, size, 1)
    cut = window.cut(values, first_rows, size)
    assert cut.shape == (len(first_rows), size, channels)
    for at, start in enumerate(first_rows.tolist()):
        assert cut[at].tolist() == values[start : start + size].tolist()


def test_cut_windows_are_a_copy():
    values = np.zeros((6, 1), dtype=np.float32)
    cut = window.cut(values, np.array([0, 1]), 4)
    cut += 1
    assert values.sum() == 0


@settings(deadline=None)
@given(
    count=st.integers(1, 12), size=st.integers(1, 9), share=st.floats(0, 1), channels=st.integers(1, 3),
    first=st.integers(0, 5), seed=st.integers(0, 99),
)  # fmt: skip
def test_errors_are_added_to_the_rows_that_their_windows_hold_the_oldest_window_first(
    count, size, share, channels, first, seed
):
    stride = 1 + int(share * (size - 1))
    errors = np.random.default_rng(seed).normal(size=(count, size, channels)).astype(np.float32)
    n_rows = first + (count - 1) * stride + size + 2
    total = np.zeros((n_rows, channels + 1))
    terms.overlap_add(errors, first, stride, total)
    expected = np.zeros((n_rows, channels + 1))
    for at in range(count):
        for offset in range(size):
            row = first + at * stride + offset
            for c in range(channels):
                expected[row, c] += float(errors[at, offset, c])
            expected[row, channels] += 1
    np.testing.assert_array_equal(total, expected)  # to the bit: the order of addition is the twin's


@given(cut=st.integers(1, 11), stride=st.integers(1, 5))
def test_how_windows_are_cut_in_batches_changes_no_sum_to_the_bit(cut, stride):
    errors = np.random.default_rng(1).normal(size=(12, 5, 2)).astype(np.float32)
    whole, parts = np.zeros((80, 3)), np.zeros((80, 3))
    terms.overlap_add(errors, 0, stride, whole)
    terms.overlap_add(errors[:cut], 0, stride, parts)
    terms.overlap_add(errors[cut:], cut * stride, stride, parts)
    np.testing.assert_array_equal(whole, parts)
