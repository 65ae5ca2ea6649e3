"""Which thread of a measurement's programs was the busiest: when one never rests it is the limit, not the links.

The share of all cores that is busy does not tell: a program has one thread, a machine several cores. Nor does a
thread's processor time alone, where more threads want to run than there are cores. So a thread counts as busy while it
runs or waits for a core (`/proc/PID/task/TID/schedstat`, proc(5)). What the kernel does in interrupts, which may well
be on another core, is on no thread's account.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

SHORTEST_S: Final = 0.5
"""Of a load that can be judged: it is looked at ten times a second."""


class Threads:
    """How long the threads of some programs have been busy, whenever they were looked at."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], list[tuple[int, int]]] = {}

    def look(self, programs: Mapping[str, int]) -> None:
        """Look at the threads of programs, given by name and process, and of what these have started."""
        for name, program in programs.items():
            for thread in _threads(Path("/proc") / str(program)):
                if (busy_ns := _busy_ns(thread)) is not None:
                    self._seen.setdefault((name, int(thread.name)), []).append((time.monotonic_ns(), busy_ns))

    def busiest(self, began_ns: int, ended_ns: int) -> dict[str, Any]:
        """Return whose thread was the busiest between two moments of CLOCK_MONOTONIC, and for which share of the time.

        Empty where the kernel does not tell, or the time is too short.
        """
        shares: dict[str, float] = {}
        if ended_ns - began_ns >= SHORTEST_S * 1e9:
            for (program, _), seen in self._seen.items():
                shares[program] = max(shares.get(program, 0.0), _share(seen, began_ns, ended_ns))
        if not shares:
            return {}
        program = max(shares, key=shares.__getitem__)
        return {"busiest_program": program, "busiest_thread_share": round(shares[program], 3)}


def _share(seen: list[tuple[int, int]], began_ns: int, ended_ns: int) -> float:
    """Return the share of the time between the looks that are nearest inside in which a thread was busy."""
    inside = [look for look in seen if began_ns <= look[0] <= ended_ns]
    if len(inside) < 2:  # a thread that soon ended
        return 0.0
    (from_ns, before_ns), (to_ns, after_ns) = inside[0], inside[-1]
    return min(1.0, (after_ns - before_ns) / (to_ns - from_ns))


def _threads(process: Path) -> Iterator[Path]:
    """Give the directories of a process's threads, and of those that it has started."""
    try:
        threads = list((process / "task").iterdir())
        children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    except OSError:  # it has ended, or the kernel tells nothing of children
        threads, children = [], []
    yield from threads
    for pid in children:
        yield from _threads(process.parent / pid)


def _busy_ns(thread: Path) -> int | None:
    try:
        ran_ns, waited_ns, *_ = (thread / "schedstat").read_text().split()
    except (OSError, ValueError):
        return None
    return int(ran_ns) + int(waited_ns)
