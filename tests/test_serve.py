"""The service's requests and answers: each route answers what Oddwave itself does, and refuses what it should."""

from __future__ import annotations

import base64
import csv
import io
import json
import re

import made
import numpy as np
import pytest
import small
from serving import ask, service

import oddwave

ROUTE = "/time-series-anomaly-detection"
DETECT = "/v1/detect"
INFER = "/v2/models/pump/infer"
ROWS = 60
HEADER = "timestamp,flow,heat,noise"
MAX_ROWS = 500


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a good file and two detectors, one in a run folder."""
    folder = tmp_path_factory.mktemp("serve")
    small.write(folder / "good.csv", ROWS, fault=40)
    small.detector(folder / "pump")
    (folder / "more").mkdir()
    (folder / "more" / "hand.onnx").write_bytes(made.handmade().data)
    return folder


@pytest.fixture(scope="module")
def served(place):
    """Return the address of a service of two workers with both detectors."""
    flags = ("--model", place / "pump", "--model", place / "more", "--workers", 2, "--max-rows", MAX_ROWS)
    with service(*flags, "--max-body", "1M", "--drain", 0) as running:
        yield running.url
        assert '"event":"fault"' not in running.errors()


@pytest.fixture(scope="module")
def detector(place):
    return oddwave.load(place / "pump")


@pytest.fixture
def values():
    return small.rows(ROWS, fault=40)


def lines_of(count=ROWS, fault=40):
    """Return the lines of the good file, header first."""
    cells = small.rows(count, fault=fault)
    return [HEADER, *(f"{i}," + ",".join(f"{cell:.5f}" for cell in row) for i, row in enumerate(cells))]


def put(lines):
    return ("\n".join(lines) + "\n").encode()


def edited(row, column, cell):
    """Return the good file with another cell; `row` is its line, counted from 1."""
    lines = lines_of()
    cells = lines[row - 1].split(",")
    cells[HEADER.split(",").index(column)] = cell
    return put([*lines[: row - 1], ",".join(cells), *lines[row:]])


GOOD = put(lines_of())


def coded(data):
    return {"csv": base64.b64encode(data).decode()}


def labelled(reply):
    """Return the CSV that the tutorial's route answers with."""
    assert reply.status == 200, reply.body
    content = reply.json
    assert list(content) == ["logId", "errorCode", "errorMsg", "result"]
    assert (content["errorCode"], content["errorMsg"], list(content["result"])) == (0, "Success", ["csv"])
    return base64.b64decode(content["result"]["csv"], validate=True).decode()


def refused(url, data, *expected, status=422):
    """Check that a CSV is refused with these words by both routes that take one."""
    for path, body, headers in ((ROUTE, coded(data), {}), (DETECT, data, {"Content-Type": "text/csv"})):
        reply = ask(url, path, body, headers=headers)
        message = reply.refusal()
        assert reply.status == status
        assert [text for text in expected if text not in message] == []


# The tutorial's route


def test_a_csv_comes_back_as_the_command_would_write_it(served, detector, place):
    text = labelled(ask(served, ROUTE, coded(GOOD)))
    assert text.encode() == detector.detect(place / "good.csv").to_csv()
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["timestamp", "label", "score"]
    assert [row[0] for row in rows] == [str(i) for i in range(ROWS)]
    assert sum(int(row[1]) for row in rows) >= 10


def test_two_answers_differ_in_their_log_id_alone(served):
    first, second = (ask(served, ROUTE, coded(GOOD)).json for _ in range(2))
    assert first.pop("logId") != second.pop("logId")
    assert first == second


@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/x-www-form-urlencoded", "text/plain", "text/csv", "nonsense", ""]
)
def test_the_body_is_read_as_json_whatever_type_it_is_said_to_have(served, kind):
    assert labelled(ask(served, ROUTE, coded(GOOD), headers={} if kind is None else {"Content-Type": kind}))


def test_other_keys_are_left_alone(served):
    assert labelled(ask(served, ROUTE, {"visualize": True, **coded(GOOD), "more": [{}]}))


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text.rstrip("="),
        lambda text: text.replace("+", "-").replace("/", "_"),
        lambda text: "\r\n".join(text[i : i + 76] for i in range(0, len(text), 76)),
        lambda text: f" {text}\n",
    ],
    ids=["unpadded", "url-safe", "in lines", "in blanks"],
)
def test_usual_forms_of_base64_are_read(served, form):
    data = GOOD + b"\n" * ((1 - len(GOOD)) % 3)  # so that there is padding
    assert len(data) % 3 == 1
    assert labelled(ask(served, ROUTE, {"csv": form(base64.b64encode(data).decode())}))


@pytest.mark.parametrize("text", ["!", "AAA*", "QQ=Q", "A", "é", "data:text/csv;base64,QQ==", "=" * 9])
def test_what_is_no_base64_is_refused(served, text):
    reply = ask(served, ROUTE, {"csv": text})
    assert reply.status in (403, 422)  # data: looks like a URL
    assert re.search("base64|URLs|empty", reply.refusal())


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x1f\x8b\x08\0", "gzip"), (b"PK\3\4", "XLSX"), (b"PAR1", "Parquet"), (b"\xd0\xcf\x11\xe0", "XLS")],
)
def test_base64_of_another_kind_of_file_is_refused_by_name(served, head, kind):
    reply = ask(served, ROUTE, coded(head + bytes(40)))
    assert reply.status == 422
    assert f"base64 of {kind}" in reply.refusal().replace("ZIP or ", "")


# Malformed bodies, for every route that takes one


BODIES = [  # status None: which of the two faults is told depends on which comes first
    (b"", 400),
    (b"{", 400),
    (b"\xff\xfe{", 400),
    (b"NaN", 400),
    (b'{"csv": NaN}', None),
    (b'{"csv": Infinity}', None),
    (b'{"rows": [[NaN]]}', 400),
    (b'{"csv": "\xff"}', None),
    (b'{"csv": "\\ud800"}', None),
    (b"{'csv': 'x'}", 400),
    (b'{"a": 1}x', None),
    (b'{"a": ' * 100_000, None),
    (b'{"rows": ' + b"[" * 100_000, None),
    (b" " * 1_000_000, 400),
    (b"[]", 422),
    (b"[" * 100_000, 422),
    (b"null", 422),
    (b"1", 422),
    (b'"csv"', 422),
    (b"{}", 422),
    (b'{"csv": null, "rows": null, "inputs": null}', 422),
    (b'{"csv": 1, "rows": 1, "inputs": 1}', 422),
    (b'{"csv": ["x"], "rows": {"x": 1}, "inputs": "x"}', 422),
]


@pytest.mark.parametrize("path", [ROUTE, DETECT, INFER])
@pytest.mark.parametrize(("body", "status"), BODIES, ids=[f"{body[:12]!r} of {len(body)}" for body, _ in BODIES])
def test_a_body_that_is_no_json_is_400_and_json_of_another_form_422(served, path, body, status):
    reply = ask(served, path, body, "POST")
    reply.refusal()
    assert reply.status in ((400, 422) if status is None else (status,))


# Routes and methods


@pytest.mark.parametrize("path", ["/nothing", "//", "/v1", "/v1/detect/", "/v2/models", "/V1/DETECT", "/..%2f", "/%00"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_404(served, path, method):
    reply = ask(served, path, b"{}" if method == "POST" else None)
    assert reply.status == 404
    assert "GET /docs" in reply.refusal()


def test_a_misspelled_path_is_told_the_nearest(served):
    assert f"Did you mean {ROUTE}?" in ask(served, f"{ROUTE}s", b"{}").refusal()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", ROUTE, "POST"),
        ("PUT", DETECT, "POST"),
        ("DELETE", INFER, "POST"),
        ("BREW", "/v2/models/pump", "GET"),
        ("POST", "/health", "GET"),
        ("HEAD", DETECT, "POST"),
    ],
)
def test_another_method_is_405_and_told_which_is_taken(served, method, path, allowed):
    reply = ask(served, path, None, method)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert f"{method} isn't taken here. Use {allowed}." in reply.refusal()


def test_what_is_alive_ready_and_known_is_said(served):
    assert ask(served, "/health").json == {"status": "ok", "version": oddwave.__version__}
    assert ask(served, "/ready").json == {"status": "ready", "models": ["pump", "hand"]}
    models = ask(served, "/v1/models").json
    assert (models["default"], [model["name"] for model in models["models"]]) == ("pump", ["pump", "hand"])
    assert models["models"][0]["channels"] == small.CHANNELS
    assert (ask(served, "/").status, ask(served, "/").headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_head_is_get_without_a_body(served):
    assert ask(served, "/health", method="HEAD")[::2] == (200, b"")


# The JSON API


def test_rows_and_columns_and_csv_give_what_python_gives(served, detector, values, place):
    expected = detector.detect(place / "good.csv")
    rounded = np.round(values, 5)
    rows = {"rows": rounded.tolist(), "time": list(range(ROWS))}
    columns = {"columns": dict(zip(small.CHANNELS, rounded.T.tolist(), strict=True)), "time": rows["time"]}
    turned = {"rows": rounded[:, ::-1].tolist(), "channels": small.CHANNELS[::-1], "time": rows["time"]}
    replies = [ask(served, DETECT, body) for body in (rows, columns, turned)]
    replies.append(ask(served, DETECT, GOOD, headers={"Content-Type": "text/csv; charset=utf-8"}))
    for reply in replies:
        assert reply.status == 200, reply.body
        content = reply.json
        assert content["rows"]["score"] == expected.score.tolist()
        assert content["rows"]["label"] == expected.label.tolist()
        assert content["rows"]["time"] == list(range(ROWS))
        assert (content["model"], content["threshold"]) == ("pump", expected.threshold)
        assert [event["peak"] for event in content["events"]] == [event.peak for event in expected.events]


def test_csv_is_answered_if_it_is_asked_for(served, detector, place):
    reply = ask(served, DETECT, GOOD, headers={"Content-Type": "text/csv", "Accept": "text/csv"})
    assert (reply.status, reply.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert reply.body == detector.detect(place / "good.csv").to_csv()


def test_rows_without_times_are_numbered_and_times_may_be_dates(served, values):
    numbered = ask(served, DETECT, {"rows": values.tolist()}).json
    assert numbered["rows"]["time"] == list(range(ROWS))
    dates = [f"2026-01-01T00:{i:02d}:00Z" for i in range(ROWS)]
    dated = ask(served, DETECT, {"rows": values.tolist(), "time": dates}).json
    assert dated["rows"]["time"] == dates
    assert dated["rows"]["score"] == numbered["rows"]["score"]


def test_null_is_a_missing_value(served, values):
    rows = values.tolist()
    rows[30][1] = None
    content = ask(served, DETECT, {"rows": rows}).json
    assert "1 cell is missing" in content["notes"][0]
    assert None not in content["rows"]["score"]


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_settings_are_used(served, detector, values, kind):
    settings = {"scoring": "causal", "threshold": 0.75, "contributions": True, "merge_gap": 0}
    if kind == "json":
        reply = ask(served, DETECT, {"rows": np.round(values, 5).tolist(), "settings": settings})
    else:
        words = "&".join(f"{key}={str(value).lower()}" for key, value in settings.items())
        reply = ask(served, f"{DETECT}?{words}", GOOD, headers={"Content-Type": "text/csv"})
    content = reply.json
    expected = detector.detect(np.round(values, 5), **settings)
    assert (content["scoring"], content["threshold"]) == ("causal", 0.75)
    assert content["rows"]["score"][: small.SIZE - 1] == [None] * (small.SIZE - 1)
    assert content["rows"]["label"][small.SIZE - 1 :] == expected.label[small.SIZE - 1 :].tolist()
    assert list(content["rows"]["contribution"]) == small.CHANNELS
    shares = np.array(list(content["rows"]["contribution"].values()))[:, small.SIZE - 1 :]
    np.testing.assert_allclose(shares.sum(axis=0), content["rows"]["score"][small.SIZE - 1 :], rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"treshold": 1}, "Did you mean threshold?"),
        ({"threshold": "1"}, "threshold is '1'"),
        ({"threshold": -1}, "threshold is -1"),
        ({"threshold": [1]}, "threshold is a list"),
        ({"scoring": "casual"}, "Did you mean causal?"),
        ({"max_gap": 10**9}, "max_gap is 1000000000"),
        ({"min_length": 0.5}, "min_length"),
        ({"step_s": 0}, "step_s"),
        ({"contributions": "yes"}, "contributions"),
        ({"false_alarms": "soon"}, "no budget of false alarms"),
        ({"false_alarms": 1e-300}, None),
        ({"a" * 100_000: 1}, "is no setting"),
    ],
)
def test_a_wrong_setting_is_422_and_names_the_setting(served, values, settings, expected):
    reply = ask(served, DETECT, {"rows": values.tolist(), "settings": settings})
    if expected is None:
        assert reply.status == 200
    else:
        assert (reply.status, len(reply.body) < 2000) == (422, True)
        assert expected in reply.refusal()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "either rows or columns"),
        ({"rows": [], "columns": {}}, "either rows or columns"),
        ({"rows": []}, "no rows"),
        ({"columns": {}}, "has no columns"),
        ({"rows": [[]]}, "rows[0] has 0 numbers for the 3 channels flow, heat, noise"),
        ({"rows": [[1, 2, 3], [1, 2]]}, "rows[1] has 2 numbers"),
        ({"rows": [[1, "2", 3]]}, "Expected float | null, got str"),
        ({"rows": [[1, 2, 3]], "time": [1, 2]}, "2 times for 1 rows"),
        ({"rows": [[1, 2, 3]] * 2, "time": [1, "2"]}, "Some times are numbers and some are texts"),
        ({"rows": [[1, 2, 3]] * 2, "time": ["noon", "later"]}, "time"),
        ({"rows": [[1, 2, 3]] * 2, "time": [10**400, 1]}, None),
        ({"rows": [[1, 2, 3]], "channels": ["flow", "heat", "heat"]}, "the column 'heat' 2 times"),
        ({"rows": [[1, 2, 3]], "channels": ["flow", "heat", "nois"]}, "Did you mean nois"),
        ({"columns": {"flow": [1], "heat": [1, 2], "noise": [1]}}, "different lengths, from 1 to 2"),
        ({"columns": {"flow": [1], "heat": [1], "noise": [1], "time": [1]}, "time": [1]}, "A channel is called time"),
        ({"rows": [[1, 2, 3]] * 9}, "has 9 rows, but this detector reads windows of 16"),
        ({"rows": [[1, 2, 3]], "more": 1}, "unknown field more"),
        ({"rows": [[1, 2, 3]], "model": "pumb", "settings": {}}, "Did you mean pump?"),
        ({"rows": [[1, 2, 3]], "model": "x" * 100_000}, "There is no detector"),
    ],
)
def test_what_is_wrong_with_rows_or_columns_is_said(served, body, expected):
    reply = ask(served, DETECT, body)
    message = reply.refusal()
    assert reply.status == (404 if "model" in body else 422)
    assert expected is None or expected in message
    assert len(message) < 2000


def test_a_setting_twice_in_the_address_is_400(served):
    reply = ask(served, f"{DETECT}?threshold=1&threshold=2", GOOD, headers={"Content-Type": "text/csv"})
    assert (reply.status, "twice" in reply.refusal()) == (400, True)


def test_detectors_are_chosen_by_name(served):
    values = made.rows(ROWS, 2)
    expected = made.handmade().detect(values)
    columns = dict(zip(("c0", "c1"), values.T.tolist(), strict=True))
    assert ask(served, DETECT, {"columns": columns, "model": "hand"}).json["rows"]["score"] == expected.score.tolist()
    text = "c0,c1\n" + "".join(f"{a!r},{b!r}\n" for a, b in values.tolist())
    reply = ask(served, f"{DETECT}?model=hand", text.encode(), headers={"Content-Type": "text/csv"})
    assert reply.json["rows"]["score"] == expected.score.tolist()


# Limits of size


def test_too_many_rows_are_413(served, values):
    lines = lines_of(MAX_ROWS + 1, None)
    refused(served, put(lines), f"more than {MAX_ROWS}", status=413)
    assert labelled(ask(served, ROUTE, coded(put(lines[:-1]))))
    reply = ask(served, DETECT, {"rows": [[1, 2, 3]] * (MAX_ROWS + 1)})
    assert (reply.status, f"{MAX_ROWS + 1} rows" in reply.refusal()) == (413, True)
    tensor = {"name": "rows", "datatype": "FP32", "shape": [MAX_ROWS + 1, 3], "data": [1] * 3 * (MAX_ROWS + 1)}
    assert ask(served, INFER, {"inputs": [tensor]}).status == 413


def test_too_many_columns_are_413(served):
    names = [f"c{i}" for i in range(10_001)]
    refused(served, put([",".join(names), ",".join(["1"] * len(names))]), "10,001 columns", status=413)
    refused(served, put(["\t".join(names)]), "10,001 columns", status=413)
    for body in ({"columns": {name: [1] for name in names}}, {"rows": [[1] * len(names)], "channels": names}):
        reply = ask(served, DETECT, body)
        assert (reply.status, "10,001 columns" in reply.refusal()) == (413, True)


@pytest.mark.parametrize("settings", [{"max_gap": 10_000}, {"step_s": 1e-3, "max_gap": 10_000}, {"step_s": 0.25}])
def test_gaps_that_a_request_asks_to_fill_count_as_rows(served, values, settings):
    time = [i * (1 if "step_s" in settings or i < 40 else 5000) for i in range(ROWS)]
    for path, body in (
        (DETECT, {"rows": values.tolist(), "time": time, "settings": settings}),
        (INFER, {"inputs": [tensor_of(values), tensor_of(np.array(time), "time")], "parameters": settings}),
    ):
        reply = ask(served, path, body)
        if settings == {"step_s": 0.25}:
            assert reply.status == 200, reply.body  # 4 rows for each, which is few enough
        else:
            assert (reply.status, "With its gaps filled" in reply.refusal()) == (413, True)


# The data of a CSV


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ["is empty"]),
        (b"\n\n", ["is empty"]),
        (HEADER.encode(), ["no rows"]),
        (put(lines_of(9)), ["9 rows", "windows of 16"]),
        (GOOD.replace(b"heat", b"haet"), ["no column 'heat'", "Did you mean haet?"]),
        (GOOD.replace(b"heat", b"flow"), ["the column 'flow' 2 times"]),
        (GOOD.decode().encode("utf-16"), ["UTF-16"]),
        (GOOD.decode().replace("noise", "噪声与振动的测量值").encode("gbk"), ["GBK"]),
        (GOOD.replace(b"\n", b"\r"), ["CR only"]),
        (b"<html><body>x</body></html>", ["CSV"]),
        (b'{"csv": 1}', ["isn't a CSV"]),
        (edited(31, "heat", "4O.1"), ["line 31, column 'heat': '4O.1' isn't a number"]),
        (edited(31, "timestamp", "noon"), ["line 31, column 'timestamp': 'noon'"]),
        (edited(31, "timestamp", ""), ["line 31, column 'timestamp': the time is blank"]),
        (edited(31, "heat", "\0"), ["line 31: there is a NUL byte"]),
        (edited(31, "heat", '"1'), ["line"]),
        (edited(31, "heat", "1,2"), ["line 31"]),
        (b"\xff" * 1000, []),
        (bytes(1000), []),
    ],
)
def test_a_csv_that_cant_be_read_is_422_with_the_readers_message(served, data, expected):
    refused(served, data, *expected)


def test_times_with_and_without_a_zone_are_refused(served):
    rows = [f"2024-01-01T00:{i:02d}:00{'Z' if i < 30 else ''},1,1,1" for i in range(ROWS)]
    refused(served, put([HEADER, *rows]), "some times have a zone and some don't", "line 2", "line 32")


def turned(data):
    return b"\n".join(b",".join(line.split(b",")[::-1]) for line in data.split(b"\n"))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b",", b";"),
        lambda data: data.replace(b",", b";").replace(b".", b","),
        lambda data: data.replace(b",", b"\t"),
        lambda data: data.rstrip(b"\n"),
        turned,
        lambda data: data.replace(b"\n", b",x\n"),
    ],
    ids=["BOM", "CRLF", "semicolon", "decimal comma", "tab", "no last line end", "reordered", "extra column"],
)
def test_usual_forms_of_csv_are_accepted(served, change):
    assert labelled(ask(served, ROUTE, coded(change(GOOD)))) == labelled(ask(served, ROUTE, coded(GOOD)))


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400", "NaN", "NA", "", "null"])
def test_cells_without_a_finite_number_are_missing_ones(served, cell):
    blank = labelled(ask(served, ROUTE, coded(edited(31, "heat", ""))))
    assert labelled(ask(served, ROUTE, coded(edited(31, "heat", cell)))) == blank
    notes = ask(served, DETECT, edited(31, "heat", cell), headers={"Content-Type": "text/csv"}).json["notes"]
    assert "first: line 31, column heat" in notes[0]


def test_rows_behind_a_long_gap_have_no_label_and_say_why(served):
    lines = lines_of()
    for row in range(30, 45):
        lines[row] = ",".join([*lines[row].split(",")[:2], "", "1"])
    found = labelled(ask(served, ROUTE, coded(put(lines)))).splitlines()
    assert (found[0], found[40]) == (
        "timestamp,label,score,reason",
        "39,,,missing values for longer than max_gap",
    )
    content = ask(served, DETECT, put(lines), headers={"Content-Type": "text/csv"}).json
    assert (content["rows"]["label"][39], content["rows"]["score"][39]) == (None, None)
    assert content["rows"]["reason"][39] == "missing values for longer than max_gap"


def test_constant_unsorted_and_duplicate_rows_are_scored(served):
    header, *rows = lines_of()
    good = labelled(ask(served, ROUTE, coded(GOOD))).splitlines()
    backwards = labelled(ask(served, ROUTE, coded(put([header, *rows[::-1]])))).splitlines()
    assert backwards == [good[0], *good[:0:-1]]
    twice = labelled(ask(served, ROUTE, coded(put([header, *rows[:31], rows[30], *rows[31:]])))).splitlines()
    assert twice[31] == twice[32] == good[31]
    constant = [",".join([*row.split(",")[:3], "7"]) for row in rows]
    assert "nan" not in labelled(ask(served, ROUTE, coded(put([header, *constant]))))


def test_a_header_that_starts_with_an_equals_sign_comes_back_as_it_was(served):
    lines = [line.partition(",")[2] for line in lines_of()]
    lines = [f"{'=1+1' if i == 0 else i},{line}" for i, line in enumerate(lines)]
    content = ask(served, DETECT, put(lines), headers={"Content-Type": "text/csv"}).json
    assert content["notes"][0].startswith("Column left aside: =1+1.")


# The Open Inference Protocol


def tensor_of(values, name="rows", datatype="FP64"):
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.ravel().tolist()}


def test_the_protocols_questions_about_server_and_models_are_answered(served):
    assert ask(served, "/v2").json["extensions"] == ["binary_tensor_data"]
    assert ask(served, "/v2/health/live").status == ask(served, "/v2/health/ready").status == 200
    for path in ("/v2/models/pump", "/v2/models/pump/versions/1"):
        about = ask(served, path).json
        assert about["inputs"] == [{"name": "rows", "datatype": "FP64", "shape": [-1, 3]}]
        assert ask(served, f"{path}/ready").json == {"name": "pump", "ready": True}
    assert ask(served, "/v2/models/none").status == ask(served, "/v2/models/none/ready").status == 404


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize("kind", ["FP32", "FP64"])
def test_tritons_own_client_gets_what_python_gives(served, detector, values, is_binary, kind):
    http = pytest.importorskip("tritonclient.http")
    sent = values.astype(http.triton_to_np_dtype(kind))
    expected = detector.detect(sent.astype(np.float64), contributions=True)
    with http.InferenceServerClient(served.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("pump")
        assert client.get_model_metadata("hand")["name"] == "hand"
        tensor = http.InferInput("rows", list(sent.shape), kind)
        tensor.set_data_from_numpy(sent, binary_data=is_binary)
        names = ("score", "label", "contribution")
        outputs = [http.InferRequestedOutput(name, binary_data=is_binary) for name in names]
        reply = client.infer("pump", [tensor], outputs=outputs, request_id="7")
        assert reply.get_response()["id"] == "7"
        np.testing.assert_array_equal(reply.as_numpy("score"), expected.score)
        np.testing.assert_array_equal(reply.as_numpy("label"), expected.label)
        np.testing.assert_array_equal(reply.as_numpy("contribution"), expected.contribution)
        plain = client.infer("pump", [tensor], model_version="1")
        np.testing.assert_array_equal(plain.as_numpy("score"), expected.score)
        tensor = http.InferInput("rows", [1, 2], kind)
        tensor.set_data_from_numpy(sent[:1, :2], binary_data=is_binary)
        with pytest.raises(Exception, match=r"rows has the shape \[1, 2\]"):
            client.infer("pump", [tensor])


def test_a_batch_of_one_and_times_and_settings_are_taken(served, detector, values):
    time = np.arange(ROWS) * 2
    inputs = [tensor_of(values[None]), tensor_of(time, "time", "INT64")]
    outputs = [{"name": name} for name in ("label", "contribution")]
    reply = ask(served, INFER, {"inputs": inputs, "outputs": outputs, "parameters": {"threshold": 0.5, "other": 1}})
    columns = dict(zip(small.CHANNELS, values.T.tolist(), strict=True))
    content = ask(served, DETECT, {"columns": columns, "time": time.tolist(), "settings": {"threshold": 0.5}}).json
    label, contribution = reply.json["outputs"]
    assert label == {"name": "label", "datatype": "INT8", "shape": [ROWS], "data": content["rows"]["label"]}
    assert contribution["shape"] == [ROWS, 3]


@pytest.mark.parametrize(
    ("changes", "status", "expected"),
    [
        ({"shape": [ROWS, 2]}, 422, "doesn't fill the shape"),
        ({"shape": [ROWS * 3]}, 422, "reads [time, 3]"),
        ({"shape": [2, 30, 3]}, 422, "reads [time, 3]"),
        ({"shape": []}, 422, "doesn't fill"),
        ({"shape": [10**30]}, 422, "doesn't fill"),
        ({"shape": [1] * 70}, 422, "doesn't fill"),
        ({"shape": [0, 3], "data": []}, 422, "no rows"),
        ({"datatype": "BYTES"}, 422, "type 'BYTES'"),
        ({"datatype": "x" * 5000}, 422, "type"),
        ({"datatype": "INT8"}, 200, ""),
        ({"datatype": "INT8", "data": [300] * 180}, 422, "doesn't fill"),
        ({"data": None}, 422, "doesn't fill"),
        ({"data": ["x"] * 180}, 422, "doesn't fill"),
        ({"data": [{}] * 180}, 422, "doesn't fill"),
        ({"data": [[1], [2, 3]]}, 422, "doesn't fill"),
        ({"name": "row"}, 422, "input rows is missing"),
        ({"parameters": {"binary_data_size": 99}}, 200, ""),
        ({"parameters": {"binary_data_size": 10**30}}, 200, ""),
    ],
)
def test_a_tensor_that_doesnt_fit_is_refused(served, values, changes, status, expected):
    reply = ask(served, INFER, {"inputs": [tensor_of(values) | changes]})
    assert reply.status == status, reply.body
    assert status == 200 or expected in reply.refusal()
    assert len(reply.body) < 8000


def test_what_else_the_protocol_refuses(served, values):
    inputs = [tensor_of(values)]
    reply = ask(served, INFER, {"inputs": inputs, "outputs": [{"name": "scores"}]})
    assert (reply.status, "Did you mean score?" in reply.refusal()) == (422, True)
    reply = ask(served, "/v2/models/pump/versions/2/infer", {"inputs": inputs})
    assert (reply.status, "only the version 1" in reply.refusal()) == (404, True)
    assert ask(served, "/v2/models/none/infer", {"inputs": inputs}).status == 404
    short = tensor_of(np.arange(3), "time", "INT64")
    assert "time has the shape [3]" in ask(served, INFER, {"inputs": [*inputs, short]}).refusal()
    reply = ask(served, INFER, {"inputs": inputs, "parameters": {"threshold": "high"}})
    assert (reply.status, "threshold is 'high'" in reply.refusal()) == (422, True)


@pytest.mark.parametrize(
    ("size", "status"),
    [("9" * 5000, 400), ("3", 400), ("100", 400), ("-1", 400), ("x", 400), ("0", 400)],
)
def test_a_wrong_length_of_the_protocols_json_is_refused(served, values, size, status):
    body = json.dumps({"inputs": [tensor_of(values)]}).encode()
    headers = {"Inference-Header-Content-Length": size.encode()}
    reply = ask(served, INFER, body[:50] if size == "100" else body, headers=headers)
    assert reply.status == status, reply.body
    if status != 200:
        reply.refusal()
