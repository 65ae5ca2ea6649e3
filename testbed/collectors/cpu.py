"""Processor time by core and by thread over time, with context switches and migrations."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from testbed.collectors.base import Place, SampledCollector, Source

# Fields of /proc/PID/stat behind the command's closing parenthesis (proc(5) counts from 1, with two before it).
_UTIME, _STIME, _PROCESSOR = 14 - 3, 15 - 3, 39 - 3

_SCHED = {
    "se.sum_exec_runtime": 0,
    "nr_voluntary_switches": 1,
    "nr_involuntary_switches": 2,
    "se.nr_migrations": 3,
}
"""Lines of /proc/PID/sched that are kept, and their place in a row behind the four of `stat`."""


class Cpu(SampledCollector):
    """`/proc/stat`, and all threads of the run: programs in hosts, link emulator, runner and sampler themselves.

    A thread's row: process, thread, core it ran on last, user and system time in ticks, time on a processor in ms,
    voluntary and involuntary context switches, migrations between cores; null where the kernel does not tell.
    """

    name = "cpu"
    summary = "processor time by core and thread, context switches, migrations"

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return the cores, the threads, and what the processes are."""
        threads = _Threads(places)
        yield Source("", "cores", _read_cores)
        yield Source("", "threads", threads.read)
        yield Source("", "processes", threads.newcomers)


def _read_cores() -> str:
    """Return the lines of the cores, and how many ticks a second has."""
    lines = Path("/proc/stat").read_text().split("intr", 1)[0]
    return f"{lines}ticks_per_second {os.sysconf('SC_CLK_TCK')}\n"


class _Threads:
    """All threads that are visible, and the hosts that they are in."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._hosts = {os.readlink(f"/proc/{place.pid}/ns/net"): place.name for place in places}
        self._known: dict[int, Any] = {}
        self._new: dict[int, Any] = {}

    def read(self) -> list[list[float | None]]:
        """Return a row for each thread."""
        rows = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                self._meet(int(pid))
                rows += [_read_thread(int(pid), int(thread)) for thread in os.listdir(f"/proc/{pid}/task")]
            except OSError:  # it has ended meanwhile
                continue
        return rows

    def newcomers(self) -> dict[int, Any] | None:
        """Return host and command line of processes that are new, or that run another program than before."""
        new, self._new = self._new, {}
        return new or None

    def _meet(self, pid: int) -> None:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().decode(errors="replace").split("\0")[:-1]
        found = {"host": self._hosts.get(os.readlink(f"/proc/{pid}/ns/net"), ""), "command": command}
        if self._known.get(pid) != found:
            self._known[pid] = self._new[pid] = found


def _read_thread(pid: int, thread: int) -> list[float | None]:
    directory = f"/proc/{pid}/task/{thread}"
    with open(f"{directory}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    row: list[float | None] = [pid, thread, *(int(fields[place]) for place in (_PROCESSOR, _UTIME, _STIME))]
    return row + _read_sched(f"{directory}/sched")


def _read_sched(path: str) -> list[float | None]:
    """Read what the scheduler tells of a thread; a kernel may have been built without it."""
    values: list[float | None] = [None] * len(_SCHED)
    try:
        with open(path) as file:
            lines = file.readlines()
    except FileNotFoundError:
        return values
    for line in lines:
        name, _, value = line.partition(":")
        place = _SCHED.get(name.rstrip())
        if place is not None:
            values[place] = float(value)
    return values
