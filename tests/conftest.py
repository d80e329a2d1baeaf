"""Fixtures that several test files share."""

from __future__ import annotations

import shutil
from pathlib import Path

import made
import numpy as np
import pytest

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
