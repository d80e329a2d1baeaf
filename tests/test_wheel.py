"""What users get: the built wheel, alone in an empty environment, does the main job."""

from __future__ import annotations

import csv
import math
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command without what this environment would add to it, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pins = str(ROOT / "constraints.txt") if " " not in str(ROOT) else ""  # pip splits the variable at spaces
    env |= {"PIP_CONSTRAINT": pins, "PIP_BUILD_CONSTRAINT": pins}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("oddwave-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Return the programs' folder of an environment that holds the wheel and its core dependencies."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    programs = venv / ("Scripts" if os.name == "nt" else "bin")
    run(*PIP, "--python", programs / "python", "install", wheel)
    return programs


@pytest.fixture(scope="module")
def census(installed) -> dict[str, int]:
    """Return how many packages the environment holds, and how many bytes they take."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(installed / "python", "-I", "-c", code).strip())
    files = [path for path in site.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        "packages": len(list(site.glob("*.dist-info"))) - 1,  # Oddwave itself
        "bytes": sum(path.stat().st_size for path in files),
    }


def test_the_wheel_is_under_5_megabytes(wheel):
    assert wheel.stat().st_size < 5_000_000


def test_the_wheel_holds_the_code_the_detectors_their_cards_and_the_type_marker_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    source = ROOT / "src"
    kept = {p.relative_to(source).as_posix() for p in (source / "oddwave").rglob("*") if p.is_file()}
    expected = {name for name in kept if "__pycache__" not in name and "/." not in name}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "oddwave/py.typed" in names
    is_compiled = any(name.startswith("oddwave/_kernel.") and name.endswith((".so", ".pyd")) for name in names)
    assert is_compiled == ("-cp311-abi3-" in wheel.name)
    assert is_compiled or not os.environ.get("CI")
    assert [name for name in names if name.startswith("oddwave/weights/") and name.endswith(".onnx")]
    assert {name.rpartition("/")[2] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_a_wheel_without_the_kernel_is_for_every_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("ODDWAVE_KERNEL", "0")
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (built,) = tmp_path.glob("oddwave-*-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(built).namelist() if name.endswith((".so", ".pyd"))]


def test_the_core_installs_at_most_25_packages_and_400_megabytes(census, capsys):
    with capsys.disabled():
        sys.stdout.write(f"core install: {census['packages']} packages, {census['bytes'] / 1e6:.0f} MB ")
    assert census["packages"] <= 25
    assert census["bytes"] <= 400_000_000


def test_the_installed_wheel_labels_every_row_of_the_example(installed, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = ["--pipeline", "ts_ad", "--input", "examples/ts_ad.csv", "--save_path", "out"]
    printed = run(installed / "oddwave", *command, cwd=tmp_path)
    assert printed.startswith("{'input_path': 'examples/ts_ad.csv', 'anomaly':")
    assert "[96 rows x 1 columns]}" in printed
    (saved,) = (tmp_path / "out").glob("*.csv")
    with saved.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 96
    assert {row["label"] for row in rows} == {"0", "1"}
    assert all(math.isfinite(float(row["score"])) for row in rows)
    with (tmp_path / "examples" / "ts_ad.csv").open(newline="", encoding="utf-8") as file:
        times = [row["timestamp"] for row in csv.DictReader(file)]
    assert [row["timestamp"] for row in rows] == times


def test_the_installed_wheel_says_its_version_and_which_extra_is_missing(installed, wheel, tmp_path):
    code = "import oddwave; print(oddwave.__version__)"
    version = run(installed / "python", "-I", "-c", code, cwd=tmp_path).strip()
    assert wheel.name.split("-")[1] == version
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    code = (
        "from oddwave import create_pipeline\n"
        "from oddwave.errors import MissingExtraError\n"
        "(result,) = create_pipeline(pipeline='ts_ad').predict('examples/ts_ad.csv')\n"
        "try:\n    result['anomaly']\nexcept MissingExtraError as error:\n    print(error)"
    )
    assert "pip install 'oddwave[pandas]'" in run(installed / "python", "-I", "-c", code, cwd=tmp_path)
