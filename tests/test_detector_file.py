"""The detector file: read back as written; damaged, unsafe or strange, it is refused and never reaches the runtime."""

from __future__ import annotations

import hashlib
import io
import json
import pickle

import made
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from oddwave import detector_file, graph, metadata, runtime
from oddwave.detector import Detector
from oddwave.errors import DetectorFileError, OutputError
from oddwave.protobuf import block, fields, number
from oddwave.train import train

DETECTOR = made.handmade(size=4, stride=3)
DATA = DETECTOR.data
MODEL = made.bare_graph(4, 2)
CHECKSUM = 84  # bytes of the last entry


@pytest.fixture
def refused(monkeypatch):
    """Return a check that bytes are refused, and that the runtime is not reached on the way."""

    def reached(*_, **__):
        raise AssertionError("the runtime was reached")

    def check(data, reason=None):
        with pytest.raises(DetectorFileError, match=reason) as found:
            Detector(data, "pump.onnx")
        assert "pump.onnx" in str(found.value)
        assert "\n" not in str(found.value).strip()
        return str(found.value)

    monkeypatch.setattr(runtime.Runtime, "__init__", reached)
    return check


def entry(key, value):
    return block(14, block(1, key) + block(2, value))


def signed(data):
    """Append the checksum that the page asks for: of all bytes before it."""
    return data + entry("oddwave.sha256", hashlib.sha256(data).hexdigest())


def plain(**changes):
    """Return the metadata as a dict, with some values changed; `a__b` is b in a."""
    data = json.loads(dict(properties(DATA))["oddwave"])
    for path, value in changes.items():
        *outer, last = path.split("__")
        place = data
        for name in outer:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return data


def properties(data):
    for field in fields(data):
        if field.number == 14:
            key, value = (part.bytes() for part in fields(field.bytes()))
            yield key.decode(), value


def with_text(text, model=MODEL):
    return signed(model + entry("oddwave", text))


def with_metadata(data, model=MODEL):
    return with_text(json.dumps(data), model)


def with_graph(model):
    """Return a file that is right in all but its graph: metadata, checksum and the graph's own sum fit."""
    (body,) = [field.bytes() for field in fields(model) if field.number == 7]
    return with_metadata(plain(graph_sha256=hashlib.sha256(body).hexdigest()), model)


# What is right


def test_a_file_reads_back_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "detector.onnx"
    detector_file.save(path, MODEL, DETECTOR.metadata)
    data = detector_file.read(path)
    assert data == DATA
    assert detector_file.decode(data, "x") == DETECTOR.metadata
    assert Detector.load(path).metadata == DETECTOR.metadata
    assert [child.name for child in path.parent.iterdir()] == ["detector.onnx"]


def test_the_last_84_bytes_are_the_checksum_of_all_before():
    assert signed(DATA[:-CHECKSUM]) == DATA
    assert len(DATA) - CHECKSUM == len(MODEL + entry("oddwave", dict(properties(DATA))["oddwave"]))
    assert [key for key, _ in properties(DATA)] == ["oddwave", "oddwave.sha256"]
    assert [field.number for field in fields(DATA)][-2:] == [14, 14]


def test_a_file_that_was_written_by_hand_is_read():
    assert Detector(with_metadata(plain()), "by hand").metadata == DETECTOR.metadata


def test_writing_what_was_read_gives_the_same_bytes():
    assert detector_file.encode(MODEL, detector_file.decode(DATA, "x")) == DATA


def test_the_onnx_package_reads_the_file_too():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(DATA)
    onnx.checker.check_model(model, full_check=True)
    assert [prop.key for prop in model.metadata_props] == ["oddwave", "oddwave.sha256"]
    assert json.loads(model.metadata_props[0].value)["channels"] == ["c0", "c1"]


@pytest.mark.parametrize("model", ["PCA_ad", "ZScore_ad"])
def test_the_same_training_gives_the_same_bytes(model):
    first, second = (train(made.rows(400), model=model).data for _ in range(2))
    assert first == second


def test_a_file_that_can_not_be_written_or_read_is_told_of(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="can't be written"):
        detector_file.save(tmp_path / "file" / "detector.onnx", MODEL, DETECTOR.metadata)
    with pytest.raises(DetectorFileError, match="can't be read"):
        detector_file.read(tmp_path / "nothing.onnx")
    with pytest.raises(DetectorFileError, match="can't be read"):
        detector_file.read(tmp_path)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "detector.onnx"
    detector_file.save(path, MODEL, DETECTOR.metadata)
    with pytest.raises(StopIteration):
        detector_file.save(path, b"", DETECTOR.metadata)
    assert path.read_bytes() == DATA
    assert [child.name for child in tmp_path.iterdir()] == ["detector.onnx"]


# Damage


def test_a_file_cut_short_anywhere_is_refused(refused):
    for end in range(0, len(DATA), 97):
        refused(DATA[:end], "is not a usable detector")
    refused(DATA[:-1], "is not a usable detector")


def test_any_single_bit_that_flips_is_noticed(refused):
    rng = np.random.default_rng(0)
    for at in rng.integers(0, 8 * len(DATA), 300).tolist():
        damaged = bytearray(DATA)
        damaged[at // 8] ^= 1 << at % 8
        refused(bytes(damaged), "is not a usable detector")


def test_bytes_after_the_checksum_are_refused(refused):
    for more in (b"\0", b"x", b"\n", number(1, 8), entry("oddwave", "{}"), DATA):
        refused(DATA + more)


def test_an_empty_file_is_refused(refused):
    refused(b"", "it has no Oddwave metadata")


def test_a_text_file_is_refused(refused):
    refused(b"timestamp,flow\n1,2.5\n2,2.6\n", "is not a usable detector")
    refused("# Ein Motor läuft\n".encode(), "is not a usable detector")


def test_a_pickle_with_another_name_is_refused_and_not_opened(refused, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "went off"), "w"))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        refused(pickle.dumps(Bomb(), protocol), "is not a usable detector")
    assert not (tmp_path / "went off").exists()


def test_other_kinds_of_files_are_refused(refused):
    array = io.BytesIO()
    np.savez(array, np.zeros(3))
    refused(array.getvalue(), "is not a usable detector")
    refused(b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a usable detector")
    refused(b"PK\x03\x04" + bytes(100), "is not a usable detector")


def test_a_plain_onnx_model_is_refused(refused):
    refused(MODEL, "it has no Oddwave metadata")
    refused(signed(MODEL), "it has no Oddwave metadata")
    refused(MODEL + entry("author", "somebody") + entry("oddwave", "{}"), "it has no Oddwave metadata")


def test_a_file_of_over_64_mb_is_refused_before_it_is_read_whole(refused, tmp_path):
    refused(bytes(detector_file.MAX_BYTES + 1), "larger than 64 MB")
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(10 * detector_file.MAX_BYTES)
    assert len(detector_file.read(path)) == detector_file.MAX_BYTES + 1


# A right checksum, and something wrong inside


PLAIN_NODE = graph.node("Identity", ["window"], "error")


def model_of(node=PLAIN_NODE, extra_graph=b"", extra=b""):
    body = block(1, node) + block(11, graph._value("window", 4, 2)) + block(12, graph._value("error", 4, 2))
    return number(1, 8) + block(7, body + extra_graph) + block(8, number(2, 17)) + extra


def tensor(*parts):
    return block(5, number(1, 1) + number(2, 1) + block(8, "w") + b"".join(parts))


OUTSIDE = block(13, block(1, "location") + block(2, "/etc/hostname"))
UNSAFE = {
    "external data": (model_of(extra_graph=tensor(OUTSIDE, number(14, 1))), "a tensor has field 13"),
    "data elsewhere": (model_of(extra_graph=tensor(number(14, 1))), "a tensor has field 14"),
    "a custom domain": (model_of(PLAIN_NODE + block(7, "evil")), r"custom operators \(evil\)"),
    "a custom operator set": (
        model_of(extra=block(8, block(1, "evil") + number(2, 1))),
        r"custom operators \(evil\)",
    ),
    "a loop": (model_of(graph.node("Loop", ["window"], "error")), "'Loop' is not allowed"),
    "a branch": (model_of(graph.node("If", ["window"], "error")), "'If' is not allowed"),
    "a scan": (model_of(graph.node("Scan", ["window"], "error")), "'Scan' is not allowed"),
    "chance": (model_of(graph.node("RandomNormal", [], "error")), "'RandomNormal' is not allowed"),
    "a sub-graph": (
        model_of(PLAIN_NODE + block(5, block(1, "body") + block(6, b""))),
        "an attribute has field 6",
    ),
    "a function": (model_of(extra=block(25, block(1, "f"))), "the model has field 25"),
    "training": (model_of(extra=block(20, b"")), "the model has field 20"),
    "a tensor too short": (model_of(extra_graph=tensor(block(9, b"abc"))), r"shape \[1\] holds 3 bytes"),
    "another shape": (made.bare_graph(4, 3), "expected one window"),
    "another size": (made.bare_graph(5, 2), "expected one window"),
    "no operator set that is known": (model_of(extra=block(8, number(2, 99))), "operator set 99"),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_a_file_with_a_right_checksum_is_still_inspected(what, refused):
    model, reason = UNSAFE[what]
    refused(with_graph(model), reason)


def test_the_plain_model_of_these_tests_is_usable():
    assert Detector(with_graph(model_of()), "x").metadata.size == 4


def test_the_graph_of_another_detector_is_refused(refused):
    refused(with_metadata(plain(), model_of()), "its graph is another one's")
    refused(with_metadata(plain(graph_sha256="0" * 64)), "its graph is another one's")


def test_a_newer_format_is_refused_with_the_advice_to_upgrade(refused):
    for version in (2, 7, 10**12):
        data = plain(format=version, something_new={"a": 1}, size="many")
        message = refused(with_metadata(data), f"has the detector format {version}, but this Oddwave reads format 1")
        assert "Upgrade Oddwave" in message


WRONG = {
    "an older format": ({"format": 0}, "format"),
    "a format that is no number": ({"format": "1"}, "format"),
    "no format": ({"format": ...}, "format"),
    "no size": ({"size": ...}, "size"),
    "no model": ({"model": ...}, "model"),
    "no tail": ({"full__error": ...}, "error"),
    "an unknown key": ({"surprise": 1}, "unknown field `surprise`"),
    "an unknown key further in": ({"causal__alarm__louder": 1}, "unknown field `louder`"),
    "a short list": ({"center": [1.0]}, "center has not 2 values"),
    "a long list": ({"scale": [1.0] * 3}, "scale has not 2 values"),
    "a short spread": ({"full__spread_center": []}, "full.spread_center has not 2 values"),
    "a long spread": ({"causal__spread_scale": [1.0] * 9}, "causal.spread_scale has not 2 values"),
    "a short distance": ({"full__distance_scale": [1.0]}, "full.distance_scale has not 2 values"),
    "a long distance": ({"causal__distance_scale": [1.0] * 3}, "causal.distance_scale has not 2 values"),
    "few channels": ({"channels": ["c0"]}, "has not 1 values"),
    "no channels": ({"channels": []}, "channels"),
    "the same channel twice": ({"channels": ["c0", "c0"]}, "two channels have the same name"),
    "a channel without a text": ({"channels": ["c0", 3]}, "channels"),
    "nothing scored": ({"scored": [False, False]}, "no channel is scored"),
    "too few scored": ({"scored": [True]}, "scored"),
    "a stride longer than the window": ({"stride": 5}, "the stride is longer than the window"),
    "a stride of 0": ({"stride": 0}, "stride"),
    "a window of 0": ({"size": 0}, "size"),
    "a window of half a row": ({"size": 4.5}, "size"),
    "a window without end": ({"size": 10**9}, "size"),
    "no smoothing": ({"full__smoothing": 0}, "smoothing"),
    "smoothing without end": ({"full__smoothing": 10**9}, "smoothing"),
    "rolling without end": ({"causal__rolling": 10**9}, "rolling"),
    "errors of more rows than a window has": ({"causal__error_rows": 9}, "causal.error_rows is longer than the window"),
    "a shift of 0": ({"full__shift_scale": [0.0, 1.0]}, "full.shift_scale has a value that isn't positive"),
    "a negative gap": ({"max_gap": -1}, "max_gap"),
    "another way to combine": ({"combine": "max"}, "combine"),
    "a scale of 0": ({"scale": [1.0, 0.0]}, "scale has a value that isn't positive"),
    "a negative spread": ({"full__spread_scale": [1.0, -1.0]}, "full.spread_scale has a value that isn't positive"),
    "a distance of 0": ({"causal__distance_scale": [0.0, 1.0]}, "causal.distance_scale has a value that isn't"),
    "a threshold of 0": ({"full__alarm__threshold": 0.0}, "threshold"),
    "a threshold as text": ({"full__alarm__threshold": "1"}, "threshold"),
    "no excess": ({"causal__alarm__mean_excess": 0.0}, "mean_excess"),
    "a rate over 1": ({"full__alarm__rate": 1.1}, "rate"),
    "rates that rise": ({"full__alarm__rates": [0.1, 0.2]}, "full.alarm is not a falling curve"),
    "no thresholds": ({"causal__alarm__thresholds": []}, "causal.alarm is not a falling curve"),
    "a slope of 0": ({"full__spread__slope": 0.0}, "slope"),
    "no knots": ({"full__spread__knots": [], "full__spread__surprise": []}, "full.spread is not a rising curve"),
    "knots that fall": ({"full__error__knots": [1.0, 0.5], "full__error__surprise": [0.0, 1.0]}, "full.error is not"),
    "equal knots": ({"full__error__knots": [1.0, 1.0], "full__error__surprise": [0.0, 1.0]}, "full.error is not"),
    "knots without surprise": ({"full__error__knots": [1.0, 2.0], "full__error__surprise": [0.0]}, "full.error is not"),
    "a surprise that falls": (
        {"causal__distance__knots": [1.0, 2.0, 3.0], "causal__distance__surprise": [0.0, 2.0, 1.0]},
        "causal.distance is not a rising curve",
    ),
    "a last knot of 0": ({"full__error__knots": [0.0], "full__error__surprise": [0.0]}, "full.error is not"),
    "a negative knot": ({"full__error__knots": [-1.0, 1.0], "full__error__surprise": [0.0, 1.0]}, "full.error is not"),
    "thousands of knots": (
        {"full__error__knots": list(range(1, 2001)), "full__error__surprise": list(range(2000))}, "full.error is not",
    ),
    "a step of 0": ({"time__step": 0}, "step"),
    "another kind of time": ({"time__kind": "moon"}, "kind"),
    "settings in settings": ({"settings": {"a": {"b": 1}}}, "settings"),
    "null for a list": ({"center": None}, "center"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_metadata_that_is_wrong_is_refused_with_the_place(what, refused):
    changes, reason = WRONG[what]
    message = refused(with_metadata(plain(**changes)), "has metadata that can't be used")
    assert reason in message


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "1", '"oddwave"', "{}", '{"format": 1}', "\ufeff{}", "{'format': 1}", "[" * 100_000,
        '{"format":' * 50_000, '{"format": 1e999}', '{"format": true}', '{"format": null}', '{"format": [2]}',
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_metadata_that_is_no_detectors_is_refused(text, refused):
    refused(with_text(text), "has metadata that can't be used")


def test_metadata_that_is_no_utf_8_is_refused(refused):
    refused(with_text(b"\xff\xfe{\0}\0"), "has metadata that can't be used")
    text = json.dumps(plain()).encode().replace(b"Handmade_ad", b"Handmade\xff\xff\xff")
    refused(with_text(text), "has metadata that can't be used")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize(
    "place", ['"center": [', '"scale": [', '"knots": [', '"surprise": [', '"threshold": ', '"slope": ']
)
def test_metadata_holds_no_number_that_is_not_finite(place, value, refused):
    text = json.dumps(plain())
    start = text.index(place) + len(place)
    stop = min(at for at in (text.find(mark, start) for mark in ",]}") if at > 0)
    refused(with_text(text[:start] + value + text[stop:]), "has metadata that can't be used")


def test_a_key_or_an_entry_that_comes_twice_is_refused(refused):
    (text,) = [value for key, value in properties(DATA) if key == "oddwave"]
    refused(signed(MODEL + entry("oddwave", text) * 2), "it has no Oddwave metadata")
    refused(signed(MODEL + entry("oddwave", text) + entry("more", "x")), "it has no Oddwave metadata")
    refused(signed(with_text(text)), "it has no Oddwave metadata")


def test_an_entry_without_a_key_or_a_value_is_refused(refused):
    (text,) = [value for key, value in properties(DATA) if key == "oddwave"]
    for wrong in (
        block(1, "oddwave"),
        block(2, text),
        b"",
        block(1, "oddwave") + block(2, text) + block(3, b""),
    ):
        refused(signed(MODEL + block(14, wrong)), "is not a usable detector")


def test_the_checksum_must_be_the_last_entry_and_in_lower_case(refused):
    body = DATA[:-CHECKSUM]
    digest = hashlib.sha256(body).hexdigest()
    refused(body + entry("oddwave.sha256", digest.upper()), "its checksum doesn't match")
    refused(body + entry("oddwave.sha1", digest), "its checksum doesn't match")
    refused(body + entry("oddwave.sha256", "0" * 64), "its checksum doesn't match")
    refused(entry("oddwave.sha256", digest) + body, "is not a usable detector")


def test_problems_that_json_can_not_hold_are_found_too():
    from msgspec import structs

    data = DETECTOR.metadata
    for value in (np.nan, np.inf, -np.inf):
        wrong = structs.replace(data, center=[value, 1.0])
        assert metadata.problem(wrong) == "center has a value that isn't finite"
    assert metadata.problem(data) is None


# Fuzz: whatever the bytes, a detector or its one error


def opens_or_is_refused(data):
    """Decode bytes; any other error than DetectorFileError comes through, and fails the test."""
    try:
        found = detector_file.decode(data, "fuzz.onnx")
    except DetectorFileError:
        return
    assert metadata.problem(found) is None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
@example(b"")
def test_random_bytes_are_refused(data):
    with pytest.raises(DetectorFileError):
        detector_file.decode(data, "fuzz.onnx")


@settings(deadline=None, max_examples=300)
@given(
    start=st.integers(0, len(DATA)),
    length=st.integers(0, 200),
    new=st.binary(max_size=60),
    sign=st.booleans(),
)
def test_random_splices_open_or_are_refused(start, length, new, sign):
    data = DATA[:start] + new + DATA[start + length :]
    opens_or_is_refused(signed(data[:-CHECKSUM]) if sign else data)


@settings(deadline=None, max_examples=300)
@given(start=st.integers(0, len(MODEL)), length=st.integers(0, 60), new=st.binary(max_size=30))
def test_random_splices_of_the_graph_are_refused_even_with_all_sums_right(start, length, new):
    try:
        data = with_graph(MODEL[:start] + new + MODEL[start + length :])
    except ValueError:  # there is no graph left to sum up
        return
    opens_or_is_refused(data)


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(plain())), inner, max_size=4)
        ),
        max_leaves=12,
    ),
    st.sampled_from(sorted(plain())),
)
def test_metadata_with_anything_anywhere_opens_or_is_refused(value, key):
    opens_or_is_refused(with_metadata(plain(**{key: value})))
    opens_or_is_refused(with_metadata(value))
