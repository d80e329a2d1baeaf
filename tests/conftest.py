"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import made
import numpy as np
import pytest
import small

from oddwave import cli
from oddwave.detector import Detector
from oddwave.series import Series

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder with pyproject.toml."""
    return ROOT


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder with a copy of examples/, and make it the current one."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def detector() -> Detector:
    """Return a PCA detector of three channels, trained on rows one time unit apart."""
    return made.trained()


@pytest.fixture
def series() -> Series:
    """Return rows with gaps, missing cells, a repeated time and a fault."""
    values = made.rows(160, seed=1)
    values[60:64, 1] += 40
    values[90:92, 0] = np.nan
    values[120:130, 2] = np.nan
    ticks = np.arange(160)
    ticks[30:] += 2  # two rows are missing
    ticks[75:] += 40  # and here too many
    ticks[100] = ticks[99]
    return made.series_of(values, ticks, "number")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a training."""
    return small.detector(tmp_path_factory.mktemp("trained") / "run")


@pytest.fixture
def detector_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path) -> Path:
    """Return a folder with a detector in `run`, made the current one; processes started there run this code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"), prepend=os.pathsep)
    (tmp_path / "run").symlink_to(trained)
    return tmp_path


@pytest.fixture
def oddwave(place, capsys):
    """Return a call of the command in the test file's `place`: status, standard output, standard error."""

    def call(*words):
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return status, shown.out, shown.err

    return call


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how far exported detectors are from Python's scores of the example, as tests recorded it."""
    reports = terminalreporter.getreports("passed")
    rows = [value for report in reports for key, value in report.user_properties if key == "agreement"]
    if rows:
        terminalreporter.section("scores of the example: largest difference from Python's, to be at most 1e-5")
        for model, place, worst in sorted(rows):
            terminalreporter.write_line(f"{model:18} {place:24} {worst:.1e}")
