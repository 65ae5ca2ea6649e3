"""Addresses announced and taken back, in both directions (RFC 8684 section 3.4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from mptcp_stack.mptcp.keys import add_addr_hmac, same
from mptcp_stack.mptcp.local_address import is_link_local
from mptcp_stack.storage import Timer
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.errors import invalid
from mptcp_stack.wire import AddAddr, RemoveAddr

if TYPE_CHECKING:
    from mptcp_stack.mptcp.addresses.owner import AddressesOwner
    from mptcp_stack.mptcp.local_address import LocalAddress


PORTS: Final = range(1, 1 << 16)


@dataclass(slots=True)
class _Unechoed:
    """One of our announcements and how often it was sent."""

    option: AddAddr
    transmissions: int = 0


class Announcements(Timer):
    """ADD_ADDR and REMOVE_ADDR of one connection.

    ``sent``: our announced addresses by address ID, ``received``: the peer's. One announcement is under way at a time,
    as a peer may keep one (Linux does): the next one follows the echo, or takes its turn when that stays out, or as a
    timer this one says.
    """

    __slots__ = ("_connection", "_initial_withdrawn", "_over", "_unechoed", "received", "sent")
    __deletable__ = ("_connection",)

    def __init__(self, connection: "AddressesOwner") -> None:
        super().__init__(connection.stack.context.timers, connection)
        self._connection = connection
        self._unechoed: dict[int, _Unechoed] = {}
        self.sent: dict[int, Address] = {}
        self.received: dict[int, Address] = {}
        self._initial_withdrawn = False
        self._over = False

    # --- ours

    def announce(self, address: "LocalAddress", now: int, port: int | None = None) -> None:
        """Announce one of our addresses, on a ``port`` of its own or on that of the connection.

        The peer may join there; it is said again until the peer echoes it. Link-local addresses are nobody else's
        concern, and none is after the end of MPTCP. The address that the connection began with is announced (with ID
        0) when it has been gone.

        Raises OSError (EINVAL) for a port that is none, and for another one while the address is announced: an ID
        stands for one address and port until it is taken back.
        """
        if port is not None and port not in PORTS:
            raise invalid(f"a port must be {PORTS.start}-{PORTS.stop - 1}, not {port}")
        if self._over:
            return
        connection = self._connection
        if is_link_local(address.ip) or not connection.closing.may_go_on:
            return
        address_id = 0 if port is None and address.ip == connection.local.ip else address.address_id
        option = AddAddr(address_id, address.ip, port)
        announced = Address(address.ip, port or connection.local.port)
        known = self.sent.setdefault(address_id, announced)
        if known != announced:
            raise invalid(f"the address is announced with port {known.port}; take it back first")
        if connection.version == 0:
            connection.signals.send(option)  # unsigned, and nobody is going to echo it
            return
        option.hmac = add_addr_hmac(connection.local_key, connection.remote_key, address_id, address.ip, port)
        first = next(iter(self._unechoed), None)
        self._unechoed[address_id] = _Unechoed(option)
        if not self.armed or address_id == first:
            self._send_next(now)

    def withdraw(self, address_ids: Iterable[int]) -> None:
        """Take addresses back with REMOVE_ADDR; subflows that use them are the caller's to close.

        All that are taken back in one turn go in one option, as Linux keeps one and loses the others. Like Linux's it
        goes out once, on a subflow that does not use one of them if there is another.
        """
        if self._over:
            return
        option = RemoveAddr(tuple(address_ids))
        first = next(iter(self._unechoed), None)
        for address_id in option.address_ids:
            self.sent.pop(address_id, None)
            self._unechoed.pop(address_id, None)
        if option.address_ids:
            self._connection.signals.send(option)
        if not self._unechoed:
            self.cancel()
        elif first not in self._unechoed:
            self.set(0)  # no echo is awaited any more: the next one at once

    def _send_next(self, now: int) -> None:
        first = next(iter(self._unechoed.values()), None)
        if first is None:
            self.cancel()
            return
        self._connection.signals.send(first.option)
        self.set(now + (self._connection.stack.config.add_addr_timeout_ns << first.transmissions))
        first.transmissions += 1

    @override
    def expire(self, now: int) -> None:
        """No echo in time: the next one, and after the others this one once more, unless that was often enough."""
        address_id, first = next(iter(self._unechoed.items()))
        if first.transmissions:
            del self._unechoed[address_id]
            if first.transmissions <= self._connection.stack.config.add_addr_retries:
                self._unechoed[address_id] = first
        self._send_next(now)

    def _echoed(self, address_id: int, now: int) -> None:
        first = next(iter(self._unechoed), None)
        if self._unechoed.pop(address_id, None) is not None and address_id == first:
            self._send_next(now)

    # --- the peer's

    def receive(self, option: AddAddr, now: int) -> None:
        """An ADD_ADDR: an echo ends our retransmissions, anything else must be signed by the peer.

        What no subflow can go to is echoed and forgotten: the peer need not say it again, and it uses up no limit.
        """
        connection = self._connection
        if option.echo:
            connection.count("MPTcpExtEchoAdd")
            connection.stack.context.counters["MPTcpExtPortAdd"] += option.port is not None
            self._echoed(option.address_id, now)
            return
        if connection.version > 0 and not self._is_signed(option):
            connection.count("MPTcpExtAddAddrHMacFailure")
            return
        connection.count("MPTcpExtAddAddr")
        connection.stack.context.counters["MPTcpExtPortAdd"] += option.port is not None
        remote = Address(option.address, option.port or connection.remote.port).unmapped
        known = connection.remote if option.address_id == 0 else self.received.get(option.address_id)
        if known not in (None, remote):
            connection.count("MPTcpExtAddAddrDrop")  # an ID names one address until it is taken back
            return
        if connection.version > 0:
            connection.signals.send(AddAddr(option.address_id, option.address, option.port, echo=True))
        if not connection.stack.is_peer(remote.ip):
            connection.count("MPTcpExtMPJoinSynTxConnectErr")  # as Linux, which finds out when it connects
            return
        if option.address_id == 0:
            self._initial_withdrawn = False
        elif known is None and len(self.received) >= connection.stack.config.max_addresses_accepted:
            return
        else:
            self.received[option.address_id] = remote
        connection.address_announced(option.address_id, remote, now)

    def _is_signed(self, option: AddAddr) -> bool:
        own, other = self._connection.remote_key, self._connection.local_key
        expected = add_addr_hmac(own, other, option.address_id, option.address, option.port)
        return option.hmac is not None and same(option.hmac, expected)

    def withdrawn(self, address_id: int) -> None:
        """The peer sent REMOVE_ADDR."""
        self.received.pop(address_id, None)
        if address_id == 0:
            self._initial_withdrawn = True

    def remotes(self) -> dict[int, Address]:
        """The peer's addresses by address ID: where subflows can go."""
        if self._over:
            return {}
        initial = {} if self._initial_withdrawn else {0: self._connection.remote}
        return initial | self.received

    @override
    def end(self) -> None:
        super().end()
        self._over = True
        del self._connection
