"""Bench: a table that says on what it was made, compares ways to run, and can't be edited unseen."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from oddwave import bench, cli
from oddwave.detector import Detector
from oddwave.errors import InputError

EXAMPLE = str(Path(__file__).parent.parent / "examples" / "ts_ad.csv")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench, "LONG", 2000)
    monkeypatch.setattr(bench, "PUSHED", 120)


def ways(*models):
    return [bench.Way(name, Detector.load(name)) for name in models]


def cells(table):
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[2:]}


def test_the_table_says_what_was_measured_and_on_what():
    table = bench.table(ways("DLinear_ad"), None, 1)
    digest = hashlib.sha256(Detector.load("DLinear_ad").data).hexdigest()[:12]
    assert f"DLinear_ad ({digest}), 25 channels, windows of 96" in table
    assert re.search(r"Oddwave \S+ \(kernel (compiled|not compiled, numpy computes)\), Python 3", table)
    found = cells(table)
    assert set(found) == {
        "a matrix product, numpy",
        "a copy of 128 MB, numpy",
        "96 rows in memory, DLinear_ad",
        "2,000 rows in memory, DLinear_ad",
        "a row into a stream, DLinear_ad",
    }
    assert all(float(time.removesuffix(" ms")) > 0 for time, _ in found.values())


def test_the_checksum_is_of_all_above_it():
    table = bench.table(ways("ZScore_ad"), EXAMPLE, 1)
    text, _, checksum = table.rpartition("\nchecksum: ")
    assert hashlib.sha256(text.encode()).hexdigest() == checksum
    assert "ts_ad.csv: 96 rows" in text
    assert "read the file" in cells(table)


def test_a_way_that_gives_the_same_is_equal_and_one_that_does_not_is_told():
    found = cells(bench.table([*ways("DLinear_ad"), bench.Way("again", Detector.load("DLinear_ad"))], EXAMPLE, 1))
    assert found["again beside the first"] == ["equal", "scores within 0.0e+00, 0 other labels"]
    found = cells(bench.table(ways("DLinear_ad", "PCA_ad"), EXAMPLE, 1))
    verdict, how = found["PCA_ad beside the first"]
    assert verdict == "NOT EQUAL"
    assert re.fullmatch(r"scores within \d\.\de[+-]\d+, \d+ other labels", how)


def test_a_file_with_several_series_is_refused(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_bytes(Path(EXAMPLE).read_bytes())
    with pytest.raises(InputError, match="holds several series"):
        bench.table(ways("DLinear_ad"), str(tmp_path), 1)


def test_the_command_prints_the_table(capsys):
    assert cli.main(["bench", EXAMPLE, "--model", "ZScore_ad", "--device", "auto", "--runs", "1"]) == 0
    assert "auto beside the first" in cells(capsys.readouterr().out)


def test_the_faster_engine_is_compared_too(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.main(["bench", EXAMPLE, "--model", "TimesNet_ad", "--use_hpip", "--runs", "1"]) == 0
    assert cells(capsys.readouterr().out)["use_hpip beside the first"][0] == "equal"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "0"], "--runs"),
        (["--model", "Dlinear"], "Did you mean DLinear_ad?"),
        (["--device", "gpu:0"], "onnxruntime-gpu"),
        (["nothing.csv"], "nothing.csv"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told(words, message, capsys):
    assert cli.main(["bench", *words]) == 2
    assert message in capsys.readouterr().err
