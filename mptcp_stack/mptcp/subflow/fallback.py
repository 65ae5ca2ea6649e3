"""Back to TCP in the middle of a connection, as far as that loses nothing (RFC 8684 section 3.7)."""

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.mptcp.subflow.owner import DataSender, SubflowOwner
from mptcp_stack.storage import Timer
from mptcp_stack.tcp import State
from mptcp_stack.wire import FIN, MpCapable, MpFail, MptcpOption, ResetReason, Segment

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow


_MOST_ANSWERS: Final = 8
"""MP_FAIL may be lost, and comes again; but two ends that both think the other one asks would go on for ever."""


class Fallback(Timer):
    """What a connection whose only subflow is the first one does when MPTCP does not get through.

    ``contiguous``: all data went over the first subflow, once and in order, so that its bytes are the stream's.
    ``infinite_due``: the next new data, or else our FIN, carry the infinite mapping.
    ``ends_data``: the peer's FIN is the end of its data. It is none from a peer that still speaks MPTCP, as it does not
    know that we do not, and has said no DATA_FIN: that closes a subflow. As a timer: how long we are ``in_doubt``.
    """

    __slots__ = (
        "_answers", "_connection", "_data_fin_seen", "_failed_dsn", "_sending", "alone", "contiguous",
        "ends_data", "infinite_due",
    )  # fmt: skip
    __deletable__ = ("_connection", "_sending")

    def __init__(self, connection: SubflowOwner, sending: DataSender) -> None:
        super().__init__(connection.stack.context.timers, connection)
        self._connection = connection
        self._sending = sending
        self._answers = 0
        self._failed_dsn: int | None = None
        self.alone = True
        self.contiguous = True
        self.infinite_due = False
        self.ends_data = True
        self._data_fin_seen = False

    def _allowed(self, subflow: "Subflow") -> bool:
        """Whether the subflow's bytes are all that there is: as TCP nothing would be lost."""
        return self.contiguous and subflow.number == 0 and not self._connection.data_closed

    def _called_for(self, subflow: "Subflow") -> bool:
        """Whether to become TCP of our own accord: never once the peer may have sent data on another subflow."""
        return self.alone and self._allowed(subflow)

    def _unbroken(self, subflow: "Subflow") -> bool:
        """Whether what came on the subflow so far is all of the stream so far: no mapping has put a byte elsewhere."""
        receiving = self._connection.receiving
        return subflow.bytes_received == receiving.in_order_bytes + subflow.unverified_bytes

    # --- what shows that the path or the peer has lost MPTCP

    def without_dss(self, subflow: "Subflow", segment: Segment, now: int) -> bool:
        """Data, their end or their acknowledgement came without a DSS. False: this subflow must be reset.

        A bare FIN of a peer that was heard to speak MPTCP, and owes us no DATA_ACK, is that of a subflow.
        """
        speaks = segment.length or (segment.flags & FIN and (not subflow.confirmed or self._acknowledges_more(subflow)))
        if not speaks and not self._acknowledges_more(subflow):
            return True
        if not (self._called_for(subflow) and self._unbroken(subflow)):
            return not speaks or subflow.reject(ResetReason.MIDDLEBOX, now)
        if not speaks:
            # A proxy may acknowledge before the peer does, whose own word takes a round trip more.
            if not self.armed:
                self.set(now + subflow.endpoint.sender.rtt.rto_ns)
            return True
        self._take_for_tcp(subflow, now)
        return True

    def _take_for_tcp(self, subflow: "Subflow", now: int) -> None:
        """The peer has not said a word of MPTCP since the handshake, or has stopped to."""
        later = subflow.confirmed and subflow.carried_data
        self._connection.count("MPTcpExtDssFallback" if later else "MPTcpExtMPCapableDataFallback")
        self._become_plain(subflow, now)

    def hear(self, subflow: "Subflow") -> None:
        """The peer has said on the first subflow, by a DSS, that it still speaks MPTCP there."""
        if not subflow.number and self.armed:
            self.cancel()

    @override
    def expire(self, now: int) -> None:
        """The peer had time enough to say a word of MPTCP."""
        connection = self._connection
        for subflow in connection.subflows:
            called_for = self._called_for(subflow) and self._unbroken(subflow)
            if connection.is_mptcp and called_for and self._acknowledges_more(subflow):
                self._take_for_tcp(subflow, now)
                return

    @property
    def in_doubt(self) -> bool:
        """Whether the peer may have gone back to TCP: it, or a proxy, has acknowledged data without a DSS."""
        return self.armed

    @override
    def end(self) -> None:
        super().end()
        del self._connection, self._sending

    def _acknowledges_more(self, subflow: "Subflow") -> bool:
        """Whether TCP has acknowledged bytes of the stream that no DATA_ACK has; before that nothing is amiss.

        A DATA_FIN alone TCP does not acknowledge, but who answers it with neither a DSS now nor any before, does not
        know what it is.
        """
        endpoint, sending = subflow.endpoint, self._sending
        if sending.fin_sent and sending.queue.base == sending.fin:
            return not subflow.introduced
        acked = endpoint.sender.scoreboard.una - endpoint.iss - 1
        return min(acked, sending.queue.next) > sending.queue.base

    def checksum_failed(self, subflow: "Subflow", mappings: list[Mapping], now: int) -> bool:
        """Bytes are not what the peer sent, by any of the mappings that came for them.

        False: the subflow was reset, another one repeats them.
        """
        connection = self._connection
        connection.count("MPTcpExtDataCsumErr")
        connection.count("MPTcpExtMPFailTx")
        due = connection.receiving.next
        return self._fail(subflow, min(mappings, key=lambda mapping: mapping.dsn != due).dsn, now)

    def mapping_missing(self, subflow: "Subflow", ssn: int, now: int) -> bool:
        """Data came without a mapping: who joins segments keeps that of one. False: the subflow was reset."""
        goes_on = self._unexplained(subflow, ssn, now)
        self._connection.stack.context.counters["MPTcpExtDssFallback"] += goes_on
        return goes_on

    def mapping_contradicted(self, subflow: "Subflow", ssn: int, now: int) -> bool:
        """What a mapping says of the bytes from ``ssn`` on cannot be true, or what one before has said of others.

        Bytes in the wrong place are worse than a path less. False: the subflow was reset.
        """
        goes_on = self._unexplained(subflow, ssn, now)
        self._connection.count("MPTcpExtDSSCorruptionFallback" if goes_on else "MPTcpExtDSSCorruptionReset")
        return goes_on

    def _unexplained(self, subflow: "Subflow", ssn: int, now: int) -> bool:
        """Go on as TCP from ``ssn`` on if the subflow has carried all of the stream so far, or else reset it."""
        dsn = ssn - 1
        if not self._called_for(subflow) or dsn != self._connection.receiving.next:
            return subflow.reject(ResetReason.MIDDLEBOX, now)
        self._connection.count("MPTcpExtMPFailTx")
        return self._fail(subflow, dsn, now)

    def _fail(self, subflow: "Subflow", dsn: int, now: int) -> bool:
        """Say from where on the stream is not what the peer meant, and go on as TCP. False: the subflow was reset."""
        if not self._called_for(subflow) or dsn != self._connection.receiving.next:
            return subflow.reject(ResetReason.MIDDLEBOX, now, MpFail(self._connection.remote_key.dsn(dsn)))
        self._failed_dsn = self._connection.remote_key.dsn(dsn)
        self._become_plain(subflow, now)
        subflow.endpoint.receiver.ack_now = True
        return True

    def receive_fail(self, subflow: "Subflow", option: MpFail, now: int) -> None:
        """The peer found what we sent changed: answer in kind, and go on as TCP."""
        connection = self._connection
        connection.count("MPTcpExtMPFailRx")
        if self._failed_dsn is not None:
            self._failed_dsn = None
            return
        if connection.is_mptcp:
            if not (self._allowed(subflow) and self._unbroken(subflow)):
                subflow.reject(ResetReason.MIDDLEBOX, now)
                return
            self._become_plain(subflow, now)
        if self._answers == _MOST_ANSWERS:
            return
        self._answers += 1
        connection.count("MPTcpExtMPFailTx")
        subflow.endpoint.send_ack(now, MpFail(option.dsn))

    def receive_infinite_mapping(self, subflow: "Subflow", offset: int, now: int) -> bool:
        """The peer goes on as TCP; ``offset`` is the difference between the mapping's numbers. False: reset.

        What it says must go on where our stream is.
        """
        connection = self._connection
        connection.count("MPTcpExtInfiniteMapRx")
        goes_on = offset == -1 and self._unbroken(subflow)
        if not (self._allowed(subflow) and goes_on):
            return subflow.reject(ResetReason.MPTCP, now)
        self._become_plain(subflow, now)
        return True

    # --- as TCP

    def infinite_mapping(self, subflow: "Subflow", dsn: int) -> Mapping:
        """For the first new data, after which segments have the room that options took, or for our FIN."""
        self.infinite_due = False
        self._connection.count("MPTcpExtInfiniteMapTx")
        endpoint = subflow.endpoint
        endpoint.use_option_bytes(0)
        checksum = 0 if self._connection.checksums else None
        ssn = endpoint.sender.scoreboard.next - endpoint.iss
        return Mapping(ssn=ssn, dsn=dsn, length=0, checksum=checksum, infinite=True)

    def _become_plain(self, subflow: "Subflow", now: int) -> None:
        connection = self._connection
        self.cancel()
        connection.fall_back(now)
        self._sending.fall_back()
        self._data_fin_seen = connection.receiving.fin is not None
        if not connection.receiving.finished:
            connection.receiving.fin = None  # from here on it is TCP's FIN that counts
        if subflow.endpoint.state is State.CLOSE_WAIT:
            connection.receiving.finish()  # and it has come
        self.infinite_due = True
        for other in list(connection.subflows):
            if other is not subflow:
                other.endpoint.abort(now)
        subflow.flush(now)
        subflow.on_acked(now)
        connection.wake()

    def receive(self, subflow: "Subflow", segment: Segment, now: int) -> None:
        """MPTCP options that come after the end of MPTCP, or a FIN."""
        dss = segment.options.dss
        infinite = dss is not None and dss.dsn is not None and not dss.length
        if infinite:
            self._failed_dsn = None
        if dss is not None and dss.data_fin:
            self._data_fin_seen = True
            subflow.endpoint.receiver.ack_now = True  # without a DSS, which says it all
        if segment.flags & FIN:
            options, mptcp = segment.options, self._connection.stack.config.mptcp
            speaks_mptcp = mptcp and (dss is not None or find(options, MpCapable) is not None)
            self.ends_data = bool(segment.length) or infinite or self._data_fin_seen or not speaks_mptcp
        for option in segment.options.mptcp:
            if isinstance(option, MpFail):
                self.receive_fail(subflow, option, now)

    def options(self) -> tuple[MptcpOption, ...]:
        """For segments without payload: MP_FAIL until the peer has answered it."""
        return () if self._failed_dsn is None else (MpFail(self._failed_dsn),)
