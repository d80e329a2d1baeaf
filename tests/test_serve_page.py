"""What the page asks of the service, over HTTP: files, results, own detectors; and what strangers may not have."""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from time import sleep
from urllib.parse import quote, urlencode

import numpy as np
import pytest
import small
from serving import ask, connected, head, received, service

from oddwave import cli, create_pipeline
from oddwave.detector import Detector
from oddwave.events import Event
from oddwave.read import parse_csv
from oddwave.series import Columns
from oddwave.serve.app import OPEN, OPEN_PAGE
from oddwave.serve.page.routes import PAGE_ROUTES

HEADER = {"x-oddwave-page": "1"}
CAP = 1 << 20


class Visitor:
    """A browser's cookie, and what its page asks."""

    def __init__(self, url):
        self.url = url
        self.about = ask(url, "/page/about")
        self.cookie = self.about.headers["set-cookie"].partition(";")[0]

    def ask(self, path, body=None, method=None, headers=HEADER):
        return ask(self.url, f"/page/{path}", body, method, {"cookie": self.cookie, **headers})

    def open(self, body, name="some.csv"):
        return self.ask(f"files?{urlencode({'name': name})}", body, "POST")

    def score(self, body, name="some.csv", **wish):
        reply = self.open(body, name)
        assert reply.status == 201, reply.body
        reply = self.ask("results", {"file": reply.json["file"], **wish})
        assert reply.status == 201, reply.body
        return reply.json

    def view(self, result, first, last, pixels, *channels):
        asked = [("first", first), ("last", last), ("pixels", pixels), *(("channel", name) for name in channels)]
        return self.ask(f"results/{result['result']}/view?{urlencode(asked)}").json


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    small.detector(folder / "run")
    small.write(folder / "good.csv", 300, fault=200)
    return folder


@pytest.fixture(scope="module")
def url(place):
    with service("--model", place / "run", "--workers", 2, "--drain", 0, "--max-upload", CAP) as started:
        yield started.url
        assert '"event":"fault"' not in started.errors()


@pytest.fixture
def visitor(url):
    return Visitor(url)


@pytest.fixture(scope="module")
def good(place):
    return (place / "good.csv").read_bytes()


@pytest.fixture(scope="module")
def messy(good):
    """Return rows out of order, some of them missing, with cells that are missing and a time that is there twice."""
    head, *rows = good.decode().splitlines()
    rows = [*rows[150:], *rows[:60], *rows[63:150], rows[10]]
    rows[40] = re.sub(r",[^,]*$", ",", rows[40])
    return "\n".join([head, *rows, ""]).encode()


def python(place, body, **settings):
    """Return the result of the same file in Python."""
    path = place / "python.csv"
    path.write_bytes(body)
    return Detector.load(place / "run").detect(path, contributions=True, **settings)


def told(event: Event):
    """Return an event as the page is told."""
    channels = [{"name": name, "share": pytest.approx(share)} for name, share in event.channels]
    return str(event.start), str(event.end), event.start_row, event.end_row, event.rows, event.peak_score, channels


def heard(event):
    names = ("start_text", "end_text", "first_row", "last_row", "rows", "peak_score", "channels")
    return tuple(event[name] for name in names)


# Files and results


@pytest.mark.parametrize("mode", ["full", "causal"])
@pytest.mark.parametrize("rows", ["good", "messy"])
def test_a_result_is_the_one_that_python_gives(visitor, place, request, rows, mode):
    body = request.getfixturevalue(rows)
    found, wanted = visitor.score(body, mode=mode), python(place, body, scoring=mode)
    assert (found["rows"], found["channels"]) == (len(wanted.label), list(wanted.series.channels))
    assert found["threshold"] == wanted.threshold
    assert found["anomalous"] == (wanted.label == 1).sum() > 0
    assert found["unscored"]["rows"] == (wanted.reason > 0).sum()
    assert [heard(event) for event in found["events"]] == [told(event) for event in wanted.events]
    assert found["max_score"] == np.nanmax(wanted.score)
    assert found["notes"] == list(wanted.notes)


def test_events_at_another_threshold_are_those_that_python_finds_with_it(visitor, place, messy):
    found = visitor.score(messy)
    counts = set()
    for threshold in (0.5, 1.0, 2.0, 4.0, 1e9):
        again = visitor.ask(f"results/{found['result']}/events?threshold={threshold}").json
        wanted = python(place, messy, threshold=threshold)
        assert again["threshold"] == threshold
        assert again["anomalous"] == (wanted.label == 1).sum()
        assert [heard(event) for event in again["events"]] == [told(event) for event in wanted.events]
        counts.add(again["anomalous"])
    assert len(counts) > 3


def test_a_budget_of_false_alarms_sets_the_threshold(visitor, place, good):
    found = visitor.score(good)
    for budget in ("0.1%", "1/1000", "0.01"):
        again = visitor.ask(f"results/{found['result']}/events?false_alarms={quote(budget)}").json
        assert again["threshold"] == pytest.approx(python(place, good, false_alarms=budget).threshold)
        assert 0 < again["expected"] <= {"0.01": 0.01}.get(budget, 0.001) * 1.000001
    reply = visitor.ask(f"results/{found['result']}/events?false_alarms=seldom")
    assert "no budget" in reply.refusal()


def test_settings_hold_as_in_python(visitor, place, good):
    settings = {"merge_gap": 0, "min_length": 3, "threshold": 1.5}
    found, wanted = visitor.score(good, settings=settings), python(place, good, **settings)
    assert [heard(event) for event in found["events"]] == [told(event) for event in wanted.events]


def test_a_view_has_the_smallest_and_largest_value_of_each_group_of_rows(visitor, place, messy):
    found, wanted = visitor.score(messy), python(place, messy)
    order = np.argsort(wanted.series.ticks, kind="stable")
    score, values = wanted.score[order], wanted.series.values[order]
    name = found["channels"][1]
    for asked, pixels in (((0, len(order)), 50), ((10, 200), 37), ((20, 24), 100), ((-5, 10**6), 7)):
        view = visitor.view(found, *asked, pixels, name)
        first, last = max(asked[0], 0), min(asked[1], len(order))
        assert len(view["rows"]) == min(pixels, last - first)
        borders = [*view["rows"], last]
        assert borders[0] == first
        for i, (start, stop) in enumerate(pairwise(borders)):
            for line, row in ((view["score"], score), (view["channels"][name], values[:, 1])):
                known = row[start:stop][~np.isnan(row[start:stop])]
                expected = [known.min(), known.max()] if len(known) else [None, None]
                assert [line["min"][i], line["max"][i]] == expected


def test_a_row_says_which_channels_its_score_comes_from(visitor, place, good):
    found, wanted = visitor.score(good), python(place, good)
    row = int(np.nanargmax(wanted.score))
    shares = visitor.ask(f"results/{found['result']}/row?row={row}").json
    assert {one["name"]: one["share"] for one in shares} == {
        name: pytest.approx(part / wanted.score[row], abs=1e-5)
        for name, part in zip(wanted.series.channels, wanted.contribution[row], strict=True)
    }
    assert [one["share"] for one in shares] == sorted((one["share"] for one in shares), reverse=True)
    assert "row is 999" in visitor.ask(f"results/{found['result']}/row?row=999").refusal()


@pytest.mark.parametrize("threshold", [None, 1.0])
def test_a_downloaded_csv_is_the_one_that_python_saves(visitor, place, messy, threshold):
    found = visitor.score(messy, name="mine.csv")
    asked = {"format": "csv", "threshold": threshold or found["threshold"]}
    reply = visitor.ask(f"results/{found['result']}/download?{urlencode(asked)}")
    assert reply.body == python(place, messy, **({"threshold": threshold} if threshold else {})).to_csv()
    assert reply.headers["content-disposition"] == 'attachment; filename="mine_anomalies.csv"'


@pytest.mark.parametrize(
    ("kind", "begin"), [("xlsx", b"PK"), ("png", b"\x89PNG"), ("html", b"<!doctype"), ("json", b"{")]
)
def test_other_formats_are_whole_files(visitor, good, kind, begin):
    found = visitor.score(good)
    reply = visitor.ask(f"results/{found['result']}/download?format={kind}&threshold={found['threshold']}")
    assert (reply.status, reply.body[: len(begin)].lower()) == (200, begin.lower())
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".csv.gz"])
def test_files_of_each_kind_are_scored_alike(visitor, place, good, suffix):
    import gzip

    import polars as pl

    frame, file = pl.read_csv(io.BytesIO(good)), io.BytesIO()
    if suffix == ".xlsx":
        frame.write_excel(file)
    elif suffix == ".parquet":
        frame.write_parquet(file)
    else:
        file.write(gzip.compress(good))
    found, wanted = visitor.score(file.getvalue(), name=f"x{suffix}"), python(place, good)
    assert [event["first_row"] for event in found["events"]] == [event.start_row for event in wanted.events]


def test_the_example_is_there_for_the_shipped_detectors(root):
    (wanted,) = create_pipeline("ts_ad").predict(str(root / "examples/server_metrics.csv.gz"))
    with service("--workers", 1, "--drain", 0) as started:
        visitor = Visitor(started.url)
        file = visitor.ask("files?example=1", b"", "POST").json
        found = visitor.ask("results", {"file": file["file"]}).json
        assert (file["name"], file["rows"]) == ("server_metrics.csv", len(wanted.label))
        assert found["anomalous"] == (wanted.label == 1).sum()
        assert len(found["events"]) == len(wanted.events)
        assert found["seconds"] > 0


def test_a_file_says_what_is_in_it(visitor, good):
    found = visitor.open(good, "C:\\data\\mine.csv").json
    series = parse_csv(good, Columns(), "it")
    assert (found["name"], found["bytes"], found["rows"]) == ("mine.csv", len(good), len(series))
    assert [one["name"] for one in found["columns"] if one["kind"] == "number"] == list(series.channels)


# Own detectors


def test_a_detector_that_a_visitor_brings_is_used_listed_and_his_alone(visitor, place, good, url):
    data = (place / "run" / "detector.onnx").read_bytes()
    model = visitor.ask("detectors?name=mine.onnx", data, "POST").json
    assert (model["own"], model["title"]) == (True, "mine.onnx")
    found = visitor.score(good, model=model["name"])
    assert found["anomalous"] == visitor.score(good)["anomalous"]
    assert [one["name"] for one in visitor.ask("about").json["models"]][-1] == model["name"]
    assert visitor.ask(f"detectors/{model['name'].removeprefix('own:')}").body == data
    other = Visitor(url)
    assert len(other.ask("about").json["models"]) == 1
    assert other.ask(f"detectors/{model['name'].removeprefix('own:')}").status == 404
    assert visitor.ask(f"detectors/{model['name'].removeprefix('own:')}", method="DELETE").status == 204
    assert len(visitor.ask("about").json["models"]) == 1


def test_what_is_no_detector_is_refused(visitor, place):
    data = (place / "run" / "detector.onnx").read_bytes()
    for body in (b"no", data[:-1], data[:200] + b"x" + data[201:]):
        reply = visitor.ask("detectors?name=a.onnx", body, "POST")
        assert (reply.status, reply.refusal()[:6]) == (422, "a.onnx")
    assert len(visitor.ask("about").json["models"]) == 1


# What isn't given, and to whom


def test_nobody_gets_what_another_visitor_keeps(visitor, url, good):
    file = visitor.open(good).json["file"]
    result = visitor.ask("results", {"file": file}).json["result"]
    other = Visitor(url)
    other.open(good)
    assert other.ask("results", {"file": file}).status == 404
    asks = ["view?first=0&last=9&pixels=9", "events?threshold=1", "row?row=1", "download?format=csv&threshold=1"]
    assert [other.ask(f"results/{result}/{one}").status for one in asks] == [404] * 4
    assert [visitor.ask(f"results/{result}/{one}").status for one in asks] == [200] * 4
    assert other.ask(f"files/{file}", method="DELETE").status == 404
    assert [ask(url, f"/page/results/{result}/{one}").status for one in asks] == [403] * 4, "no cookie"
    assert visitor.ask(f"files/{file}", method="DELETE").status == 204
    assert visitor.ask("results", {"file": file}).status == 404


def test_a_visit_is_a_cookie_that_scripts_and_other_sites_do_not_see(visitor):
    cookie = visitor.about.headers["set-cookie"]
    assert re.fullmatch(r"oddwave_visit=[\w-]{32}; HttpOnly; SameSite=Strict", cookie)
    assert "set-cookie" not in visitor.ask("about").headers


@pytest.mark.parametrize(("method", "path"), [(one.method, one.pattern) for one in PAGE_ROUTES if one.method != "GET"])
def test_nothing_is_changed_for_a_form_of_another_site(visitor, method, path):
    reply = visitor.ask(path.removeprefix("/page/").replace("{}", "0" * 32), b"{}", method, headers={})
    assert (reply.status, "x-oddwave-page" in reply.refusal()) == (403, True)


@pytest.mark.parametrize(
    "name",
    ["../about.json", "..", "%2e%2e", "....//", "0" * 31, "0" * 32, "a" * 4000, "draft-" + "0" * 32, "%00", "*", "é"],
)
def test_names_that_would_lead_elsewhere_lead_nowhere(visitor, good, name):
    visitor.open(good)
    path = quote(name, safe="%")
    assert visitor.ask(f"files/{path}", method="DELETE").status in {404, 405}
    assert visitor.ask(f"static/{path}").status == 404
    assert visitor.ask(f"detectors/{path}").status in {404, 405}
    assert visitor.ask("results", {"file": name}).status == 404


@pytest.mark.parametrize("name", ["../../x.csv", "/etc/x.csv", "a\nb.csv", "<b>x</b>.csv", "x" * 9000 + ".csv", ".csv"])
def test_a_file_has_its_name_for_show_only(visitor, good, name):
    found = visitor.open(good, name).json
    assert "/" not in found["name"].replace("</b>", "")
    assert len(found["name"]) <= 200
    assert "\n" not in found["name"]
    assert visitor.ask("results", {"file": found["file"]}).status == 201


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.csv", b""),
        ("x.csv", b"\x00\x01\x02" * 99),
        ("x.xlsx", b"PK\x03\x04 no workbook"),
        ("x.xlsx", b"a,b\n1,2\n"),
        ("x.parquet", b"PAR1 no table"),
        ("x.csv", b"<script>alert(1)</script>\n"),
        ("x.exe", b"a,b\n1,2\n"),
        ("x", b"a,b\n1,2\n"),
    ],
)
def test_what_is_no_table_is_refused_by_its_own_name(visitor, name, body):
    reply = visitor.open(body, name)
    assert reply.status == 422
    said = reply.refusal()
    assert "data." not in said
    assert "visits" not in said


def test_a_file_that_is_too_large_is_refused_unread(visitor, url):
    with connected(url) as connection:
        lines = ["x-oddwave-page: 1", f"cookie: {visitor.cookie}", f"content-length: {CAP + 1}"]
        connection.sendall(head("/page/files?name=x.csv", *lines))
        reply = received(connection)
        assert (reply.status, "--max-upload" in reply.refusal()) == (413, True)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"file": 7},
        {"file": "0" * 32, "mode": "fast"},
        {"file": "0" * 32, "model": ["x"]},
        {"file": "0" * 32, "settings": {"no": 1}},
        {"file": "0" * 32, "strange": 1},
        [],
        "x",
    ],
)
def test_wrong_wishes_are_refused(visitor, good, wish):
    file = visitor.open(good).json["file"]
    if isinstance(wish, dict) and wish.get("file") == "0" * 32:
        wish = {**wish, "file": file}
    assert visitor.ask("results", wish).status in {400, 404, 422}


@pytest.mark.parametrize("query", ["", "first=a&last=2&pixels=3", "first=0&last=nan&pixels=3", "first=0&last=9"])
def test_wrong_views_are_refused(visitor, good, query):
    result = visitor.score(good)["result"]
    assert visitor.ask(f"results/{result}/view?{query}").status == 422


def test_old_results_make_room_for_new_ones(visitor, good):
    file = visitor.open(good).json["file"]
    results = [visitor.ask("results", {"file": file}).json["result"] for _ in range(14)]
    statuses = [visitor.ask(f"results/{one}/events?threshold=1").status for one in results]
    assert statuses[:2] == [404, 404]
    assert statuses[-12:] == [200] * 12


def test_files_that_would_fill_the_disk_find_no_room(place, good):
    state = place / "state"
    with service(
        "--model", place / "run", "--workers", 1, "--drain", 0, "--max-upload", 8192, "--state-dir", state
    ) as one:
        visitor = Visitor(one.url)
        assert (state.stat().st_mode & 0o777) == 0o700
        body = good[: good.rindex(b"\n", 0, 8000) + 1]
        statuses = [visitor.open(body).status for _ in range(20)]
        assert statuses[0] == 201
        assert statuses[-1] == 503
        assert "no room" in visitor.open(body).refusal()


# The page's own files


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in(url):
    reply = ask(url, "/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == policy["style-src"] == "'self'"
    assert "unsafe-inline" not in reply.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\ssrc=)", reply.body.decode()), "no script in the page itself"
    assert not re.search(r"https?://", reply.body.decode())
    again = ask(url, "/", headers={"if-none-match": reply.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_every_file_that_the_page_asks_for_is_served(url, root):
    asked = set(re.findall(r'(?:src|href)="(?!data:)([^"]+)"', ask(url, "/").body.decode()))
    for script in (root / "src/oddwave/page").glob("*.js"):
        asked |= {f"page/static/{name}" for name in re.findall(r'from "\./(.+?)"', script.read_text("utf-8"))}
    assert len(asked) > 10
    kinds = {path: ask(url, f"/{path}").headers["content-type"] for path in asked}
    wanted = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
    assert kinds == {path: wanted[Path(path).suffix] for path in asked}


def test_every_text_of_the_page_is_there_in_both_languages(root):
    folder = root / "src/oddwave/page"
    texts = dict(
        re.findall(r"^  (\w+): \[(.*?)\],?$", (folder / "words.js").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
    sources = "".join(path.read_text("utf-8") for path in [*folder.glob("*.js"), folder / "index.html"])
    used = set(re.findall(r'data-t(?:-label)?="(\w+)"', sources)) | set(re.findall(r'\bt\("(\w+)"', sources))
    assert used - set(texts) == set()
    for name, text in texts.items():
        english, chinese = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese)), name


def test_without_the_page_the_way_leads_to_the_documentation(place):
    with service("--model", place / "run", "--workers", 1, "--drain", 0, "--no-page") as started:
        assert ask(started.url, "/").headers["location"] == "/docs"
        assert ask(started.url, "/page/about").status == 404
        assert ask(started.url, "/page/files", b"", "POST").status == 404


def test_with_keys_only_the_page_s_own_files_are_open(place, good):
    from oddwave.serve.keys import new_key

    key = new_key(str(place / "keys"), "me")
    with service("--model", place / "run", "--workers", 1, "--drain", 0, "--api-key-file", place / "keys") as started:
        for route in PAGE_ROUTES:
            path = route.pattern.replace("{}", "main.js")
            body = None if route.method == "GET" else b""
            status = ask(started.url, path, body, route.method, HEADER).status
            assert (status == 401) == (route.pattern not in OPEN | OPEN_PAGE), path
        reply = ask(started.url, "/page/about", headers={"x-api-key": key})
        assert (reply.status, json.loads(reply.body)["keys"]) == (200, True)


# Training


def finished(visitor, training):
    for _ in range(1200):
        state = visitor.ask(f"trainings/{training}").json
        if state["state"] != "running":
            return state
        sleep(0.05)
    raise AssertionError(state)


@pytest.mark.parametrize(
    ("model", "settings", "flags"),
    [
        ("PCA_ad", {}, ()),
        ("DLinear_ad", {"epochs": 2, "seed": 3, "input_len": 24}, ("--epochs", 2, "--seed", 3, "--input_len", 24)),
    ],
)
def test_a_detector_trained_in_the_page_is_the_command_line_s_byte_for_byte(
    visitor, place, good, model, settings, flags
):
    (place / "normal.csv").write_bytes(good)
    out = place / f"cli_{model}"
    words = [
        "train",
        place / "normal.csv",
        "--model",
        model,
        "--out",
        out,
        "-o",
        "Train.feature_cols=[flow, heat]",
        *flags,
    ]
    assert cli.main([str(word) for word in words]) == 0
    file = visitor.open(good, "normal.csv").json["file"]
    wish = {"file": file, "model": model, "channels": ["flow", "heat"], "settings": settings, "name": "pump"}
    state = finished(visitor, visitor.ask("trainings", wish).json["training"])
    assert state["state"] == "done", state
    assert [one["epoch"] for one in state["losses"]] == list(range(1, settings.get("epochs", 0) + 1))
    assert all(one["loss"] > 0 for one in state["losses"])
    assert (state["model"]["title"], state["model"]["channels"]) == ("pump", ["flow", "heat"])
    data = visitor.ask(f"detectors/{state['model']['name'].removeprefix('own:')}").body
    assert data == (out / "detector.onnx").read_bytes()
    assert visitor.ask("results", {"file": file, "model": state["model"]["name"]}).status == 201


def test_one_training_at_a_time_and_a_cancelled_one_leaves_nothing(visitor, url, good):
    file = visitor.open(good).json["file"]
    wish = {"file": file, "model": "DLinear_ad", "settings": {"epochs": 9999, "patience": 9999}}
    first = visitor.ask("trainings", wish)
    assert first.status == 202
    other = Visitor(url)
    again = other.ask("trainings", {**wish, "file": other.open(good).json["file"]})
    assert (again.status, "already" in again.refusal()) == (503, True)
    assert ask(url, "/health").status == 200, "it goes on answering"
    assert other.ask(f"trainings/{first.json['training']}").status == 404
    assert visitor.ask(f"trainings/{first.json['training']}", method="DELETE").status == 204
    assert finished(visitor, first.json["training"])["state"] == "cancelled"
    assert all(not model["own"] for model in visitor.ask("about").json["models"])
    assert visitor.ask("trainings", {**wish, "model": "PCA_ad", "settings": {}}).status == 202


def test_wrong_trainings_are_refused_in_words(visitor, good):
    file = visitor.open(good).json["file"]
    for wish, said in [
        ({"model": "GPT_ad"}, "can't be trained"),
        ({"model": "PCA_ad", "settings": {"epochs": 3}}, "can't be set here"),
        ({"model": "PCA_ad", "settings": {"resume": 1}}, "can't be set here"),
        ({"model": "PCA_ad", "file": "0" * 32}, "gone"),
    ]:
        reply = visitor.ask("trainings", {"file": file, **wish})
        assert said in reply.refusal()
    for settings, said in [({"input_len": -1}, "input_len"), ({"false_alarms": "x"}, "false_alarms")]:
        reply = visitor.ask("trainings", {"file": file, "model": "PCA_ad", "settings": settings})
        state = finished(visitor, reply.json["training"])
        assert (state["state"], said in state["message"]) == ("failed", True)
        assert "/" not in state["message"].replace("1/day", "").replace("2/week", "").replace("1/1000", "")


def test_training_can_be_switched_off(place, good):
    with service("--model", place / "run", "--workers", 1, "--drain", 0, "--no-training") as started:
        visitor = Visitor(started.url)
        assert visitor.about.json["training"]["allowed"] is False
        reply = visitor.ask("trainings", {"file": visitor.open(good).json["file"], "model": "PCA_ad"})
        assert (reply.status, "switched off" in reply.refusal()) == (403, True)


def test_a_training_ends_with_the_service(place, good):
    with service("--model", place / "run", "--workers", 1, "--drain", 0) as started:
        visitor = Visitor(started.url)
        file = visitor.open(good).json["file"]
        wish = {"file": file, "model": "DLinear_ad", "settings": {"epochs": 9999, "patience": 9999}}
        assert visitor.ask("trainings", wish).status == 202
        children = trainers()
        assert children
    for _ in range(100):
        if not children & trainers():
            return
        sleep(0.1)
    raise AssertionError("it goes on")


def trainers():
    """Return the numbers of the processes that train."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"oddwave.serve.page.trainer" in path.read_bytes():
                found.add(path.parent.name)
    return found
