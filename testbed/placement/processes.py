"""Programs on the cores that they were given."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection, Sequence
from typing import Any

from testbed.errors import LabError

_LIMIT_S = 5.0


def pinned(command: Sequence[str], cpus: Collection[int]) -> list[str]:
    """The command that runs `command` on `cpus` only (any when there are none)."""
    return ["taskset", "-c", ",".join(map(str, cpus)), *command] if cpus else list(command)


def await_pin(name: str, process: subprocess.Popen[Any], cpus: Collection[int]) -> None:
    """Wait until a program started with `pinned` is where it should be; LabError when it does not get there.

    One that ends before is none of this function's concern.
    """
    deadline = time.monotonic() + _LIMIT_S
    while cpus and process.poll() is None:
        try:
            got = os.sched_getaffinity(process.pid)
        except ProcessLookupError:
            return
        if got == set(cpus):
            return
        if time.monotonic() > deadline:
            raise LabError(f"{name}: should be pinned to CPUs {sorted(cpus)}, but may use {sorted(got)}", 1)
        time.sleep(0.001)
