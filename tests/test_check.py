"""Checking a dataset: each finding where it belongs and not elsewhere, and the tutorial's result file."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import polars as pl
import pytest
from made import rows, series_of

from oddwave import check
from oddwave.check import seen as seeing
from oddwave.check.finding import Finding
from oddwave.series import Series
from oddwave.train.blocks import HOLD

COUNT = 8000
LEAST = math.ceil(96 / HOLD)
HOUR = 3_600_000_000


def sound(count=COUNT, channels=3, seed=0):
    """Return rows with nothing odd about them."""
    return rows(count, channels, seed)


def found(values, ticks=None, kind="number", labels=None, index=None):
    """Return the findings of a series by name."""
    ticks = np.arange(len(values)) if ticks is None else np.asarray(ticks)
    plain = series_of(values, ticks, kind)
    series = Series(
        plain.values, plain.channels, ticks, kind, ticks if index is None else index, "time", "pump.csv", None, labels
    )
    return {finding.name: finding for finding in check.findings(series)}


def frame(values, start=0, **columns):
    channels = {f"c{i}": column for i, column in enumerate(np.asarray(values).T)}
    return pl.DataFrame({"timestamp": np.arange(start, start + len(values)), **channels, **columns})


def dataset(folder, train, val=None):
    train.write_csv(folder / "train.csv")
    if val is not None:
        val.write_csv(folder / "val.csv")
    return folder


def labels(count, *faults):
    label = np.zeros(count, dtype=np.int8)
    for start in faults:
        label[start : start + 10] = 1
    return label


def of(checked, name):
    return [finding for finding in checked.findings if finding.name == name]


def test_sound_rows_have_no_finding():
    assert found(sound()) == {}


# Times


def test_rows_out_of_order_are_counted_and_the_first_is_named():
    ticks = np.arange(COUNT)
    ticks[[100, 101]] = ticks[[101, 100]]
    one = found(sound(), ticks)["order"]
    assert one.what == "1 row earlier than the row before, first row 102: 100 after 101."


def test_repeated_times_are_a_warning_and_many_of_them_mean_several_series():
    ticks = np.arange(COUNT)
    ticks[7] = 6
    assert found(sound(), ticks)["repeats"].severity == "warning"
    several = found(sound(), np.arange(COUNT) // 2)["repeats"]
    assert (several.severity, "group_col" in several.advice) == ("error", True)


@pytest.mark.parametrize(("missing", "severity"), [(3, "note"), (4, "warning")])
def test_gaps_are_told_with_the_longest_and_matter_past_max_gap(missing, severity):
    ticks = np.arange(COUNT)
    ticks[5000:] += missing
    one = found(sound(), ticks)["gaps"]
    assert one.severity == severity
    assert f"{missing} missing rows at a step of 1" in one.what
    assert f"from 4999 to {5000 + missing}" in one.what


def test_a_step_that_varies_is_told():
    ticks = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, COUNT))
    assert "The time step varies" in found(sound(), ticks)["step"].what
    assert "step" not in found(sound(), np.arange(COUNT) * 1.0)


def test_without_times_that_is_noted():
    assert list(found(sound(), kind="row")) == ["time"]


def minutes(*parts):
    """Return ticks, one a minute, of half-open ranges of minutes."""
    return np.concatenate([np.arange(start, stop) for start, stop in parts]) * (HOUR // 60) + 1_700_000_000_000_000


def test_clocks_set_back_show_in_the_order_of_rows_and_in_sorted_ones():
    ticks = minutes((0, 4000), (3940, COUNT - 60))
    assert "comes twice" in found(sound(), ticks, "datetime")["clock"].what
    assert "comes twice" in found(sound(), np.sort(ticks), "datetime")["clock"].what


def test_times_with_their_offset_are_no_clock_trouble():
    ticks = minutes((0, 4000), (3940, COUNT - 60))
    index = np.array(["2026-10-25T02:00:00+02:00"] * COUNT, dtype=object)
    assert "clock" not in found(sound(), ticks, "datetime", index=index)


def test_single_repeats_of_hourly_rows_are_no_clock_trouble():
    ticks = np.arange(COUNT) * HOUR + 1_700_000_000_000_000
    ticks[50] = ticks[49]
    assert "clock" not in found(sound(), ticks, "datetime")


def test_a_clock_that_was_never_set_is_told():
    ticks = minutes((0, COUNT))
    ticks[:3] = [0, 60_000_000, 120_000_000]
    assert "before 1980 (first: 1970-01-01 00:00:00)" in found(sound(), ticks, "datetime")["clock"].what


@pytest.mark.parametrize(("count", "severity"), [(1, "error"), (LEAST - 1, "error"), (LEAST, "note"), (7200, None)])
def test_few_rows_are_an_error_if_the_rows_that_calibrate_hold_no_window(count, severity):
    one = found(sound(count)).get("length")
    assert (one and one.severity) == severity


def test_gaps_all_over_leave_no_stretch_for_a_window():
    ticks = np.arange(COUNT) + np.arange(COUNT) // 50 * 10
    one = found(sound(), ticks)["stretches"]
    assert (one.severity, one.what.startswith("8,000 rows of 8,000")) == ("error", True)


# Values


def test_missing_cells_are_told_by_channel_worst_first():
    values = sound()
    values[:2000, 2] = np.nan
    values[5, 0] = np.nan
    one = found(values)["missing"]
    assert (one.channels, one.severity) == (("c2", "c0"), "warning")
    assert "c2 25.00%" in one.what


def test_constant_channels_are_named():
    values = sound()
    values[:, 1] = 7.25
    assert found(values)["constant"].channels == ("c1",)


@pytest.mark.parametrize("copy", [lambda x: x, lambda x: 3 - 2 * x])
def test_doubled_channels_are_named(copy):
    values = sound()
    values[:, 2] = copy(values[:, 0])
    one = found(values)["doubled"]
    assert one.channels == ("c2",)
    assert "c2 = c0" in one.what


def test_codes_and_switches_are_told_apart():
    values = sound()
    rng = np.random.default_rng(1)
    values[:, 0] = rng.integers(0, 5, COUNT)
    values[:, 1] = rng.integers(0, 2, COUNT)
    told = found(values)
    assert (told["codes"].channels, told["switches"].channels) == (("c0",), ("c1",))


def test_a_counter_is_told_also_if_it_starts_anew():
    values = sound()
    values[:, 1] = np.cumsum(np.random.default_rng(0).uniform(1, 2, COUNT))
    values[5000:, 1] -= values[5000, 1]
    assert found(values)["counters"].channels == ("c1",)


@pytest.mark.parametrize(("name", "setting"), [("ATT_FLAG", "label_col"), ("in_maintenance", "mask_col")])
def test_a_column_that_looks_like_labels_or_a_mask_is_told_with_the_setting(name, setting):
    values = sound()
    values[:, 0] = labels(COUNT, 500)
    plain = series_of(values, kind="number", channels=[name, "flow", "heat"])
    (one,) = [finding for finding in check.findings(plain) if finding.name.endswith("_like")]
    assert f"{setting} {name}." in one.advice


def test_counts_that_are_mostly_0_are_neither_states_nor_anomalies():
    values = sound()
    values[:, 1] = np.random.default_rng(0).poisson(0.1, COUNT)
    assert found(values) == {}


def test_a_guess_of_day_and_month_is_a_warning():
    times = [f"{day:02}/01/2026 {hour:02}:00" for day in range(1, 11) for hour in range(24)]
    (one,) = of(check.check_dataset(frame(sound(240)).with_columns(timestamp=pl.Series(times))), "reading")
    assert (one.severity, "YYYY-MM-DD" in one.advice) == ("warning", True)


@pytest.mark.parametrize(("value", "severity"), [(1e16, "warning"), (1e26, "error"), (-1e26, "error")])
def test_enormous_values_are_told(value, severity):
    values = sound()
    values[17, 1] = value
    one = found(values)["large"]
    assert (one.channels, one.severity) == (("c1",), severity)


def test_small_moves_around_a_large_value_are_lost_in_float32():
    values = sound()
    values[:, 2] += 1e9
    assert found(values)["offset"].channels == ("c2",)


def test_rows_far_from_all_others_are_named_with_the_setting_that_leaves_them_out():
    values = sound()
    values[3000:3004, 1] += 500
    values[6000, 0] -= 90
    one = found(values)["anomalies"]
    assert one.what.startswith("Far from all others: 5 rows in 2 places.\n3000 to 3003: c1 ")
    assert one.advice.endswith("exclude 3000/3004, 6000/6001")
    assert one.channels == ("c1", "c0")


def test_rows_labelled_anomalous_are_not_told_as_likely_anomalies():
    values = sound()
    values[3000:3004, 1] += 500
    assert "anomalies" not in found(values, labels=labels(COUNT, 3000))


def test_spikes_that_come_again_and_again_are_normal():
    values = sound()
    values[::400, 1] += 500
    assert "anomalies" not in found(values)


def test_a_level_that_changed_before_the_end_is_told():
    values = sound()
    values[-2000:, 1] += 50
    assert found(values)["drift"].channels == ("c1",)


def test_a_sample_of_a_long_series_has_the_same_findings_and_every_time():
    values = sound()
    values[:, 1] = 7.25
    ticks = np.arange(COUNT)
    ticks[5000:] += 100
    whole = series_of(values, ticks, "number")
    pieces = [whole.rows(start, start + 333) for start in range(0, COUNT, 333)]
    thin = seeing.see(iter(pieces), most_cells=3000)
    assert (thin.every, len(thin), len(thin.series)) == (8, COUNT, 1000)
    np.testing.assert_array_equal(thin.series.ticks, ticks[::8])
    np.testing.assert_array_equal(thin.series.values, values[::8])
    full = seeing.see(iter([whole]))
    np.testing.assert_array_equal(thin.hashes, full.hashes)
    names = [[one.name for one in check._of(seen, True, 96, 3)] for seen in (thin, full)]
    assert names == [["sample", "gaps", "constant"], ["gaps", "constant"]]


# Train and val


def test_a_sound_dataset_passes(tmp_path):
    folder = dataset(tmp_path, frame(sound()), frame(sound(500, seed=1), COUNT, label=labels(500, 50, 150, 250)))
    checked = check.check_dataset(folder)
    assert [(finding.name, finding.severity) for finding in checked.findings] == [("labels", "note")]
    assert str(checked).endswith("1 note.\nCheck dataset passed !")


@pytest.mark.parametrize(
    ("label", "severity", "what"),
    [
        (None, "error", "no labels"),
        ([], "error", "All 500 labels of val are 0"),
        ([50], "warning", "1 event, 10 rows of 500"),
    ],
)
def test_val_needs_labels_of_both_kinds(label, severity, what, tmp_path):
    columns = {} if label is None else {"label": labels(500, *label)}
    checked = check.check_dataset(dataset(tmp_path, frame(sound()), frame(sound(500, seed=1), COUNT, **columns)))
    (one,) = of(checked, "labels")
    assert (one.severity, what in one.what) == (severity, True)
    assert checked.is_passed == (severity != "error")


def test_labels_of_text_are_told_with_what_to_write(tmp_path):
    val = frame(sound(500, seed=1), COUNT, label=["ok"] * 500)
    checked = check.check_dataset(dataset(tmp_path, frame(sound()), val))
    (one,) = of(checked, "unreadable")
    assert "the label 'ok' is neither 0 nor 1" in one.what
    assert "Write 1 (anomalous) and 0 (normal)" in one.advice


def test_labels_the_wrong_way_round_are_told(tmp_path):
    checked = check.check_dataset(dataset(tmp_path, frame(sound(), label=1 - labels(COUNT, 50))))
    (one,) = of(checked, "labels")
    assert "wrong way round" in one.advice


def test_rows_of_val_that_train_has_too_are_an_error(tmp_path):
    whole = sound(COUNT + 400)
    val = frame(whole[COUNT - 100 :], COUNT - 100, label=labels(500, 50, 150, 250))
    (one,) = of(check.check_dataset(dataset(tmp_path, frame(whole[:COUNT]), val)), "shared")
    assert one.severity == "error"
    assert one.what.startswith("100 of 500 rows of val are in train too, with the same time (first: 7900)")


def test_copies_under_other_times_are_an_error_but_an_idle_machine_is_not(tmp_path):
    values = sound()
    val = frame(values[1000:1500], COUNT, label=labels(500, 50, 150, 250))
    (one,) = of(check.check_dataset(dataset(tmp_path, frame(values), val)), "shared")
    assert (one.severity, "They look like copies" in one.advice) == ("error", True)
    idle = np.round(values / 50) * 50  # few values, often the same for long
    val = frame(np.round(sound(500, seed=1) / 50) * 50, COUNT, label=labels(500, 50, 150, 250))
    assert of(check.check_dataset(dataset(tmp_path, frame(idle), val)), "shared") == []


def test_channels_that_val_lacks_are_named(tmp_path):
    val = frame(sound(500, 2), COUNT, label=labels(500, 50))
    (one,) = of(check.check_dataset(dataset(tmp_path, frame(sound()), val)), "channels")
    assert (one.severity, one.channels) == ("error", ("c2",))


def test_a_folder_of_files_is_checked_file_by_file_and_each_kind_told_once(tmp_path):
    for at in range(5):
        values = sound(seed=at)
        values[:, 1] = at
        frame(values).write_csv(tmp_path / f"host{at}.csv")
    frame(sound(100)).write_csv(tmp_path / "short.csv")
    checked = check.check_dataset(tmp_path)
    (constant,) = of(checked, "constant")
    assert constant.what.startswith("host0.csv: 1 channel without any change: c1.\nhost1.csv: ")
    assert constant.what.endswith("\nand 2 more like it")
    (length,) = of(checked, "length")
    assert (length.severity, checked.is_passed) == ("warning", True)  # five others are long enough


def test_a_file_that_cant_be_read_is_a_finding_and_the_others_are_checked(tmp_path):
    frame(sound()).write_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("time,flow\n1,2\n2,broken\n3,4\n")
    checked = check.check_dataset(tmp_path)
    (one,) = of(checked, "unreadable")
    assert "'broken' isn't a number" in one.what
    assert (checked.is_passed, checked.result["attributes"]["train_samples"]) == (False, COUNT)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_large_file_is_checked_in_pieces_with_the_same_findings(suffix, tmp_path, monkeypatch):
    values = sound()
    values[3000:3004, 1] += 500
    values[:, 2] = 1
    path = tmp_path / f"pump{suffix}"
    table = frame(values, label=labels(COUNT, 50))
    table.write_csv(path) if suffix == ".csv" else table.write_parquet(path)
    whole = check.check_dataset(path)
    monkeypatch.setattr("oddwave.train.rows.LARGE", 1)
    assert check.check_dataset(path).findings == whole.findings


# The result file


def test_the_result_has_the_keys_of_the_tutorial_and_the_findings(tmp_path):
    values = sound()
    values[1, 0] = np.nan
    folder = dataset(tmp_path, frame(values), frame(sound(500, seed=1), COUNT, label=labels(500, 50)))
    checked = check.check_dataset(folder, out=tmp_path / "out")
    result = json.loads((tmp_path / "out" / "check_dataset_result.json").read_text())
    assert result == json.loads(json.dumps(checked.result))
    assert set(result) == {
        "done_flag", "check_pass", "attributes", "analysis", "dataset_path", "show_type", "dataset_type", "findings",
    }  # fmt: skip
    assert (result["done_flag"], result["check_pass"]) == (True, True)
    assert (result["show_type"], result["dataset_type"]) == ("csv", "TSADDataset")
    attributes = result["attributes"]
    assert (attributes["train_samples"], attributes["val_samples"]) == (COUNT, 500)
    assert attributes["train_table"][0] == ["timestamp", "c0", "c1", "c2"]
    assert attributes["train_table"][2] == [1, None, *values[1, 1:].tolist()]
    assert attributes["val_table"][0] == ["timestamp", "c0", "c1", "c2", "label"]
    assert [len(attributes[f"{part}_table"]) for part in ("train", "val")] == [11, 11]
    assert [finding["name"] for finding in result["findings"]] == ["labels", "missing"]


def test_the_picture_is_drawn_if_that_can_be_done(tmp_path):
    pytest.importorskip("matplotlib")
    checked = check.check_dataset(frame(sound(channels=5)), out=tmp_path)
    picture = tmp_path / checked.result["analysis"]["histogram"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_result_says_why_there_is_no_picture(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    checked = check.check_dataset(frame(sound()), out=tmp_path)
    assert checked.result["analysis"]["histogram"] == ""
    assert "oddwave[plot]" in checked.result["analysis"]["why"]


def test_a_finding_is_printed_with_its_advice():
    text = str(Finding("gaps", "warning", "One gap.\nThe longest: 7.", "Fill it."))
    assert text == "WARNING gaps: One gap.\n        The longest: 7.\n        Fill it."


def test_labels_that_may_be_absent_in_train_are_no_error(tmp_path):
    folder = dataset(tmp_path, frame(sound()), frame(sound(500, seed=1), COUNT, label=labels(500, 50)))
    assert check.check_dataset(folder, label_col="label").is_passed
    assert not check.check_dataset(folder, label_col="fault").is_passed


def test_findings_come_worst_first(tmp_path):
    values = sound(100)
    values[:, 0] = 1
    order = [finding.severity for finding in check.check_dataset(frame(values)).findings]
    assert order == ["error", "warning", "note"]
