"""Bad input, end to end: each kind through the real command line and Python, in the order of the list of kinds.

What is refused is one message that names file, row and column and says what to do; nothing is half written, and
the rest of a folder is done. What is accepted gives the labels that the plain file gives.
"""

from __future__ import annotations

import codecs
import gzip
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import small

from oddwave import cli, cli_predict, create_pipeline
from oddwave.errors import DeviceError, InputError, OutputError
from oddwave.read import stream

ROWS = 60
HEADER = "timestamp,flow,heat,noise"


@pytest.fixture
def place(detector_folder):
    """Return a current folder with a detector and a good file, in which there is an anomaly."""
    small.write("good.csv", ROWS, fault=40)
    return detector_folder


@pytest.fixture
def oddwave(place, capsys):
    """Return a call of the command: status, standard output, standard error."""

    def call(*words):
        status = cli.main([str(word) for word in words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return status, shown.out, shown.err

    return call


@pytest.fixture
def refused(oddwave, place):
    """Return a check that an input is refused with a message, alone, among others and from Python."""

    def check(path, *expected):
        status, out, err = oddwave("predict", path, "--model", "run", "--save_path", "out")
        assert (status, out) == (2, "")
        assert err.startswith("oddwave: ")
        assert err.count("oddwave: ") == 1
        assert [text for text in (str(path), *expected) if text not in err] == []
        assert not (place / "out").exists()
        status, out, err = oddwave("predict", path, "good.csv", "--model", "run", "--save_path", "beside")
        assert (status, out.count("'input_path'")) == (2, 1)
        assert err.startswith("saved: beside/good.csv\noddwave: 1 of 2 inputs failed, the others are done:\n  ")
        assert small.names_in(place / "beside") == ["good.csv"]
        with pytest.raises(InputError) as caught:
            list(create_pipeline(model="run").predict(path))
        assert [text for text in (str(path), *expected) if text not in str(caught.value)] == []

    return check


@pytest.fixture
def accepted(oddwave, place):
    """Return a call that scores an input from the shell and from Python: its saved lines and its notes."""

    def call(path, *words):
        status, out, err = oddwave("predict", path, "--model", "run", "--save_path", "out", *words)
        assert status == 0, err
        assert "'input_path'" in out
        settings = {"time_col": words[1]} if words else {}
        (result,) = create_pipeline(model="run", **settings).predict(path)
        (saved,) = (place / "out").glob("[!.]*.csv")
        notes = "".join(f"note: {note}\n" for note in result.notes)
        assert err == f"{notes}saved: out/{saved.name}\n"
        lines = saved.read_text().splitlines()
        assert len(lines) == len(result.label) + 1
        saved.unlink()
        return lines, notes

    return call


def lines_of(count=ROWS, fault=40):
    """Return the lines of the good file, header first."""
    values = small.rows(count, fault=fault)
    return [HEADER, *(f"{i}," + ",".join(f"{cell:.5f}" for cell in row) for i, row in enumerate(values))]


def put(name, lines):
    """Write lines and return the name."""
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def edited(name, row, column, cell):
    """Write the good file with another cell; `row` is the line in the file, counted from 1."""
    lines = lines_of()
    cells = lines[row - 1].split(",")
    cells[HEADER.split(",").index(column)] = cell
    lines[row - 1] = ",".join(cells)
    return put(name, lines)


def expected_lines(accepted):
    lines, err = accepted("good.csv")
    assert err == ""
    return lines


def process(*words, **options):
    command = [sys.executable, "-m", "oddwave", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


# ---- files and folders


def test_a_missing_path_is_named_with_the_current_folder(refused, place):
    refused("none.csv", "There is no file 'none.csv'", "Check the path", str(place))
    refused("none/*.csv", "No file matches", "Check the folder and the pattern")


def test_a_folder_without_data_says_which_files_are_read(refused, place):
    (place / "empty").mkdir()
    (place / "empty" / "readme.md").write_text("nothing")
    refused("empty", "holds no file to read", ".csv", ".parquet")


def test_one_bad_file_of_ten_is_listed_and_the_nine_are_done(oddwave, place):
    (place / "many").mkdir()
    for i in range(9):
        small.write(f"many/{i}.csv", ROWS, i)
    edited("many/4bad.csv", 12, "heat", "x")
    status, out, err = oddwave("predict", "many", "--model", "run", "--save_path", "out")
    assert (status, out.count("'input_path'")) == (2, 9)
    assert err.startswith("saved: 9 files in out\noddwave: 1 of 10 inputs failed, the others are done:\n  many/4bad")
    assert "many/4bad.csv, line 12, column 'heat'" in err
    assert small.names_in(place / "out") == [f"{i}.csv" for i in range(9)]
    done, failed = [], []
    pipeline = create_pipeline(model="run")
    for source in pipeline.sources("many"):
        try:
            done += pipeline.predict(source)
        except InputError as error:
            failed.append(str(error))
    assert (len(done), len(failed)) == (9, 1)


def test_if_every_input_fails_none_is_said_to_be_done(oddwave):
    status, _, err = oddwave("predict", "a.csv", "b.csv", "--model", "run")
    assert status == 2
    assert err.startswith("oddwave: All 2 inputs failed:\n")


def test_an_unreadable_file_says_why(refused, place):
    if os.geteuid():  # root may read everything
        Path("locked.csv").write_text("x")
        Path("locked.csv").chmod(0)
        refused("locked.csv", "can't be read: Permission denied")
    elif Path("/proc/self/mem").exists():
        refused("/proc/self/mem", "can't be read: ")


def test_a_file_of_0_bytes_is_named_empty(refused):
    Path("nothing.csv").write_bytes(b"")
    refused("nothing.csv", "is empty (0 bytes)", "Give a CSV")


def test_a_header_alone_has_no_rows(refused):
    refused(put("header.csv", [HEADER]), "a header line, but no rows below it", "Check what wrote it")


def test_fewer_rows_than_a_window_names_both_numbers(refused):
    refused(put("short.csv", lines_of()[:11]), "has 10 rows", f"windows of {small.SIZE}", "Give at least 16 rows")


# ---- columns


def test_a_missing_column_is_named_with_those_that_are_there(refused):
    lines = [line.rpartition(",")[0] for line in lines_of()]
    refused(put("missing.csv", lines), "no column 'noise'", "timestamp, flow, heat", "Give data that has it")


def test_an_extra_column_is_left_aside_with_a_note(accepted):
    lines = [f"{line},{'host' if i == 0 else 'web'}" for i, line in enumerate(lines_of())]
    found = accepted(put("good.txt", lines))
    assert found == (expected_lines(accepted), "note: Column left aside: host.\n")


def test_a_duplicate_column_is_refused(refused):
    lines = [f"{line},{'heat' if i == 0 else '1'}" for i, line in enumerate(lines_of())]
    refused(put("twice.csv", lines), "has the column 'heat' 2 times", "Give each a name of its own")


def test_reordered_columns_are_matched_by_name(accepted):
    lines = [",".join(line.split(",")[::-1]) for line in lines_of()]
    assert accepted(put("turned.csv", lines)) == (expected_lines(accepted), "")


# ---- how the text is written


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bom.csv", lambda text: codecs.BOM_UTF8 + text),
        ("crlf.csv", lambda text: text.replace(b"\n", b"\r\n")),
        ("semicolon.csv", lambda text: text.replace(b",", b";")),
        ("decimal_comma.csv", lambda text: text.replace(b",", b";").replace(b".", b",")),
        ("tab.csv", lambda text: text.replace(b",", b"\t")),
        ("EXPORT.CSV", lambda text: text),
        ("export.txt", lambda text: text),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_usual_forms_of_csv_are_accepted(accepted, name, change):
    Path(name).write_bytes(change(Path("good.csv").read_bytes()))
    lines, err = accepted(name)
    assert lines == expected_lines(accepted)
    assert ("Decimal commas were read as points (first: line 2" in err) if "comma" in name else (err == "")


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-16-LE", "GBK"])
def test_another_encoding_is_named_with_the_command_that_changes_it(refused, encoding):
    text = Path("good.csv").read_text().replace("noise", "噪声与振动的测量值")
    Path("other.csv").write_bytes(text.encode(encoding))
    refused("other.csv", f"looks like {encoding[:6]}", "Save it as UTF-8", "iconv -f")


# ---- cells


def test_a_text_cell_is_named_by_row_and_column(refused):
    refused(
        edited("text.csv", 31, "heat", "4O.1"), "line 31, column 'heat': '4O.1' isn't a number", "Leave the cell empty"
    )


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400"])
def test_an_infinite_cell_is_treated_as_missing_with_a_note(accepted, cell):
    lines, err = accepted(edited("infinite.csv", 31, "heat", cell))
    assert "infinite or too large for a number, treated as missing (first: line 31, column heat)" in err
    assert lines == accepted(edited("blank.csv", 31, "heat", ""))[0]


@pytest.mark.parametrize("cell", ["", "NaN", "NA", "null"])
def test_a_missing_cell_is_filled_and_the_row_is_named(accepted, cell):
    lines, err = accepted(edited("blank.csv", 31, "heat", cell))
    assert "1 cell is missing (first: line 31, column heat)" in err
    assert "filled with the channel's last" in err
    assert all(line.split(",")[2] for line in lines)


def test_rows_behind_a_long_run_of_missing_cells_have_no_label_and_say_why(accepted):
    lines = lines_of()
    for row in range(30, 45):
        lines[row] = ",".join([*lines[row].split(",")[:2], "", "1"])
    found, _ = accepted(put("gap.csv", lines))
    assert found[0] == "timestamp,label,score,reason"
    assert found[40] == "39,,,missing values for longer than max_gap"


def test_if_no_row_can_be_scored_even_quiet_says_so(oddwave):
    put("silent.csv", [",".join([*line.split(",")[:2], "", "1"]) if i else line for i, line in enumerate(lines_of())])
    assert oddwave("predict", "silent.csv", "--model", "run", "--quiet", "--fail-on-anomaly")[0] == 2
    status, out, err = oddwave("predict", "silent.csv", "--model", "run", "--quiet")
    assert (status, out, err) == (0, "", "note: silent.csv: no row could be scored: no complete row before it\n")


def test_a_constant_column_is_scored_and_can_be_trained_on(accepted, oddwave):
    lines = [",".join([*line.split(",")[:3], "7.0"]) if i else line for i, line in enumerate(lines_of(400, None))]
    assert accepted(put("constant.csv", lines))[1] == ""
    assert oddwave("train", "constant.csv", "--model", "PCA_ad", "--out", "mine", "--quiet") == (0, "", "")
    status, out, _ = oddwave("predict", "constant.csv", "--model", "mine")
    assert status == 0
    assert "nan" not in out


# ---- time


def test_unsorted_rows_are_sorted_and_keep_the_files_order(accepted):
    header, *rows = lines_of()
    lines, err = accepted(put("turned.csv", [header, *rows[::-1]]))
    first, *good = expected_lines(accepted)
    assert lines == [first, *good[::-1]]
    assert "not in time order: they were scored in it" in err


def test_a_duplicate_time_carries_the_first_rows_label(accepted):
    lines = lines_of()
    lines.insert(31, "29,9,9,9")
    found, err = accepted(put("twice.csv", lines))
    assert found[31] == found[30] == expected_lines(accepted)[30]
    assert "repeat" in err
    assert "the label and score of the first" in err


def test_irregular_times_are_filled_or_begin_anew(accepted):
    lines = lines_of()
    late = [line.replace(line.partition(",")[0], str(int(line.partition(",")[0]) + 100), 1) for line in lines[31:]]
    found, err = accepted(put("gap.csv", [*lines[:20], *lines[22:31], *late]))
    assert "Missing rows filled with the last values: 2." in err
    assert "longer than the 3 rows that are filled: 1. Scoring starts anew" in err
    assert len(found) == ROWS - 1


def test_times_with_and_without_a_zone_are_refused_with_a_row_of_each(refused):
    lines = lines_of()
    dated = [f"2024-01-01T00:{i:02d}:00{'Z' if i < 30 else ''},1,1,1" for i in range(ROWS)]
    refused(
        put("zones.csv", [lines[0], *dated]),
        "column 'timestamp': some times have a zone and some don't",
        "line 2 '2024-01-01T00:00:00Z'",
        "line 32 '2024-01-01T00:30:00'",
        "Give all times a zone, or none",
    )


def test_times_in_several_zones_are_made_utc_with_a_note(accepted):
    rows = [line.partition(",")[2] for line in lines_of()[1:]]
    zoned = [f"2024-01-01T0{1 + (i >= 30)}:{i:02d}:00+0{1 + (i >= 30)}:00,{row}" for i, row in enumerate(rows)]
    found, err = accepted(put("zones.csv", [HEADER, *zoned]))
    assert [line.split(",")[1:] for line in found] == [line.split(",")[1:] for line in expected_lines(accepted)]
    assert "several offsets: +01:00 (line 2), +02:00 (line 32); all were made UTC" in err


def test_a_time_that_is_none_is_named_by_row(refused):
    refused(edited("noon.csv", 31, "timestamp", "noon"), "line 31, column 'timestamp': 'noon' isn't a number")
    refused(edited("blank.csv", 31, "timestamp", ""), "line 31, column 'timestamp': the time is blank")


def test_whole_numbers_first_and_fractions_later_are_numbers(accepted):
    lines = lines_of()
    lines[1:21] = [f"{i},{i % 3},{i % 2},0" for i in range(20)]
    plain = [HEADER]
    for line in lines[1:]:
        time_, *cells = line.split(",")
        plain.append(",".join([time_, *(f"{float(cell):.5f}" for cell in cells)]))
    assert accepted(put("whole.csv", lines)) == accepted(put("plain.csv", plain))


# ---- size


PEAK = """
import resource, sys
from oddwave.cli import main
status = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(status)
"""


def peak_mb(name, count):
    """Score a file of so many rows straight to disk in a process of its own; return its peak memory."""
    cells = [",".join(f"{cell:.18f}" for cell in row) for row in small.rows(1000)]
    with Path(name).open("w") as file:
        file.write(HEADER + "\n")
        file.writelines(f"{i},{cells[i % 1000]}\n" for i in range(count))
    words = ("predict", name, "--model", "run", "--save_path", "out", "--quiet")
    done = subprocess.run([sys.executable, "-c", PEAK, *words], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    with Path("out", name).open() as file:
        assert sum(1 for _ in file) == count + 1
    return int(done.stdout)


@pytest.mark.slow
def test_ten_times_the_rows_need_no_more_memory(place):
    small_peak, large_peak = peak_mb("small.csv", 60_000), peak_mb("large.csv", 600_000)
    assert Path("small.csv").stat().st_size > 4 << 20  # from there on, files go straight to disk
    assert large_peak - small_peak < 60  # MB; in one piece it would be some 300


def test_nul_bytes_are_named_by_row(refused):
    refused(edited("nul.csv", 31, "heat", "\0\0"), "line 31: there is a NUL byte", "Save it as CSV, or copy it again")


def test_a_gzip_bomb_is_refused_whichever_way_it_is_read(refused, oddwave, place, monkeypatch):
    monkeypatch.setattr(stream, "RATIO_FROM", 1 << 20)
    row = (lines_of()[-1].partition(",")[2] + "\n").encode()
    rows = b"".join(str(i // 500_000).encode() + b"," + row for i in range(100_000))
    Path("bomb.csv.gz").write_bytes(gzip.compress(HEADER.encode() + b"\n" + rows))
    refused("bomb.csv.gz", "200 times its size", "unpack it first")
    monkeypatch.setattr(cli_predict, "STREAMED", 1000)
    status, _, err = oddwave("predict", "bomb.csv.gz", "--model", "run", "--save_path", "out")
    assert status == 2
    assert "200 times its size" in err
    assert not list(place.glob("out/*"))


def test_a_named_pipe_is_read_and_a_silent_one_refused(accepted, refused, monkeypatch):
    os.mkfifo("pipe.csv")

    def write_twice():
        for _ in range(2):
            Path("pipe.csv").write_bytes(Path("good.csv").read_bytes())
            time.sleep(0.3)  # until the reader has seen the end

    writer = threading.Thread(target=write_twice)
    writer.start()
    lines, err = accepted("pipe.csv")
    writer.join()
    assert (lines, err) == (expected_lines(accepted), "")
    monkeypatch.setattr(stream, "PIPE_WAIT_S", 0.05)
    Path("out").rmdir()
    refused("pipe.csv", "is a named pipe, and nothing was written into it", "Start its writer first")


# ---- output


def test_an_output_folder_that_is_read_only_is_one_message(oddwave, place):
    folder = "/proc/self" if os.geteuid() == 0 else str(place / "locked")
    if os.geteuid():
        Path(folder).mkdir(mode=0o500)
    status, out, err = oddwave("predict", "good.csv", "--model", "run", "--save_path", folder)
    assert (status, out) == (2, "")
    assert err.startswith(f"oddwave: {Path(folder).resolve()}/good.csv can't be written: ")
    assert "Give a" in err
    (result,) = create_pipeline(model="run").predict("good.csv")
    with pytest.raises(OutputError, match="can't be written"):
        result.save_to_csv(folder)


def limited():
    """Let files grow to 500 bytes, as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))


def test_a_full_output_folder_leaves_what_was_there_and_nothing_half_written(place):
    Path("out").mkdir()
    Path("out/good.csv").write_text("the result of yesterday\n")
    done = process("predict", "good.csv", "--model", "run", "--save_path", "out", preexec_fn=limited)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("oddwave: ")
    assert "good.csv can't be written: File too large" in done.stderr
    assert small.names_in("out") == ["good.csv"]
    assert Path("out/good.csv").read_text() == "the result of yesterday\n"


def test_an_existing_output_is_replaced_whole_or_not_at_all(oddwave, place):
    Path("out").mkdir()
    Path("out/good.csv").write_text("the result of yesterday\n")
    with Path("out/good.csv").open() as old:
        assert oddwave("predict", "good.csv", "--model", "run", "--save_path", "out")[0] == 0
        assert old.read() == "the result of yesterday\n"  # a reader in the midst of it sees no mixture
    whole = Path("out/good.csv").read_text()
    assert len(whole.splitlines()) == ROWS + 1
    edited("good.csv", 31, "heat", "x")
    assert oddwave("predict", "good.csv", "--model", "run", "--save_path", "out")[0] == 2
    assert Path("out/good.csv").read_text() == whole
    assert small.names_in("out") == ["good.csv"]


@pytest.mark.parametrize("words", [["predict", "slow.csv", "--save_path"], ["train", "slow.csv", "--out"]])
def test_ctrl_c_is_status_130_and_leaves_what_was_there(place, words):
    os.mkfifo("slow.csv")
    Path("out").mkdir()
    Path("out/slow.csv").write_text("the result of yesterday\n")
    model = ["--model", "run" if words[0] == "predict" else "PCA_ad"]
    running = subprocess.Popen(
        [sys.executable, "-m", "oddwave", *words, "out", *model],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Path("slow.csv").open("w") as pipe:  # opens when the process reads
        pipe.write(HEADER + "\n0,1,1,1\n")
        pipe.flush()
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err == "oddwave: interrupted; what was not yet saved whole is not saved.\n"
    assert small.names_in("out") == ["slow.csv"]
    assert Path("out/slow.csv").read_text() == "the result of yesterday\n"


def test_a_process_that_is_ended_leaves_nothing_half_written(place):
    os.mkfifo("slow.csv")
    Path("out").mkdir()
    words = ["predict", "good.csv", "slow.csv", "--model", "run", "--save_path", "out", "--quiet"]
    code = "from oddwave import cli, cli_predict; cli_predict.is_streamed = lambda *_: True; cli.run()"
    running = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL)
    with Path("slow.csv").open("w") as pipe:
        pipe.write(HEADER + "\n" + "".join(f"{i},0.1234,0.1234,0.1234\n" for i in range(400_000)))
        pipe.flush()  # more than two blocks, so some rows are in the draft
        for _ in range(500):
            if len(small.names_in("out")) > 1:  # good.csv and a draft
                break
            time.sleep(0.02)
        drafts = set(small.names_in("out")) - {"good.csv"}
        running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 128 + signal.SIGTERM
    assert len(drafts) == 1
    assert small.names_in("out") == ["good.csv"]


def test_a_header_that_starts_with_an_equals_sign_is_kept_as_it_is(accepted):
    lines = lines_of()
    lines[0] = lines[0].replace("timestamp", '"=HYPERLINK(""a"",1)"')
    found, err = accepted(put("good2.csv", lines), "--time_col", '=HYPERLINK("a",1)')
    assert err == ""
    assert found == ['"=HYPERLINK(""a"",1)",label,score', *expected_lines(accepted)[1:]]


# ---- devices


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("gpu:99", "Install onnxruntime-gpu in its place, or use --device cpu"),
        ("npu:0", "Install onnxruntime-cann in its place, or use --device cpu"),
        ("foo", "The device 'foo' isn't known.\nGive cpu, auto, gpu:0"),
    ],
)
def test_a_device_that_isnt_there_is_refused_and_nothing_is_scored(oddwave, place, device, expected):
    status, out, err = oddwave("predict", "good.csv", "--model", "run", "--device", device, "--save_path", "out")
    assert (status, out) == (2, "")
    assert err.count("oddwave: ") == 1
    assert expected in err
    assert not (place / "out").exists()
    with pytest.raises(DeviceError, match=device):
        create_pipeline(model="run", device=device)
