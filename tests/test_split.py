"""Split: percent in time order, originals kept, nothing lost whenever it is cut short."""

from __future__ import annotations

import gzip
import sys

import polars as pl
import pytest
from small import names_in

from oddwave import check
from oddwave.errors import ConfigError, InputError, OutputError


def write(path, times, **columns):
    """Write a CSV with a channel, and return its text."""
    frame = pl.DataFrame({"timestamp": list(times), "flow": [f"{time}.50" for time in times], **columns})
    frame.write_csv(path)
    return path.read_text()


def times(path):
    return pl.read_csv(path)["timestamp"].to_list()


def test_the_first_percent_go_to_train_and_the_rest_to_val(tmp_path):
    text = write(tmp_path / "train.csv", range(50), label=[0] * 45 + [1] * 5)
    done = check.split(tmp_path, 80, 20)
    assert (done.train_rows, done.val_rows, done.notes) == (40, 10, ())
    assert times(done.train) + times(done.val) == list(range(50))
    assert names_in(tmp_path) == ["train.csv", "train.csv.bak", "val.csv"]
    assert (tmp_path / "train.csv.bak").read_text() == text


def test_cells_stay_as_they_were_written(tmp_path):
    text = 'timestamp;flow;host\n1;0.50;"a;b"\n2;;c\n3;1e3;""\n4;NA;d\n'
    (tmp_path / "train.csv").write_text(text)
    done = check.split(tmp_path, 50, 50)
    assert done.train.read_text() == 'timestamp;flow;host\n1;0.50;"a;b"\n2;;c\n'
    assert done.val.read_text() == 'timestamp;flow;host\n3;1e3;""\n4;NA;d\n'


def test_rows_are_divided_in_time_order_not_in_the_order_of_the_file(tmp_path):
    write(tmp_path / "train.csv", [5, 3, 1, 2, 4, 6])
    done = check.split(tmp_path, 50, 50)
    assert (times(done.train), times(done.val)) == ([1, 2, 3], [4, 5, 6])


def test_dates_that_a_part_alone_would_not_tell_apart_are_written_plainly(tmp_path):
    lines = [f"{day:02}/03/2026 00:05,{day}" for day in range(1, 21)]
    (tmp_path / "train.csv").write_text("\n".join(["time,flow", *lines]))
    done = check.split(tmp_path, 50, 50)
    assert done.train.read_text().splitlines()[:2] == ["time,flow", "2026-03-01 00:05,1"]
    assert "YYYY-MM-DD" in done.notes[-1]
    assert [int(line[8:10]) for line in done.val.read_text().splitlines()[1:]] == list(range(11, 21))


def test_train_and_val_are_divided_anew_and_missing_labels_are_0(tmp_path):
    write(tmp_path / "train.csv", range(10))
    write(tmp_path / "val.csv", range(10, 20), label=[0, 1] * 5)
    done = check.split(tmp_path, 75, 25)
    assert pl.read_csv(done.train)["label"].to_list() == [0] * 10 + [0, 1, 0, 1, 0]
    assert pl.read_csv(done.val)["label"].to_list() == [1, 0, 1, 0, 1]
    assert names_in(tmp_path) == ["train.csv", "train.csv.bak", "val.csv", "val.csv.bak"]


def test_parquet_keeps_its_types(tmp_path):
    frame = pl.DataFrame(
        {"timestamp": pl.Series(range(10), dtype=pl.Int32), "flow": pl.Series([0.5] * 10, dtype=pl.Float32)}
    )
    frame.write_parquet(tmp_path / "train.parquet")
    done = check.split(tmp_path, 70, 30)
    assert pl.read_parquet(done.val).equals(frame[7:])
    assert pl.read_parquet(done.val).schema == frame.schema


def test_one_file_is_divided_beside_itself(tmp_path):
    text = write(tmp_path / "pump.csv", range(10))
    done = check.split(tmp_path / "pump.csv", 60, 40)
    assert names_in(tmp_path) == ["pump.csv.bak", "train.csv", "val.csv"]
    assert done.backups[0].read_text() == text


def test_a_packed_csv_is_divided_into_plain_ones(tmp_path):
    (tmp_path / "train.csv.gz").write_bytes(gzip.compress(b"timestamp,flow\n1,2\n2,3\n"))
    check.split(tmp_path, 50, 50)
    assert names_in(tmp_path) == ["train.csv", "train.csv.gz.bak", "val.csv"]


@pytest.mark.parametrize("percent", [(80, 30), (100, 0), (0, 100), (-10, 110)])
def test_percentages_must_add_up_to_100(percent, tmp_path):
    with pytest.raises(ConfigError, match="add up to 100"):
        check.split(tmp_path, *percent)


def test_a_second_split_is_refused_and_says_how_to_go_back(tmp_path):
    write(tmp_path / "train.csv", range(50))
    check.split(tmp_path, 80, 20)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=r"was split before.\n.*rename train\.csv\.bak to train\.csv"):
        check.split(tmp_path, 50, 50)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_would_be_overwritten_is_refused(tmp_path):
    write(tmp_path / "pump.csv", range(10))
    write(tmp_path / "val.csv", range(10))
    with pytest.raises(OutputError, match=r"val\.csv is there already"):
        check.split(tmp_path / "pump.csv", 60, 40)
    assert names_in(tmp_path) == ["pump.csv", "val.csv"]


def test_files_that_overlap_in_time_are_refused(tmp_path):
    write(tmp_path / "train.csv", range(10))
    write(tmp_path / "val.csv", range(10))
    with pytest.raises(InputError, match="overlap in time"):
        check.split(tmp_path, 60, 40)
    assert names_in(tmp_path) == ["train.csv", "val.csv"]


def test_files_of_different_columns_are_refused(tmp_path):
    write(tmp_path / "train.csv", range(10))
    write(tmp_path / "val.csv", range(10, 20), heat=[1] * 10)
    with pytest.raises(InputError, match="different columns: heat"):
        check.split(tmp_path, 60, 40)


def test_a_workbook_is_to_be_converted_first(tmp_path):
    (tmp_path / "train.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match="Convert it to CSV first"):
        check.split(tmp_path, 60, 40)


@pytest.mark.parametrize(("label", "note"), [([0] * 10, "No row of val is labelled"), (None, "have no labels")])
def test_a_val_without_anomalies_is_warned_about(label, note, tmp_path):
    write(tmp_path / "train.csv", range(10), **({} if label is None else {"label": label}))
    (told,) = check.split(tmp_path, 60, 40).notes
    assert note in told


@pytest.mark.parametrize("steps", range(4))
def test_cut_short_anywhere_the_originals_are_whole(steps, tmp_path, monkeypatch):
    texts = {
        "train.csv": write(tmp_path / "train.csv", range(10), label=[0] * 10),
        "val.csv": write(tmp_path / "val.csv", range(10, 20), label=[1] * 10),
    }
    splitting, left = sys.modules[check.Split.__module__], [steps]

    def until(step):
        def run(*arguments):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return step(*arguments)

        return run

    monkeypatch.setattr(splitting, "_second_name", until(splitting._second_name))
    monkeypatch.setattr(splitting, "Atomic", until(splitting.Atomic))
    with pytest.raises(KeyboardInterrupt):
        check.split(tmp_path, 75, 25)
    for name, text in texts.items():
        backup = tmp_path / f"{name}.bak"
        assert (backup if backup.exists() else tmp_path / name).read_text() == text
    monkeypatch.undo()
    if steps <= 2:  # nothing was replaced yet: it is simply done again
        assert check.split(tmp_path, 75, 25).train_rows == 15
    else:
        with pytest.raises(OutputError, match="was split before"):
            check.split(tmp_path, 75, 25)
