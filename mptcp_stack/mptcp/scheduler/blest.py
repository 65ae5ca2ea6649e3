"""BLEST: leave a slow subflow idle when its data would block the fast one (Ferlin and others, Networking 2016)."""

from collections.abc import Sequence
from typing import Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.scheduler.base import Scheduler
from mptcp_stack.mptcp.subflow.subflow import Subflow

_MARGIN: Final = 1.2
"""The paper's lambda, where its authors' implementation starts."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Blest(Scheduler):
    """Blocking estimation.

    While a burst is on its way over the slow subflow, the fast one could send ``fast_bytes`` (its window grows by one
    segment a round trip meanwhile). The slow one is used only if the peer's window has room for both.
    """

    name = "blest"

    @override
    def select(self, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow | None:
        slow = min(subflows, key=lambda subflow: subflow.srtt_ns)
        fast = min((one for one in self.traffic.subflows if not one.backup), key=lambda one: one.srtt_ns, default=slow)
        if fast.srtt_ns >= slow.srtt_ns or not fast.srtt_ns or fast.failing:
            return slow
        rounds = slow.srtt_ns / fast.srtt_ns
        fast_bytes = rounds * (fast.cwnd_bytes + fast.mss * (rounds - 1) / 2)
        slow_bytes = slow.in_flight_bytes + slow.mss
        return slow if fast_bytes * _MARGIN + slow_bytes <= self.traffic.window_bytes else None
