"""Where the middleboxes of a link stand: at its first end.

What comes from there meets them before the link, what goes there after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from testbed.middleboxes import FORWARD

if TYPE_CHECKING:  # they take a moment to load, and few links have any
    from testbed.links.emulator.agenda import Agenda
    from testbed.middleboxes.chain import Chain, Frames

Carry = Callable[[bytes, int], None]
"""Takes a frame onward; is told the time."""


class Station:
    """The middleboxes of one link, none at first. `forward` and `backward` carry on what comes out of them."""

    def __init__(self, forward: Carry, backward: Carry, mtu_bytes: int, agenda: Agenda) -> None:
        self._forward, self._backward, self._mtu_bytes, self._agenda = forward, backward, mtu_bytes, agenda
        self._now_ns = 0
        self._chain: Chain | None = None
        self._due_ns: int | None = None

    def set_middleboxes(self, specifications: Sequence[Mapping[str, Any]], seed: str) -> None:
        """Have these middleboxes from now on, new ones."""
        self._chain = self._due_ns = None
        if specifications:
            from testbed.middleboxes.registry import build

            self._chain = build(specifications, seed, self._mtu_bytes)

    def seed(self, seed: str) -> None:
        """Begin the dice of all middleboxes anew."""
        if self._chain is not None:
            self._chain.seed(seed)

    def counters(self) -> dict[str, dict[str, int]]:
        """Return the counters of each middlebox by its number and name."""
        return self._chain.counters() if self._chain is not None else {}

    def take(self, frame: bytes, way: int, now_ns: int) -> bool:
        """Hand a frame to the middleboxes; False when there are none."""
        if self._chain is None:
            return False
        now_ns = self._tick(now_ns)
        self._carry_on(self._chain.take(frame, way, now_ns), now_ns)
        return True

    def _carry_on(self, frames: Frames, now_ns: int) -> None:
        """Carry on what has come out, and note when the middleboxes want to be woken."""
        for way, frame in frames:
            (self._forward if way == FORWARD else self._backward)(frame, now_ns)
        due_ns = self._chain.deadline_ns if self._chain is not None else None
        if due_ns is not None and (self._due_ns is None or due_ns < self._due_ns):
            self._due_ns = due_ns
            self._agenda.note(due_ns, self._wake, self._chain)

    def _wake(self, due_ns: int, chain: Chain) -> None:
        if chain is not self._chain or due_ns != self._due_ns:
            return  # it was for earlier ones, or an earlier time came in between
        self._due_ns = None
        now_ns = self._tick(due_ns)
        self._carry_on(chain.expire(now_ns), now_ns)

    def _tick(self, now_ns: int) -> int:
        """The time for middleboxes: what is done late must not turn it back."""
        self._now_ns = max(self._now_ns, now_ns)
        return self._now_ns
