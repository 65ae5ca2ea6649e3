"""Asking the peer for a window that keeps data waiting (RFC 9293 sections 3.8.6.1 and 3.8.6.2.1), subflow by subflow.

The window is the connection's, but a subflow knows of it what came on its own segments. An update that is lost leaves
that subflow shut, whatever the others do: it asks for itself as soon as it has nothing under way that brings an answer.
"""

from typing import TYPE_CHECKING

from typing_extensions import override

from mptcp_stack.storage import Timer
from mptcp_stack.tcp.errors import timed_out
from mptcp_stack.tcp.rtt import MAXIMUM_RTO_NS

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow


class Persist(Timer):
    """The persist timer of one subflow: probes with back-off, and from the first on little room is used as well.

    A peer that answers may keep its window shut for ever while an application waits (RFC 9293 section 3.8.6.1). One
    that does not loses the subflow, as it does by retransmissions.
    """

    __slots__ = ("_backoff", "_edge", "_hastened", "_probed_ns", "_subflow", "_unanswered")
    __deletable__ = ("_subflow",)

    def __init__(self, subflow: "Subflow") -> None:
        super().__init__(subflow.connection.stack.context.timers, subflow.connection)
        self._subflow = subflow
        self._edge = 0
        self._hastened = False
        self._backoff = 0
        self._unanswered = 0
        self._probed_ns = 0

    def watch(self, edge: int, now: int) -> None:
        """Data wait for the window to end beyond ``edge``. Where it has moved in vain, the time begins anew."""
        if self.armed and edge == self._edge:
            return
        self.stop()
        self._edge = edge
        self._begin(now)

    def hasten(self, now: int) -> None:
        """Others have heard that the window moves, which this subflow may have missed: ask within a timeout, once."""
        if self.armed and not self._hastened and self._is_answered():
            self._hastened = True
            self._backoff = 0
            self.set_earlier(now + self._subflow.endpoint.sender.rtt.rto_ns)

    def stop(self) -> None:
        """No window keeps data waiting."""
        self.cancel()
        self._hastened = False
        self._subflow.endpoint.sender.probing = False
        if self._is_answered():
            self._backoff = 0

    @override
    def end(self) -> None:
        super().end()
        del self._subflow

    def _begin(self, now: int) -> None:
        rto_ns = self._subflow.endpoint.sender.rtt.rto_ns
        self.set(now + min(rto_ns << self._backoff, MAXIMUM_RTO_NS))

    def _is_answered(self) -> bool:
        return self._subflow.endpoint.receiver.heard_ns >= self._probed_ns

    @override
    def expire(self, now: int) -> None:
        """Ask, or end what has been asked in vain."""
        endpoint, connection = self._subflow.endpoint, self._subflow.connection
        connection.wake()
        if self._subflow.sending.shut_at(self._subflow) != self._edge:
            return
        if self._is_answered():
            self._unanswered = 0
        if self._subflow.sending.waits_in_vain(now):
            connection.fail(timed_out(), now)
        elif self._unanswered >= endpoint.sender.retries:
            endpoint.give_up(now)
        else:
            endpoint.probe_window(now)
            self._probed_ns = now
            self._unanswered += 1
            self._backoff += 1
            self._begin(now)
