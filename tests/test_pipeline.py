"""The tutorial's API on a real, small detector."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import polars as pl
import pytest
import small

import oddwave
from oddwave import create_model, create_pipeline, detect, load
from oddwave.errors import ConfigError, DeviceError, InputError, UnsortedError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(small.detector(tmp_path_factory.mktemp("model")))


@pytest.fixture
def pipeline(model):
    return create_pipeline(pipeline="ts_ad", model=model)


def scores(results):
    return [result.score.tolist() for result in results]


def test_the_tutorials_snippet_works(pipeline, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small.write("ts_ad.csv", 96, 220226, fault=60)
    output = pipeline.predict("ts_ad.csv")
    for res in output:
        res.print()
        res.save_to_csv("./output/")
    out = capsys.readouterr().out
    assert out.startswith("{'input_path': 'ts_ad.csv', 'anomaly':            label\ntimestamp")
    assert "[96 rows x 1 columns]}\n" in out
    assert " anomalous rows of 96 (threshold " in out
    lines = (tmp_path / "output" / "ts_ad.csv").read_text().splitlines()
    assert lines[0] == "timestamp,label,score"
    assert len(lines) == 97


def test_predict_is_a_generator_that_reads_one_input_at_a_time(pipeline, tmp_path):
    first, second = small.write(tmp_path / "a.csv"), small.write(tmp_path / "b.csv")
    output = pipeline.predict([str(first), str(second)])
    assert inspect.isgenerator(output)
    next(output)
    second.unlink()
    with pytest.raises(InputError, match=r"b\.csv"):
        next(output)


def test_every_kind_of_input_gives_the_same_scores(pipeline, tmp_path):
    path = small.write(tmp_path / "a.csv", fault=40)
    frame = pd.read_csv(path)
    table = pl.read_csv(path)
    frame.to_parquet(tmp_path / "a.parquet")
    expected = scores(pipeline.predict(str(path)))
    assert len(expected) == 1
    inputs = [
        path,
        frame,
        table,
        table.to_arrow(),
        {"ts": frame},
        {"ts": str(path)},
        [path],
        tmp_path / "a.parquet",
    ]
    for data in inputs:
        assert scores(pipeline.predict(data)) == expected, type(data)
    values = frame[small.CHANNELS].to_numpy()
    assert scores(pipeline.predict(values)) == expected
    assert scores(pipeline.predict([values, values])) == expected * 2
    assert len(scores(pipeline.predict(tmp_path))) == 2
    assert len(scores(pipeline.predict(f"{tmp_path}/*.csv"))) == 1


def test_inputs_of_one_name_are_saved_in_files_of_their_own(pipeline, tmp_path):
    values = small.rows(50)
    for result in pipeline.predict([values, values]):
        result.save_to_csv(tmp_path / "out")
    assert small.names_in(tmp_path / "out") == ["result.csv", "result_2.csv"]


def test_saving_over_a_later_input_is_refused(pipeline, tmp_path):
    later = small.write(tmp_path / "a.csv")
    pd.read_csv(later).to_parquet(tmp_path / "z.parquet")
    (tmp_path / "z.parquet").rename(tmp_path / "A.parquet")
    before = later.read_bytes()
    for result in pipeline.predict([tmp_path / "A.parquet", later]):
        with pytest.raises(oddwave.OutputError, match=r"a\.csv is an input itself"):
            result.save_to_csv(tmp_path / "a.csv")
    assert later.read_bytes() == before


def test_a_group_column_gives_a_result_a_group(pipeline, tmp_path):
    frame = pd.concat([pd.DataFrame(small.rows(40, i), columns=small.CHANNELS).assign(host=f"h/{i}") for i in range(3)])
    results = list(pipeline.predict(frame, group_col="host"))
    assert [result["group"] for result in results] == ["h/0", "h/1", "h/2"]
    assert [len(result.label) for result in results] == [40, 40, 40]
    for result in results:
        result.save_to_csv(tmp_path)
    assert small.names_in(tmp_path) == ["result_h_0.csv", "result_h_1.csv", "result_h_2.csv"]


def hosts(folder, lengths):
    frames = [pd.DataFrame(small.rows(n, i), columns=small.CHANNELS) for i, n in enumerate(lengths)]
    path = folder / "hosts.csv"
    pd.concat([frame.assign(host=f"h{i}") for i, frame in enumerate(frames)]).to_csv(path, index=False)
    return path


def test_a_short_group_is_named_after_the_results_of_the_others(pipeline, tmp_path):
    path = str(hosts(tmp_path, [5, 40, 6, 50]))
    results = pipeline.predict(path, group_col="host")
    good = [next(results), next(results)]
    assert [(result.group, len(result.label), result.input_path) for result in good] == [
        ("h1", 40, path),
        ("h3", 50, path),
    ]
    with pytest.raises(InputError) as caught:
        next(results)
    first, *lines = str(caught.value).splitlines()
    assert first == "2 of 4 groups failed, the others are done:"
    assert lines[0].endswith("hosts.csv, group h0 has 5 rows, but this detector reads windows of 16.")
    assert lines[2].endswith("hosts.csv, group h2 has 6 rows, but this detector reads windows of 16.")


def test_the_only_group_that_is_short_is_an_error_of_its_own(pipeline, tmp_path):
    with pytest.raises(oddwave.TooShortError, match="group h0 has 5 rows"):
        next(pipeline.predict(hosts(tmp_path, [5]), group_col="host"))


@pytest.mark.parametrize("wrap", [iter, lambda frames: map(np.asarray, frames)])
def test_of_an_iterator_of_inputs_one_is_taken_at_a_time(pipeline, wrap):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield small.rows(40)

    results = pipeline.predict(wrap(endless()))
    assert taken == []
    assert next(results).score.tolist() == next(results).score.tolist()
    assert taken == [0, 1]


def test_the_detector_in_use_is_never_overwritten(tmp_path):
    path, data = small.detector(tmp_path / "run") / "detector.onnx", small.write(tmp_path / "a.csv")
    pipeline = create_pipeline(model=path)
    before = path.read_bytes()
    for result in pipeline.predict(data):
        with pytest.raises(oddwave.OutputError, match="the detector in use"):
            result.save_to_csv(path)
    with pytest.raises(oddwave.OutputError, match="the detector in use"):
        pipeline.write_csv(data, path)
    assert path.read_bytes() == before


def test_an_error_in_another_process_arrives_with_its_message(model):
    errors = [
        oddwave.TooShortError("a.csv", n_rows=5, size=16),
        UnsortedError("a.csv", 3),
        oddwave.MissingExtraError("this", package="p", extra="e"),
        oddwave.ConfigError("wrong"),
    ]
    for error in errors:
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), copy.args) == (type(error), str(error), error.args)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(oddwave.TooShortError, match="has 5 rows"):
        pool.submit(detect, small.rows(5), model).result()


def test_rows_are_summed_up_without_being_written(pipeline, tmp_path):
    path = small.write(tmp_path / "a.csv", 3000, fault=2000)
    summary = pipeline.write_csv(path, None, chunk_rows=700)
    assert summary == next(pipeline.predict(path)).summary()
    assert small.names_in(tmp_path) == ["a.csv"]


def test_batch_size_is_taken_and_changes_nothing(pipeline, tmp_path):
    path = small.write(tmp_path / "a.csv")
    assert scores(pipeline.predict(path, batch_size=1)) == scores(pipeline.predict(path, batch_size=64))


def test_settings_of_a_call_win_over_those_of_the_pipeline(model, tmp_path):
    path = small.write(tmp_path / "a.csv", fault=40)
    pipeline = create_pipeline("ts_ad", model=model, threshold=1e6)
    assert next(pipeline.predict(path)).events == []
    assert next(pipeline.predict(path, threshold=0.5)).threshold == 0.5
    assert next(pipeline.predict(path)).threshold == 1e6
    contribution = next(pipeline.predict(path, contributions=True)).contribution
    assert contribution.shape == (96, 3)


def test_an_unknown_setting_is_named_at_once_with_the_nearest(pipeline, model):
    with pytest.raises(ConfigError, match=r"predict: treshold is no setting\. Did you mean threshold"):
        pipeline.predict("x.csv", treshold=2)
    with pytest.raises(ConfigError, match="create_pipeline: treshold"):
        create_pipeline("ts_ad", model=model, treshold=2)
    with pytest.raises(ConfigError, match="device is fixed when the pipeline is made"):
        pipeline.predict("x.csv", device="cpu")


def test_an_unknown_pipeline_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'ts_da' is no pipeline\. Did you mean ts_ad"):
        create_pipeline("ts_da")


def test_a_pipeline_file_names_model_and_input_and_arguments_win(model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = small.write(tmp_path / "a.csv")
    text = f"Global:\n  input: {path}\nPipeline:\n  model: {model}\n  threshold: 5\n  use_hpip: true\n"
    (tmp_path / "my.yaml").write_text(text)
    pipeline = create_pipeline(tmp_path / "my.yaml")
    (result,) = pipeline.predict()
    assert (result.threshold, len(result.label)) == (5, 96)
    assert any("use_hpip: " in note for note in result.notes)
    pipeline = create_pipeline(str(tmp_path / "my.yaml"), use_hpip=False, threshold=6)
    (result,) = pipeline.predict()
    assert result.threshold == 6
    assert result.notes == ()


def test_nothing_to_read_says_so(pipeline):
    with pytest.raises(InputError, match="No input was given"):
        pipeline.predict()


def test_a_model_is_used_as_a_pipeline_is(model, tmp_path):
    path = small.write(tmp_path / "a.csv")
    (result,) = create_model(model).predict(str(path), batch_size=1)
    assert result.score.tolist() == detect(path, model=model).score.tolist()
    assert load(model).detect_series(result.series).score.tolist() == result.score.tolist()


def test_detect_takes_exactly_one_series(model):
    values = small.rows(40)
    assert len(detect(values, model).label) == 40
    for data in ([values, values], [values, np.zeros((2, 3))], []):
        with pytest.raises(InputError, match="one series"):
            detect(data, model)


def test_detect_takes_the_settings_of_a_pipeline(model, tmp_path):
    result = detect(small.rows(40, fault=20), model, "auto", threshold=0.5, batch_size=8, contributions=True)
    assert (result.threshold, result.contribution.shape) == (0.5, (40, 3))
    assert any("The device auto" in note for note in result.notes)
    with pytest.raises(ConfigError, match="Did you mean threshold"):
        detect(small.rows(40), model, treshold=2)
    path = small.detector(tmp_path) / "detector.onnx"
    with pytest.raises(oddwave.OutputError, match="the detector in use"):
        detect(small.rows(40), path).save_to_csv(path)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("foo", "The device 'foo' isn't known"),
        ("", "The device '' isn't known"),
        ("cpu:0", "cpu takes no number"),
        ("gpu:", "after gpu: come numbers"),
        ("gpu:x", "after gpu: come numbers"),
        ("gpu:-1", "after gpu: come numbers"),
        ("gpu:0,0", "names a number twice"),
        ("gpu:0,1", "onnxruntime-gpu"),
        ("GPU:0", "Did you mean|isn't known"),
        ("gpu:99", "onnxruntime-gpu"),
        ("npu:0", "onnxruntime-cann"),
        ("xpu:0", "xpu"),
    ],
)
def test_a_device_that_cant_be_had_is_refused_with_what_to_do(model, device, expected):
    with pytest.raises(DeviceError, match=expected):
        create_pipeline("ts_ad", model=model, device=device)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_cpu_and_auto_work(model, device):
    assert create_pipeline("ts_ad", model=model, device=device).detector


def test_straight_to_disk_gives_the_same_file_as_in_memory(pipeline, tmp_path):
    values = small.rows(3000, fault=2000)
    values[500:520] = np.nan
    values[1500, 1] = values[2500, 1] = np.nan
    path = small.write(tmp_path / "a.csv", values=values)
    summary = pipeline.write_csv(path, tmp_path / "straight.csv", chunk_rows=700)
    (result,) = pipeline.predict(path)
    result.save_to_csv(tmp_path / "memory.csv")
    assert (tmp_path / "straight.csv").read_bytes() == (tmp_path / "memory.csv").read_bytes()
    assert b"missing values for longer than max_gap" in (tmp_path / "memory.csv").read_bytes()
    assert summary == result.summary()


def test_straight_to_disk_refuses_unsorted_rows_and_leaves_nothing(pipeline, tmp_path):
    path = small.write(tmp_path / "a.csv", 3000)
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *lines[::-1]]))
    with pytest.raises(UnsortedError):
        pipeline.write_csv(path, tmp_path / "straight.csv", chunk_rows=700)
    assert small.names_in(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("cell", ["7,x,1", "7,1"])
def test_straight_to_disk_says_of_a_fault_what_reading_whole_says_and_ends_its_threads(pipeline, tmp_path, cell):
    path = small.write(tmp_path / "a.csv", 20_000)
    lines = path.read_text().splitlines()
    lines[15_000] = f"14999,{cell}"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as whole:
        list(pipeline.predict(path))
    with pytest.raises(InputError, match="line 15001") as straight:
        pipeline.write_csv(path, tmp_path / "straight.csv", chunk_rows=200)
    assert str(straight.value) == str(whole.value)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("reader")] == []
    assert small.names_in(tmp_path) == ["a.csv"]


def test_straight_to_disk_ends_its_threads_when_what_is_told_of_progress_fails(pipeline, tmp_path):
    path = small.write(tmp_path / "a.csv", 20_000)

    def fail(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as _caught:
        pipeline.write_csv(path, tmp_path / "straight.csv", chunk_rows=200, progress=fail)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("reader")] == []
    assert small.names_in(tmp_path) == ["a.csv"]


def test_straight_to_disk_never_overwrites_its_input(pipeline, tmp_path):
    path = small.write(tmp_path / "a.csv")
    before = path.read_bytes()
    with pytest.raises(oddwave.OutputError, match="is an input itself"):
        pipeline.write_csv(path, path)
    assert path.read_bytes() == before


def test_the_public_names_are_those_exported_and_stay_when_submodules_are_imported():
    code = """
import oddwave
from oddwave.train import names
assert callable(oddwave.train), oddwave.train
from oddwave import train
assert train is oddwave.train
names = {}
exec('from oddwave import *', names)
assert set(oddwave.__all__) <= set(names) and set(oddwave.__all__) <= set(dir(oddwave))
try:
    oddwave.nothing
except AttributeError as error:
    assert "'oddwave' has no attribute 'nothing'" in str(error)
"""
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_a_result_joins_the_frame_that_it_was_made_of(tmp_path, zone):
    times = pd.date_range("2024-03-30 20:00", periods=60, freq="min", tz=zone, name="timestamp")
    frame = pd.DataFrame(small.rows(60), columns=small.CHANNELS, index=times)
    (result,) = create_pipeline(model=small.detector(tmp_path)).predict(frame)
    joined = frame.join(result["anomaly"]).join(result["score"])
    assert joined["label"].tolist() == result.label.tolist()
    assert joined["score"].tolist() == result.score.tolist()


def test_dates_of_a_csv_are_dates_in_frames_and_stay_as_written_elsewhere(tmp_path):
    path = small.write(tmp_path / "dates.csv", 60)
    lines = path.read_text().splitlines()
    lines[1:] = [f"2024-01-01 00:{i:02}:00,{line.partition(',')[2]}" for i, line in enumerate(lines[1:])]
    path.write_text("\n".join(lines))
    (result,) = create_pipeline(model=small.detector(tmp_path)).predict(path)
    assert result["anomaly"].index[59] == pd.Timestamp("2024-01-01 00:59")
    assert result.series.index[59] == "2024-01-01 00:59:00"
