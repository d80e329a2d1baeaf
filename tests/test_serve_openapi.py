"""The OpenAPI document says what the service does: its routes, its forms, its examples, its statuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import schemathesis
import serving
from jsonschema_rs import Draft202012Validator
from serving import ask

from oddwave import cli_flags
from oddwave.serve import app, docs_page, openapi, reference
from oddwave.serve.operations import EXAMPLES, OPERATIONS
from oddwave.serve.routes import ROUTES
from oddwave.serve.settings import ServiceSettings
from oddwave.serve.telemetry import REASONS
from oddwave.train import train

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = openapi.document()
RENEW = "renew it: python -c 'from oddwave.serve import reference as r; print(r.markdown(), end=str())' > docs/api.md"
BODIES = [(name, kind, title) for (name, side, kind), found in EXAMPLES.items() if side == "request" for title in found]


@pytest.fixture(scope="module")
def pump(tmp_path_factory):
    """Return the detector of the document's examples: two channels, a window of one row."""
    import polars as pl

    rng, time = np.random.default_rng(0), np.arange(2000)
    flow, heat = 10 + np.sin(time / 9) + rng.normal(0, 0.1, 2000), 60 + 2 * np.cos(time / 9) + rng.normal(0, 0.2, 2000)
    short = {"smoothing": 1, "rolling": 3, "causal_smoothing": 1, "causal_rolling": 3, "long_rolling": 9}
    detector = train(pl.DataFrame({"time": time, "flow": flow, "heat": heat}), model="ZScore_ad", **short)
    path = tmp_path_factory.mktemp("pump") / "pump.onnx"
    path.write_bytes(detector.data)
    return path


@pytest.fixture(scope="module")
def url(pump):
    """Return the address of a service with the detector of the examples."""
    with serving.service("--workers", "1", "--model", pump, "--log", "off") as running:
        yield running.url


def operation(name):
    return next(one for one in OPERATIONS if one.name == name)


def closed(schema):
    """Return a schema that lets no other keys through than it names."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **found} if "properties" in schema else found


def check(value, form):
    """Hold a value to a form of the document, with no key beside those named there."""
    schemas = closed(DOCUMENT["components"]["schemas"])
    schema = {"$ref": f"#/components/schemas/{form}", "components": {"schemas": schemas}}
    Draft202012Validator(schema).validate(value)


# The document


def test_the_document_is_valid_openapi():
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    with pytest.raises(Exception, match="is not of type"):
        schemathesis.openapi.from_dict({**DOCUMENT, "paths": {"/x": 7}}).validate()


def test_the_document_has_every_route_and_no_other():
    documented = [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]
    assert sorted((method, re.sub(r"{\w+}", "{}", path)) for method, path in documented) == sorted(
        (route.method, route.pattern) for route in ROUTES
    )


def test_the_document_says_which_routes_need_no_key():
    assert {one.path for one in OPERATIONS if one.is_open} == app.OPEN
    assert {one.path for one in OPERATIONS if 401 not in one.errors} == app.OPEN


def test_every_status_that_the_service_refuses_with_is_explained():
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "src/oddwave/serve").glob("*.py"))
    refused = set(re.findall(r"Refused\(\s*(\d{3}),", sources))
    assert len(refused) > 8
    assert refused <= set(DOCUMENT["components"]["responses"])


def test_every_key_and_parameter_is_described():
    silent = [
        f"{operation['operationId']} {one['name']}"
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for one in operation["parameters"]
        if not one.get("description")
    ]
    for name in ("DetectRequest", "Detection", "Payload", "InferRequest", "Tensor", "Error"):
        keys = DOCUMENT["components"]["schemas"][name]["properties"]
        silent += [f"{name} {key}" for key, about in keys.items() if not about.get("description")]
    assert silent == []


def test_the_service_hands_the_document_out(url):
    reply = ask(url, "/openapi.json")
    assert (reply.status, reply.json) == (200, DOCUMENT)


# The examples


@pytest.mark.parametrize(("name", "kind", "title"), BODIES)
def test_an_example_of_a_request_gets_an_answer_of_the_documented_form(url, name, kind, title):
    body = EXAMPLES[name, "request", kind][title]
    sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    reply = ask(url, operation(name).path.format(name="pump"), sent, headers={"Content-Type": kind})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json"), reply
    check(reply.json, operation(name).gives["application/json"])


def test_the_examples_of_answers_have_the_documented_form():
    answers = {key: value for key, value in EXAMPLES.items() if key[1:] == ("answer", "application/json")}
    assert len(answers) == 3
    for (name, _, kind), found in answers.items():
        for value in found.values():
            check(value, operation(name).gives[kind])


def test_contributions_and_rows_without_a_score_have_the_documented_form(url):
    body = {"rows": [[10.1, 60.3], [None, None], [10.2, 60.1]], "settings": {"contributions": True, "max_gap": 0}}
    reply = ask(url, "/v1/detect", body)
    assert set(reply.json["rows"]) == {"time", "label", "score", "reason", "contribution"}
    check(reply.json, "DetectAnswer")


@pytest.mark.parametrize("one", [one for one in OPERATIONS if one.method == "get"], ids=lambda one: one.name)
def test_a_get_is_answered_in_the_documented_form(url, one):
    reply = ask(url, one.path.format(name="pump", version="1"))
    assert reply.status == one.status
    assert set(map(str.lower, one.headers)) <= set(reply.headers)
    for kind, form in one.gives.items():
        assert reply.headers["content-type"].partition(";")[0] == kind
        if form[0].isupper():
            check(reply.json, form)


@pytest.mark.parametrize("end", ["", "/ready", "/infer"])
def test_a_version_that_is_not_there_is_an_error_on_every_path(url, end):
    reply = ask(url, f"/v2/models/pump/versions/7{end}", {} if end == "/infer" else None)
    assert reply.status == 404
    assert "only the version 1" in reply.refusal()
    check(reply.json, "Error")


def test_settings_in_the_address_of_a_json_body_are_refused_not_left_aside(url):
    reply = ask(url, "/v1/detect?model=other", {"rows": [[10.1, 60.3]]})
    assert reply.status == 422
    assert "in the body" in reply.refusal()


@pytest.mark.parametrize("size", ["x", "-1", "1e3", "9999999"])
def test_a_length_of_the_json_that_is_none_is_refused_not_left_aside(url, size):
    body = EXAMPLES["modelInfer", "request", "application/json"]["tensors"]
    reply = ask(url, "/v2/models/pump/infer", body, headers={"Inference-Header-Content-Length": size})
    assert reply.status == 400
    assert size in reply.refusal()


# What a machine thinks of


@pytest.mark.slow
def test_requests_made_up_from_the_document_find_no_fault(url, tmp_path):
    """All checks but one: that a body of the right form is accepted, since its channels must be the detector's.

    So: no status of 500 or above; statuses, types, headers and forms of answers as documented; bodies and parameters of
    another form refused; other methods refused with `Allow`.
    """
    words = ["run", f"{url}/openapi.json", "--exclude-checks", "positive_data_acceptance", "--max-examples", "60"]
    words += ["--phases", "examples,coverage,fuzzing", "--seed", "1", "--generation-database", "none", "--no-color"]
    run = "import sys; from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run([sys.executable, "-c", run, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 500, done.stdout[-4000:]


# The page and the documentation


def test_the_page_names_every_route_and_asks_nothing_of_other_hosts(url):
    reply = ask(url, "/docs")
    page = reply.body.decode()
    assert reply.body == docs_page.page()
    assert [one.path for one in OPERATIONS if f"</span> {one.path}</h3>" not in page] == []
    assert "<script" not in page
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!#|data:,)[^"'\s>]+""", page) == []
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")


def test_every_link_within_the_page_leads_somewhere():
    page = docs_page.page().decode()
    anchors = re.findall(r'id="([^"]+)"', page)
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)
    assert len(anchors) == len(set(anchors))


def test_the_reference_in_the_documentation_is_up_to_date():
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert page == reference.markdown(), RENEW


def test_every_reason_in_the_metrics_is_explained():
    page = (ROOT / "docs" / "service.md").read_text("utf-8")
    assert [reason for reason in REASONS if f"`{reason}`" not in page] == []


@pytest.mark.slow
def test_the_commands_in_the_documentation_get_answers(workplace):
    block = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    pages = [ROOT / "docs" / name for name in ("api.md", "service.md")]
    snippets = [found for page in pages for found in block.findall(page.read_text("utf-8"))]
    assert {language for language, _ in snippets} == {"sh", "python"}
    failed = []
    with serving.service("--workers", "1", "--model", "DLinear_ad", "--model", "PCA_ad", "--log", "off") as running:
        for language, snippet in snippets:
            here = snippet.replace("http://127.0.0.1:8080", running.url)
            here = here.replace("curl ", "curl --silent --show-error --fail-with-body ")
            words = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
            done = subprocess.run([*words, here], capture_output=True, text=True)
            if done.returncode:
                failed.append(f"{snippet}\n{done.stdout}{done.stderr}")
    assert failed == []


# What goes into a system


def test_the_files_for_deployment_give_flags_that_there_are(root):
    flags = set(re.findall(r"--[a-z][\w-]+", cli_flags.serve().format_help()))
    commands = re.findall(r"oddwave serve .*", (root / "deploy" / "oddwave.service").read_text("utf-8"))
    commands += re.findall(
        r'^ENTRYPOINT .*"serve".*', (root / "deploy" / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    assert len(commands) == 3
    assert set(re.findall(r"--[a-z][\w-]+", " ".join(commands))) <= flags


def test_the_proxies_let_bodies_through_as_large_as_the_service_takes(root):
    assert "client_max_body_size 16m;" in (root / "deploy" / "nginx.conf").read_text("utf-8")
    assert "max_size 16MiB" in (root / "deploy" / "Caddyfile").read_text("utf-8")
    assert ServiceSettings().max_body == 16 << 20
