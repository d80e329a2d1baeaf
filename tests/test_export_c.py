"""The export to C: the program and the library give the scores and labels of Python."""

from __future__ import annotations

import csv
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from oddwave import export_c, train
from oddwave.cli import main
from oddwave.detector import Detector
from oddwave.export_c import graph
from tests import small

if os.environ.get("CI") != "true" and not shutil.which("cc"):
    pytest.skip("there is no C compiler", allow_module_level=True)

CROSS = "aarch64-linux-gnu-gcc"  # Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross
QEMU = "qemu-aarch64-static"  # Debian: qemu-user-static
EXAMPLE = Path(__file__).parent.parent / "examples" / "ts_ad.csv"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]


def compiled(folder: Path, *flags: str, program: str = "main.c") -> Path:
    out = folder / "detect"
    files = [folder / program, folder / "detector.c"]
    done = subprocess.run(["cc", *STRICT, *flags, "-o", out, *files, "-lm"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def ran(program: Path, *words: object, by: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*by, program, *words], capture_output=True, text=True)


def gappy(path: Path) -> Path:
    """Write a longer file like the example, with missing cells, missing rows and repeated times."""
    names, *lines = EXAMPLE.read_text("utf-8").splitlines()
    values = np.tile(np.array([line.split(",")[1:] for line in lines], dtype=float), (14, 1))
    values += np.random.default_rng(1).normal(0, 0.002, values.shape)
    values[900:910, 5] += 2
    values[100:103, 3] = values[300:304, 4] = values[1000] = values[:2, 7] = values[1100:1150:7, 2] = np.nan
    rows = [time for time in range(len(values)) if time not in {500, 501, *range(700, 710), *range(1200, 1203)}]
    rows = sorted([*rows, 650, 1180])
    cells = [",".join(["" if np.isnan(x) else f"{x:.6f}" for x in values[time]]) for time in rows]
    path.write_text("\n".join([names, *(f"{time},{text}" for time, text in zip(rows, cells, strict=True))]) + "\n")
    return path


def assert_equal_to_python(detector: Detector, program: Path, data: Path, by: Sequence[str] = ()) -> float:
    """Compare labels and scores with Python's; return the largest difference, a share of score or threshold."""
    worst = 0.0
    for scoring, flags in (("full", ()), ("causal", ("--causal",))):
        done = ran(program, *flags, data, by=by)
        assert done.returncode == 0, done.stderr
        names, *rows = csv.reader(done.stdout.splitlines())
        expected = detector.detect(data, scoring=scoring)
        titles, *wanted = csv.reader(expected.to_csv().decode().splitlines())
        assert names == titles[:3]
        assert [row[:2] for row in rows] == [row[:2] for row in wanted]
        score, known = (np.array([float(row[2] or "nan") for row in table]) for table in (rows, wanted))
        assert (np.isnan(score) == np.isnan(known)).all()
        worst = max(worst, float(np.nanmax(np.abs(score - known) / np.maximum(known, expected.threshold))))
    assert worst <= 1e-5
    return worst


@pytest.fixture(scope="module", params=export_c.MODELS)
def shipped(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    assert main(["export", request.param, "--target", "c", "--out", str(folder), "--quiet"]) == 0
    return request.param, folder, compiled(folder)


def test_the_program_gives_what_python_gives(shipped, tmp_path, record_property):
    name, _, program = shipped
    detector = Detector.load(name)
    record_property("agreement", (name, f"C, {platform.machine()}", assert_equal_to_python(detector, program, EXAMPLE)))
    assert_equal_to_python(detector, program, gappy(tmp_path / "gaps.csv"))


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and not (shutil.which(CROSS) and shutil.which(QEMU)),
    reason=f"{CROSS} or {QEMU} isn't there",
)
def test_on_arm_the_program_gives_what_python_gives(shipped, tmp_path, record_property):
    name, folder, _ = shipped
    for path in folder.glob("*.[ch]"):
        shutil.copy(path, tmp_path)
    shutil.copy(folder / "Makefile", tmp_path)
    made = ["make", "-C", tmp_path, f"CC={CROSS}", "LDFLAGS=-static"]
    done = subprocess.run(made, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    detector, program = Detector.load(name), tmp_path / "detect"
    assert program.read_bytes()[18:20] == b"\xb7\x00"  # EM_AARCH64 in ELF's header
    worst = assert_equal_to_python(detector, program, EXAMPLE, by=[QEMU])
    record_property("agreement", (name, "C, aarch64 under qemu", worst))
    assert_equal_to_python(detector, program, gappy(tmp_path / "gaps.csv"), by=[QEMU])


def test_the_program_reads_dates_and_files_without_times_as_python_does(shipped, tmp_path):
    name, _, program = shipped
    titles, *lines = gappy(tmp_path / "gaps.csv").read_text("utf-8").splitlines()
    rows = [line.partition(",") for line in lines]
    dates = [str(np.datetime64("2023-12-31T12:00:00") + 60 * int(time)).replace("T", " ") for time, _, _ in rows]
    kinds = {"dates": [f"{date},{cells}" for date, (_, _, cells) in zip(dates, rows, strict=True)]}
    kinds["rows"] = [cells for _, _, cells in rows]
    for kind, texts in kinds.items():
        path = tmp_path / f"{kind}.csv"
        path.write_text("\n".join([titles if kind == "dates" else titles.partition(",")[2], *texts]) + "\n")
        assert_equal_to_python(Detector.load(name), program, path)


@pytest.mark.parametrize("name", export_c.MODELS)
def test_a_detector_of_one_s_own_gives_what_python_gives_and_no_sanitizer_objects(name, tmp_path):
    if os.environ.get("CI") != "true":
        pytest.importorskip("torch")
    source = small.write(tmp_path / "normal.csv", 1200)
    run = train(source, model=name, out=tmp_path / "run", input_len=small.SIZE, epochs=1)
    assert run is not None
    detector = Detector.load(tmp_path / "run")
    export_c.export_c(detector, tmp_path / "c")
    program = compiled(tmp_path / "c", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    assert_equal_to_python(detector, program, small.write(tmp_path / "new.csv", 700, start=1200, fault=300))


def test_make_builds_the_program_and_the_library_takes_no_memory(shipped):
    _, folder, _ = shipped
    done = subprocess.run(["make", "-C", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = subprocess.run(["nm", "-u", folder / "detector.o"], capture_output=True, text=True, check=True).stdout
    assert "log" in wanted
    assert not {"malloc", "calloc", "realloc", "free", "fopen", "printf"} & set(wanted.split())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("feature_7,", "other,"), "no column feature_7"),
        (lambda text: text.replace("0.823708", "broken"), "line 3: 'broken' in column feature_0"),
        (lambda text: text.replace("140240,0.823708", '140240,"0.823708"'), "line 3: quotes"),
        (lambda text: text.replace("140240,0.823708", "140240"), "line 3: the row has not 26 cells"),
        (lambda text: text.replace("140240,", "140000,"), "line 3: the time is earlier"),
        (lambda text: "\n".join(text.splitlines()[:50]), "has 49 rows, but this detector reads windows of 96"),
        (lambda text: "", "is empty"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(shipped, tmp_path, change, message):
    bad = tmp_path / "bad.csv"
    bad.write_text(change(EXAMPLE.read_text("utf-8")))
    done = ran(shipped[2], bad)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize("words", [["PCA_ad", "--target", "c"], ["DLinear_ad", "--target", "web"]])
def test_what_has_no_export_is_refused_and_nothing_is_written(words, tmp_path, capsys):
    assert main(["export", *words, "--out", str(tmp_path / "out")]) == 2
    assert "DLinear_ad" in (message := capsys.readouterr().err) or "onnx and c" in message
    assert not (tmp_path / "out").exists()


def test_a_graph_with_an_unknown_operator_is_refused():
    detector = Detector.load("TimesNet_ad")
    with pytest.raises(graph.UnsupportedError):
        graph.read(detector.data, detector.metadata.size, len(detector.metadata.channels))
