"""check, train, evaluate and export on the command line: in short, by a training file, and when something is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
import small

from oddwave import cli_train
from oddwave.train.folder import CHECKPOINT
from oddwave.training_file import read


@pytest.fixture
def place(detector_folder):
    """Return a current folder with a detector in `run`, normal rows, and a dataset with labels."""
    small.write("normal.csv", 1500)
    (detector_folder / "data").mkdir()
    small.write("data/train.csv", 1500)
    lines = small.write("data/val.csv", 600, 1500, fault=1800 - 1500).read_text().splitlines()
    labels = ["label", *(str(int(300 <= row < 310)) for row in range(600))]
    (detector_folder / "data" / "val.csv").write_text(
        "\n".join(f"{line},{label}" for line, label in zip(lines, labels, strict=True))
    )
    return detector_folder


QUICK = ("--model", "PCA_ad", "--input_len", "16")


def test_a_walk_through_all_modes_in_short(oddwave, place):
    status, out, _ = oddwave("check", "data")
    assert status == 0
    assert "Check dataset passed !" in out
    assert json.loads((place / "output" / "check_dataset_result.json").read_text())["check_pass"]
    status, out, _ = oddwave("train", "data", *QUICK, "--out", "runs/pump")
    assert status == 0
    assert out.startswith("PCA_ad was trained on 1,500 rows of 3 channels, in windows of 16.\n")
    assert "oddwave evaluate data --model runs/pump" in out
    status, out, _ = oddwave("evaluate", "data", "--model", "runs/pump")
    assert status == 0
    figures = json.loads((place / "runs" / "pump" / "evaluate_result.json").read_text())
    assert {"precision", "recall", "f1"} <= figures.keys()
    status, out, _ = oddwave("export", "runs/pump", "--out", "pump.onnx")
    assert status == 0
    assert (place / "pump.onnx").read_bytes() == (place / "runs" / "pump" / "detector.onnx").read_bytes()
    words = ("data/val.csv", "--fail-on-anomaly", "--quiet")
    assert oddwave("predict", *words, "--model", "pump.onnx")[0] == 3
    assert oddwave("predict", *words, "--model", "runs/pump", "--false-alarms", "1/1000000")[0] == 3


def test_the_same_walk_with_the_tutorials_words(oddwave, place):
    data = ("-c", "PCA_ad", "-o", "Global.dataset_dir=data")
    for mode, printed in [
        ("check_dataset", "Check dataset passed !"),
        ("train", "PCA_ad was trained on 1,500 rows"),
        ("evaluate", "evaluate_result.json"),
        ("export", "output/inference/detector.onnx"),
    ]:
        status, out, err = oddwave(*data, "-o", f"Global.mode={mode}")
        assert (status, mode, err.replace("note", "")) == (0, mode, err.replace("note", ""))
        assert printed in out
    status, out, _ = oddwave(
        "predict", *data, "-o", "Predict.input=data/val.csv", "-o", "Predict.model_dir=output/inference"
    )
    assert status == 0
    assert "'input_path': 'data/val.csv'" in out
    assert "val.csv" in small.names_in(place / "output")


def test_the_files_of_a_run_train_the_same_detector_again(oddwave, place):
    assert oddwave("train", "normal.csv", *QUICK, "--false-alarms", "1/500", "--out", "runs/pump")[0] == 0
    run = place / "runs" / "pump"
    file = read(run / "config.yaml")
    assert (file.Global.model, file.Train.input_len, file.Train.false_alarms) == ("PCA_ad", 16, "1/500")
    assert oddwave("train", "-c", "runs/pump/config.yaml", "--out", "again")[0] == 0
    assert (place / "again" / "detector.onnx").read_bytes() == (run / "detector.onnx").read_bytes()


def test_a_detector_is_not_lost_unless_it_is_said(oddwave, place):
    words = ("train", "normal.csv", *QUICK, "--out", "runs/pump")
    assert oddwave(*words, "--quiet") == (0, "", "")
    before = (place / "runs" / "pump" / "detector.onnx").read_bytes()
    status, _, err = oddwave(*words, "--false-alarms", "0.02")
    assert status == 2
    assert "runs/pump holds a detector already" in err
    assert (place / "runs" / "pump" / "detector.onnx").read_bytes() == before
    assert oddwave(*words, "--false-alarms", "0.02", "--force")[0] == 0
    assert (place / "runs" / "pump" / "detector.onnx").read_bytes() != before
    (place / "pump.onnx").write_bytes(before)
    assert (
        "pump.onnx is another detector, which would be lost" in oddwave("export", "runs/pump", "--out", "pump.onnx")[2]
    )
    assert (place / "pump.onnx").read_bytes() == before
    assert oddwave("export", "runs/pump", "--out", "pump.onnx", "--force")[0] == 0


def test_an_interrupted_training_is_not_lost_unless_it_is_said(oddwave, place):
    (place / "half").mkdir()
    (place / "half" / CHECKPOINT).write_bytes(b"hours of work")
    status, _, err = oddwave("train", "normal.csv", *QUICK, "--out", "half")
    assert status == 2
    assert "--resume" in err
    assert "oddwave export half" in err
    assert (place / "half" / CHECKPOINT).read_bytes() == b"hours of work"


def test_a_folder_that_cant_be_written_is_refused_before_anything_is_read(oddwave, place):
    status, _, err = oddwave("train", "no-such-file.csv", *QUICK, "--out", "normal.csv/run")
    assert status == 2
    assert "normal.csv/run can't be written" in err


def test_each_group_gets_its_detector(oddwave, place):
    lines = (place / "normal.csv").read_text().splitlines()
    hosts = [f"{line},{host}" for host in "ab" for line in lines[1:]]
    (place / "hosts.csv").write_text("\n".join([f"{lines[0]},host", *hosts]))
    words = ("hosts.csv", *QUICK, "--group_col", "host")
    status, out, _ = oddwave("train", *words, "--per_group", "--out", "each")
    assert status == 0
    assert out.count("PCA_ad was trained on 1,500 rows") == 2
    assert (place / "each" / "a" / "detector.onnx").exists()
    assert (place / "each" / "b" / "detector.onnx").exists()
    assert "holds a detector already" in oddwave("train", *words, "--per_group", "--out", "each")[2]
    assert oddwave("train", *words, "--out", "all")[1].startswith("PCA_ad was trained on 3,000 rows")


def test_a_groups_file_repeats_all_groups_and_says_so(oddwave, place):
    text = (place / "normal.csv").read_text().splitlines()
    with (place / "hosts.csv").open("w") as file:
        file.write(f"{text[0]},host\n" + "".join(f"{line},{host}\n" for host in "ab" for line in text[1:]))
    assert oddwave("train", "hosts.csv", "--group_col", "host", "--per_group", *QUICK, "--out", "all")[0] == 0
    path = place / "all" / "a" / "config.yaml"
    assert path.read_text().startswith("# a is one of several groups: oddwave train -c THIS_FILE trains all of them.\n")
    detectors = {name: (place / "all" / name / "detector.onnx").read_bytes() for name in "ab"}
    assert oddwave("train", "-c", path, "--force")[0] == 0
    assert {name: (place / "all" / name / "detector.onnx").read_bytes() for name in "ab"} == detectors


def killed(words, is_far_enough):
    """Train in another process, and kill it as soon as it has come far enough."""
    script = f"from oddwave import cli; cli.main({[str(word) for word in words]!r})"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not is_far_enough():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.wait()


def test_a_killed_training_can_be_exported_and_gone_on_with(oddwave, place):
    run = place / "runs" / "killed"
    words = ("train", "normal.csv", "--model", "AutoEncoder_ad", "--epochs", "1000", "-o", "Train.patience=1000")
    log = run / "train.log"
    killed((*words, "--out", run), lambda: log.exists() and log.read_text().count("epoch") > 3)
    (run / ".oddwave-0123456789abcdef.part").touch()
    config = (run / "config.yaml").read_bytes()
    status, _, err = oddwave("train", "data/val.csv", "--resume", *words[2:], "--out", run)
    assert (status, "can't be resumed" in err) == (2, True)
    assert (run / "config.yaml").read_bytes() == config
    assert oddwave("export", run, "--out", "best.onnx")[0] == 0
    best = json.loads((run / "train_result.json").read_text())["models"]["best"]
    losses = re.findall(r"epoch (\d+) of 1000: loss [\d.e-]+, held-out loss ([\d.e-]+)", log.read_text())
    kept = {int(epoch): float(loss) for epoch, loss in losses}
    assert best["epoch"] <= max(kept) + 1  # the checkpoint is written before the line in the log
    assert kept.get(best["epoch"], best["score"]) == pytest.approx(best["score"], rel=1e-5)
    assert best["score"] <= min(loss for epoch, loss in kept.items() if epoch <= best["epoch"]) * (1 + 1e-5)
    assert [path.name for path in run.iterdir() if path.name.endswith(".part")] == []


def test_to_go_on_with_a_training_its_folder_is_enough(oddwave, place):
    assert oddwave("train", "normal.csv", *QUICK, "--out", "r")[0] == 0
    detector = (place / "r" / "detector.onnx").read_bytes()
    (place / "r" / "detector.onnx").unlink()
    status, _, err = oddwave("train", "--resume", "--out", "r")
    assert (status, err) == (0, "")
    assert (place / "r" / "detector.onnx").read_bytes() == detector


def test_evaluate_takes_its_settings_as_flags(oddwave, place):
    assert oddwave("train", "data", *QUICK, "--out", "r", "--quiet")[0] == 0
    words = ("--window", "20", "--seed", "0", "--false-alarms", "0.001", "-o", "Evaluate.seed=7")
    assert oddwave("evaluate", "data", "--model", "r", "--out", "e", *words)[0] == 0
    figures = json.loads((place / "e" / "evaluate_result.json").read_text())
    assert (figures["vus_window"], figures["bootstrap"]["seed"]) == (20, 0)
    assert figures["threshold"]["expected_flagged"]["full"] <= 0.001 * (1 + 1e-9)


def test_rows_of_maintenance_are_left_out(oddwave, place):
    words = ("train", "normal.csv", *QUICK, "--exclude", "100/200", "300/310")
    assert oddwave(*words)[0] == 0
    assert json.loads((place / "output" / "train_result.json").read_text())["rows"]["left_out"] == 110


def test_check_splits_and_converts_first(oddwave, place):
    lines = small.write("rows.csv", 1500, fault=1400).read_text().splitlines()
    labels = ["label", *(int(1400 <= row < 1410) for row in range(1500))]
    (place / "rows.csv").write_text("\n".join(f"{line},{label}" for line, label in zip(lines, labels, strict=True)))
    status, out, _ = oddwave("check", "rows.csv", "--split", "80/20")
    assert status == 0
    assert "Split: train.csv has 1,200 rows, val.csv has 300." in out
    assert "kept as rows.csv.bak" in out
    assert "Check dataset passed !" in out


def test_a_check_that_fails_is_status_2(oddwave, place):
    small.write("short.csv", 30)
    status, out, _ = oddwave("check", "short.csv")
    assert status == 2
    assert "passed" not in out
    assert oddwave("check", "short.csv", "--quiet")[:2] == (2, "")


def test_settings_of_epochs_dont_fit_a_model_that_has_none(oddwave, place):
    status, _, err = oddwave("train", "normal.csv", *QUICK, "--epochs", "3", "--seed", "1")
    assert status == 2
    assert "PCA_ad is fitted in one step, without epochs: leave --epochs, --seed out,\nor train one of Auto" in err
    status, _, err = oddwave("train", "normal.csv", *QUICK, "-o", "Train.epochs_iters=3")
    assert status == 0
    assert "without epochs: epochs_iters change nothing" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "-c", "DLiner_ad"], "Did you mean DLinear_ad?"),
        (["train", "-c", "PCA_ad"], "There is nothing to train on. Give DATA"),
        (["train", "--exclude", "1/2", "normal.csv"], "There is nothing to train on. Give DATA before --exclude"),
        (["predict", "normal.csv", "--threshold", "3", "--false-alarms", "1/9"], "both set the threshold"),
        (["evaluate", "data", "--threshold", "3", "--false-alarms", "1/9"], "both set the threshold"),
        (["train", "--resume", "--out", "data"], "There is no training to go on with in data"),
        (["check"], "There is nothing to check. Give DATA"),
        (["evaluate", "-c", "PCA_ad"], "There is nothing to evaluate on. Give DATA"),
        (["predict", "-c", "PCA_ad"], "There is nothing to read. Give DATA, or -o Predict.input=FILE"),
        (["predict"], "There is nothing to read"),
        (["train", "normal.csv", "-o", "Train.epoch_iters=3"], "Did you mean epochs_iters?"),
        (
            ["train", "normal.csv", *QUICK, "--false-alarms", "once in a blue moon"],
            "which is no budget of false alarms",
        ),
        (["train", "normal.csv", "-o", "Global.device=gpu:0"], "this PyTorch"),
        (["train", "normal.csv", "-o", "Global.mode=evaluate"], "can't be told Global.mode=evaluate"),
        (["-c", "PCA_ad"], "don't say what to do"),
        (["-o", "Global.mode=trian"], "Did you mean train?"),
        (["check", "data", "--split", "80"], "write the two percentages, as in 80/20"),
        (["check", "data", "--split", "80/30"], "don't add up to 100"),
        (["evaluate", "data", "--model", "nothing"], "There is no detector 'nothing'"),
        (["evaluate", "data"], "There is no detector in output, where a training puts it."),
        (["export", "nothing"], "There is no detector 'nothing'"),
        (["export", "run", "--out", "calm"], ""),
    ],
)
def test_a_mistake_is_status_2_and_one_message(oddwave, words, expected):
    status, out, err = oddwave(*words)
    if not expected:
        assert (status, err) == (0, "")
        return
    assert (status, out) == (2, "")
    assert err.startswith("oddwave: ")
    assert expected in err


def test_a_mode_in_the_file_gives_way_to_the_command(oddwave, place):
    (place / "my.yaml").write_text("Global:\n  model: PCA_ad\n  mode: check_dataset\n  dataset_dir: normal.csv\n")
    status, out, err = oddwave("train", "-c", "my.yaml")
    assert status == 0
    assert "note: Global.mode is check_dataset in my.yaml; the command says train" in err
    assert "was trained on" in out
    assert "Check dataset passed !" in oddwave("-c", "my.yaml")[1]


def test_the_tutorials_paths_in_the_output_folder_mean_its_detector(oddwave, place):
    words = ("-c", "PCA_ad", "-o", "Global.output=run")
    status, _, err = oddwave(
        "predict", "data/val.csv", *words, "-o", "Predict.model_dir=run/inference", "--save_path", "o"
    )
    assert status == 0
    assert "note: There is no run/inference; the detector of run is used." in err


@pytest.mark.parametrize("command", ["check", "train", "evaluate", "export", "predict"])
def test_every_help_shows_an_example_in_100_columns(oddwave, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status, out, _ = oddwave(command, "--help")
    assert status == 0
    assert f"\n  oddwave {command} " in out.partition("example")[2]
    assert max(map(len, out.splitlines())) <= 100


def test_progress_in_a_pipe_is_a_line_now_and_then_and_on_a_terminal_a_bar(capsys, monkeypatch):
    from oddwave.train.loop import Epoch

    def shown(is_quiet, is_terminal):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
        show = cli_train.Progress(is_quiet, log_interval=10)
        for epoch in range(1, 21):
            for share in (0.5, 1.0):
                show(Epoch(epoch, 20, 0.25, 0.5, 1234.0, 3700.0 / epoch, True, share))
        show.close()
        return capsys.readouterr().err

    assert shown(True, False) == shown(True, True) == ""
    lines = shown(False, False).splitlines()
    assert lines[0] == "epoch: 10 of 20: loss 0.2500, held out 0.5000, 1,234 windows/s, 6 min 10 s left"
    assert len(lines) == 2
    bar = shown(False, True)
    assert "| epoch 2/20, loss 0.250, held out 0.500, 1,234 windows/s, 30:50 left" in bar
    assert max(len(line) for line in bar.replace("\n", "\r").split("\r")) <= 80
