"""The runner's end of the sampling process (:mod:`testbed.collectors.sampler`)."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from testbed.collectors.base import Report, SampledCollector, Site
from testbed.collectors.sampler import Order, Orders
from testbed.errors import LabError
from testbed.host.process import START_LIMIT_S, tail

STOP_LIMIT_S = 15.0
"""Chosen: the sampler writes its files before it answers, on a disk that may be slow."""
_ERRORS = "sampler.stderr"


class Sampler:
    """Starts and stops one process for all sampled collectors; none when there are no such collectors."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._collectors: dict[str, SampledCollector] = {}
        self._process: subprocess.Popen[str] | None = None
        self._command: list[str] = []

    def start(self, collectors: Sequence[SampledCollector]) -> dict[str, str]:
        """Start; return the reason, by name, of each collector that this machine cannot run.

        Every other one has its first sample then. Raises LabError when the process does not start.
        """
        if not collectors:
            return {}
        self._collectors = {_place(collector): collector for collector in collectors}
        orders = [
            Order(place, one.settings.model_dump(mode="json"), one.places(self._site), one.file)
            for place, one in self._collectors.items()
        ]
        interpreter = [sys.executable, "-P"] if sys.flags.safe_path else [sys.executable]
        self._command = [*interpreter, "-m", "testbed.collectors.sampler"]
        with (self._site.directory / _ERRORS).open("w") as errors:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Out of reach of the terminal's Ctrl-C: it ends with its standard input, after the load.
                start_new_session=True,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: the answer, or its last words, say why
            self._process.stdin.write(Orders(str(self._site.directory), orders).to_json() + "\n")
            self._process.stdin.flush()
        refused: dict[str, str] = self._answer(START_LIMIT_S)["ready"]
        return {self._collectors[place].name: why for place, why in refused.items()}

    def stop(self) -> dict[str, Report]:
        """Stop, and return what each collector left, by name; a process that broke is their failure."""
        if self._process is None:
            return {}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            answer = self._answer(STOP_LIMIT_S)
        except (LabError, OSError) as error:
            answer = {"done": {}, "failure": str(error)}
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
        errors = self._site.directory / _ERRORS
        if not errors.stat().st_size:
            errors.unlink()
        return {
            one.name: self._report(one, answer["done"].get(place), answer) for place, one in self._collectors.items()
        }

    def _report(self, collector: SampledCollector, done: dict[str, Any] | None, answer: dict[str, Any]) -> Report:
        if done is None:
            return Report(failure=answer.get("failure"))
        return Report(
            files=[collector.file],
            commands=[self._command],
            cpu_s=done["cpu_s"],
            failure=done["failure"],
            details={"samples": done["samples"], "missed": done["missed"], "process_cpu_s": answer["cpu_s"]},
        )

    def _answer(self, limit_s: float) -> dict[str, Any]:
        """Read one line of the process. Raises LabError with its last words when there is none."""
        assert self._process is not None
        assert self._process.stdout is not None
        # Beside many hosts its number may be one that `select` does not take.
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        readable = poll.poll(limit_s * 1000)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            words = tail(self._site.directory / _ERRORS).splitlines()
            why = words[-1] if words else f"no answer within {limit_s:.0f} s" if not readable else "it ended"
            raise LabError(f"the sampling process failed: {why}", exit_code=1)
        answer: dict[str, Any] = json.loads(line)
        return answer


def _place(collector: SampledCollector) -> str:
    """Return what names a collector's class in another process."""
    kind = type(collector)
    return f"{kind.__module__}:{kind.__qualname__}"
