"""Rows in time order -> gap-free stretches: each rule as a sentence, any series, in any pieces, against the twin."""

from __future__ import annotations

import made
import numpy as np
import pytest
import twin
from hypothesis import given, settings, strategies as st

from oddwave import clean
from oddwave.clean import LONG_GAP, NO_START, NOWHERE, SCORED, Cleaner, typical_step
from oddwave.errors import UnsortedError

nan = np.nan


def cleaned(ticks, values, step=1.0, max_gap=3, lengths=None):
    """Return the stretches as lists, position, reason and notes, pushed in pieces of these lengths."""
    ticks, values = np.asarray(ticks), np.array(values, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    cleaner = Cleaner("the test", values.shape[1], step, max_gap)
    stretches, position, reason = [], [], []
    for piece in made.pieces_of(made.series_of(values, ticks), lengths or [len(values)]):
        done = cleaner.push(piece.ticks, piece.values)
        for rows, is_new in done.stretches:
            if is_new:
                stretches.append([])
            stretches[-1] += rows.tolist()
        position += done.position.tolist()
        reason += done.reason.tolist()
    return stretches, position, reason, cleaner.notes()


def flat(stretches):
    return [[row[0] for row in stretch] for stretch in stretches]


# Missing cells


def test_an_even_series_without_gaps_is_one_stretch_as_it_is():
    stretches, position, reason, notes = cleaned(range(4), [1, 2, 3, 4])
    assert flat(stretches) == [[1, 2, 3, 4]]
    assert position == [0, 1, 2, 3]
    assert reason == [SCORED] * 4
    assert notes == []


def test_a_missing_cell_takes_its_channels_last_value():
    stretches, _, reason, notes = cleaned(range(4), [[1, 5], [nan, 6], [3, nan], [4, 8]])
    assert stretches == [[[1, 5], [1, 6], [3, 6], [4, 8]]]
    assert reason == [SCORED] * 4
    assert notes == ["Missing values filled with the channel's last one: 2."]


def test_a_value_lasts_for_max_gap_rows_and_no_longer():
    stretches, position, reason, _ = cleaned(range(7), [1, nan, nan, nan, nan, nan, 7], max_gap=3)
    assert flat(stretches) == [[1, 1, 1, 1], [7]]
    assert position == [0, 1, 2, 3, NOWHERE, NOWHERE, 4]
    assert reason == [0, 0, 0, 0, LONG_GAP, LONG_GAP, 0]


def test_with_max_gap_0_nothing_is_filled():
    stretches, _, reason, _ = cleaned([0, 1, 2, 4, 5], [1, nan, 3, 4, 5], max_gap=0)
    assert flat(stretches) == [[1], [3], [4, 5]]
    assert reason == [0, LONG_GAP, 0, 0, 0]


def test_one_channel_without_a_value_makes_the_row_unusable():
    stretches, _, reason, _ = cleaned(range(4), [[1, 5], [2, nan], [3, nan], [4, 8]], max_gap=1)
    assert stretches == [[[1, 5], [2, 5]], [[4, 8]]]
    assert reason == [0, 0, LONG_GAP, 0]


def test_rows_before_the_first_complete_one_have_no_start():
    stretches, position, reason, _ = cleaned(range(3), [[1, nan], [nan, 2], [3, 4]])
    assert stretches == [[[1, 2], [3, 4]]]
    assert position == [NOWHERE, 0, 1]
    assert reason == [NO_START, 0, 0]


def test_a_series_without_any_value_has_no_stretch():
    stretches, position, reason, _ = cleaned(range(3), [nan, nan, nan])
    assert stretches == []
    assert position == [NOWHERE] * 3
    assert reason == [NO_START] * 3


# Missing rows


def test_missing_rows_up_to_max_gap_are_inserted_and_filled():
    stretches, position, _, notes = cleaned([0, 1, 5, 6], [1, 2, 5, 6], max_gap=3)
    assert flat(stretches) == [[1, 2, 2, 2, 2, 5, 6]]
    assert position == [0, 1, 5, 6]
    assert notes == ["Missing rows filled with the last values: 3."]


def test_after_more_missing_rows_a_new_stretch_starts():
    stretches, position, reason, notes = cleaned([0, 1, 6, 7], [1, 2, 6, 7], max_gap=3)
    assert flat(stretches) == [[1, 2], [6, 7]]
    assert position == [0, 1, 2, 3]
    assert reason == [SCORED] * 4
    assert notes == ["Gaps longer than the 3 rows that are filled: 1. Scoring starts anew after each."]


def test_no_value_survives_a_long_gap():
    stretches, _, reason, _ = cleaned([0, 1, 20, 21], [[1, 5], [2, 6], [3, nan], [4, 8]])
    assert stretches == [[[1, 5], [2, 6]], [[4, 8]]]
    assert reason == [0, 0, LONG_GAP, 0]


def test_missing_rows_and_missing_cells_count_together():
    stretches, _, reason, _ = cleaned([0, 3, 4], [1, nan, nan], max_gap=3)
    assert flat(stretches) == [[1, 1, 1, 1]]  # the last row is the fourth without a value
    assert reason == [0, 0, LONG_GAP]


@pytest.mark.parametrize(("difference", "inserted"), [(1.5, 0), (1.51, 1), (2.4, 1), (2.5, 1), (2.6, 2), (3.5, 3)])
def test_a_step_is_a_gap_above_one_and_a_half_steps_and_rounds_half_to_even(difference, inserted):
    stretches, *_ = cleaned([0.0, difference], [1, 2], max_gap=9)
    assert len(stretches[0]) == 2 + inserted


def test_without_a_step_all_rows_are_neighbours():
    stretches, position, *_ = cleaned([0, 1, 100, 1000], [1, 2, 3, 4], step=None)
    assert flat(stretches) == [[1, 2, 3, 4]]
    assert position == [0, 1, 2, 3]


# Times


def test_a_repeated_time_carries_the_place_of_its_first_row():
    stretches, position, reason, notes = cleaned([0, 1, 1, 1, 2], [1, 2, 99, 98, 3])
    assert flat(stretches) == [[1, 2, 3]]
    assert position == [0, 1, 1, 1, 2]
    assert reason == [SCORED] * 5
    assert notes == ["Rows that repeat a time: 2. They carry the label and score of the first row of that time."]


def test_a_repeat_of_an_unusable_row_is_unusable():
    _, position, reason, _ = cleaned([0, 0, 1], [nan, 5, 1])
    assert position == [NOWHERE, NOWHERE, 0]
    assert reason == [NO_START, NO_START, 0]


def test_an_earlier_time_is_refused_with_its_row():
    with pytest.raises(UnsortedError, match="row 3 is earlier"):
        cleaned([0, 2, 1, 3], [1, 2, 3, 4])
    with pytest.raises(UnsortedError, match="row 3 is earlier"):
        cleaned([0, 2, 1, 3], [1, 2, 3, 4], lengths=[1])


def test_a_refused_row_leaves_no_trace():
    cleaner = Cleaner("the test", 1, 1.0, 3)
    cleaner.push(np.arange(10), np.ones((10, 1)))
    with pytest.raises(UnsortedError):
        cleaner.push(np.array([2]), np.ones((1, 1)))
    done = cleaner.push(np.array([10]), np.ones((1, 1)))
    assert [(len(rows), is_new) for rows, is_new in done.stretches] == [(1, False)]
    assert done.position.tolist() == [10]
    assert cleaner.notes() == []


def test_the_typical_step_is_the_median_of_the_first_10000_rows():
    assert typical_step(np.array([0, 1, 2, 3, 50])) == 1
    assert typical_step(np.array([0, 0, 2, 2, 4])) == 2
    assert typical_step(np.array([7, 7, 7])) is None
    assert typical_step(np.array([7])) is None
    assert typical_step(np.array([0, 1, 3, 6])) == 2
    assert typical_step(np.array([0, 1, 4, 10, 12])) == 2.5
    late = np.concatenate([np.arange(10_000), 10_000 + 7 * np.arange(30_000)])
    assert typical_step(late) == 1
    assert clean.STEP_ROWS == 10_000


# Any series


@st.composite
def ragged(draw):
    """Draw (ticks, values): steps of 0 to 9, some not whole, and runs of missing cells."""
    count = draw(st.integers(1, 40))
    channels = draw(st.integers(1, 3))
    steps = draw(
        st.lists(
            st.sampled_from([1] * 8 + [0, 0, 2, 3, 4, 5, 6, 9, 0.5, 1.4, 1.5, 1.6, 2.5, 3.5, 4.5]),
            min_size=count,
            max_size=count,
        )
    )
    cells = st.sampled_from([True, True, True, False])
    known = draw(st.lists(st.lists(cells, min_size=channels, max_size=channels), min_size=count, max_size=count))
    for start, length, column in draw(
        st.lists(st.tuples(st.integers(0, 39), st.integers(1, 9), st.integers(0, 2)), max_size=3)
    ):
        for row in known[start : start + length]:
            row[column % channels] = False
    values = np.arange(count * channels, dtype=np.float64).reshape(count, channels)
    return np.cumsum(steps), np.where(known, values, nan)


@settings(deadline=None, max_examples=300)
@given(
    case=ragged(),
    max_gap=st.integers(0, 6),
    step=st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.3, None]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_any_series_in_any_pieces_is_laid_out_as_the_twin_does(case, max_gap, step, lengths):
    ticks, values = case
    whole = cleaned(ticks, values, step, max_gap)
    assert cleaned(ticks, values, step, max_gap, lengths) == whole
    rows = [[None if np.isnan(cell) else cell for cell in row] for row in values.tolist()]
    stretches, place, why = twin.lay_out(ticks.tolist(), rows, step, max_gap)
    assert whole[0] == stretches
    begin = np.cumsum([0, *map(len, stretches)]).tolist()
    assert whole[1] == [NOWHERE if at is None else begin[at[0]] + at[1] for at in place]
    assert whole[2] == why


def test_an_empty_piece_changes_nothing():
    cleaner = Cleaner("the test", 2, 1.0, 3)
    done = cleaner.push(np.zeros(0), np.zeros((0, 2)))
    assert (done.stretches, len(done.position), len(done.reason)) == ([], 0, 0)
    cleaner.push(np.arange(3), np.ones((3, 2)))
    assert cleaner.push(np.zeros(0), np.zeros((0, 2))).stretches == []
    assert [is_new for _, is_new in cleaner.push(np.arange(3, 5), np.ones((2, 2))).stretches] == [False]


@pytest.mark.parametrize("far", [1e30, 1e300])
def test_a_time_beyond_all_bounds_is_a_long_gap(far):
    stretches, *_ = cleaned([0.0, 1.0, far], [1, 2, 3])
    assert flat(stretches) == [[1, 2], [3]]
