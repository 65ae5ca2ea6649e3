"""Runs a compiler on all cores, and on nothing that has not changed since, by content."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from .unit import digest_of


class StepError(Exception):
    """A command failed; the log has what it said."""


class Step(NamedTuple):
    """A command that makes `output` of `inputs`, all named by their path from where it is run.

    What else the command reads it tells in `output`.d, as `-MMD` of a C compiler does. Beside the output stays a record
    of what it was made of, and of what was made.
    """

    output: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]


def run(steps: Sequence[Step], tools: str, place: Path, log: IO[bytes], tell: Callable[[int, int], None]) -> None:
    """Run the steps that have to be, no two of which need each other; `tell` is given how many of all are done.

    `tools` says what takes part that neither commands nor files tell: in other versions it makes something else.
    Raises StepError or OSError when one fails, after it has ended those that run meanwhile.
    """
    maker = _Maker(tools, place, log)
    todo = [step for step in steps if not maker.is_done(step)]
    todo.sort(key=maker.size, reverse=True)  # so that no long one comes last, alone
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            running = [pool.submit(maker.run, step) for step in todo]
            for done, future in enumerate(as_completed(running), len(steps) - len(todo) + 1):
                future.result()
                tell(done, len(steps))
        except BaseException:
            maker.end()
            raise


class _Maker:
    """Runs steps in one place; files do not change there but by steps."""

    def __init__(self, tools: str, place: Path, log: IO[bytes]) -> None:
        self._tools = tools
        self._place = place
        self._log = log
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def size(self, step: Step) -> int:
        return sum((self._place / file).stat().st_size for file in step.inputs)

    def is_done(self, step: Step) -> bool:
        try:
            made_of, made, *inputs = self._record(step).read_text().splitlines()
            return made_of == self._made_of(step, inputs) and made == digest_of(self._place / step.output)
        except (OSError, ValueError):
            return False

    def run(self, step: Step) -> None:
        self._record(step).unlink(missing_ok=True)
        (self._place / step.output).parent.mkdir(parents=True, exist_ok=True)
        if self._call(step.command):
            raise StepError
        inputs = [*step.inputs, *self._read_meanwhile(step)]
        made = digest_of(self._place / step.output)
        self._record(step).write_text("\n".join([self._made_of(step, inputs), made, *inputs]))

    def end(self) -> None:
        """End what runs, with all that it has started, and begin nothing more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGTERM)

    def _call(self, command: Sequence[str]) -> int:
        """Run a command in a process group of its own; return its code.

        So `end` ends it, never the terminal: a Ctrl-C reaches what runs, and not what the next thread is to begin.
        """
        with self._lock:
            if self._ended:
                raise StepError
            process = subprocess.Popen(
                command,
                cwd=self._place,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                process_group=0,
            )
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._lock:
                self._running.discard(process)

    def _record(self, step: Step) -> Path:
        return self._place / f"{step.output}.record"

    def _read_meanwhile(self, step: Step) -> list[str]:
        with suppress(FileNotFoundError):
            rule = (self._place / f"{step.output}.d").read_text()
            return shlex.split(rule.replace("\\\n", " "))[1:]
        return []

    def _made_of(self, step: Step, inputs: Iterable[str]) -> str:
        return hashlib.sha256("\0".join([self._tools, *step.command, *map(self._digest, inputs)]).encode()).hexdigest()

    def _digest(self, file: str) -> str:
        if file not in self._digests:
            self._digests[file] = digest_of(self._place / file)
        return self._digests[file]
