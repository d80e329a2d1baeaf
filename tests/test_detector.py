"""A series from rows to labels: equal to the slow twin, and to itself in any pieces, order of rows or of columns."""

from __future__ import annotations

from dataclasses import replace

import made
import msgspec
import numpy as np
import polars as pl
import pytest
import twin
from hypothesis import given, settings, strategies as st

from oddwave.clean import NO_START, SHORT_STRETCH, WARMING_UP
from oddwave.config import Detection
from oddwave.detector import Detector
from oddwave.errors import ConfigError, DeviceError, InputError, TooShortError, UnsortedError
from oddwave.metadata import Time
from oddwave.result import REASONS
from oddwave.train import train

nan = np.nan
ways = pytest.mark.parametrize("scoring", ["full", "causal"])
kinds = pytest.mark.parametrize("kind", ["row", "number", "datetime"])


def rows_of(series):
    return [[None if np.isnan(cell) else cell for cell in row] for row in series.values.tolist()]


def as_nan(values):
    return np.array([nan if value is None else value for value in values], dtype=np.float64)


def twin_of(detector, series, **more):
    """Run the twin on a series; its times are in seconds or in units."""
    unit = 1_000_000 if series.kind == "datetime" else 1
    ticks = [tick / unit for tick in series.ticks.tolist()]
    return twin.detect(detector.data, ticks, rows_of(series), kind=series.kind, **more)


def assert_equals_twin(detector, series, scoring, rtol=1e-9):
    result = detector.detect_series(series, Detection(scoring=scoring, contributions=True))
    expected = twin_of(detector, series, scoring=scoring)
    np.testing.assert_allclose(result.score, as_nan(expected.score), rtol=rtol, atol=rtol / 100)
    assert result.label.tolist() == [-1 if label is None else label for label in expected.label]
    assert result.reason.tolist() == expected.reason
    np.testing.assert_allclose(result.contribution, expected.contribution, rtol=10 * rtol, atol=rtol)
    return result


def ragged_series(draw_rows, channels=2, kind="number", seed=0):
    """Build a series from one (step, missing cells) a row."""
    values = made.rows(len(draw_rows), channels, seed)
    values[len(values) // 2 :: 23] += 25
    for t, (_, missing) in enumerate(draw_rows):
        for c in missing:
            values[t, c % channels] = nan
    ticks = np.cumsum([step for step, _ in draw_rows])
    return made.series_of(values, ticks * 1_000_000 if kind == "datetime" else ticks, kind)


def ragged(least=12, most=70):
    row = st.tuples(
        st.sampled_from([1] * 12 + [0, 2, 3, 4, 9]),
        st.one_of(*[st.just(())] * 8, st.lists(st.integers(0, 1), max_size=2)),
    )
    return st.lists(row, min_size=least, max_size=most)


SMALL = {
    "one row a window": {"size": 1, "stride": 1, "smoothing": 1, "rolling": 2},
    "windows of 4 at every row": {"size": 4, "stride": 1},
    "windows of 8, stride 3, one channel unscored": {"size": 8, "stride": 3, "scored": (False, True)},
    "nothing is filled": {"size": 5, "stride": 5, "max_gap": 0},
}
small = pytest.mark.parametrize("shape", SMALL)


# The twin


@ways
def test_the_fixtures_series_equals_the_twin(detector, series, scoring):
    result = assert_equals_twin(detector, series, scoring)
    assert {-1, 0, 1} == set(result.label.tolist())  # the series has all there is


@ways
@small
@settings(deadline=None, max_examples=25)
@given(drawn=ragged(), kind=st.sampled_from(["row", "number", "datetime"]))
def test_any_small_series_equals_the_twin(shape, scoring, drawn, kind):
    detector = made.handmade(**SMALL[shape], kind=kind)
    # the deviation of a run of equal values is a difference of nearly equal numbers: 0 but for the last bits
    assert_equals_twin(detector, ragged_series(drawn, kind=kind), scoring, rtol=3e-7)


@ways
@pytest.mark.parametrize(
    ("model", "shape"), [("ZScore_ad", {}), ("PCA_ad", {"input_len": 4, "stride": 3, "channels": 1})]
)
def test_a_trained_detector_equals_the_twin(model, shape, scoring):
    detector = made.trained(model, **shape)
    values = made.rows(90, len(detector.metadata.channels), seed=4)
    values[40:50] += 9
    values[70:72, 0] = nan
    assert_equals_twin(detector, made.series_of(values, 1.0 * np.arange(90), "number"), scoring)


@ways
def test_windows_of_96_equal_the_twin(scoring):
    detector = made.handmade(96, 25, 2, smoothing=31, rolling=101, long_rolling=401)
    values = made.rows(260, 2, seed=4)
    values[40:50] += 9
    ticks = np.arange(260)
    ticks[120:] += 30
    assert_equals_twin(detector, made.series_of(values, ticks, "number"), scoring)


def test_the_step_is_the_series_own_in_full_and_the_detectors_in_causal():
    detector = made.handmade(4, 1, 2, step=1.0)
    series = made.series_of(made.rows(40, 2), 10 * np.arange(40), "number")
    full = assert_equals_twin(detector, series, "full")
    causal = assert_equals_twin(detector, series, "causal")
    assert (full.label >= 0).all()
    assert (causal.reason == WARMING_UP).all()  # each row is ten steps from the last
    assert any("10" in note and "apart" in note for note in full.notes)
    wide = detector.detect_series(series, Detection(scoring="causal", step_s=10))
    assert (wide.label >= 0).sum() == 37


@ways
def test_times_of_another_kind_than_the_detectors_have_no_gaps_in_causal(scoring):
    detector = made.handmade(4, 1, 2, kind="datetime")
    ticks = np.arange(40)
    ticks[20:] += 100
    result = assert_equals_twin(detector, made.series_of(made.rows(40, 2), ticks, "number"), scoring)
    assert (result.label < 0).sum() == (0 if scoring == "full" else 3)


# One label a row


@ways
@settings(deadline=None, max_examples=40)
@given(drawn=ragged())
def test_each_row_has_a_label_and_a_finite_score_or_a_reason(scoring, drawn):
    series = ragged_series(drawn)
    result = made.handmade().detect_series(series, Detection(scoring=scoring, contributions=True))
    assert len(result.score) == len(result.label) == len(result.reason) == len(series)
    has_score = ~np.isnan(result.score)
    assert np.isfinite(result.score[has_score]).all()
    assert (result.score[has_score] >= 0).all()
    np.testing.assert_array_equal(result.label, np.where(has_score, result.score > result.threshold, -1))
    np.testing.assert_array_equal(result.reason == 0, has_score)
    assert result.reason.max() < len(REASONS)
    assert (result.contribution >= 0).all()
    np.testing.assert_allclose(
        result.contribution.sum(axis=1), np.where(has_score, result.score, 0), rtol=1e-12, atol=1e-14
    )


def test_the_reasons_say_why():
    values = made.rows(40, 2)
    values[0] = nan
    values[20:26, 1] = nan
    values[30:36, 1] = nan
    series = made.series_of(values)
    detector = made.handmade(size=8, max_gap=2)
    full = detector.detect_series(series).reason.tolist()
    causal = detector.detect_series(series, Detection(scoring="causal")).reason.tolist()
    # rows 26 to 31 are a stretch of 6 between two gaps, rows 36 to 39 one of 4
    gaps = {22: 1, 23: 1, 24: 1, 25: 1, 32: 1, 33: 1, 34: 1, 35: 1, 0: NO_START}
    short = dict.fromkeys([*range(26, 32), *range(36, 40)], SHORT_STRETCH)
    assert full == [(gaps | short).get(t, 0) for t in range(40)]
    warming = dict.fromkeys([*range(1, 8), *range(26, 32), *range(36, 40)], WARMING_UP)
    assert causal == [(gaps | warming).get(t, 0) for t in range(40)]


@ways
def test_a_gap_far_into_a_long_series_is_null_and_nothing_else(scoring):
    values = made.rows(20_000, 2)
    values[15_000:15_020] = nan
    result = made.handmade().detect_series(made.series_of(values), Detection(scoring=scoring))
    warm = 7 if scoring == "causal" else 0
    expected = [*range(warm), *range(15_002, 15_020 + warm)]
    assert np.flatnonzero(result.label < 0).tolist() == expected


@ways
@pytest.mark.parametrize("huge", [1e39, -1e200, 1.7e308])
def test_a_huge_value_is_an_anomaly_and_not_a_hole(detector, scoring, huge):
    values = made.rows(100)
    values[50, 1] = huge
    result = detector.detect_series(made.series_of(values), Detection(scoring=scoring))
    assert result.label[50] == 1
    assert np.isfinite(result.score[result.reason == 0]).all()
    assert (result.label[60:] >= 0).all()
    assert_equals_twin(made.handmade(), made.series_of(values[:, 1:]), scoring)


@ways
def test_a_value_as_large_as_a_float32_holds_is_an_anomaly(detector, scoring):
    values = made.rows(100)
    values[50, 1] = 1e30
    result = detector.detect_series(made.series_of(values), Detection(scoring=scoring))
    assert result.label[50] == 1
    assert np.isfinite(result.score[result.label >= 0]).all()


# Thresholds and events


def test_the_threshold_is_the_detectors_or_the_users(detector, series):
    own = detector.detect_series(series)
    assert own.threshold == detector.metadata.full.alarm.threshold
    assert (
        detector.detect_series(series, Detection(scoring="causal")).threshold
        == detector.metadata.causal.alarm.threshold
    )
    strict = detector.detect_series(series, Detection(threshold=0.01))
    np.testing.assert_array_equal(strict.score, own.score)
    np.testing.assert_array_equal(strict.label == 1, own.score > 0.01)


@ways
@settings(deadline=None, max_examples=25)
@given(drawn=ragged(), merge_gap=st.integers(0, 5), min_length=st.integers(1, 5))
def test_events_are_the_runs_of_the_labels(scoring, drawn, merge_gap, min_length):
    detector, series = made.handmade(), ragged_series(drawn)
    chosen = Detection(scoring=scoring, threshold=1.0, merge_gap=merge_gap, min_length=min_length, contributions=True)
    result = detector.detect_series(series, chosen)
    found = [(event.start_row, event.end_row) for event in result.events]
    assert found == twin.events(result.label.tolist(), merge_gap, min_length)
    for event in result.events:
        inside = slice(event.start_row, event.end_row + 1)
        odd = result.label[inside] == 1
        assert event.peak_score == result.score[inside][odd].max()
        share = result.contribution[inside][odd].sum(axis=0)
        share = share / share.sum()
        best = sorted(range(2), key=lambda c: -share[c])
        assert [name for name, _ in event.channels] == [f"c{c}" for c in best if share[c] > 0]
        np.testing.assert_allclose([size for _, size in event.channels], [share[c] for c in best if share[c] > 0])


def test_asking_for_contributions_changes_no_event_and_no_score(detector, series):
    plain = detector.detect_series(series)
    asked = detector.detect_series(series, Detection(contributions=True))
    assert plain.events == asked.events
    assert plain.contribution is None
    np.testing.assert_array_equal(plain.score, asked.score)


def test_events_without_the_names_of_channels_are_otherwise_the_same(detector, series):
    plain = detector.detect_series(series)
    quick = detector.detect_series(series, names_channels=False)
    assert plain.events
    assert quick.events == [replace(event, channels=()) for event in plain.events]
    np.testing.assert_array_equal(plain.score, quick.score)
    np.testing.assert_array_equal(plain.label, quick.label)


# Pieces


@ways
@kinds
@settings(deadline=None, max_examples=15)
@given(drawn=ragged(most=120), lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_a_series_in_any_pieces_scores_as_in_memory_to_the_bit(scoring, kind, drawn, lengths):
    detector, series = made.handmade(kind=kind), ragged_series(drawn, kind=kind)
    chosen = Detection(scoring=scoring, threshold=0.8, merge_gap=2)
    whole = detector.detect_series(series, chosen)
    fields, events, notes = made.chunked(detector, made.pieces_of(series, lengths), chosen)
    for field, expected in zip(fields, (series.index, whole.score, whole.label, whole.reason), strict=True):
        np.testing.assert_array_equal(field, expected)
    assert notes == list(whole.notes)
    assert len(events) == len(whole.events)
    for one, other in zip(events, whole.events, strict=True):
        assert (one.start, one.end, one.peak, one.peak_score, one.rows) == (
            other.start, other.end, other.peak, other.peak_score, other.rows,
        )  # fmt: skip
        np.testing.assert_allclose([s for _, s in one.channels], [s for _, s in other.channels], rtol=1e-12)


@ways
def test_a_long_series_in_pieces_scores_as_in_memory_to_the_bit(detector, scoring):
    values = made.rows(25_000, seed=2)
    values[[5_000, 12_000, 24_990]] += 30
    values[9_000:9_020] = nan
    ticks = np.arange(25_000)
    ticks[18_000:] += 50
    ticks[12_000] = ticks[11_999]
    series = made.series_of(values, ticks, "number")
    whole = detector.detect_series(series, Detection(scoring=scoring))
    (index, score, label, reason), events, notes = made.chunked(
        detector, made.pieces_of(series, [1, 5_000, 777]), Detection(scoring=scoring)
    )
    np.testing.assert_array_equal(index, series.index)
    np.testing.assert_array_equal(score, whole.score)
    np.testing.assert_array_equal(label, whole.label)
    np.testing.assert_array_equal(reason, whole.reason)
    assert notes == list(whole.notes)
    assert [(e.start_row, e.end_row) for e in events] == [(e.start_row, e.end_row) for e in whole.events]


def test_pieces_out_of_time_order_are_refused():
    detector = made.handmade()
    ticks = np.arange(40)
    ticks[[20, 21]] = 21, 20
    pieces = made.pieces_of(made.series_of(made.rows(40, 2), ticks, "number"), [7])
    with pytest.raises(UnsortedError, match="row 22 is earlier"):
        made.chunked(detector, pieces)


def test_pieces_out_of_time_order_are_refused_also_where_times_have_no_step():
    detector = made.handmade(kind="row", step=None)
    ticks = np.arange(40)
    ticks[[20, 21]] = 21, 20
    pieces = made.pieces_of(made.series_of(made.rows(40, 2), ticks, "number"), [7])
    with pytest.raises(UnsortedError):
        made.chunked(detector, pieces, Detection(scoring="causal"))


def test_no_pieces_give_nothing(detector):
    generator = detector.detect_chunks([])
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == ([], [])


# Order


@ways
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_shuffling_rows_changes_no_rows_score_or_label(scoring, seed):
    detector = made.handmade()
    values = made.rows(80, 2)
    values[30:35] += 20
    values[50, 1] = nan
    series = made.series_of(values, np.delete(np.arange(100), range(60, 80)), "number")
    order = np.random.default_rng(seed).permutation(80)
    shuffled = made.series_of(series.values[order], series.ticks[order], "number")
    chosen = Detection(scoring=scoring, contributions=True)
    straight, mixed = detector.detect_series(series, chosen), detector.detect_series(shuffled, chosen)
    for name in ("score", "label", "reason", "contribution"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(straight, name)[order])
    assert mixed.events == straight.events
    assert any("time order" in note for note in mixed.notes)
    np.testing.assert_array_equal(mixed.series.index, series.ticks[order])


@ways
def test_the_first_of_equal_times_is_the_one_that_came_first(scoring):
    detector = made.handmade()
    values = made.rows(41, 2)
    ticks = np.append(np.arange(40), 17)  # the last row repeats row 17, with other values
    values[40] = 1e4
    result = detector.detect_series(made.series_of(values, ticks, "number"), Detection(scoring=scoring))
    alone = detector.detect_series(made.series_of(values[:40]), Detection(scoring=scoring))
    np.testing.assert_array_equal(result.score[:40], alone.score)
    assert result.score[40] == alone.score[17]
    assert result.label[40] == alone.label[17]


@ways
def test_the_order_of_columns_and_more_columns_change_nothing(detector, scoring):
    values = made.rows(100, seed=3)
    values[50:55, 2] += 50
    columns = {"time": np.arange(100), "c0": values[:, 0], "c1": values[:, 1], "c2": values[:, 2]}
    straight = detector.detect(pl.DataFrame(columns), scoring=scoring, contributions=True)
    for order in (["c2", "time", "c0", "c1"], ["c1", "extra", "c2", "c0", "time"]):
        frame = pl.DataFrame({name: columns.get(name, np.full(100, 7.0)) for name in order})
        other = detector.detect(frame, scoring=scoring, contributions=True)
        np.testing.assert_array_equal(other.score, straight.score)
        np.testing.assert_array_equal(other.label, straight.label)
        np.testing.assert_array_equal(other.contribution, straight.contribution)
        assert other.events == straight.events


def test_a_series_with_its_channels_in_another_order_is_refused_or_put_in_order(detector):
    values = made.rows(60)
    turned = made.series_of(values[:, ::-1], channels=("c2", "c1", "c0"))
    try:
        score = detector.detect_series(turned).score
    except InputError:
        return
    np.testing.assert_array_equal(score, detector.detect_series(made.series_of(values)).score)


# Later rows


@settings(deadline=None, max_examples=25)
@given(drawn=ragged(least=40, most=110), cut=st.integers(12, 39))
def test_appending_rows_changes_no_causal_score(drawn, cut):
    detector, series = made.handmade(), ragged_series(drawn)
    chosen = Detection(scoring="causal", contributions=True)
    before, after = (
        detector.detect_series(series.rows(0, cut), chosen),
        detector.detect_series(series, chosen),
    )
    for name in ("score", "label", "reason", "contribution"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name)[:cut])


@settings(deadline=None, max_examples=25)
@given(drawn=ragged(least=60, most=130), cut=st.integers(30, 59))
def test_appending_rows_changes_no_full_score_further_back_than_the_page_says(drawn, cut):
    detector, series = made.handmade(), ragged_series(drawn)
    chosen = Detection(step_s=1.0)  # the step of the grid is the one thing that comes from all rows
    before, after = (
        detector.detect_series(series.rows(0, cut), chosen),
        detector.detect_series(series, chosen),
    )
    times = np.unique(series.ticks[:cut])  # repeated times count once
    behind = max(8, 17 // 2) + 4 // 2
    final = int((series.ticks[:cut] < times[-behind]).sum()) if len(times) > behind else 0
    np.testing.assert_array_equal(before.score[:final], after.score[:final])
    np.testing.assert_array_equal(before.label[:final], after.label[:final])


def test_with_the_shipped_sizes_only_the_last_215_rows_can_change():
    detector = made.handmade(96, 24, 1, smoothing=31, rolling=101, long_rolling=401)
    values = made.rows(900, 1)
    values[420:430] += 5
    after = detector.detect_series(made.series_of(values)).score
    changed = 0
    for count in range(395, 470, 5):
        before = detector.detect_series(made.series_of(values[:count])).score
        differs = np.flatnonzero(before != after[:count])
        changed = max(changed, count - int(differs[0]) if len(differs) else 0)
    assert 200 < changed <= 215


# Batches


def windows_of(detector, count):
    size = detector.metadata.size
    values = made.rows(count + size - 1, len(detector.metadata.channels), seed=9)
    values[::17] *= 50
    view = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), size, axis=0)
    return np.ascontiguousarray(view.transpose(0, 2, 1))


def assert_alone_as_in_company(detector):
    run, windows = detector._runtime.errors, windows_of(detector, 131)
    whole = run(windows)
    for batch in (1, 2, 3, 7, 32):
        pieces = [run(windows[i : i + batch]) for i in range(0, len(windows), batch)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("PCA_ad", {}),
        ("PCA_ad", {"channels": 1}),
        ("PCA_ad", {"channels": 5, "input_len": 4}),
        ("PCA_ad", {"channels": 12, "input_len": 16}),
        ("ZScore_ad", {}),
        ("ZScore_ad", {"channels": 1}),
    ],
)
def test_a_window_scores_the_same_alone_as_in_company(model, shape):
    assert_alone_as_in_company(made.trained(model, **shape))


@pytest.mark.parametrize("model", ["DLinear_ad", "AutoEncoder_ad"])
@pytest.mark.parametrize(("channels", "size"), [(1, 96), (3, 24), (25, 96)])
def test_a_window_of_a_neural_model_scores_the_same_alone_as_in_company(model, channels, size):
    pytest.importorskip("torch")
    assert_alone_as_in_company(made.trained(model, channels, count=700, input_len=size, epochs=1))


# Files and settings


def test_a_detector_loads_from_its_file_and_from_its_folder_and_scores_the_same(detector, series, tmp_path):
    trained = train(made.rows(500), model="ZScore_ad", out=tmp_path / "out")
    path = tmp_path / "out" / "detector.onnx"
    assert path.read_bytes() == trained.data
    series = replace(series, channels=tuple(trained.metadata.channels))
    for place in (path, str(path), tmp_path / "out"):
        again = Detector.load(place)
        assert again.metadata == trained.metadata
        np.testing.assert_array_equal(again.detect_series(series).score, trained.detect_series(series).score)


def test_a_detector_that_is_nowhere_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(ConfigError, match="no detector 'nothing'"):
        Detector.load("nothing")
    with pytest.raises(ConfigError, match=r"holds no detector\.onnx"):
        Detector.load(tmp_path)


def test_too_few_rows_are_refused_with_the_number_needed(detector):
    size = detector.metadata.size
    with pytest.raises(TooShortError, match=f"has {size - 1} rows, but this detector reads windows of {size}"):
        detector.detect_series(made.series_of(made.rows(size - 1)))
    assert len(detector.detect_series(made.series_of(made.rows(size))).label) == size
    with pytest.raises(TooShortError):
        made.chunked(detector, [made.series_of(made.rows(size - 1))])


@pytest.mark.parametrize(
    "wrong", [{"scoring": "past"}, {"threshold": 0}, {"threshold": nan}, {"max_gap": -1}, {"smooth": 3}]
)
def test_a_wrong_setting_is_refused_by_name(detector, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        detector.detect(made.rows(60), **wrong)


def test_detecting_leaves_the_series_as_it_was(detector, series):
    values, ticks = series.values.copy(), series.ticks.copy()
    detector.detect_series(series)
    detector.detect_series(series, Detection(scoring="causal"))
    np.testing.assert_array_equal(series.values, values)
    np.testing.assert_array_equal(series.ticks, ticks)


def test_detecting_twice_gives_the_same(detector, series):
    one, other = detector.detect_series(series), detector.detect_series(series)
    np.testing.assert_array_equal(one.score, other.score)
    assert one.events == other.events


def test_causal_says_that_gaps_in_times_of_another_kind_were_not_looked_for():
    detector = made.handmade()  # trained on rows without a time
    ticks = np.arange(60) * 3_600_000_000
    dates = made.series_of(made.rows(60, 2), ticks, "datetime")
    (note,) = detector.detect_series(dates, Detection(scoring="causal")).notes
    assert "Gaps in time were not looked for" in note
    assert detector.detect_series(dates, Detection(scoring="causal", step_s=3600)).notes == ()
    assert detector.detect_series(dates).notes == ()


@pytest.mark.parametrize("scoring", ["full", "causal"])
def test_rows_further_apart_than_in_training_are_said(scoring):
    detector = made.handmade()
    about = msgspec.structs.replace(detector.metadata, time=Time(name="t", kind="number", step=1.0))
    detector.metadata = about
    series = made.series_of(made.rows(60, 2), np.arange(60) * 60, "number")
    notes = detector.detect_series(series, Detection(scoring=scoring, max_gap=100)).notes
    assert "Rows are 60 apart, but the detector was trained on rows 1 apart" in notes[0]


@pytest.mark.parametrize(
    ("device", "reason"), [("gpu:0,1", "Install onnxruntime-gpu"), ("gpu:x", "numbers"), ("foo", "isn't known")]
)
def test_a_device_is_read_strictly_by_whoever_loads_a_detector(tmp_path, device, reason):
    (tmp_path / "detector.onnx").write_bytes(made.handmade().data)
    with pytest.raises(DeviceError, match=reason):
        Detector.load(tmp_path, device)
