"""MPTCP options other than DSS: those that wait to be sent, and what the peer's bring about (RFC 8684 section 3)."""

from typing import TYPE_CHECKING, Final

from mptcp_stack.mptcp.keys import same
from mptcp_stack.tcp.errors import connection_reset
from mptcp_stack.wire import (
    AddAddr,
    MpCapable,
    MpFail,
    MpFastclose,
    MpPrio,
    MptcpOption,
    MpTcpRst,
    Options,
    RemoveAddr,
    ResetReason,
    Segment,
)

if TYPE_CHECKING:
    from mptcp_stack.mptcp.addresses.owner import AddressesOwner
    from mptcp_stack.mptcp.subflow.subflow import Subflow


_MOST_WAITING: Final = 256
"""One for each address ID; more than that only a peer can bring about, by announcing what it takes back."""
_MOST_BESIDE: Final = 14
"""Bytes of an option, its kind and length aside, for which there is room beside timestamps and a DATA_ACK."""
_MOST_REMOVED: Final = 25
"""Addresses in one REMOVE_ADDR: as many as there is room for beside timestamps."""


class Signals:
    """What one connection says, and hears, on segments without payload."""

    __slots__ = ("_connection", "_over", "_waiting")
    __deletable__ = ("_connection",)

    def __init__(self, connection: "AddressesOwner") -> None:
        self._connection = connection
        self._over = False
        self._waiting: list[tuple[MptcpOption, Subflow | None]] = []

    # --- out

    def send(self, option: MptcpOption, subflow: "Subflow | None" = None) -> None:
        """Send an option on a segment of its own, on ``subflow`` if it is about that one.

        What already waits goes to the end of the queue. When many wait, as no subflow can say anything, the oldest
        answer to an address of the peer is dropped: it will announce that again.
        """
        if self._over:
            return
        if isinstance(option, RemoveAddr):
            self._send_removal(option)
        else:
            entry = (option, subflow)
            if entry in self._waiting:
                self._waiting.remove(entry)
            self._waiting.append(entry)
            if len(self._waiting) > _MOST_WAITING:
                echoes = (one for one in self._waiting if isinstance(one[0], AddAddr) and one[0].echo)
                self._waiting.remove(next(echoes, entry))
        self._connection.wake()

    def _send_removal(self, option: RemoveAddr) -> None:
        """What takes an address back overtakes its announcement, and joins what takes others back already."""
        ids = option.address_ids
        before = [other for other, _ in self._waiting if isinstance(other, RemoveAddr)]
        merged = tuple(dict.fromkeys([one for other in before for one in other.address_ids] + list(ids)))
        self._waiting = [
            (other, subflow)
            for other, subflow in self._waiting
            if not isinstance(other, RemoveAddr)
            and not (isinstance(other, AddAddr) and not other.echo and other.address_id in ids)
        ]
        starts = range(0, len(merged), _MOST_REMOVED)
        self._waiting[:0] = [(RemoveAddr(merged[start : start + _MOST_REMOVED]), None) for start in starts]

    def output(self, now: int) -> None:
        """Send what can be sent; what speaks of a subflow that is gone is forgotten.

        Listeners that hear anything before MP_CAPABLE go back to TCP, Linux's too, so that comes first (section 3.7).
        """
        if not self._waiting:
            return
        connection = self._connection
        waiting, self._waiting = self._waiting, []
        for option, subflow in waiting:
            avoided = option.address_ids if isinstance(option, RemoveAddr) else ()
            carrier = subflow or connection.carrier(avoided)
            if carrier is None or (carrier in connection.subflows and not (carrier.usable and carrier.introduced)):
                self._waiting.append((option, subflow))
            elif carrier in connection.subflows:
                # To Linux a peer has gone back to TCP that has said anything but ADD_ADDR before its first DATA_ACK.
                beside = not isinstance(option, AddAddr) and len(option.encode()) <= _MOST_BESIDE
                carrier.endpoint.send_ack(now, option, dss=carrier.data_ack() if beside else None)
                self._count_sent(option)

    def _count_sent(self, option: MptcpOption) -> None:
        """As Linux, which counts what goes out and not what wants to."""
        match option:
            case AddAddr():
                self._connection.count("MPTcpExtEchoAddTx" if option.echo else "MPTcpExtAddAddrTx")
            case RemoveAddr():
                self._connection.stack.context.counters["MPTcpExtRmAddrTx"] += len(option.address_ids)
            case MpPrio():
                self._connection.count("MPTcpExtMPPrioTx")

    def clear(self) -> None:
        """The connection speaks no MPTCP any more."""
        self._waiting.clear()

    def dissolve(self) -> None:
        """The connection is over: nothing refers back, nor to a subflow."""
        self._over = True
        self._waiting.clear()
        del self._connection

    # --- in

    def receive(self, subflow: "Subflow", segment: Segment, now: int) -> None:
        """Act on the MPTCP options of a segment of ``subflow``."""
        connection = self._connection
        for option in segment.options.mptcp:
            match option:
                case MpCapable() if option.data_length:
                    subflow.map_first(option, segment, now)
                case AddAddr():
                    connection.announcements.receive(option, now)
                case RemoveAddr():
                    self._receive_remove_addr(option, now)
                case MpPrio():
                    self._receive_priority(subflow, option)
                case MpFastclose():
                    self._receive_fastclose(option, now)
                case MpFail():
                    connection.fallback.receive_fail(subflow, option, now)

    def receive_reset(self, subflow: "Subflow", options: Options, now: int) -> None:
        """Act on the MPTCP options of a valid RST, after which nothing more comes on ``subflow``."""
        connection = self._connection
        for option in options.mptcp:
            match option:
                case MpTcpRst():
                    connection.count("MPTcpExtMPRstRx")
                case MpFail() if connection.is_mptcp:
                    connection.count("MPTcpExtMPFailRx")
                    connection.sending.reinject_unacknowledged()
                case MpFastclose():
                    self._receive_fastclose(option, now)

    def _receive_priority(self, subflow: "Subflow", option: MpPrio) -> None:
        """The peer wants backups (section 3.3.8): of this subflow, in version 0 also of those of an address of its own.

        The form with an address is none of version 1, and not heard, as by Linux.
        """
        connection = self._connection
        address_id = option.address_id
        if address_id is not None and connection.version > 0:
            return
        connection.count("MPTcpExtMPPrioRx")
        for other in connection.subflows:
            if other is subflow if address_id is None else other.remote_id == address_id:
                other.wish(peers=option.backup)

    def _receive_remove_addr(self, option: RemoveAddr, now: int) -> None:
        connection = self._connection
        for address_id in option.address_ids:
            connection.count("MPTcpExtRmAddr")
            connection.announcements.withdrawn(address_id)
            for subflow in list(connection.subflows):
                if subflow.remote_id == address_id and connection.has_other(subflow):
                    subflow.reject(ResetReason.PROHIBITED, now, transient=True)  # the address may return
            connection.address_withdrawn(address_id, now)

    def _receive_fastclose(self, option: MpFastclose, now: int) -> None:
        """The peer aborts the connection (section 3.5), if it knows our key."""
        connection = self._connection
        if not same(option.receiver_key, connection.local_key.value):
            return
        connection.count("MPTcpExtMPFastcloseRx")
        connection.fail(connection_reset(), now)
