"""The retransmission timer of the connection: data that TCP has delivered and no DATA_ACK has (RFC 8684 section 3.3.6).

A middlebox may have acknowledged them and lost them, or the peer had no room for them at the level of data.
"""

from typing import TYPE_CHECKING

from typing_extensions import override

from mptcp_stack.mptcp.sending.owner import SendingOwner
from mptcp_stack.storage import Timer
from mptcp_stack.tcp.config import MAXIMUM_SEGMENT_PAYLOAD
from mptcp_stack.tcp.errors import timed_out
from mptcp_stack.tcp.rtt import INITIAL_RTO_NS, MAXIMUM_RTO_NS

if TYPE_CHECKING:
    from mptcp_stack.mptcp.sending.sending import Sending
    from mptcp_stack.mptcp.subflow.subflow import Subflow


class DataTimer(Timer):
    """Sends the oldest data of ``sending`` again when their acknowledgement stays out, with back-off."""

    __slots__ = ("_backoff", "_connection", "_sending")
    __deletable__ = ("_connection", "_sending")

    def __init__(self, connection: SendingOwner, sending: "Sending") -> None:
        super().__init__(connection.stack.context.timers, connection)
        self._connection = connection
        self._sending = sending
        self._backoff = 0

    def arm(self, now: int) -> None:
        """An acknowledgement is expected, at the latest after the slowest subflow's timeout."""
        rtos = (subflow.endpoint.sender.rtt.rto_ns for subflow in self._connection.subflows)
        timeout_ns = max(rtos, default=INITIAL_RTO_NS) << self._backoff
        self.set(now + min(timeout_ns, MAXIMUM_RTO_NS))

    def restart(self) -> None:
        """There was an acknowledgement: the back-off ends."""
        self._backoff = 0

    @override
    def end(self) -> None:
        super().end()
        del self._connection, self._sending

    @override
    def expire(self, now: int) -> None:
        """Send the oldest data again, unless TCP is still busy with them, or the DATA_FIN."""
        connection, sending = self._connection, self._sending
        only_fin = sending.fin_sent and sending.queue.base == sending.fin
        # To a peer that has gone back to TCP what is sent again would be new bytes of the stream.
        in_doubt = connection.fallback.in_doubt
        overdue = connection.is_mptcp and not sending.finished and not in_doubt
        answerable = connection.carrier() is not None  # how long to wait for a subflow is for others to say
        if overdue and answerable and (only_fin or not self._is_under_way()):
            self._backoff += 1
            if self._backoff > connection.retries():
                connection.fail(timed_out(), now)
                return
            queue = sending.queue
            end = min(queue.next, queue.base + MAXIMUM_SEGMENT_PAYLOAD)
            if end > queue.base:
                sending.reinject(queue.base, end, None)
                self._distrust_carriers(now)
            elif sending.fin_sent:
                sending.send_fin(now)
                self._ask_stranger(now)
        self.arm(now)
        connection.wake()

    def _ask_stranger(self, now: int) -> None:
        """Have a peer answer that never spoke MPTCP: if it is TCP, it has nothing to acknowledge but this.

        Not at once: a listener, too, answers without MPTCP while the third ACK that was sent again is under way.
        """
        carrier = self._connection.carrier()
        if self._backoff > 1 and carrier is not None and not carrier.introduced:
            carrier.endpoint.ask("TcpExtTCPKeepAlive", now)

    def _is_under_way(self) -> bool:
        """Whether the oldest data wait for a subflow, or TCP has still to deliver some of a mapping that has them.

        One that has stopped answering does not count while there are others.
        """
        base = self._sending.queue.base
        if self._sending.is_reinjecting(base):
            return True
        subflows = self._connection.subflows
        answering = [subflow for subflow in subflows if subflow.usable and not subflow.failing]
        return any(_is_delivering(subflow, base) for subflow in answering or subflows)

    def _distrust_carriers(self, now: int) -> None:
        """TCP was told that the oldest data had arrived, and they have not: others take over what its bearer had."""
        queue, subflows = self._sending.queue, self._connection.subflows
        for subflow in subflows:
            if subflow.carries(queue.base) and any(other.usable for other in subflows if other is not subflow):
                subflow.distrust(now)
                self._sending.reinject_all_of(subflow)


def _is_delivering(subflow: "Subflow", dsn: int) -> bool:
    mappings = (record.mapping for record in subflow.endpoint.sender.scoreboard)
    return any(mapping is not None and mapping.dsn <= dsn < mapping.dsn + mapping.length for mapping in mappings)
