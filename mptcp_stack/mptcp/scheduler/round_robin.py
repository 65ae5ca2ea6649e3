"""Subflows in turn."""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.scheduler.base import Scheduler, Traffic
from mptcp_stack.mptcp.subflow.subflow import Subflow


@mypyc_attr(allow_interpreted_subclasses=True)
class RoundRobin(Scheduler):
    """A burst on each subflow in turn; one without room is passed over, so that the windows decide on busy paths."""

    name = "round-robin"

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(traffic)
        self._last: Subflow | None = None

    @override
    def select(self, subflows: Sequence[Subflow], burst_bytes: int) -> Subflow | None:
        order = self.traffic.subflows
        turn = order.index(self._last) + 1 if self._last in order else 0
        self._last = next(subflow for subflow in order[turn:] + order[:turn] if subflow in subflows)
        return self._last
