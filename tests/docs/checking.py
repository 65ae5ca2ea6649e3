"""Whether a command of the documentation can be typed: its options, and every name and file in it, exist."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from typer.main import get_command

from mptcp_stack.runtime.commands import cli as stack_cli
from testbed.cli import app, main
from testbed.spec.templates import load_topology
from tests.docs.commands import PLACEHOLDER, ROOT, Command

KEPT: dict[str, Any] = tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text())
_OWN_CLASS = "is its directory in PYTHONPATH?"
_RENDERED = ("calibrate", "shell", "exec", "show")


OF_THE_LAB = ("why",)
"""Programs that only hosts of a lab have (testbed/cli/shell.py)."""


def problems(command: Command) -> list[str]:
    """What is wrong with a command; empty when it can be typed."""
    if command.prompt is not None:
        return _typed(command)
    words = command.words
    program, *arguments = words
    if program == "./lab":
        return _lab(command, arguments)
    if arguments[:1] == ["-m"] and program.endswith("python"):
        return _module(command, arguments[1], arguments[2:])
    return [] if shutil.which(program) or (ROOT / program).exists() else [f"no program {program}"]


def _typed(command: Command) -> list[str]:
    """At the prompt: hosts, programs and files of each line."""
    assert command.prompt is not None
    topology, *options = command.prompt.split()
    hosts = {host.name for host in load_topology(topology, {}).hosts}
    found = _lab(command, ["shell", topology, *options])
    for line in command.text.splitlines():
        host, program, *arguments = line.removesuffix("&").split()
        if host not in hosts:
            found.append(f"{topology} has no host {host}")
        if program == "python" and arguments[0] == "-m":
            found += _module(command, arguments[1], arguments[2:])
        elif program == "python" and not (ROOT / arguments[0]).exists():
            found.append(f"no file {arguments[0]}")
        elif program not in OF_THE_LAB and not shutil.which(program):
            found.append(f"no program {program}")
    return found


def _module(command: Command, module: str, arguments: Sequence[str]) -> list[str]:
    if importlib.util.find_spec(module) is None:
        return [f"no module {module}"]
    if module == "mptcp_stack" and arguments:
        return _parsed(command, get_command(stack_cli.app), arguments)[0]
    files = [word for word in arguments if "/" in word and not word.startswith("-")]
    return [f"no file {file}" for file in files if not (ROOT / file).exists()]


def _parsed(command: Command, group: Any, arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """What the command line says of options and arguments, and what it made of them."""
    name, *rest = arguments
    if name.startswith("-"):
        return ([] if name in ("--help", "--version", "--install-completion") else [f"no option {name}"]), {}
    if name not in group.commands:
        return [f"no command {name}"], {}
    try:
        return [], group.commands[name].make_context(name, list(rest)).params
    except typer.Exit:
        return [], {}
    except Exception as error:  # click's, or the copy of it that typer has
        missing = type(error).__name__ == "MissingParameter"
        incomplete = missing and (not command.fenced or PLACEHOLDER.search(command.text))
        return ([] if incomplete else [f"{name}: {getattr(error, 'message', error)}"]), {}


def _lab(command: Command, arguments: Sequence[str]) -> list[str]:
    arguments = [word for word in arguments if word != "--pure"]  # goes with every command
    found, given = _parsed(command, get_command(app), arguments)
    if found or not given:
        return found
    if arguments[0] in ("run", "plan", "bench"):
        return _planned(given)
    if arguments[0] in _RENDERED and given.get("topology"):
        return _rendered(given)
    sources = [str(path) for path in (given.get("source") or ())]
    made = ("results/", "again")
    return [
        f"no file {path}"
        for path in sources
        if not (path.startswith(made) or PLACEHOLDER.search(path) or path in KEPT["given"] or _is_there(path))
    ]


def _is_there(path: str) -> bool:
    return path == "trace.pcap" or any(ROOT.glob(path))


def _planned(given: dict[str, Any]) -> list[str]:
    """What `./lab plan` says of an experiment with these options."""
    experiment = given.get("experiment", "bulk-veth")
    if experiment == "all" or experiment in KEPT["names"]["experiments"] or PLACEHOLDER.search(experiment):
        return []
    words = ["plan", experiment, "--out", "nowhere"]
    words += [word for setting in given.get("settings") or () for word in ("--set", setting)]
    for option in ("scale", "stacks", "collect"):
        words += [f"--{option}", given[option]] if given.get(option) else []
    return _said(*words)


def _rendered(given: dict[str, Any]) -> list[str]:
    """What `./lab show` says of a topology with these settings."""
    topology = given["topology"]
    if topology in KEPT["names"]["topologies"] or PLACEHOLDER.search(topology):
        return []
    said = _said("show", topology, *(word for one in given.get("settings") or () for word in ("--set", one)))
    if said:
        return said
    hosts = {host.name for host in load_topology(topology, {}).hosts}
    wanted = (given.get("command") or [])[:1]
    return [f"{topology} has no host {host}" for host in wanted if host not in hosts]


@cache
def _said(*words: str) -> list[str]:
    """The line with which a command refuses, if it does."""
    errors = io.StringIO()
    argv = mock.patch.object(sys, "argv", ["lab", *words])
    with argv, _own_modules_forgotten(), redirect_stdout(io.StringIO()), redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            return [errors.getvalue().strip()] if end.code and _OWN_CLASS not in errors.getvalue() else []
    return []


@contextmanager
def _own_modules_forgotten() -> Iterator[None]:
    """An experiment that is named by its file becomes a module, found by way of its folder: not for other tests."""
    folder = str(ROOT / "examples")
    with mock.patch.dict(os.environ), mock.patch.object(sys, "path", sys.path[:]):
        yield
    for name, module in list(sys.modules.items()):
        if "." not in name and str(getattr(module, "__file__", "")).startswith(folder):
            del sys.modules[name]
