"""Running code in labs from tests: every run is a process of its own that makes its private namespace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_PRELUDE = """
import json, sys, time
from testbed.host import namespace
inside = namespace.enter()
from testbed.lab import Lab
from testbed.spec.templates import load_topology
def say(value):
    print(json.dumps(value), flush=True)
"""


def program(code: str) -> list[str]:
    """A command that runs `code` in a private namespace; `say(value)` prints a line of JSON."""
    return [sys.executable, "-c", _PRELUDE + textwrap.dedent(code)]


def run_inside(code: str, *arguments: str, timeout: float = 60.0) -> list[Any]:
    """Run `code` to its end, with `arguments` in sys.argv, and return what it said."""
    done = subprocess.run([*program(code), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def start_inside(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start `code`, with `arguments` in sys.argv; read what it says from its standard output."""
    return subprocess.Popen([*program(code), *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)


def wait_until(condition: Callable[[], object], limit_s: float = 5.0) -> bool:
    """Whether `condition` became true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def children(pid: int) -> list[int]:
    """The child processes of a process, oldest first."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(stat.parent.name))
    return sorted(found)


def processes_with(variable: str) -> list[int]:
    """Processes that have `variable` (NAME=VALUE) in their environment: a run's, however they were started."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
        except OSError:
            continue
    return found


def machine_settings() -> dict[str, str]:
    """Machine-wide settings that a lab, or Mininet, could change."""
    names = [*Path("/proc/sys/fs").glob("file-max"), *Path("/proc/sys/kernel/pty").glob("max")]
    names += [path for path in Path("/proc/sys/net/core").glob("*") if path.is_file()]
    found = {}
    for path in names:
        try:
            found[str(path)] = path.read_text()
        except OSError:
            continue
    return found


def end(process: subprocess.Popen[str]) -> None:
    """Make sure that a started program is gone."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.communicate()
