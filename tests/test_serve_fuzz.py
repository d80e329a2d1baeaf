"""The service fuzzed: whatever the body and the headers, the documented answer and never a fault."""

from __future__ import annotations

import base64
import json
import os
from http.client import HTTPConnection

import made
import pytest
import small
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from serving import PATIENCE_S, ask, reply_of, service

ROUTE, DETECT, INFER = "/time-series-anomaly-detection", "/v1/detect", "/v2/models/run/infer"
ROUTES = (ROUTE, DETECT, INFER, "/v2/models/run/versions/1/infer", "/v2/models/hand/infer")
INPUTS = int(os.environ.get("ODDWAVE_FUZZ", "2000"))
KINDS = 4  # tests below
STATUSES = {200, 400, 403, 404, 408, 413, 415, 422, 503}

LINES = ["timestamp,flow,heat,noise", *(f"{i},{i % 7}.5,{i % 3},0.25" for i in range(24))]
TENSOR = {"name": "rows", "shape": [24, 3], "datatype": "FP64", "data": [0.5, 1, 2] * 24}
VALID = {
    ROUTE: {"csv": base64.b64encode("\n".join(LINES).encode()).decode()},
    DETECT: {"rows": [[0.5, 1, 2]] * 24, "time": list(range(24)), "settings": {"scoring": "causal", "max_gap": 2}},
    INFER: {"inputs": [TENSOR], "outputs": [{"name": "score", "parameters": {"binary_data": True}}]},
}

numbers = st.one_of(
    st.integers(), st.integers(-5, 100), st.floats(), st.sampled_from([0, -1, 1e308, 5e-324, 2**63, -(2**63), 10**400])
)
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["run", "hand", "rows", "time", "score", "FP32", "INT8", "causal", "1/day", "0.01", "http://x/",
                     "2024-01-01", "2024-13-01T25:00:00Z", "nan", "1e400", "\0", "\ud7ff", "=1"]),
)  # fmt: skip
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
keys = st.one_of(
    texts,
    st.sampled_from(["csv", "rows", "columns", "channels", "time", "model", "settings", "inputs", "outputs", "name",
                     "shape", "datatype", "data", "parameters", "id", "binary_data_size", "scoring", "threshold",
                     "false_alarms", "step_s", "max_gap", "merge_gap", "min_length", "contributions", "flow", "heat",
                     "noise"]),
)  # fmt: skip
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5))
cells = st.one_of(numbers.map(str), texts, st.just(""), st.sampled_from(['"', "NA", "inf", "1,5", "-0", "+.5", "0x1"]))
header_lines = st.dictionaries(
    st.sampled_from(["Content-Type", "Accept", "Content-Encoding", "Origin", "X-API-Key", "Authorization", "Host",
                     "Inference-Header-Content-Length", "Upgrade", "X-Other"]),
    st.one_of(st.sampled_from(["text/csv", "application/json", "identity", "null", "h2c", "0", "90", "9" * 30, "["]),
              st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)),
    max_size=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    small.detector(folder / "run")
    (folder / "hand.onnx").write_bytes(made.handmade().data)
    flags = ("--workers", 1, "--max-rows", 5000, "--drain", 0, "--log", "all")
    with service("--model", folder / "run", "--model", folder / "hand.onnx", *flags) as started:
        yield started.url
        assert ask(started.url, "/health").status == 200
        assert '"event":"fault"' not in started.errors()
        assert "died" not in started.errors()


@pytest.fixture(scope="module")
def post(url):
    """Return a call that sends a body on a connection that is kept, and checks the answer's form."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)

    def send(path, content, headers=None):
        lines = {name: value.strip() for name, value in (headers or {}).items()}
        lines = {name: value.encode("latin-1") for name, value in lines.items()}
        try:
            connection.request("POST", path, content, lines)
            reply = reply_of(connection.getresponse())
        except OSError:  # closed after the answer before, as is allowed; on a new one it has to do
            connection.close()
            connection.request("POST", path, content, lines)
            reply = reply_of(connection.getresponse())
        assert reply.status in STATUSES, reply
        if "Host" in lines and (reply.status, reply.body) == (400, b""):
            return reply  # the HTTP server's own: no request came
        if reply.status != 200:
            assert len(reply.refusal()) < 20_000
        return reply

    yield send
    connection.close()


def fuzz(test):
    """Run a test on its share of the inputs; what fails is made smaller, but nothing is kept for later."""
    checks = list(HealthCheck)
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(
        max_examples=-(-INPUTS // KINDS), deadline=None, database=None, phases=phases, suppress_health_check=checks
    )(test)


def as_json(content):
    """Write JSON, with NaN and the like as Python does."""
    return json.dumps(content).encode("utf-8", "surrogatepass")


@fuzz
@given(path=st.sampled_from(ROUTES), content=st.binary(max_size=300), headers=header_lines)
def test_random_bytes(post, path, content, headers):
    post(path, content, headers)


@st.composite
def mutated(draw):
    """Draw a valid body with some bytes exchanged, cut out or put in."""
    path = draw(st.sampled_from(list(VALID)))
    content = bytearray(as_json(VALID[path]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = start + draw(st.sampled_from([0, 1, 1, 10, 1000]))
        content[start:stop] = draw(st.one_of(st.binary(max_size=3), leaves.map(as_json)))
    return path, bytes(content)


@fuzz
@given(sent=mutated(), headers=header_lines)
def test_valid_bodies_with_some_bytes_exchanged(post, sent, headers):
    post(*sent, headers)


@fuzz
@given(path=st.sampled_from(list(VALID)), content=values, changes=st.dictionaries(keys, values, max_size=3))
def test_json_of_any_structure(post, path, content, changes):
    post(path, as_json(content))
    parts = VALID[path] | changes
    if path == INFER:
        parts = VALID[path] | {"inputs": [TENSOR | changes], "parameters": changes}
    post(path, as_json(parts))
    if path == DETECT:
        post(path, as_json(VALID[path] | {"settings": changes}))


@fuzz
@given(
    rows=st.lists(st.lists(cells, min_size=1, max_size=5), max_size=8),
    places=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 3), cells), max_size=5),
    separator=st.sampled_from([",", ",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    query=st.dictionaries(keys, leaves.map(str), max_size=2),
)
def test_csvs_with_any_cells(post, rows, places, separator, end, query):
    from urllib.parse import urlencode

    table = [line.split(",") for line in LINES]
    for row, column, cell in places:
        table[row][column] = cell
    text = end.join(separator.join(row) for row in [*table, *rows])
    content = text.encode("utf-8", "surrogatepass")
    post(ROUTE, as_json({"csv": base64.b64encode(content).decode()}))
    post(f"{DETECT}?{urlencode(query, errors='replace')}", content, {"Content-Type": "text/csv"})
