"""The API reference: the OpenAPI document as headings, paragraphs, tables and code; and these as Markdown.

Texts may hold `code` and [links](#to-an-anchor).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from oddwave.serve.openapi import document

REF = "#/components/schemas/"
WORDS = {"string": "text", "integer": "whole number", "object": "object", "boolean": "true or false", "array": "list"}
BOUNDS = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}


@dataclass(frozen=True)
class Heading:
    """A heading, and the name by which links reach it."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Table:
    """Rows below a head; the first column names things."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Code:
    """A command, or an example of a body."""

    text: str
    language: str


Block: TypeAlias = "Heading | Table | Code | str"  # a text is a paragraph


def blocks() -> Iterator[Block]:
    """Yield the whole reference."""
    content = document()
    shown: set[str] = set()
    yield Heading(1, f"{content['info']['title']} API", "api")
    for paragraph in content["info"]["description"].split("\n\n"):
        yield paragraph.replace("\n", " ")
    for tag in content["tags"]:
        yield Heading(2, tag["name"], _anchor(tag["name"]))
        yield tag["description"]
        for path, methods in content["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield Heading(3, f"{method.upper()} {path}", operation["operationId"])
                    yield from _operation(operation, content, shown)
    yield Heading(2, "Errors", "errors")
    yield "Every error has one form, whatever the path:"
    yield from _form("Error", content, shown, is_sent=False)
    yield "The status says what kind it is:"
    responses = content["components"]["responses"].items()
    yield Table(("status", "meaning"), [(f"`{status}`", answer["description"]) for status, answer in responses])


def _operation(operation: dict[str, Any], content: dict[str, Any], shown: set[str]) -> Iterator[Block]:
    yield " ".join(filter(None, (operation["summary"] + ".", operation.get("description"))))
    if operation["operationId"].endswith("Version"):  # what else there is to say stands without the version
        return
    for sample in operation.get("x-codeSamples", ()):
        yield Code(sample["source"], "sh")
    if operation["parameters"]:
        rows = [
            (f"`{one['name']}`", one["in"], _kind(one["schema"]), one["description"]) for one in operation["parameters"]
        ]
        yield Table(("parameter", "in", "type", "meaning"), rows)
    if "requestBody" in operation:
        yield from _bodies("**Request**, ", operation["requestBody"]["content"], content, shown, is_sent=True)
    errors = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            errors.append(f"`{status}`")
        else:
            yield f"**Answer {status}**: {answer['description']}"
            yield from _bodies("", answer.get("content", {}), content, shown, is_sent=False)
    yield f"[Errors](#errors): {', '.join(errors)}" if errors else "No errors of its own."


def _bodies(
    word: str, bodies: dict[str, Any], content: dict[str, Any], shown: set[str], is_sent: bool
) -> Iterator[Block]:
    """Yield the forms of a body, by its types, with examples."""
    for kind, body in bodies.items():
        schema = body["schema"]
        yield f"{word}`{kind}`: {_kind(schema) if schema else 'bytes'}"
        if "$ref" in schema:
            yield from _form(schema["$ref"].removeprefix(REF), content, shown, is_sent)
        for example in body.get("examples", {}).values():
            is_text = isinstance(example["value"], str)
            yield Code(example["value"].rstrip() if is_text else _json(example["value"]), "" if is_text else "json")


def _form(name: str, content: dict[str, Any], shown: set[str], is_sent: bool) -> Iterator[Block]:
    """Yield the table of an object's keys, and those of the objects in it, each once on the page."""
    if name in shown:
        return
    shown.add(name)
    schema = content["components"]["schemas"][name]
    yield Heading(4, name, name)
    yield schema["description"]
    rows = []
    for key, about in schema.get("properties", {}).items():
        text = about.get("description", "")
        if is_sent and key in schema.get("required", ()):
            text += " Required."
        if about.get("default") not in (None, {}, []):
            text += f" Default: `{json.dumps(about['default'])}`."
        rows.append((f"`{key}`", _kind(about), text))
    yield Table(("key", "type", "meaning"), rows)
    for inner in _names(schema):
        yield from _form(inner, content, shown, is_sent)


def _names(schema: Any) -> Iterator[str]:
    """Yield the names of the forms in a form."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix(REF)
        for value in schema.values():
            yield from _names(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _names(value)


def _kind(schema: dict[str, Any]) -> str:
    """Say in words what a schema lets through."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return f"[{name}](#{name})"
    if "anyOf" in schema:
        types = [one.get("type") for one in schema["anyOf"]]
        return " or ".join(
            _kind(one) for one in schema["anyOf"] if one.get("type") != "integer" or "number" not in types
        )
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    word = WORDS.get(schema.get("type", ""), schema.get("type", "anything"))
    bounds = [f"{sign} {schema[key]:,}" for key, sign in BOUNDS.items() if key in schema]
    if "items" in schema:
        word = (
            f"{word} of ({_kind(schema['items'])})"
            if "anyOf" in schema["items"]
            else f"{word} of {_kind(schema['items'])}"
        )
    elif schema.get("additionalProperties"):
        word = f"{word} of {_kind(schema['additionalProperties'])}"
    return " ".join([word, *bounds])


def _anchor(text: str) -> str:
    """Make a heading's anchor, as the documentation's builder does.

    Examples
    --------
    >>> _anchor("The tutorial's API")
    'the-tutorials-api'
    """
    return "".join(sign for sign in text.lower().replace(" ", "-") if sign.isalnum() or sign == "-")


def _json(value: Any) -> str:
    """Write JSON for the eye: what fits in a line stays in one.

    Examples
    --------
    >>> print(_json({"rows": [[1.5, 2], [2.5, 3]]}))
    {"rows": [[1.5, 2], [2.5, 3]]}
    """
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= 100 or not isinstance(value, dict | list):
        return line
    if isinstance(value, dict):
        parts, ends = [f"{json.dumps(key)}: {_json(one)}" for key, one in value.items()], "{}"
    else:
        parts, ends = [_json(one) for one in value], "[]"
    inner = ",\n".join(parts).replace("\n", "\n  ")
    return f"{ends[0]}\n  {inner}\n{ends[1]}"


def markdown() -> str:
    """Return the reference as a page of the documentation."""
    return "\n\n".join(_markdown(block) for block in blocks()) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text} {{ #{block.anchor} }}"
    if isinstance(block, Code):
        return f"```{block.language}\n{block.text}\n```"
    if isinstance(block, Table):
        lines = [block.head, tuple("---" for _ in block.head), *block.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
    return block
