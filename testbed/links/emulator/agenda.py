"""What the emulator has to do at which time."""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

# How long waking up takes: frames go out this much before they are due, so that on average they are on time.
_EARLY_NS = 50_000

Action = Callable[[int, Any], None]
"""What is done when it is due: is told when that was, and what it is to be done with."""


class Agenda:
    """What is to be done at which time, in that order; of two things due at once the first noted goes first."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, Action, Any]] = []
        self._number = 0

    def note(self, due_ns: int, action: Action, subject: Any) -> None:
        """Do `action(due_ns, subject)` at `due_ns`."""
        self._number += 1
        heappush(self._due, (due_ns, self._number, action, subject))

    def forget(self, action: Action) -> None:
        """Do nothing any more of what is noted for `action`."""
        self._due = [entry for entry in self._due if entry[2] != action]
        heapify(self._due)

    def wait_s(self) -> float | None:
        """How long until something is due; None when nothing is noted."""
        return max(0.0, (self._due[0][0] - _EARLY_NS - time.monotonic_ns()) / 1e9) if self._due else None

    def work(self) -> None:
        """Do what is due."""
        clock = time.monotonic_ns
        while self._due and self._due[0][0] <= clock() + _EARLY_NS:
            due_ns, _, action, subject = heappop(self._due)
            action(due_ns, subject)
