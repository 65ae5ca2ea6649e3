"""The default scheduler: the fastest subflow that has room."""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.scheduler.base import Scheduler
from mptcp_stack.mptcp.subflow.subflow import Subflow


@mypyc_attr(allow_interpreted_subclasses=True)
class LowestRtt(Scheduler):
    """Smallest smoothed RTT first, as in Linux since its first MPTCP."""

    name = "lowest-rtt"
    patient = True

    @override
    def select(self, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow | None:
        return min(subflows, key=lambda subflow: subflow.srtt_ns)
