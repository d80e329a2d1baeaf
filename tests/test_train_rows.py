"""Training rows: what data may be, how it is cut, and which rows are left out."""

from __future__ import annotations

import gzip
import mmap
import os

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from made import rows as made_rows

from oddwave import leak
from oddwave.clean import Cleaner
from oddwave.errors import ConfigError, InputError, OutputError, TrainingError
from oddwave.train import Training, rows, train
from oddwave.train.spool import Spool, blocks, drop, moments, scaled


def table(values, start=0, **columns):
    """Return a frame with whole-number times and further columns."""
    channels = {f"c{i}": column for i, column in enumerate(np.asarray(values, dtype=float).T)}
    return pl.DataFrame({"timestamp": np.arange(start, start + len(values)), **channels, **columns})


def dated(values, step="1m"):
    """Return a frame with dates as texts."""
    times = pl.datetime_range(pl.datetime(2026, 3, 1), pl.datetime(2026, 3, 31), step, eager=True)[: len(values)]
    return table(values).with_columns(timestamp=times.dt.to_string("%Y-%m-%d %H:%M:%S"))


def read(data, **settings):
    return rows.read(data, Training(**settings))


def lengths(normal):
    return [[len(stretch) for stretch in stretches] for stretches in normal.series]


def same(one, other):
    """Check that two readings hold the same rows and say the same about them."""
    assert one.channels == other.channels
    assert one.time == other.time
    assert lengths(one) == lengths(other)
    for first, second in zip(one.series, other.series, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
    assert one.is_switch.tolist() == other.is_switch.tolist()
    assert (one.n_rows, one.n_left_out, one.sketch) == (other.n_rows, other.n_left_out, other.sketch)


# What data may be


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".xlsx"])
def test_every_kind_of_file_gives_the_rows_of_the_frame(suffix, tmp_path):
    frame = table(made_rows(60).round(6))
    path = tmp_path / f"normal{suffix}"
    if suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix == ".xlsx":
        pytest.importorskip("xlsxwriter")
        pytest.importorskip("python_calamine")
        frame.write_excel(path)
    else:
        body = frame.write_csv().encode()
        path.write_bytes(gzip.compress(body) if suffix == ".csv.gz" else body)
    same(read(path), read(frame))


def test_rows_are_brought_in_time_order():
    frame = table(made_rows(50))
    same(read(frame[::-1]), read(frame))


def test_of_a_folder_with_train_only_that_file_is_read_and_csv_comes_first(tmp_path):
    table(made_rows(40)).write_csv(tmp_path / "train.csv")
    table(made_rows(10)).write_parquet(tmp_path / "train.parquet")
    table(made_rows(20)).write_csv(tmp_path / "val.csv")
    assert rows.train_file(tmp_path) == tmp_path / "train.csv"
    assert rows.val_file(tmp_path) == tmp_path / "val.csv"
    assert lengths(read(tmp_path)) == [[40]]


def test_a_folder_with_val_alone_is_refused(tmp_path):
    table(made_rows(20)).write_csv(tmp_path / "val.csv")
    with pytest.raises(InputError, match=r"no train\.csv"):
        read(tmp_path)


def test_a_folder_of_files_is_several_series_of_the_same_channels_in_any_order(tmp_path):
    frame = table(made_rows(90))
    frame[:40].write_csv(tmp_path / "a.csv")
    frame[40:].select("c2", "timestamp", "c0", "c1").write_csv(tmp_path / "b.csv")
    normal = read(tmp_path)
    assert lengths(normal) == [[40], [50]]
    np.testing.assert_array_equal(normal.series[1][0], made_rows(90)[40:])
    assert [name.endswith(f"{stem}.csv") for name, stem in zip(normal.names, "ab", strict=True)] == [True, True]


def test_a_file_with_other_channels_is_named_with_what_it_lacks_and_has_besides(tmp_path):
    table(made_rows(40)).write_csv(tmp_path / "a.csv")
    table(made_rows(40)).rename({"c1": "heat"}).write_csv(tmp_path / "b.csv")
    with pytest.raises(
        InputError, match=r"b\.csv hasn't the channels of .*a\.csv: it lacks c1 and it has heat besides"
    ):
        read(tmp_path)
    assert read(tmp_path, feature_cols=("c0", "c2")).channels == ("c0", "c2")


def test_one_bad_file_among_many_is_named(tmp_path):
    for name in ("a", "c"):
        table(made_rows(40)).write_csv(tmp_path / f"{name}.csv")
    lines = table(made_rows(40)).write_csv().splitlines()
    lines[20] = "19,0.5,broken,0.5"
    (tmp_path / "b.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"b\.csv, line 21, column 'c1': 'broken' isn't a number"):
        read(tmp_path)


def test_files_that_count_time_in_different_ways_are_refused(tmp_path):
    table(made_rows(40)).write_csv(tmp_path / "a.csv")
    dated(made_rows(40)).write_csv(tmp_path / "b.csv")
    with pytest.raises(InputError, match="count time in different ways"):
        read(tmp_path)


def test_series_of_different_steps_are_noted(tmp_path):
    dated(made_rows(40)).write_csv(tmp_path / "a.csv")
    dated(made_rows(40), "5m").write_csv(tmp_path / "b.csv")
    normal = read(tmp_path)
    assert normal.time.step == 180
    assert "b.csv is 5 times as slow as" in normal.notes[-1]


def test_a_group_column_makes_several_series(tmp_path):
    frame = pl.concat([table(made_rows(30, seed=i)).with_columns(host=pl.lit(f"h{i}")) for i in range(3)])
    normal = read(frame, group_col="host")
    assert lengths(normal) == [[30]] * 3
    assert normal.names == ("DataFrame, group h0", "DataFrame, group h1", "DataFrame, group h2")
    groups = dict(rows.read_groups(frame, Training(group_col="host")))
    assert list(groups) == ["h0", "h1", "h2"]
    np.testing.assert_array_equal(groups["h1"].series[0][0], made_rows(30, seed=1))


def test_without_a_group_column_each_file_is_a_group_and_may_have_channels_of_its_own(tmp_path):
    table(made_rows(40)).write_csv(tmp_path / "pump.csv")
    table(made_rows(40, 2)).write_csv(tmp_path / "fan.csv")
    groups = dict(rows.read_groups(tmp_path, Training()))
    assert {name: normal.channels for name, normal in groups.items()} == {
        "fan": ("c0", "c1"),
        "pump": ("c0", "c1", "c2"),
    }


def test_a_group_in_two_files_is_one_group_of_two_series(tmp_path):
    for at, name in enumerate(("january", "february")):
        table(made_rows(30, seed=at)).with_columns(host=pl.lit("h")).write_csv(tmp_path / f"{name}.csv")
    ((name, normal),) = rows.read_groups(tmp_path, Training(group_col="host"))
    assert (name, lengths(normal)) == ("h", [[30], [30]])


def test_the_name_of_a_group_can_be_a_folder_inside_of_another_and_no_two_are_alike():
    hosts = ["../../etc", "rack 1/a", "rack_1_a", "Rack_1_a", "..", "/"]
    frame = pl.concat([table(made_rows(10)).with_columns(host=pl.lit(host)) for host in hosts])
    names = [name for name, _ in rows.read_groups(frame, Training(group_col="host"))]
    assert names == ["_.._etc", "rack_1_a", "rack_1_a_2", "Rack_1_a_3", "_", "__2"]


@pytest.mark.parametrize("data", [[], {"ts": []}])
def test_nothing_to_train_on_is_told(data):
    with pytest.raises(InputError, match="nothing to train on"):
        read(data)


# Which rows are left out


def test_labelled_excluded_and_masked_rows_are_left_out_and_counted_apart():
    label, mask = np.zeros(200, dtype=int), np.zeros(200)
    label[50:60] = 1
    mask[[100, 101, 150]] = 1
    mask[7] = np.nan
    frame = table(made_rows(200), label=label, service=mask)
    normal = read(frame, mask_col="service", exclude=("20/25", "55/65"))
    assert normal.channels == ("c0", "c1", "c2")
    assert lengths(normal) == [[20, 25, 35, 48, 49]]
    assert normal.n_rows == 200
    assert normal.n_left_out == 10 + 5 + 5 + 3
    assert normal.notes[-4:] == (
        "Rows labelled anomalous and left out: 10.",
        "The labels are those of the column named label; name another with label_col.",
        "Rows in the times of exclude and left out: 15.",
        "Rows with 1 in service and left out: 3.",
    )


def test_left_out_rows_are_never_filled_over_and_no_gap():
    label = np.zeros(40, dtype=int)
    label[20] = 1
    normal = read(table(made_rows(40), label=label), max_gap=10)
    assert lengths(normal) == [[20, 19]]
    assert not any("gap" in note.lower() or "filled" in note for note in normal.notes)


def test_a_missing_cell_below_a_left_out_row_is_not_filled_from_above_it():
    values = made_rows(40)
    values[21, 1] = np.nan
    label = np.zeros(40, dtype=int)
    label[20] = 1
    assert lengths(read(table(values, label=label))) == [[20, 18]]


def test_labels_are_found_also_if_channels_are_named():
    label = np.zeros(40, dtype=int)
    label[30:] = 1
    normal = read(table(made_rows(40), label=label), feature_cols=("c1",))
    assert (normal.channels, normal.n_left_out) == (("c1",), 10)


def test_a_label_column_that_may_be_absent_is_no_error_but_another_one_is():
    frame = table(made_rows(40))
    assert read(frame, label_col="label").n_left_out == 0
    with pytest.raises(InputError, match="no column 'fault'"):
        read(frame, label_col="fault")


def test_a_mask_named_label_is_taken_as_labels():
    label = np.arange(40) // 30
    assert read(table(made_rows(40), label=label), mask_col="label").n_left_out == 10


def test_labels_of_text_are_refused_with_advice():
    with pytest.raises(
        InputError, match=r"the label 'ok' is neither 0 nor 1\.\nWrite 1 \(anomalous\) and 0 \(normal\)"
    ):
        read(table(made_rows(3), label=["ok", "ok", "bad"]))


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("2026-03-01/2026-03-01 00:10", 10),
        ("2026-03-01 00:05:00 / 2026-03-01 00:06:00", 1),
        ("/2026-03-01T00:03", 3),
        ("2026-03-01 00:55/", 5),
        ("2026/03/01 00:05/2026/03/01 00:06", 1),
        ("01.03.2026 00:05/01.03.2026 00:07", 2),
    ],
)
def test_ranges_of_dates_end_before_their_end(exclude, left):
    assert read(dated(made_rows(60)), exclude=(exclude,)).n_left_out == left


def test_ranges_have_dates_as_the_data_has_them():
    frame = table(made_rows(60)).with_columns(
        timestamp=pl.Series([f"{i % 28 + 1:02}/{i // 28 + 1:02}/2026" for i in range(60)])
    )
    assert read(frame, exclude=("05/02/2026/08/02/2026",)).n_left_out == 3


def test_without_a_time_column_ranges_count_rows():
    normal = read(made_rows(60), exclude=("10/20",))
    assert lengths(normal) == [[10, 40]]


def test_a_range_that_hits_no_row_is_noted():
    normal = read(table(made_rows(60)), exclude=("10/20", "1000/2000"))
    assert normal.n_left_out == 10
    assert normal.notes[-1] == "No row is in the excluded times '1000/2000'."


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ("100", "no range of times"),
        ("1/2/3", "no range of times"),
        ("monday/tuesday", "the times of DataFrame are numbers"),
        ("20/10", "ends before it starts"),
        ("20/20", "ends before it starts"),
    ],
)
def test_a_range_that_cant_be_read_is_a_wrong_setting(exclude, message):
    with pytest.raises(ConfigError, match=message):
        read(table(made_rows(60)), exclude=(exclude,))


def test_a_range_with_a_zone_needs_times_with_one():
    with pytest.raises(ConfigError, match="has a zone, but the times have none"):
        read(dated(made_rows(60)), exclude=("2026-03-01T00:00Z/2026-03-01T01:00Z",))


@pytest.mark.parametrize(
    ("mask", "message"), [([2.0, 0.0], "holds 2 at 0"), (["no", "yes"], "isn't there, or holds no")]
)
def test_a_mask_of_something_else_is_refused(mask, message):
    with pytest.raises(InputError, match=message):
        read(table(made_rows(2), service=mask), mask_col="service")


def test_if_every_row_is_left_out_that_is_said():
    with pytest.raises(TrainingError, match="all of its 40 rows are left out"):
        read(table(made_rows(40), label=np.ones(40, dtype=int)))


def test_the_sketch_holds_the_rows_to_learn_from_and_no_others():
    label = np.zeros(300, dtype=int)
    label[200:] = 1
    values = made_rows(300)
    sketch = read(table(values, label=label)).sketch
    assert leak.share(sketch, None, values[:200]).found == leak.KEPT
    assert leak.share(sketch, None, values[200:]).found == 0


# Sizes


def test_a_switch_holds_only_0_and_1_in_the_rows_to_learn_from():
    values = made_rows(60)
    values[:, 1] = np.arange(60) % 2
    values[30, 1] = 7
    frame = table(values)
    assert read(frame).is_switch.tolist() == [False, False, False]
    assert read(frame, exclude=("30/31",)).is_switch.tolist() == [False, True, False]


def test_one_row_is_read_and_too_few_to_train_with():
    assert lengths(read(made_rows(1))) == [[1]]
    with pytest.raises(TrainingError, match="has 1 row to learn from, too few"):
        train(made_rows(1), model="PCA_ad")


@pytest.mark.parametrize("channels", [1, 1000])
def test_one_channel_and_a_thousand_train(channels):
    assert len(train(made_rows(300, channels), model="ZScore_ad").metadata.channels) == channels


def test_a_constant_series_trains_and_a_change_stands_out():
    detector = train(np.full((600, 2), 3.7), model="ZScore_ad", smoothing=3, rolling=9)
    changed = np.full((1200, 2), 3.7)
    changed[900:920, 1] = 9
    label = detector.detect(changed).label
    assert label[905:915].all()
    assert not label[:600].any()


def awkward(count=400):
    """Return rows with missing cells, gaps, repeats, labels and a mask."""
    values = made_rows(count).round(5)
    values[90:92, 0] = np.nan
    values[120:130, 2] = np.nan
    times = np.arange(count)
    times[30:] += 2
    times[75:] += 40
    times[100] = times[99]
    label = (np.arange(count) // 37 % 5 == 4).astype(int)
    frame = table(values, label=label, service=(np.arange(count) // 11 % 13 == 3).astype(int))
    return frame.with_columns(timestamp=pl.Series(times))


SETTINGS = {"mask_col": "service", "exclude": ("200/210",)}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_large_file_read_in_chunks_and_spooled_gives_the_same_rows(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"normal{suffix}"
    awkward().write_csv(path) if suffix == ".csv" else awkward().write_parquet(path)
    whole = read(path, **SETTINGS)
    monkeypatch.setattr(rows, "LARGE", 1)
    monkeypatch.setattr(rows, "CHUNK_ROWS", 17)
    monkeypatch.setattr("oddwave.train.spool.LIMIT", 1000)
    spooled = read(path, **SETTINGS)
    same(spooled, whole)
    assert spooled.notes == whole.notes


def test_a_large_file_that_is_not_in_time_order_is_read_whole(tmp_path, monkeypatch):
    awkward().write_csv(tmp_path / "sorted.csv")
    awkward()[::-1].write_csv(tmp_path / "reversed.csv")
    monkeypatch.setattr(rows, "LARGE", 1)
    monkeypatch.setattr(rows, "CHUNK_ROWS", 50)
    one, other = (read(tmp_path / f"{name}.csv", max_gap=0) for name in ("sorted", "reversed"))
    assert lengths(one) == lengths(other)
    monkeypatch.setattr(rows, "IN_MEMORY", 1)
    with pytest.raises(InputError, match="not in time order: row 2"):
        read(tmp_path / "reversed.csv")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.lists(st.integers(1, 9), min_size=1), st.integers(0, 3))
def test_leaving_rows_out_equals_cleaning_each_run_of_the_others_alone(flags, pieces, max_gap):
    values, is_out = made_rows(len(flags), 2), np.array(flags)
    values[::4, 1] = np.nan
    spool, cut, at = Spool(), 0, 0
    first = read_series(values)
    cutter = rows._Cutter(first, 1.0, max_gap, spool)
    while cut < len(values):
        stop = cut + pieces[at % len(pieces)]
        cutter.push(np.arange(len(values))[cut:stop], values[cut:stop], is_out[cut:stop])
        cut, at = stop, at + 1
    expected = []
    for run in np.split(np.arange(len(values)), np.flatnonzero(np.diff(is_out)) + 1):
        if not is_out[run[0]]:
            expected += [part for part, _ in Cleaner("", 2, 1.0, max_gap).push(run, values[run]).stretches]
    assert [stretch.tolist() for stretch in spool.stretches()] == [stretch.tolist() for stretch in expected]


def read_series(values):
    from made import series_of

    return series_of(values, kind="number")


# The spool


def test_a_spool_past_its_limit_is_on_disk_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    pieces = [made_rows(count, seed=count) for count in (5, 40, 3)]
    spool = Spool(limit=100)
    for piece, is_new in zip(pieces, (True, False, True), strict=True):
        spool.add(piece, is_new)
    first, second = spool.stretches()
    assert isinstance(first, np.memmap)
    assert isinstance(first._mmap, mmap.mmap)
    np.testing.assert_array_equal(first, np.concatenate(pieces[:2]))
    drop(first)
    np.testing.assert_array_equal(second, pieces[2])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: open("/dev/full", "wb"))  # noqa: SIM115
    spool = Spool(limit=100)
    with pytest.raises(OutputError, match=r"don't fit on the disk of .*No space left.*\n.*TMPDIR"):
        spool.add(made_rows(1000), is_new=True)
    spool.close()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_moments_are_the_same_to_the_bit_however_rows_are_cut_and_those_of_numpy(cuts):
    values = made_rows(9000) + 1e6
    pieces = [part for part in np.split(values, np.cumsum(cuts)[np.cumsum(cuts) < len(values)]) if len(part)]
    cut, whole = moments(pieces), moments([values])
    assert [part.tolist() for part in cut] == [part.tolist() for part in whole]
    np.testing.assert_allclose(whole.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole.deviation, values.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(whole.highest, np.abs(values).max(axis=0))


def test_blocks_hold_every_row_once_in_order():
    values = made_rows(1000)
    parts = list(blocks([values[:3], values[3:700], values[700:]], size=64))
    assert {len(part) for part in parts[:-1]} == {64}
    np.testing.assert_array_equal(np.concatenate(parts), values)


def test_scaled_rows_are_those_of_one_piece():
    values = made_rows(20_000)
    center, scale = values.mean(axis=0), values.std(axis=0)
    one, other = scaled([values[:15_000], values[15_000:]], center, scale)
    expected = ((values - center) / scale).astype(np.float32)
    np.testing.assert_array_equal(np.concatenate([one, other]), expected)
