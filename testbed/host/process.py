"""Programs of a measurement: started in a host, watched while they run, always stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import LabError
from testbed.input.plugins import exception_in

if TYPE_CHECKING:
    from testbed.host.hosts import Host

POLL_INTERVAL_S = 0.1
"""Chosen: between two looks at a program and its progress."""
START_LIMIT_S = 15.0
"""Chosen: so long a program that hangs is waited for; a busy machine alone must not fail a point."""
STOP_LIMIT_S = 10.0
"""Chosen: a program that has not ended by then, after it was told to, is killed."""
TAIL_BYTES = 4096
"""Of an error output: what is shown of it."""
HEAD_BYTES = 1 << 20
"""Of an error output: where a first exception is looked for."""


@dataclass
class Program:
    """A running program whose output goes to two files."""

    name: str
    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def exception(self) -> str | None:
        """Return the first exception that it printed, with the place in a user's code if it came from there."""
        with self.stderr.open("rb") as file:
            return exception_in(file.read(HEAD_BYTES).decode(errors="replace"))

    def last_words(self) -> str:
        """Return the exception that it printed, else the last line of its error output, for messages."""
        if exception := self.exception():
            return exception
        lines = tail(self.stderr).splitlines() or tail(self.stdout).splitlines()
        return lines[-1] if lines else "it said nothing"

    def documents(self) -> list[dict[str, Any]]:
        """Return the JSON lines that it printed."""
        return [json.loads(line) for line in self.stdout.read_text().splitlines() if line.startswith("{")]

    def wait(self, limit_s: float, watch: Callable[[float], None]) -> int:
        """Wait for its end and return its exit code; ``watch`` is called ten times a second with the time so
        far.

        Raises :class:`LabError` when it has not ended after ``limit_s``.
        """
        started = time.monotonic()
        while True:
            try:
                return self.process.wait(POLL_INTERVAL_S)
            except subprocess.TimeoutExpired:
                elapsed_s = time.monotonic() - started
            if elapsed_s > limit_s:
                raise LabError(f"{self.name} did not end within {limit_s:.0f} s: {self.last_words()}", exit_code=1)
            watch(elapsed_s)

    def await_start(self, ready: Callable[[Program], bool]) -> None:
        """Wait until it is ready; raises :class:`LabError` when it ends before, or takes too long."""
        deadline = time.monotonic() + START_LIMIT_S
        while not ready(self):
            if self.process.poll() is not None:
                raise LabError(f"{self.name} did not start: {self.last_words()}", exit_code=1)
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} was not ready after {START_LIMIT_S:.0f} s", exit_code=1)
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask it to end, then make it."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def module_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs one of our modules."""
    # As the launcher does, -P: a directory called testbed where the user happens to be is not ours.
    interpreter = [sys.executable, "-P"] if sys.flags.safe_path else [sys.executable]
    return [*interpreter, "-m", module, *arguments]


def tail(path: Path) -> str:
    """Return the end of a text file that may still be growing."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        return file.read().decode(errors="replace")


def announced_ready(program: Program) -> bool:
    """Tell whether one of our servers has printed its ``{"ready": ...}`` line."""
    return program.stdout.read_bytes().startswith(b'{"ready"')


@contextmanager
def running(host: Host, argv: Sequence[str], directory: Path, name: str) -> Iterator[Program]:
    """Run ``argv`` in ``host`` during the block, its output in ``directory/name.stdout``, ``.stderr``."""
    stdout, stderr = directory / f"{name}.stdout", directory / f"{name}.stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = host.popen(list(argv), stdout=out, stderr=err)
    program = Program(name, process, stdout, stderr)
    try:
        yield program
    finally:
        program.stop()
