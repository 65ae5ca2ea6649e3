"""FASTCLOSE_WAIT: what remains of a connection that was aborted by an ACK (RFC 8684 section 3.5, RFC 6824 as well)."""

from typing import TYPE_CHECKING, ClassVar, Final

from typing_extensions import override

from mptcp_stack.mptcp.keys import same
from mptcp_stack.mptcp.services import Remnant
from mptcp_stack.storage import expand_32
from mptcp_stack.wire import FIN, RST, SYN, MpFastclose, Segment

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow

_RETRANSMISSIONS: Final = 3
"""As section 3.5 recommends."""


class FastCloseWait(Remnant):
    """In place of the last subflow, in ``flow``: says MP_FASTCLOSE on ACKs until the peer resets it, or long enough."""

    NAME: ClassVar = "FASTCLOSE-WAIT"
    __slots__ = ("_connection", "_endpoint", "_option", "_rto_ns", "_subflow", "_timer", "_transmissions")

    def __init__(self, subflow: "Subflow", now: int) -> None:
        self._connection = connection = subflow.connection
        self._subflow = subflow
        self._endpoint = subflow.endpoint
        self._option = MpFastclose(connection.remote_key.value)
        self._rto_ns = subflow.endpoint.sender.rtt.rto_ns
        self._timer = connection.stack.context.timers.timer(self._transmit, connection)
        self._transmissions = 0
        self.flow = subflow.endpoint.flow
        self._endpoint.stop()
        subflow.on_closed(None, now)
        self._endpoint.sender.scoreboard.forget()
        self._endpoint.receiver.reassembly.forget()
        connection.stack.add_remnant(self)
        subflow.repeat_third_ack(now)  # without it the peer would go back to TCP, and not know what we say
        self._transmit(now)

    def _transmit(self, now: int) -> None:
        if self._transmissions > _RETRANSMISSIONS:
            self._give_up(now)
            return
        self._connection.count("MPTcpExtMPFastcloseTx")
        self._endpoint.send_ack(now, self._option)
        self._timer.set(now + (self._rto_ns << self._transmissions))
        self._transmissions += 1

    def _give_up(self, now: int) -> None:
        """Clear what middleboxes remember; version 0 has no MP_FASTCLOSE on resets."""
        if self._connection.version:
            self._connection.count("MPTcpExtMPFastcloseTx")
            self._endpoint.send_reset(now, self._option)
        else:
            self._endpoint.send_reset(now)
        self._end()

    @override
    def receive(self, segment: Segment, now: int) -> None:
        """The peer's answer: a RST, or MP_FASTCLOSE if it aborts as well. Anything else was sent before it knew.

        Data are not taken any more, so that a RST behind them is anywhere in the window.
        """
        receiver = self._endpoint.receiver
        seq = expand_32(segment.seq, receiver.next)
        span = segment.length + bool(segment.flags & (SYN | FIN))
        if receiver.refusal(segment, seq, span, now) is not None:
            return
        key = self._connection.local_key.value
        theirs = [option for option in segment.options.mptcp if isinstance(option, MpFastclose)]
        aborts = any(same(option.receiver_key, key) for option in theirs)
        if aborts:
            self._connection.count("MPTcpExtMPFastcloseRx")
        if segment.flags & RST:
            self._end()
        elif aborts:
            self._endpoint.send_reset(now)
            self._end()

    def _end(self) -> None:
        self._timer.cancel()
        self._connection.stack.remove_remnant(self)

    @property
    @override
    def upper(self) -> "Subflow":
        return self._subflow

    @override
    def dissolve(self) -> None:
        self._timer.end()
