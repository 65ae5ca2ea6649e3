"""ECF, earliest completion first (Lim and others, CoNEXT 2017)."""

from collections.abc import Sequence
from typing import Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.scheduler.base import Scheduler, Traffic
from mptcp_stack.mptcp.subflow.subflow import Subflow

_HYSTERESIS: Final = 0.25
"""The paper's beta: once it waits, it goes on waiting a little longer than it would begin to."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Ecf(Scheduler):
    """Wait for the fast subflow when all that waits would be through it before the slow one delivers a burst."""

    name = "ecf"

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(traffic)
        self._waiting = False

    @override
    def select(self, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow | None:
        slow = min(subflows, key=lambda subflow: subflow.srtt_ns)
        fast = min((one for one in self.traffic.subflows if not one.backup), key=lambda one: one.srtt_ns, default=slow)
        if fast.srtt_ns >= slow.srtt_ns or not fast.srtt_ns or fast.failing:
            return slow
        unsent_bytes = self.traffic.unsent_bytes
        margin_ns = max(fast.rtt_variation_ns, slow.rtt_variation_ns)
        patience = 1 + _HYSTERESIS if self._waiting else 1.0
        by_fast_ns = (1 + unsent_bytes / fast.cwnd_bytes) * fast.srtt_ns
        if by_fast_ns >= patience * (slow.srtt_ns + margin_ns):
            self._waiting = False
            return slow
        # Section 4.1: waiting must pay although the slow subflow would take all of it, window after window. The last
        # window takes a round trip as well, however little is in it; the paper has the fraction of one there.
        if max(1, unsent_bytes / slow.cwnd_bytes) * slow.srtt_ns < 2 * fast.srtt_ns + margin_ns:
            return slow
        self._waiting = True
        return None
