"""How much the application may write ahead of what is acknowledged."""

from collections.abc import Iterable
from typing import Final

from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.storage import NEVER

INITIAL_BYTES: Final = 128 << 10
"""Two super-segments: one under way, one that waits."""


class SendBuffer:
    """A capacity that is fixed, or begins small and grows with the congestion windows (NSDI 2012, section 4.1).

    ``next_look``: the byte of the stream whose acknowledgement is the next occasion to grow; NEVER if there is none.
    """

    __slots__ = ("_limit_bytes", "capacity_bytes", "next_look")

    def __init__(self, limit_bytes: int, autotuning: bool) -> None:
        self.resize(limit_bytes)
        if autotuning and limit_bytes > INITIAL_BYTES:
            self.capacity_bytes = INITIAL_BYTES
            self.next_look = 0

    def resize(self, limit_bytes: int) -> None:
        """The application fixes the capacity."""
        self._limit_bytes = self.capacity_bytes = limit_bytes
        self.next_look = NEVER

    def look(self, base: int, subflows: Iterable[Subflow]) -> None:
        """All before ``base`` is acknowledged and the application waits for room: is there too little of it?

        Twice what all subflows together send in a round trip of the slowest: while a loss is repaired there, the
        others go on. Looks are so far apart that a window in slow start does not double between two of them.
        """
        self.capacity_bytes = min(max(self.capacity_bytes, 2 * needed_bytes(subflows)), self._limit_bytes)
        grown = self.capacity_bytes == self._limit_bytes
        self.next_look = NEVER if grown else base + self.capacity_bytes // 4


def needed_bytes(subflows: Iterable[Subflow]) -> int:
    """What subflows that have been measured send together in a round trip of the slowest."""
    measured = [(subflow.cwnd_bytes, subflow.srtt_ns) for subflow in subflows if subflow.srtt_ns]
    slowest_ns = max((srtt_ns for _, srtt_ns in measured), default=0)
    return sum(cwnd_bytes * slowest_ns // srtt_ns for cwnd_bytes, srtt_ns in measured)
