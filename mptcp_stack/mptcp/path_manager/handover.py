"""One path at a time, and the next one when it dies: break before make, as between networks of a moving host."""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.path_manager.retrying import Retrying

if TYPE_CHECKING:
    from mptcp_stack.mptcp.local_address import LocalAddress
    from mptcp_stack.mptcp.subflow.subflow import Subflow

_TIMEOUTS_OF_THE_DEAD: Final = 2
"""Chosen: one may be chance; each further one takes twice as long as the one before while nothing is delivered."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Handover(Retrying):
    """The side that connects moves to another pair of addresses when its subflow is lost or stops answering."""

    name = "handover"

    @override
    def fill(self, now: int) -> None:
        if any(map(self._alive, self.connection.subflows)):
            return
        for address, remote_id, remote in sorted(self.missing(), key=lambda one: self.failed_ns(one[0].ip, one[2])):
            if self.want(address, remote_id, remote, now):
                return

    def _alive(self, subflow: "Subflow") -> bool:
        """Whether a subflow answers, or may still come to it."""
        ours = any(address.ip == subflow.local.ip for address in self.connection.stack.addresses)
        return ours and subflow.timeouts < _TIMEOUTS_OF_THE_DEAD

    @override
    def on_subflow_established(self, subflow: "Subflow", now: int) -> None:
        """The one before has had its time; a dead path cannot tell the peer, REMOVE_ADDR can."""
        super().on_subflow_established(subflow, now)
        connection = self.connection
        if not connection.active:
            return
        for other in [other for other in connection.subflows if other is not subflow]:
            if other.failing and other.local.ip != subflow.local.ip:
                connection.withdraw(other.local.ip, now)
            else:
                connection.close_subflow(other, now)

    @override
    def on_subflow_timeout(self, subflow: "Subflow", now: int) -> None:
        if self.connection.active:
            self.fill(now)

    @override
    def on_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        super().on_subflow_closed(subflow, error, now)
        if self.connection.active:
            self.fill(now)

    @override
    def on_local_address_removed(self, address: "LocalAddress", now: int) -> None:
        if self.connection.active:
            self.fill(now)
