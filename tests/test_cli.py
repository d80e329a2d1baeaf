"""The command line: the tutorial's flags, exit statuses, and one message for each mistake."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small

from oddwave import cli, cli_predict
from oddwave.detector import shipped
from oddwave.result import Result

HEAVY = ("polars", "pandas", "yaml", "tqdm", "asyncio", "concurrent.futures", "torch", "multiprocessing")


@pytest.fixture
def place(detector_folder):
    """Return a current folder with a detector, a file in which there is an anomaly, and one in which there is none."""
    small.write("ts_ad.csv", 96, 220226, fault=60)
    small.write("calm.csv", 96)
    return detector_folder


def process(*words, **options):
    command = [sys.executable, "-m", "oddwave", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


BARE = ("--pipeline", "ts_ad", "--model", "run", "--input")


def test_the_tutorials_command_prints_the_tutorials_form_and_the_events(oddwave):
    status, out, err = oddwave(*BARE, "ts_ad.csv", "--device", "cpu")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "{'input_path': 'ts_ad.csv', 'anomaly':            label"
    assert lines[2] == "220226         0"
    assert lines[14] == "[96 rows x 1 columns]}"
    assert " anomalous rows of 96 (threshold " in lines[15]
    assert lines[16].split() == ["#", "start", "end", "duration", "rows", "peak", "score", "top", "channels"]
    assert "heat" in lines[17]


def test_predict_is_the_same_in_short(oddwave):
    assert oddwave("predict", "ts_ad.csv", "--model", "run") == oddwave(*BARE, "ts_ad.csv")


def test_save_path_saves_a_label_and_a_score_for_every_row(oddwave, place):
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", "out")[0] == 0
    lines = (place / "out" / "ts_ad.csv").read_text().splitlines()
    assert lines[0] == "timestamp,label,score"
    assert [line.split(",")[0] for line in lines[1:]] == [str(220226 + i) for i in range(96)]


def test_format_says_what_is_saved(oddwave, place):
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", "out", "--format", "csv,json")[0] == 0
    assert small.names_in(place / "out") == ["ts_ad.csv", "ts_ad.json"]
    assert len(json.loads((place / "out" / "ts_ad.json").read_text())["rows"]["score"]) == 96
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", "mine.json")[0] == 0
    assert json.loads((place / "mine.json").read_text())["input_path"] == "ts_ad.csv"


@pytest.mark.parametrize("form", ["xlsx", "html", "png"])
def test_a_file_for_people_is_saved_by_its_name_or_by_its_format(oddwave, place, form):
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", f"mine.{form}")[2] == f"saved: mine.{form}\n"
    status, _, err = oddwave(*BARE, "ts_ad.csv", "--save_path", "out", "--format", f"csv,{form}")
    assert (status, err) == (0, f"saved: out/ts_ad.csv\nsaved: out/ts_ad.{form}\n")
    assert (place / "out" / f"ts_ad.{form}").read_bytes() == (place / f"mine.{form}").read_bytes()


def test_a_folder_that_is_called_like_a_file_is_a_folder(oddwave, place):
    (place / "old.png").mkdir()
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", "old.png")[2] == "saved: old.png/ts_ad.csv\n"
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", "new.xlsx/")[2] == "saved: new.xlsx/ts_ad.csv\n"


def test_quiet_doesnt_say_what_is_saved(oddwave):
    assert oddwave(*BARE, "ts_ad.csv", "--save_path", "out", "--quiet") == (0, "", "")


def test_a_pipeline_file_written_here_works_and_flags_win_over_it(oddwave, place):
    status, out, _ = oddwave("--get_pipeline_config", "ts_ad", "--save_path", "d")
    assert status == 0
    assert "d/ts_ad.yaml" in out
    path = place / "d" / "ts_ad.yaml"
    path.write_text(path.read_text().replace("examples/ts_ad.csv", "ts_ad.csv").replace("DLinear_ad", "run"))
    status, out, _ = oddwave("--pipeline", path)
    assert status == 0
    assert "'input_path': 'ts_ad.csv'" in out
    status, out, _ = oddwave("--pipeline", path, "--input", "calm.csv", "--threshold", "1000")
    assert "'input_path': 'calm.csv'" in out
    assert out.endswith("No anomalies.\n")
    path.write_text(path.read_text().replace("batch_size", "bach_size"))
    status, _, err = oddwave("--pipeline", path)
    assert status == 2
    assert "ts_ad.yaml, section Pipeline: bach_size is no setting. Did you mean batch_size?" in err


def test_fail_on_anomaly_is_status_3_and_quiet_prints_nothing(oddwave):
    assert oddwave(*BARE, "ts_ad.csv", "--fail-on-anomaly", "--quiet") == (3, "", "")
    assert oddwave(*BARE, "calm.csv", "--fail-on-anomaly", "--quiet", "--threshold", "1000") == (0, "", "")


def test_fail_on_anomaly_is_not_calm_about_an_input_without_a_score(oddwave, place):
    small.write("gaps.csv", 400)
    lines = (place / "gaps.csv").read_text().splitlines()
    (place / "gaps.csv").write_text("\n".join([lines[0], *lines[1::5]]))
    words = ("--model", "run", "--step_s", "1", "--quiet")
    assert oddwave("predict", "gaps.csv", *words)[:2] == (0, "")
    status, out, err = oddwave("predict", "gaps.csv", *words, "--fail-on-anomaly")
    assert (status, out) == (2, "")
    assert "gaps.csv: no row could be scored" in err
    assert oddwave("predict", "gaps.csv", "ts_ad.csv", *words, "--fail-on-anomaly")[0] == 3


def test_one_bad_input_of_ten_doesnt_stop_the_rest(oddwave, place):
    (place / "many").mkdir()
    for i in range(9):
        small.write(place / "many" / f"{i}.csv", 40, i)
    (place / "many" / "4bad.csv").write_text("timestamp,flow,heat,noise\n1,1,x,1\n")
    status, out, err = oddwave("predict", "many", "--model", "run", "--save_path", "out")
    assert status == 2
    assert out.count("'input_path'") == 9
    assert len(small.names_in(place / "out")) == 9
    assert err.startswith("saved: 9 files in out\noddwave: 1 of 10 inputs failed, the others are done:\n  ")
    assert "4bad.csv" in err
    assert oddwave("predict", "many/[0-3].csv", "calm.csv", "--model", "run", "--quiet") == (0, "", "")
    status, out, err = oddwave("predict", "many", "--model", "run", "--quiet")
    assert (status, out) == (2, "")
    assert "4bad.csv" in err


def test_a_folder_saved_into_itself_destroys_no_input(oddwave, place):
    (place / "many").mkdir()
    before = [small.write(place / "many" / f"{i}.csv", 40).read_bytes() for i in range(2)]
    status, _, err = oddwave("predict", "many", "--model", "run", "--save_path", "many")
    assert status == 2
    assert err.count("is an input itself") == 2
    assert [(place / "many" / f"{i}.csv").read_bytes() for i in range(2)] == before


def test_several_results_need_a_folder(oddwave, place):
    status, _, err = oddwave("predict", "ts_ad.csv", "calm.csv", "--model", "run", "--save_path", "one.csv")
    assert status == 2
    assert "Give a folder" in err
    assert not (place / "one.csv").exists()


def test_groups_are_saved_one_by_one_and_need_a_folder(oddwave, place):
    lines = (place / "calm.csv").read_text().splitlines()
    both = [f"{line},{i % 2}" for i, line in enumerate(lines[1:])]
    (place / "both.csv").write_text("\n".join([f"{lines[0]},host", *both]))
    words = ("predict", "both.csv", "--model", "run", "--group_col", "host", "--save_path")
    assert "Give a folder" in oddwave(*words, "one.csv")[2]
    status, out, err = oddwave(*words, "out")
    assert status == 0
    assert out.count("'group': '") == 2
    assert err.count("note: group 0: ") == err.count("note: group 1: ") == err.count("note: ") / 2 > 0
    assert small.names_in(place / "out") == ["both_0.csv", "both_1.csv"]


def test_a_short_group_doesnt_stop_the_others(oddwave, place):
    lines = (place / "calm.csv").read_text().splitlines()
    both = [f"{line},{'few' if i < 3 else 'many'}" for i, line in enumerate(lines[1:])]
    (place / "both.csv").write_text("\n".join([f"{lines[0]},host", *both]))
    words = ("--model", "run", "--group_col", "host", "--save_path", "out")
    status, out, err = oddwave("predict", "both.csv", *words)
    assert (status, out.count("'group': 'many'")) == (2, 1)
    assert "oddwave: 1 of 2 groups failed, the others are done:\n  both.csv, group few has 3 rows" in err
    assert small.names_in(place / "out") == ["both_many.csv"]


def test_a_file_name_that_isnt_utf_8_is_no_fault(oddwave, place):
    name = os.fsdecode(b"caf\xe9.csv")
    (place / "calm.csv").rename(name)
    assert oddwave("predict", name, "--model", "run", "--save_path", "out", "--format", "csv,json")[0] == 0
    assert small.names_in(place / "out") == ["caf_.csv", "caf_.json"]


def test_notes_go_to_standard_error(oddwave, place, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    values = small.rows(96)
    values[50] = float("nan")
    small.write("hole.csv", values=values)
    status, out, err = oddwave("predict", "hole.csv", "--model", "run", "--use_hpip")
    assert status == 0
    assert "note: " not in out
    assert "note: use_hpip: " in err
    assert err.count("note: ") >= 2


def test_standard_input_is_read(place):
    with Path("ts_ad.csv").open() as file:
        done = process("predict", "-", "--model", "run", "--save_path", "out", stdin=file)
    assert (done.returncode, done.stderr) == (0, "saved: out/stdin.csv\n")
    assert (place / "out" / "stdin.csv").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--pipeline", "ts_da", "--input", "x"], "'ts_da' is no pipeline. Did you mean ts_ad?"),
        (["--pipelin", "ts_ad"], "--pipelin is no flag of oddwave. Did you mean --pipeline?"),
        (["prdict", "x.csv"], "'prdict' is no command. Did you mean predict?"),
        (["ts_ad.csv"], "type: oddwave predict ts_ad.csv"),
        (
            ["--pipeline", "ts_ad", "predict", "ts_ad.csv"],
            "predict can't stand together with flags before it",
        ),
        ([*BARE, "ts_ad.csv", "train"], "train can't stand together with flags before it"),
        (
            ["predict", "ts_ad.csv", "--pipeline", "ts_ad"],
            "--pipeline belongs to the command without a subcommand",
        ),
        (["predict", "ts_ad.csv", "--input=x"], "--input belongs to the command without a subcommand"),
        (["models", "--serve"], "--serve belongs to the command without a subcommand"),
        (["--serve", "--pipeline", "ts_ad", "--input", "x.csv"], "--input is no flag of oddwave --serve"),
        (["--pipeline", "ts_ad", "--model", "run"], "There is nothing to read"),
        ([*BARE, "none.csv"], "There is no file 'none.csv'"),
        ([*BARE, "ts_ad.csv", "--model", "DLiner_ad"], "There is no detector 'DLiner_ad'"),
        ([*BARE, "ts_ad.csv", "--device", "foo"], "The device 'foo' isn't known"),
        ([*BARE, "ts_ad.csv", "--device", "gpu:99"], "onnxruntime-gpu"),
        ([*BARE, "ts_ad.csv", "--device", "npu:0"], "onnxruntime-cann"),
        ([*BARE, "ts_ad.csv", "--max_gap", "x"], "argument --max_gap: 'x' is no whole number"),
        ([*BARE, "ts_ad.csv", "--max_gap", "-1"], "the command line: max_gap is -1"),
        ([*BARE, "ts_ad.csv", "--threshold", "nan"], "threshold is nan"),
        ([*BARE, "ts_ad.csv", "--scoring", "casual"], "Did you mean causal?"),
        ([*BARE, "ts_ad.csv", "--format", "json"], "Add --save_path DIR"),
        ([*BARE, "ts_ad.csv", "--save_path", "o", "--format", "cvs"], "Did you mean csv?"),
        ([*BARE, "ts_ad.csv", "--save_path", "ts_ad.csv"], "ts_ad.csv is an input itself"),
        ([*BARE, "ts_ad.csv", "--save_path", "calm.csv/out"], "can't be written"),
        ([*BARE, "ts_ad.csv", "--save_path", ""], "The path to save to is empty"),
        (
            [*BARE, "ts_ad.csv", "--save_path", "o.xls"],
            "o.xls ends in .xls, as nothing that can be saved does.\nGive a name that ends in .csv, .json",
        ),
        ([*BARE, "ts_ad.csv", "--save_path", "o.xlsx", "--format", "png"], "o.xlsx ends in .xlsx, but what is saved"),
        ([*BARE, "ts_ad.csv", "--save_path", "o.csv.gz"], "ends in .gz, as nothing that can be saved does"),
        (
            [*BARE, "ts_ad.csv", "--save_path", "o.xls", "--format", "csv"],
            "o.xls ends in .xls, but what is saved there",
        ),
        ([*BARE, "ts_ad.csv", "--save_path", "o.json", "--format", "csv"], "what is saved there is CSV"),
        (["evaluate", "-c", "my.yaml"], "There is no file 'my.yaml'"),
        (["benhc"], "'benhc' is no command. Did you mean bench?"),
        (["train", "calm.csv", "ts_ad.csv"], "'ts_ad.csv' is one too many"),
        ([*BARE, "ts_ad.csv", "--time_col", "timestmap"], "timestamp"),
        (["--get_pipeline_config", "ts_da"], "Did you mean ts_ad?"),
        (
            ["--get_pipeline_config", "ts_ad", "--input", "x"],
            "can't stand together with --get_pipeline_config",
        ),
        (["train"], "DATA"),
        (["train", "calm.csv", "--model", "DLiner_ad"], "DLinear_ad"),
    ],
)
def test_a_mistake_is_status_2_and_one_message(oddwave, words, expected):
    status, out, err = oddwave(*words)
    assert (status, out) == (2, "")
    assert err.startswith("oddwave: ")
    assert err.count("oddwave: ") == 1 + err.count("See: oddwave: ")
    assert expected in err


def test_the_command_alone_prints_help_and_is_status_2(oddwave):
    status, out, err = oddwave()
    assert (status, err) == (2, "")
    assert out.startswith("usage: oddwave")


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], ["train", "--help"], ["models", "--help"]])
def test_every_help_shows_an_example(oddwave, words):
    status, out, _ = oddwave(*words)
    assert status == 0
    assert "\n  oddwave " in out.partition("example")[2]


def test_version_and_models(oddwave):
    assert oddwave("--version")[:2] == (0, "oddwave 0.1.0\n")
    status, out, _ = oddwave("models")
    assert status == 0
    title, *lines = out.splitlines()
    assert title.split() == ["name", "size", "channels", "window", "VUS-PR", "F1"]
    assert [line.split()[0] for line in lines[:7]] == shipped()
    assert {len(line.split()) for line in lines[:7]} == {8}  # with KB and rows
    assert lines[7].startswith("spread + distance ")
    assert "oddwave train" in lines[-1]


def test_train_then_predict_with_what_was_trained(oddwave, place):
    small.write("normal.csv", 1500)
    status, out, err = oddwave("train", "normal.csv", "--model", "ZScore_ad", "--out", "runs/pump")
    assert (status, err.count("\n")) == (0, err.count("note: "))
    assert out.startswith("ZScore_ad was trained on 1,500 rows of 3 channels, in windows of 1.\n")
    assert "runs/pump" in out
    assert oddwave("predict", "ts_ad.csv", "--model", "runs/pump", "--quiet", "--fail-on-anomaly")[0] == 3


def test_a_fault_of_ours_is_status_70_and_says_how_to_report_it(oddwave, monkeypatch):
    monkeypatch.setattr(Result, "save_to_csv", None)
    status, _, err = oddwave(*BARE, "ts_ad.csv", "--save_path", "out")
    assert status == 70
    assert err.startswith("oddwave: a fault of ours, sorry: TypeError")
    assert "report" in err
    monkeypatch.setenv("ODDWAVE_DEBUG", "1")
    assert cli.main([*BARE, "ts_ad.csv", "--save_path", "out"]) == 70


def test_debug_shows_where_a_fault_happened(place, capsys, monkeypatch):
    monkeypatch.setattr(Result, "save_to_csv", None)
    monkeypatch.setenv("ODDWAVE_DEBUG", "1")
    assert cli.main([*BARE, "ts_ad.csv", "--save_path", "out"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(place):
    command = f"{sys.executable} -m oddwave predict ts_ad.csv calm.csv --model run --save_path out"
    script = f"{command} 2>err | true; test ${{PIPESTATUS[0]}} = 0"
    done = subprocess.run(["bash", "-c", script], timeout=60)
    assert done.returncode == 0
    assert (place / "err").read_text() == "saved: out/ts_ad.csv\nsaved: out/calm.csv\n"
    assert small.names_in(place / "out") == ["calm.csv", "ts_ad.csv"]
    script = f"{sys.executable} -m oddwave models 2>err | true; test ${{PIPESTATUS[0]}} = 0"
    assert subprocess.run(["bash", "-c", script], timeout=60).returncode == 0
    assert (place / "err").read_text() == ""


def test_full_standard_output_is_one_message(place):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "oddwave", "predict", "ts_ad.csv", "--model", "run"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "oddwave: Standard output can't be written: No space left on device.\n"


def test_a_name_that_the_terminal_cant_show_is_no_error(place):
    small.write("时间.csv")
    done = process("predict", "时间.csv", "--model", "run", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")


def test_signs_that_a_terminal_would_obey_are_shown_as_escapes(oddwave, place):
    name = "a\x1b[31m.csv"
    (place / name).write_text((place / "calm.csv").read_text().replace("timestamp", "time,\x1b]0;x\x07"))
    status, _, err = oddwave("predict", name, "--model", "run")
    assert status == 2
    assert "a\\x1b[31m.csv" in err
    text = (place / "calm.csv").read_text().replace("timestamp,", "time\x1b[1m,")
    (place / name).write_text(text)
    shown = oddwave("predict", name, "calm.csv", "--model", "run", "--time_col", "time\x1b[1m")
    assert not {"\x1b", "\x07"} & set(err + shown[1] + shown[2])


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_fault(place, closed):
    command = f"{sys.executable} -m oddwave predict ts_ad.csv --model run --save_path out {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "" if "2>&-" in closed else "saved: out/ts_ad.csv\n")
    assert small.names_in(place / "out") == ["ts_ad.csv"]


def once_read(name, running):
    """Open a pipe for writing as soon as the process has opened it for reading."""
    for _ in range(1500):
        try:
            return os.open(name, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:  # no reader yet
            if error.errno != errno.ENXIO:
                raise
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.02)
    running.kill()
    raise AssertionError("the pipe was never opened")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_file_is_written_leaves_nothing_partial(place, number):
    small.write("long.csv", 20_000)
    code = (
        "from oddwave import cli, cli_predict, pipeline\n"
        "import functools, sys, time\n"
        "cli_predict.STREAMED = 1000\n"
        "pipeline.Pipeline.write_csv = functools.partialmethod(\n"
        "    pipeline.Pipeline.write_csv, chunk_rows=1000, progress=lambda rows: time.sleep(0.1))\n"
        "sys.argv = ['oddwave', 'predict', 'long.csv', '--model', 'run', '--save_path', 'out']\n"
        "cli.run()"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    draft_size = 0
    for _ in range(1500):
        draft_size = max((path.stat().st_size for path in place.glob("out/.*.part")), default=0)
        if draft_size or running.poll() is not None:
            break
        time.sleep(0.02)
    running.send_signal(number)
    _, err = running.communicate(timeout=30)
    assert draft_size > 0
    assert running.returncode == 128 + number
    assert "Traceback" not in err
    assert small.names_in(place / "out") == []


def test_ctrl_c_is_status_130_and_saves_nothing(place):
    os.mkfifo("slow.csv")
    command = [sys.executable, "-m", "oddwave", "predict", "slow.csv", "--model", "run", "--save_path", "out"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with os.fdopen(once_read("slow.csv", running), "w") as pipe:  # it is at work then
        pipe.write("timestamp,flow,heat,noise\n")
        pipe.flush()
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert err.startswith("oddwave: interrupted")
    assert not (place / "out").exists()


def test_a_large_file_goes_straight_to_disk_with_the_same_result(oddwave, place, monkeypatch):
    small.write("long.csv", 5000, fault=4000)
    status, out, err = oddwave("predict", "long.csv", "--model", "run", "--save_path", "memory/")
    monkeypatch.setattr(cli_predict, "STREAMED", 1000)
    straight = oddwave("predict", "long.csv", "--model", "run", "--save_path", "straight/")
    assert straight == (status, out, err.replace("memory/", "straight/"))
    assert (place / "straight/long.csv").read_bytes() == (place / "memory/long.csv").read_bytes()
    assert oddwave("predict", "long.csv", "--model", "run") == (status, out, "")


def test_a_file_over_the_limit_is_never_read_whole(oddwave, place, monkeypatch):
    lines = small.write("long.csv", 500, fault=300).read_text().splitlines()
    (place / "hosts.csv").write_text("\n".join([f"{lines[0]},host", *(f"{line},a" for line in lines[1:])]))
    printed = oddwave("predict", "long.csv", "--model", "run")
    monkeypatch.setattr(cli_predict, "STREAMED", 1000)
    monkeypatch.setattr(cli_predict, "IN_MEMORY", 1000)
    assert oddwave("predict", "long.csv", "--model", "run") == printed
    status, _, err = oddwave("predict", "long.csv", "--model", "run", "--save_path", "out", "--format", "csv,json")
    assert status == 2
    assert "long.csv is larger than 0 GB, so it isn't read whole in memory. Save it as CSV only" in err
    status, _, err = oddwave("predict", "hosts.csv", "--model", "run", "--group_col", "host")
    assert status == 2
    assert "isn't read whole in memory. Split it by the group column" in err
    assert not (place / "out").exists()


def test_a_large_unsorted_file_is_sorted_in_memory_up_to_a_limit(oddwave, place, monkeypatch):
    lines = small.write("long.csv", 500).read_text().splitlines()
    (place / "long.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    status, out, err = oddwave("predict", "long.csv", "--model", "run", "--save_path", "memory/")
    expected = (status, out, err.replace("memory/", "straight/"))
    monkeypatch.setattr(cli_predict, "STREAMED", 1000)
    assert oddwave("predict", "long.csv", "--model", "run", "--save_path", "straight/") == expected
    assert (place / "straight/long.csv").read_bytes() == (place / "memory/long.csv").read_bytes()
    monkeypatch.setattr(cli_predict, "IN_MEMORY", 1000)
    status, _, err = oddwave("predict", "long.csv", "--model", "run", "--save_path", "refused/")
    assert status == 2
    assert "isn't sorted in memory" in err
    assert not list(place.glob("refused/*"))


def test_the_cold_command_loads_only_what_it_needs(place):
    code = f"import sys; from oddwave.cli import main; main({[*BARE, 'ts_ad.csv']!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert [name for name in HEAVY if name in loaded] == []


def test_help_loads_no_numbers(place):
    code = "import sys; from oddwave.cli import main; main([]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "onnxruntime", "msgspec"} & set(done.stdout.splitlines()[-1].split())
