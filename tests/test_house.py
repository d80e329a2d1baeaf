"""The rules of ARCHITECTURE.md, as tests."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "oddwave"

# What the files of src/oddwave/ are. A new file is entered here, and thereby told what it may import.
SHARED = {"device", "atomic", "errors", "config", "machine", "metadata", "series", "threads"}
STEPS = {"read", "clean", "window", "score", "threshold", "events", "runtime", "detector_file"}
PARTS = {  # parts with a name of their own; that read/table.py belongs to read and cli_flags.py to cli is plain
    "terms": "score",
    "kernel": "score",
    "_kernel": "score",
    "graph": "detector_file",
    "shapes": "detector_file",
    "protobuf": "detector_file",
}
ORDER = {"baselines", "calibrate", "detector", "one_pass", "stretch"}  # these know the order of the steps
EDGE = {"__init__", "__main__", "chart", "cli", "pipeline", "printed", "result", "save", "stream"}  # towards the user
EDGE |= {
    "bench",
    "bootstrap",
    "classical",
    "hpip",
    "leak",
    "metrics",
    "training_file",
}  # and what stands beside the path of the data
FOLDERS = {"check", "evaluate", "export_c", "page", "read", "report", "runtime", "save", "train", "serve", "weights"}

# Who may import what from outside; everyone else may not.
RESERVED = {
    "onnxruntime": ("runtime/",),
    "openvino": ("runtime/",),
    "torch": ("train/",),
    "onnx": ("train/",),
    "onnxscript": ("train/",),
    "safetensors": ("train/",),
    "matplotlib": ("check/", "save/"),
    "PIL": ("save/",),
    "xlsxwriter": ("save/",),
    "fastapi": ("serve/",),
    "starlette": ("serve/",),
    "uvicorn": ("serve/",),
    "granian": ("serve/",),
    "prometheus_client": ("serve/",),
}
HEAVY = {
    "torch",
    "openvino",
    "pandas",
    "pyarrow",
    "ray",
    "fastapi",
    "matplotlib",
    "PIL",
    "xlsxwriter",
    "polars",
    "pydantic",
    "sklearn",
    "scipy",
    "granian",
    "prometheus_client",
}
STARTS_ITSELF = SRC / "serve" / "page" / "training.py"  # what it starts is this very program
UNSAFE_MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_MODULES |= {"subprocess", "multiprocessing", "builtins", "code", "runpy", "pty", "ctypes"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_NAMES = {"yaml.Loader", "yaml.CLoader", "yaml.FullLoader", "yaml.UnsafeLoader", "torch.load"}
UNSAFE_NAMES |= {"yaml.full_load", "yaml.unsafe_load", "concurrent.futures.ProcessPoolExecutor"}
UNSAFE_PROCESS = re.compile(r"os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork\w*|startfile)")
UNSAFE_KEYWORDS = {("shell", True), ("allow_pickle", True), ("weights_only", False)}


def owner(module: str) -> str:
    """Return what a module is a part of: `cli_flags` and `cli` of cli, `protobuf` of detector_file."""
    wholes = [name for name in STEPS | EDGE if module == name or module.startswith(f"{name}_")]
    return PARTS.get(module, max(wholes, key=len, default=module))


def owner_of(path: Path) -> str:
    """Return what a file is a part of: its folder, or what its name says."""
    inside = path.relative_to(SRC)
    return owner(inside.parts[0] if len(inside.parts) > 1 else inside.stem)


def sources(folder: Path = SRC) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, also inside functions, with the names taken from it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """Return which files or folders of the package a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("oddwave.")}


def as_test_id(value: object) -> str | None:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else None


every_source = pytest.mark.parametrize("path", sources(), ids=as_test_id)


# Rule 1: steps don't know each other


def test_every_file_of_the_package_is_entered_in_the_table_above():
    known = SHARED | STEPS | ORDER | EDGE
    unknown = [path.name for path in SRC.glob("*.py") if owner(path.stem) not in known]
    unknown += [path.name for path in SRC.iterdir() if path.is_dir() and path.name not in FOLDERS]
    unknown = [name for name in unknown if name != "__pycache__" and not name.startswith(".")]
    assert unknown == [], "say in tests/test_house.py what these are"


@pytest.mark.parametrize("path", [p for p in sources() if owner_of(p) in STEPS], ids=as_test_id)
def test_a_step_imports_the_shared_files_and_its_own_parts_only(path):
    strangers = {name for name in own_imports(path) if name not in SHARED and owner(name) != owner_of(path)}
    assert strangers == set(), f"{path.name} belongs to the step {owner_of(path)}"


def test_only_the_files_that_know_the_order_import_more_than_one_step():
    steps = {path: {owner(name) for name in own_imports(path)} & STEPS for path in sources()}
    several = {path.relative_to(SRC).as_posix(): found for path, found in steps.items() if len(found) > 1}
    allowed = {f"{name}.py" for name in ORDER} | {
        "train/__init__.py",
        "train/fitting.py",
        "train/rows.py",
        "evaluate/__init__.py",
        "serve/page/kept.py",  # labels and events at another threshold
    }
    assert {name: found for name, found in several.items() if name not in allowed} == {}


@pytest.mark.parametrize("name", sorted(SHARED))
def test_the_shared_files_import_each_other_at_most(name):
    assert own_imports(SRC / f"{name}.py") <= SHARED


def test_the_chart_is_drawn_from_a_result_alone():
    assert own_imports(SRC / "chart.py") == {"events", "result", "series"}


# Rules 2 and 3: light imports stay light, heavy packages have one place


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def modules_loaded_by(code: str, cwd: Path) -> set[str]:
    """Run code in a new process and return the packages that it loaded."""
    report = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    done = python(f"{report}\n{code}", cwd)
    return {name.split(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_importing_oddwave_loads_nothing_heavy(workplace):
    loaded = modules_loaded_by("import oddwave", workplace)
    assert loaded & (HEAVY | {"numpy", "onnxruntime", "msgspec", "yaml", "tqdm"}) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--get_pipeline_config", "ts_ad", "--save_path", "."]])
def test_a_command_that_detects_nothing_loads_nothing_heavy(arguments, workplace):
    code = f"import sys; sys.argv = ['oddwave', *{arguments!r}]; from oddwave.cli import run; run()"
    assert modules_loaded_by(code, workplace) & (HEAVY | {"onnxruntime"}) == set()


def test_detecting_in_a_small_csv_loads_neither_polars_nor_yaml_nor_a_progress_bar(workplace):
    code = (
        "import sys; sys.argv = ['oddwave', '--pipeline', 'ts_ad', '--input', 'examples/ts_ad.csv']\n"
        "from oddwave.cli import run; run()"
    )
    assert modules_loaded_by(code, workplace) & (HEAVY | {"yaml", "tqdm"}) == set()


def test_detecting_keeps_no_store_of_telemetry(workplace, tmp_path):
    code = "import oddwave; oddwave.detect('examples/ts_ad.csv')"
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*onnxruntime*")) == []


@every_source
def test_a_reserved_package_is_imported_in_its_place_only(path):
    inside = path.relative_to(SRC).as_posix()
    packages = {name.split(".")[0] for name in imports(path)} & set(RESERVED)
    misplaced = {name for name in packages if not inside.startswith(RESERVED[name])}
    assert misplaced == set(), f"allowed are {[RESERVED[name] for name in misplaced]}"


def test_the_core_dependencies_are_those_agreed_on():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[<>=!~ ;\[]", line)[0] for line in project["dependencies"]}
    assert names == {"numpy", "onnxruntime", "polars", "msgspec", "pyyaml", "tqdm"}


# Rules 5 and 6: nothing that runs what it reads


def unsafe(path: Path) -> list[str]:
    """Return what in a file could run what it reads, by whatever name it is imported."""
    names = {"__builtins__": "builtins"}  # what each name in the file stands for
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    used = list(imports(path))
    found = [name for name in used if UNSAFE_MODULES & set(name.split("."))]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node).partition(".")
            used.append(names.get(first, first) + dot + rest)
        if isinstance(node, ast.Call):
            found += [ast.unparse(node.func)] if ast.unparse(node.func) in UNSAFE_CALLS else []
            found += [
                f"{keyword.arg}={keyword.value.value}"
                for keyword in node.keywords
                if isinstance(keyword.value, ast.Constant) and (keyword.arg, keyword.value.value) in UNSAFE_KEYWORDS
            ]
    found += [name for name in used if name in UNSAFE_NAMES or UNSAFE_PROCESS.fullmatch(name)]
    return found + [name for name in used if name.startswith("builtins.")]


@every_source
def test_no_source_file_can_run_what_it_reads(path):
    assert unsafe(path) == (["subprocess"] if path == STARTS_ITSELF else [])


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.run(['ls'])",
        "from subprocess import run",
        "import os\nos.execv('x', [])",
        "import os as o\no.system('x')",
        "from os import system",
        "from os import popen as p",
        "import os\nrun = os.posix_spawn",
        "from yaml import UnsafeLoader",
        "import yaml as y\ny.load('x', y.FullLoader)",
        "from torch import load as read",
        "import torch\ntorch.load('x')",
        "import builtins\nbuiltins.eval('x')",
        "__builtins__.eval('x')",
        "__import__('os')",
        "compile('x', 'x', 'exec')",
        "exec('x')",
        "from concurrent.futures import ProcessPoolExecutor",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
    ],
)
def test_code_that_could_run_what_it_reads_is_found(code, tmp_path):
    (tmp_path / "bad.py").write_text(code)
    assert unsafe(tmp_path / "bad.py")


def test_harmless_code_of_like_names_is_let_through(tmp_path):
    (tmp_path / "good.py").write_text("import os, re\nre.compile('x')\nmodel.eval()\nos.path.exists('x')")
    assert unsafe(tmp_path / "good.py") == []


# Sizes and manners


@every_source
def test_no_module_is_longer_than_400_lines(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400


@every_source
def test_no_function_body_is_longer_than_60_lines(path):
    long = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > 60:
                long[node.name] = lines
    assert long == {}


def texts() -> Iterator[Path]:
    """Yield all text files of the project; what make, tools and editors put beside them is left out."""
    folders = ["src", "tests", "docs", "examples", "benchmarks", ".ci"]
    kinds = {".py", ".md", ".toml", ".yml", ".yaml", ".txt", ".csv", ".json", ".sh", ""}
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    found += [path for path in ROOT.iterdir() if path.name != ".git" and not path.name.startswith(".cov")]
    for path in found:
        if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts:
            yield path


def test_no_file_names_a_path_of_somebody_s_machine():
    homes = r"(?<![\w.~/$}-])/(home|root|Users|work|mnt|builds)/[\w.]"
    personal = re.compile(homes + r"|[A-Z]:\\Users|\.\./shared\b")
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if match := personal.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number} {match[0]}")
    assert found == []


def test_no_detector_holds_a_path_of_the_machine_that_made_it():
    detectors = sorted((SRC / "weights").glob("*.onnx"))
    personal = re.compile(rb"site-packages|/(home|root|Users|work|tmp)/")
    assert detectors, "src/oddwave/weights holds no detector"
    assert {path.name: match[0] for path in detectors if (match := personal.search(path.read_bytes()))} == {}


# The public names


def test_all_names_of_the_package_are_there_and_no_others_are_shown(workplace):
    code = """
import json, oddwave
print(json.dumps([dir(oddwave), oddwave.__all__]))
for name in oddwave.__all__:
    getattr(oddwave, name)
"""
    shown, promised = json.loads(python(code, workplace).stdout)
    assert sorted(shown) == sorted(promised)
    assert {"create_pipeline", "create_model", "load", "detect", "train", "evaluate"} <= set(promised)


@pytest.mark.parametrize(("name", "part"), [("train", "models"), ("evaluate", "figures")])
def test_a_function_stays_one_although_a_folder_has_its_name(workplace, name, part):
    code = f"""
import oddwave, oddwave.{name}.{part}
from oddwave import {name}
print(callable({name}), callable(oddwave.{name}), {name} is oddwave.{name})
"""
    assert python(code, workplace).stdout.split() == ["True"] * 3


@pytest.mark.parametrize("path", [p for p in sources() if p != SRC / "__init__.py"], ids=as_test_id)
def test_the_names_in_all_are_defined_in_the_file(path):
    promised: list[str] = []
    defined: set[str] = set()
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            promised = ast.literal_eval(node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            defined |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            defined |= {alias.asname or alias.name for alias in node.names}
    assert set(promised) <= defined
    assert len(promised) == len(set(promised))


# The tests themselves


def asserts_something(function: ast.FunctionDef, checkers: set[str]) -> bool:
    """Say whether a test can fail: it has an assert, pytest.raises, an assert_…, or calls one that has."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {"pytest.raises", "pytest.warns", "pytest.fail"} | checkers:
                return True
            if name.split(".")[-1].startswith("assert_"):
                return True
    return False


@pytest.mark.parametrize("path", sorted((ROOT / "tests").glob("*.py")), ids=as_test_id)
def test_every_test_asserts_something(path):
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    checkers = {f.name for f in functions if not f.name.startswith("test") and asserts_something(f, set())}
    idle = [f.name for f in functions if f.name.startswith("test") and not asserts_something(f, checkers)]
    assert idle == []


@pytest.mark.parametrize("target", ["demo", "test", "check", "docs", "bench", "soak", "accuracy", "weights"])
def test_the_makefile_has_the_target(target):
    lines = (ROOT / "Makefile").read_text("utf-8").splitlines()
    (first,) = [place for place, line in enumerate(lines) if line.startswith(f"{target}:")]
    scripts = re.findall(r"benchmarks/\w+\.py", lines[first + 1])
    assert bool(scripts) == (target in {"bench", "soak", "accuracy", "weights"})
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_ci_runs_the_commands_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    commands = [line for line in lines if line.startswith("make ")]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert commands == ["make demo", "make test", "make check"]
    assert [command for command in commands if command not in readme] == []


def test_every_pin_is_exact():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
