"""The documentation's snippets run, and say what really happens.

Of README.md and docs/, every ```python, ```bash and ```console block is run, a page's blocks one after the
other in one folder that holds a copy of examples/. A bash block must succeed. In a console block each `$ `
line is a command, and the lines below it are what it prints, `...` standing for anything. The comment
`<!-- skip: next -->` above a block leaves it out; it is for commands that install, that train for minutes or
that name the reader's own files.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path for path in [*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def shell(command: str) -> subprocess.CompletedProcess[str]:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=os.environ | {"PATH": programs, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run_bash(example: Example) -> str | None:
    done = shell(str(example.parsed))
    return f"exit status {done.returncode}:\n{done.stdout}" if done.returncode else None


def run_console(example: Example) -> str | None:
    for step in re.split(r"^\$ ", str(example.parsed), flags=re.MULTILINE)[1:]:
        command, _, expected = step.partition("\n")
        printed = shell(command).stdout
        same = doctest.OutputChecker().check_output(expected.strip(), printed.strip(), SAME)
        if expected.strip() and not same:
            return f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}"
    return None


SNIPPETS = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=SAME),
        CodeBlockParser("bash", run_bash),
        CodeBlockParser("console", run_console),
        SkipParser(),
    ]
)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_snippets_of_the_page_run(page, workplace):
    (workplace / ".venv").symlink_to(sys.prefix, target_is_directory=True)  # the pages say .venv/bin/oddwave
    failures = []
    for example in SNIPPETS.parse(page).examples():
        try:
            example.evaluate()  # a python block that fails raises its own error
        except SybilFailure as failure:
            failures.append(str(failure))
    assert failures == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page not in navigation] == []


def test_the_command_line_page_names_every_flag_and_subcommand():
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    printed = shell("oddwave --help").stdout
    flags = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", printed))
    assert "--pipeline" in flags, printed
    assert sorted(flag for flag in flags if f"`{flag}" not in page) == []


def test_links_between_pages_and_files_lead_somewhere():
    link = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    targets = [(page, target) for page in pages for target in link.findall(page.read_text("utf-8"))]
    assert [(page.name, target) for page, target in targets if not (page.parent / target).exists()] == []
