"""Every command of the documentation can be typed, every program is there; `python -m tests.docs` runs them."""

import ast
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from tests.docs.checking import KEPT, problems
from tests.docs.commands import ROOT, Command, blocks, commands, documents

COMMANDS = [command for document in documents() for command in commands(document)]


def named(command: Command) -> str:
    return f"{command.document}:{command.line}"


def test_the_documents_have_commands() -> None:
    assert len([command for command in COMMANDS if command.fenced]) > 25
    assert {command.document for command in COMMANDS} > {"README.md", "docs/shell.md", "examples/scheduler.py"}


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_every_name_option_and_file_of_a_command_exists(command: Command) -> None:
    assert problems(command) == [], command.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("./lab rum quickstart", "no command rum"),
        ("./lab run quickstrat", "unknown experiment 'quickstrat'"),
        ("./lab run quickstart --sett a=b", "--sett"),
        ("sudo ./lab run quickstart --set colour=red", "unknown parameter 'colour'"),
        ("sudo ./lab run quickstart --stacks kernel-udp", "unknown stack 'kernel-udp'"),
        ("./lab show three-paths", "unknown topology 'three-paths'"),
        ("sudo ./lab exec two-paths -- router true", "two-paths has no host router"),
        (".venv/bin/python -m tests.nothing", "no module tests.nothing"),
        ("python -m mptcp_stack serve 80 --pathmanager x", "--pathmanager"),
        ("./lab timesequence eth3.pcap", "no file eth3.pcap"),
    ],
)
def test_what_cannot_be_typed_is_found(text: str, said: str) -> None:
    (found,) = problems(Command("x.md", 1, text))
    assert said in found


def test_what_is_left_out_is_there() -> None:
    fenced = [command.text for command in COMMANDS if command.fenced]
    stale = [one["command"] for one in KEPT["left_out"] if not any(text.startswith(one["command"]) for text in fenced)]
    assert stale == []
    assert all(one["reason"] and one["seconds"] for one in KEPT["left_out"])


def test_where_to_change_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## Where do I change ...")[2].partition("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 10
    for what, where in rows:
        path = ROOT / where.strip("`")
        assert path.is_dir() if where.endswith("/`") else path.is_file(), f"{what}: {where}"


PAGES = [document for document in documents() if document.suffix == ".md"]


def links(document: Path) -> set[Path]:
    """The files that a page leads to."""
    found = re.findall(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)", document.read_text())
    return {(document.parent / link).resolve() for link in found}


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [link for link in links(document) if not link.exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    readme, *others = PAGES
    reached = links(readme)
    reached |= {further for page in reached if page.suffix == ".md" for further in links(page)}
    assert [page for page in others if page not in reached] == []


PYTHON = [
    (f"{document.name}:{line}", text)
    for document in documents()
    for kind, line, text in blocks(document)
    if kind == "python"
]


def test_what_a_document_shows_of_an_example_stands_in_it() -> None:
    shown = [(text, re.match(r"# (examples/\w+\.py)\n", text)) for _, text in PYTHON]
    for text, name in [(text, name) for text, name in shown if name]:
        assert text[name.end() :].strip() in (ROOT / name[1]).read_text(), name[1]
    assert any(name for _, name in shown)


def there_is(module: str, name: str) -> bool:
    return hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("text", [text for _, text in PYTHON], ids=[place for place, _ in PYTHON])
def test_python_of_the_documents_is_python_and_imports_what_there_is(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert [one.name for one in node.names if not there_is(node.module, one.name)] == [], node.module
