"""Every example says how it is run, and prints what it says that it prints."""

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.commands import ROOT, blocks, commands, documents, examples, said

MEASURED = {"read_results.py"}
"""What these print are results that are measured anew now and then: other numbers, the same words."""


class Promise(NamedTuple):
    """A command of an example, and what it prints."""

    example: Path
    command: str
    output: str


def promises() -> list[Promise]:
    found = []
    for example in examples():
        typed = [one.text for one in commands(example)]
        texts = [text for _, _, text in blocks(example)]
        for text, output in pairwise(texts):
            command = text.replace("\\\n", "").strip()
            if command in typed and output.split("\n")[0] not in typed:
                found.append(Promise(example, command, output))
    return found


PROMISES = promises()


def run(promise: Promise) -> str:
    """Type a command as it stands, with this Python for .venv's; root needs no sudo."""
    words = shlex.split(promise.command)
    python = [sys.executable, "-P", "-m", "testbed"]
    words = words[words[0] == "sudo" :]
    words = [*python, *words[1:]] if words[0] == "./lab" else [sys.executable, *words[1:]]
    done = subprocess.run(
        words, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def comparable(promise: Promise, text: str) -> list[str]:
    if promise.example.name in MEASURED:
        text = re.sub(r"\d+", "0", text)
        return [" ".join(line.split()) for line in text.splitlines()]
    return text.splitlines()


@pytest.mark.parametrize(
    "promise",
    [
        pytest.param(one, id=one.example.name, marks=[pytest.mark.root] if one.command.startswith("sudo") else [])
        for one in PROMISES
    ],
)
def test_it_prints_what_it_says(promise: Promise) -> None:
    assert comparable(promise, run(promise)) == comparable(promise, promise.output)


@pytest.mark.parametrize("example", examples(), ids=lambda path: path.name)
def test_it_says_how_it_is_run_and_what_it_prints(example: Path) -> None:
    text = said(example)
    others = [name for name in re.findall(r"`(\w+\.py)`", text) if name != example.name]
    assert commands(example) or any(example.name in said(example.with_name(other)) for other in others)
    assert "print" in text


def test_documents_show_what_examples_print() -> None:
    outputs = {one.command: one.output for one in PROMISES}
    shown = [
        (command.strip(), output)
        for document in documents()
        for (_, _, command), (kind, _, output) in pairwise(blocks(document))
        if kind == "text" and command.strip() in outputs
    ]
    assert shown
    assert all(output == outputs[command] for command, output in shown)


def test_programs_promise_something() -> None:
    assert {one.example.name for one in PROMISES} >= {"asyncio_client.py", "scheduler.py", "simulation.py"}
