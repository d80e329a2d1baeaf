"""Saving: what the files hold, where they go, and that nothing is ever lost or half written."""

from __future__ import annotations

import csv
import json
import os
import resource
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import small
from hypothesis import HealthCheck, given, settings, strategies as st

from oddwave import detector_file, read, save
from oddwave.detector import Detector
from oddwave.errors import OutputError
from oddwave.result import REASONS, Result, Scored
from oddwave.save import CsvWriter, Names, stem, target
from oddwave.series import Columns, Series

DECIMALS = st.floats(allow_nan=True, allow_infinity=False)
TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)


FORMATS = ("csv", "json", "xlsx", "html", "png")


def rows_of(index, score, reason=None):
    score = np.asarray(score, dtype=np.float64)
    label = np.where(np.isnan(score), -1, score > 1).astype(np.int8)
    reason = np.where(np.isnan(score), 1, 0) if reason is None else np.asarray(reason)
    return Scored(np.asarray(index), score, label, reason.astype(np.uint8))


def result_of(index, score, source="in.csv", group=None, name="timestamp", **more):
    rows = rows_of(index, score)
    values = np.zeros((len(rows), 1))
    series = Series(values, ("a",), np.arange(len(rows)), "number", rows.index, name, str(source), group)
    return Result(series, rows.score, rows.label, rows.reason, [], 1.0, "M", "full", **more)


def slow_twin(rows, name):
    """The same file from the definition, with the csv module and Python's own shortest repr."""
    out = [["time" if name in ("label", "score", "reason") else name, "label", "score"]]
    has_reasons = bool(rows.reason.any())
    if has_reasons:
        out[0].append("reason")
    for time, score, label, reason in zip(rows.index.tolist(), rows.score, rows.label, rows.reason, strict=True):
        line = [str(time), "" if label < 0 else str(label), "" if np.isnan(score) else repr(float(score))]
        out.append([*line, REASONS[reason]] if has_reasons else line)
    return out


def parsed(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def same(lines, twin):
    assert len(lines) == len(twin)
    for line, other in zip(lines, twin, strict=True):
        assert line[:2] == other[:2]
        assert line[3:] == other[3:]
        assert line[2] == other[2] or float(line[2]) == float(other[2])


def test_a_csv_has_time_label_and_score_of_every_row(tmp_path):
    path = result_of([220226, 220227], [0.5, 2.25]).save_to_csv(tmp_path / "out.csv")
    assert path == tmp_path / "out.csv"
    assert path.read_text() == "timestamp,label,score\n220226,0,0.5\n220227,1,2.25\n"


def test_rows_without_a_score_have_empty_cells_and_a_reason(tmp_path):
    path = result_of([1, 2], [float("nan"), 2.25]).save_to_csv(tmp_path / "out.csv")
    assert path.read_text() == ("timestamp,label,score,reason\n1,,,missing values for longer than max_gap\n2,1,2.25,\n")


@pytest.mark.parametrize("score", [[0.5, 2.25], [float("nan"), 2.25], []], ids=["all scored", "a gap", "no rows"])
@pytest.mark.parametrize("name", ["timestamp", "score", 'a,"b"'])
def test_a_csv_in_memory_is_the_file_to_the_byte(tmp_path, score, name):
    result = result_of([f"2024-01-0{day}, {day}:00" for day in range(1, len(score) + 1)], score, name=name)
    assert result.to_csv() == result.save_to_csv(tmp_path / "out.csv").read_bytes()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=TEXTS)
def test_the_writer_agrees_with_its_slow_twin(tmp_path, data, name):
    score = data.draw(st.lists(DECIMALS, max_size=30))
    index = data.draw(st.sampled_from([TEXTS, st.integers(-(2**62), 2**62)]))
    index = data.draw(st.lists(index, min_size=len(score), max_size=len(score)))
    rows = rows_of(np.array(index, dtype=object) if index and isinstance(index[0], str) else index, score)
    with CsvWriter(tmp_path / "out.csv", name) as writer:
        writer.append(rows)
    same(parsed(tmp_path / "out.csv"), slow_twin(rows, name))


def test_polars_reads_back_the_same_numbers(tmp_path):
    rng = np.random.default_rng(0)
    score = rng.gamma(1, 1, 5000) * 10.0 ** rng.integers(-12, 12, 5000)
    path = result_of(np.arange(5000) * 0.1, score).save_to_csv(tmp_path / "out.csv")
    frame = pl.read_csv(path)
    np.testing.assert_array_equal(frame["score"].to_numpy(), score)
    np.testing.assert_array_equal(frame["timestamp"].to_numpy(), np.arange(5000) * 0.1)


@given(
    st.lists(st.sampled_from([float("nan"), 0.5, 1.5]), min_size=1, max_size=60),
    st.integers(1, 20),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_written_in_pieces_give_the_same_bytes(tmp_path, score, size):
    rows = rows_of([f"2024-01-01 00:00:{i:02}" for i in range(len(score))], score)
    with CsvWriter(tmp_path / "whole.csv", "t") as writer:
        writer.append(rows)
    with CsvWriter(tmp_path / "pieces.csv", "t") as writer:
        for i in range(0, len(score), size):
            cut = slice(i, i + size)
            writer.append(Scored(rows.index[cut], rows.score[cut], rows.label[cut], rows.reason[cut]))
    assert (tmp_path / "pieces.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert small.names_in(tmp_path) == ["pieces.csv", "whole.csv"]


def test_json_holds_everything_and_null_for_what_is_missing(tmp_path):
    result = result_of([1, 2], [float("nan"), 2.25], notes=("one note",), contribution=np.array([[np.nan], [2.25]]))
    path = result.save_to_json(f"{tmp_path}/")
    assert path == tmp_path / "in.json"
    assert json.loads(path.read_text()) == {
        "input_path": "in.csv",
        "model": "M",
        "scoring": "full",
        "threshold": 1.0,
        "time_name": "timestamp",
        "rows": {
            "time": [1, 2],
            "label": [None, 1],
            "score": [None, 2.25],
            "reason": ["missing values for longer than max_gap", None],
            "contribution": {"a": [None, 2.25]},
        },
        "events": [],
        "notes": ["one note"],
    }
    assert "NaN" not in path.read_text()


def test_a_path_is_a_folder_if_it_exists_or_ends_in_a_separator_or_has_no_suffix(tmp_path):
    (tmp_path / "old.dir").mkdir()
    assert target(tmp_path / "old.dir", ".csv", "x") == tmp_path / "old.dir" / "x.csv"
    assert target(f"{tmp_path}/new.dir/", ".csv", "x") == tmp_path / "new.dir" / "x.csv"
    assert target(tmp_path / "new", ".csv", "x") == tmp_path / "new" / "x.csv"
    assert target(tmp_path / "v1.5", ".csv", "x") == tmp_path / "v1.5" / "x.csv"
    assert target(tmp_path / "new.txt", ".csv", "x") == tmp_path / "new.txt"
    for name in ("new.json", "new.XLSX", "new.csv.gz"):
        with pytest.raises(OutputError, match="but what is saved there is CSV"):
            target(tmp_path / name, ".csv", "x")
    with pytest.raises(OutputError, match="empty"):
        target("", ".csv", "x")


def test_missing_folders_are_made(tmp_path):
    assert result_of([1], [0.5]).save_to_csv(tmp_path / "a" / "b" / "c").is_file()


def test_files_are_called_after_the_input():
    assert stem("data/ts_ad.CSV") == "ts_ad"
    assert stem("data/ts_ad.csv.gz") == "ts_ad"
    assert stem("https://host/a/ts%20ad.csv?x=/b.csv#c") == "ts_ad"
    assert stem("DataFrame") == "result"
    assert stem("-") == "stdin"


@pytest.mark.parametrize(
    "group", ["../../etc/passwd", "a/b", "a\\b", "..", ".", "", "a\x00b", "\n", "x" * 500, "\U0001f4a9" * 300]
)
def test_a_group_never_leads_out_of_the_folder(tmp_path, group):
    result = result_of([1], [0.5], source="x.csv", group=group)
    path = result.save_to_csv(f"{tmp_path}/out/")
    assert path.parent == tmp_path / "out"
    assert small.names_in(tmp_path / "out") == [path.name]
    assert path.suffix == ".csv"


def test_two_inputs_of_one_name_get_two_names():
    names = Names()
    assert [names.new(source) for source in ["a/x.csv", "b/x.csv", "b/X.csv", "x_2.csv"]] == [
        "x",
        "x_2",
        "X_3",
        "x_2_2",
    ]


def test_an_existing_output_is_replaced_whole(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    result_of([1], [0.5]).save_to_csv(path)
    assert path.read_text().startswith("timestamp,")
    assert small.names_in(tmp_path) == ["out.csv"]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real" / "out.csv")
    result_of([1], [0.5]).save_to_csv(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real" / "out.csv").read_text().startswith("timestamp,")


@pytest.mark.parametrize("form", FORMATS)
def test_an_input_is_never_overwritten(tmp_path, form):
    source = tmp_path / f"in.{form}"
    source.write_text("precious")
    (tmp_path / f"link.{form}").symlink_to(source)
    os.link(source, tmp_path / f"hard.{form}")
    result = result_of([1], [0.5], source=source)
    write = getattr(result, f"save_to_{form}")
    for path in [source, f"{tmp_path}/", tmp_path / f"link.{form}", tmp_path / f"hard.{form}"]:
        with pytest.raises(OutputError, match=f"in.{form}"):
            write(path)
    assert source.read_text() == "precious"


def test_another_input_of_the_same_call_is_never_overwritten(tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("precious")
    os.link(other, tmp_path / "hard.csv")
    result = result_of([1], [0.5], source=tmp_path / "other.parquet", inputs=save.file_ids([other]))
    with pytest.raises(OutputError, match=r"other\.csv is an input itself"):
        result.save_to_csv(tmp_path)
    with pytest.raises(OutputError, match=r"hard\.csv is an input itself"):
        result.save_to_csv(tmp_path / "hard.csv")
    assert other.read_text() == "precious"


def test_a_device_or_a_pipe_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OutputError, match="not an ordinary file"):
        result_of([1], [0.5]).save_to_csv(tmp_path / "pipe.csv")
    assert stat.S_ISFIFO((tmp_path / "pipe.csv").stat().st_mode)


def test_a_folder_under_a_file_says_what_is_wrong(tmp_path):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(OutputError, match=r"out\.csv can't be written: "):
        result_of([1], [0.5]).save_to_csv(tmp_path / "file.txt" / "out.csv")


def test_a_read_only_folder_says_what_is_wrong(tmp_path):
    folder = Path("/proc/self") if os.geteuid() == 0 else tmp_path / "locked"  # root may write where others mayn't
    if os.geteuid():
        folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="can't be written: "):
        result_of([1], [0.5]).save_to_csv(folder / "out.csv")


def test_a_full_disk_leaves_nothing_behind_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"out\.csv can't be written"):
            result_of(np.arange(50_000), np.full(50_000, 0.123456)).save_to_csv(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_text() == "old"
    assert small.names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_what_breaks_off_leaves_nothing_behind(tmp_path, fault):
    with pytest.raises(fault), CsvWriter(tmp_path / "out.csv", "t") as writer:  # noqa: PT012
        writer.append(rows_of([1, 2], [0.5, 0.6]))
        writer.append(rows_of([3], [float("nan")]))
        raise fault
    assert small.names_in(tmp_path) == []


def test_what_breaks_off_after_the_reasons_were_added_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="broken"), CsvWriter(tmp_path / "out.csv", "t") as writer:  # noqa: PT012
        writer.append(rows_of([1, 2], [0.5, 0.6]))
        writer.append(rows_of([3], [float("nan")]))
        assert len(small.names_in(tmp_path)) == 2  # drafts
        raise ValueError("broken")
    assert small.names_in(tmp_path) == []


def test_a_link_planted_as_a_draft_is_never_written_through(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("precious")
    monkeypatch.setattr(os, "urandom", bytes)
    for name in (f".oddwave-{'0' * 16}.part", f".out.csv.{os.getpid()}.part"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="exists"):
        result_of([1], [0.5]).save_to_csv(tmp_path / "out.csv")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_draft_belongs_to_one_writer_alone(tmp_path):
    with CsvWriter(tmp_path / "out.csv", "t") as one, CsvWriter(tmp_path / "out.csv", "t") as other:
        for i in range(2000):
            one.append(rows_of([i], [0.5]))
            other.append(rows_of([-i], [float("nan")]))
    assert (tmp_path / "out.csv").read_text() == "t,label,score\n" + "".join(f"{i},0,0.5\n" for i in range(2000))
    assert small.names_in(tmp_path) == ["out.csv"]


def test_threads_that_save_to_one_file_leave_one_of_them_whole(tmp_path):
    results = [result_of(np.arange(3000), np.full(3000, score)) for score in (0.25, 0.5, 0.75, 1.5)]
    wholes = {result.save_to_csv(tmp_path / f"{i}.csv").read_bytes() for i, result in enumerate(results)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda result: result.save_to_csv(tmp_path / "out.csv"), results * 5))
    assert (tmp_path / "out.csv").read_bytes() in wholes
    assert small.names_in(tmp_path) == ["0.csv", "1.csv", "2.csv", "3.csv", "out.csv"]


@pytest.mark.parametrize("save_it", [*FORMATS, "detector"])
def test_an_old_files_permissions_stay_and_a_new_ones_follow_the_umask(tmp_path, save_it):
    def write(path):
        if save_it == "detector":
            detector = Detector(small.detector_bytes())
            detector_file.save(path, detector.data, detector.metadata)
        else:
            getattr(result_of([1], [0.5]), f"save_to_{save_it}")(path)
        return stat.S_IMODE(path.stat().st_mode)

    before = os.umask(0o027)
    try:
        path = tmp_path / f"out.{'onnx' if save_it == 'detector' else save_it}"
        assert write(path) == 0o640
        for mode in (0o600, 0o666):
            path.chmod(mode)
            assert write(path) == mode
    finally:
        os.umask(before)


def test_a_line_end_in_a_time_stays_in_its_cell_when_the_reasons_are_added(tmp_path):
    times = ['2024-01-01\n"x"', f"{' ' * (1 << 22)}\n2024-01-02\n", "2024-01-03"]  # longer than what is copied at once
    with CsvWriter(tmp_path / "out.csv", "t") as writer:
        writer.append(rows_of(times[:2], [0.5, 0.5]))
        writer.append(rows_of(times[2:], [float("nan")]))
    assert (tmp_path / "out.csv").read_text() == (
        "t,label,score,reason\n"
        '"2024-01-01\n""x""",0,0.5,\n'
        f'"{times[1]}",0,0.5,\n'
        "2024-01-03,,,missing values for longer than max_gap\n"
    )


@pytest.mark.parametrize("name", ["label", "score", "reason"])
def test_a_time_column_named_like_a_result_column_is_called_time(tmp_path, name):
    result = result_of([1, 2], [0.5, float("nan")], name=name)
    assert parsed(result.save_to_csv(tmp_path / "out.csv"))[0] == ["time", "label", "score", "reason"]
    assert next(read.read(tmp_path / "out.csv", Columns(("score",)))).time_name == "time"
    assert result.table["anomaly"].columns == ["time", "label"]
    assert json.loads(result.save_to_json(tmp_path / "out.json").read_text())["time_name"] == name


def test_a_file_name_that_isnt_utf_8_is_written_as_escapes(tmp_path):
    source = os.fsdecode(b"caf\xe9.csv")
    result = result_of([1], [0.5], source=source, notes=(f"{source}: a note",))
    found = json.loads(result.save_to_json(tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (found["input_path"], found["notes"]) == (r"caf\udce9.csv", [r"caf\udce9.csv: a note"])


def test_very_many_inputs_of_one_name_are_numbered_without_counting_from_one():
    names = Names()
    assert [names.new(f"{i}/x.csv") for i in range(20_000)][-1] == "x_20000"
    assert max(names.counts.values()) == 20_000


def test_times_with_commas_and_quotes_are_quoted(tmp_path):
    with CsvWriter(tmp_path / "out.csv", 'a "time", local') as writer:
        writer.append(rows_of(np.array(["1,5", 'x"y', "plain"], dtype=object), [0.5, 0.5, 0.5]))
    assert parsed(tmp_path / "out.csv") == [
        ['a "time", local', "label", "score"],
        ["1,5", "0", "0.5"],
        ['x"y', "0", "0.5"],
        ["plain", "0", "0.5"],
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_goes_where_it_is_sent_and_never_under_another_s_name(tmp_path, form):
    write = getattr(result_of([1, 2], [0.5, 2.0]), f"save_to_{form}")
    assert write(tmp_path) == tmp_path / f"in.{form}"
    assert write(tmp_path / "a" / f"b.{form.upper()}").is_file()
    wrong = "png" if form != "png" else "csv"
    with pytest.raises(OutputError, match=f"ends in .{wrong}, but what is saved there is {form.upper()}"):
        write(tmp_path / f"out.{wrong}")
    with pytest.raises(OutputError, match="can't be written"):
        write(tmp_path / f"in.{form}" / "below" / f"out.{form}")
    assert small.names_in(tmp_path) == ["a", f"in.{form}"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_result_is_the_same_bytes(tmp_path, form):
    results = [result_of(np.arange(300), np.linspace(0, 2, 300), notes=("a note",)) for _ in range(2)]
    one, other = (getattr(result, f"save_to_{form}")(tmp_path / str(i)) for i, result in enumerate(results))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_that_breaks_off_leaves_nothing_behind_and_keeps_the_old_file(tmp_path, form):
    path = tmp_path / f"out.{form}"
    path.write_text("old")
    code = (
        "import resource, signal, sys, numpy as np\nfrom test_save import result_of\n"
        "result = result_of(np.arange(3000), np.linspace(0, 2, 3000), notes=('x' * 10_000,))\n"
        f"result.save_to_{form}({str(tmp_path / 'warm')!r})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, resource.RLIM_INFINITY))\n"
        f"result.save_to_{form}({str(path)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("oddwave.errors.OutputError: ")
    assert f"out.{form} can't be written: File too large" in done.stderr
    assert path.read_text() == "old"
    assert small.names_in(tmp_path) == [f"out.{form}", "warm"]
