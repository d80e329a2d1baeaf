"""Pipeline files and settings: what is accepted, and what is said of what isn't."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from oddwave import config
from oddwave.config import Detection, GlobalSection, PipelineSection, build, parse_pipeline_config
from oddwave.errors import ConfigError, OutputError

TUTORIAL = """\
Global:
  pipeline_name: ts_ad
  input: examples/ts_ad.csv
Pipeline:
  model: DLinear_ad        # or the path of your own detector
  batch_size: 1
  device: "cpu"
"""


def message(text):
    with pytest.raises(ConfigError) as caught:
        parse_pipeline_config(text, "my.yaml")
    return str(caught.value)


def test_the_tutorials_file_is_read():
    found = parse_pipeline_config(TUTORIAL, "my.yaml")
    assert found.general == GlobalSection(input="examples/ts_ad.csv")
    assert found.pipeline == PipelineSection()


def test_a_typo_is_named_with_file_section_and_nearest_key():
    text = message(TUTORIAL.replace("batch_size", "bach_size"))
    assert text.startswith("my.yaml, section Pipeline: bach_size is no setting. Did you mean batch_size?")


def test_a_wrong_section_is_named_with_the_nearest():
    assert message(TUTORIAL.replace("Pipeline:", "pipeline:")).startswith(
        "my.yaml: 'pipeline' is no section of a pipeline file. Did you mean Pipeline?"
    )


def test_a_key_given_twice_is_named_with_its_line():
    assert message(TUTORIAL + "  batch_size: 2\n") == ("my.yaml, line 8: batch_size is given twice. Keep one of them.")
    assert "Global is given twice" in message(TUTORIAL + "Global:\n  input: x\n")


def test_another_pipelines_file_is_refused_with_the_nearest_name():
    text = message(TUTORIAL.replace("pipeline_name: ts_ad", "pipeline_name: ts_da"))
    assert text.startswith("my.yaml, section Global: 'ts_da' is no pipeline. Did you mean ts_ad?")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("batch_size: many", "batch_size is 'many', which can't be used: expected int, got str."),
        ("batch_size: 0", "batch_size is 0, which can't be used: expected int >= 1."),
        ("use_hpip: 1", "use_hpip is 1, which can't be used: expected bool, got int."),
        ("max_gap: -1", "max_gap is -1"),
        ("max_gap: 1.5", "max_gap is 1.5"),
        ("max_gap: true", "max_gap is True"),
        ("threshold: .inf", "threshold is inf, which can't be used: it must be finite."),
        ("threshold: .nan", "threshold is nan"),
        ("threshold: 0", "threshold is 0"),
        ("device: 0", "device is 0"),
        ("scoring: casual", "must be one of full, causal. Did you mean causal?"),
        ("time_col: [a, b]", "time_col is a list"),
        ("model: {a: b}", "model is a section"),
    ],
)
def test_a_value_that_cant_be_used_is_named_with_what_the_key_is_for(line, expected):
    text = message(f"Pipeline:\n  {line}\n")
    assert text.startswith("my.yaml, section Pipeline: ")
    assert expected in text
    assert text.splitlines()[1].startswith(f"{line.partition(':')[0]}: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no sections"),
        ("just text", "has no sections"),
        ("- a\n- b\n", "has no sections"),
        ("Pipeline: DLinear_ad\n", "the section Pipeline is 'DLinear_ad'. Write its keys indented below it."),
        ("Pipeline:\n  model: [a\n", "isn't YAML"),
        ("Pipeline:\n\tmodel: a\n", "my.yaml, line 2, column 1: this isn't YAML"),
        ("!!python/object/apply:os.system ['true']\n", "isn't YAML"),
        ("a: &a [*b]\n", "isn't YAML"),
        ("[" * 100_000, "nested too deeply"),
        ("? [a, b]\n: c\n", "unhashable key"),
        ("Pipeline:\n  1: a\n", "1 is no setting"),
        ("\x00", "isn't YAML"),
        ("a: 1\n---\nb: 2\n", "isn't YAML"),
        ("Pipeline:\n  model: 2024-99-99\n", "isn't YAML"),
    ],
)
def test_what_is_no_pipeline_file_is_refused_with_one_message(text, expected):
    assert expected in message(text)


def test_aliases_that_blow_up_are_harmless():
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    assert "is no section" in message("\n".join(lines))
    nested = "x0: &x0 [x, x]\n" + "".join(f"  x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 60))
    assert "is no setting" in message("Pipeline:\n  " + nested)


def test_a_merge_key_is_refused_before_merges_of_merges_can_grow():
    lines = ["x0: &x0 {a: 1}"] + [f"x{i}: &x{i} {{<<: [{', '.join([f'*x{i - 1}'] * 9)}]}}" for i in range(1, 30)]
    assert message("\n".join(lines)) == "my.yaml, line 2: the key << isn't read. Write the keys out."


def test_events_with_few_rows_between_them_are_one_unless_set():
    assert Detection().merge_gap == 5


def test_numbers_given_as_text_are_read_only_where_asked_for():
    assert build(Detection, {"max_gap": "2"}, "x", strict=False).max_gap == 2
    for text in ("two", "-1", "inf"):
        with pytest.raises(ConfigError, match="threshold is"):
            build(Detection, {"threshold": text}, "x", strict=False)
    with pytest.raises(ConfigError, match="max_gap is '2'"):
        build(Detection, {"max_gap": "2"}, "x")


def test_numbers_with_an_exponent_are_numbers():
    assert parse_pipeline_config("Pipeline:\n  threshold: 1e-3\n", "x").pipeline.threshold == 1e-3


def test_empty_sections_have_the_defaults():
    assert parse_pipeline_config("Pipeline:\n", "x").pipeline == PipelineSection()


def test_several_inputs_may_stand_in_a_list():
    assert parse_pipeline_config("Global:\n  input: [a.csv, b.csv]\n", "x").general.input == [
        "a.csv",
        "b.csv",
    ]


def test_a_file_that_cant_be_read_says_why(tmp_path):
    (tmp_path / "gbk.yaml").write_bytes("Pipeline:\n  model: 时间\n".encode("gbk"))
    (tmp_path / "big.yaml").write_bytes(b"#" * (2 << 20))
    for name, expected in [
        ("none.yaml", "No such file"),
        ("gbk.yaml", "isn't UTF-8"),
        ("big.yaml", "larger than 1 MB"),
    ]:
        with pytest.raises(ConfigError, match=expected):
            config.read_pipeline_config(tmp_path / name)
    with pytest.raises(ConfigError, match="can't be read"):
        config.read_pipeline_config(tmp_path)


def test_the_written_file_holds_every_key_with_its_default_and_a_comment(tmp_path):
    assert config.write_pipeline_config("ts_ad", tmp_path / "mine.yaml") == tmp_path / "mine.yaml"
    assert (tmp_path / "mine.yaml").is_file()
    path = config.write_pipeline_config("ts_ad", tmp_path / "new")
    assert path == tmp_path / "new" / "ts_ad.yaml"
    found = config.read_pipeline_config(path)
    assert found.pipeline == PipelineSection()
    assert found.general.input == "examples/ts_ad.csv"
    lines = path.read_text().splitlines()
    keys = [*GlobalSection.__struct_fields__, *PipelineSection.__struct_fields__]
    for key in keys:
        place = next(i for i, line in enumerate(lines) if line.startswith(f"  {key}: "))
        assert len(lines[place - 1]) > len("  # some text")
        assert lines[place - 1].startswith("  # ")


def test_an_edited_file_is_never_replaced(tmp_path):
    path = config.write_pipeline_config("ts_ad", tmp_path)
    assert config.write_pipeline_config("ts_ad", tmp_path) == path
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        config.write_pipeline_config("ts_ad", tmp_path)
    assert path.read_text() == "mine"


def test_a_file_for_an_unknown_pipeline_isnt_written(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean ts_ad"):
        config.write_pipeline_config("ts_da", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_numpy_numbers_are_numbers():
    section = build(Detection, {"threshold": np.float32(0.5), "max_gap": np.int64(2)}, "predict")
    assert (section.threshold, section.max_gap) == (0.5, 2)
    with pytest.raises(ConfigError, match="threshold"):
        build(Detection, {"threshold": np.zeros(3)}, "predict")


def test_settings_given_in_a_call_win_over_the_others():
    base = build(PipelineSection, {"max_gap": 5, "merge_gap": 2}, "x")
    changed = build(PipelineSection, {"max_gap": 1}, "x", base)
    assert (changed.max_gap, changed.merge_gap) == (1, 2)


def test_what_the_detector_takes_is_cut_out_of_a_pipelines_settings():
    section = build(PipelineSection, {"max_gap": 5, "time_col": "t", "scoring": "causal"}, "x")
    assert config.detection(section) == Detection(max_gap=5, scoring="causal")


def test_yaml_is_loaded_only_with_a_file():
    code = "import sys; from oddwave.pipeline import config_of; config_of('ts_ad'); print('yaml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
