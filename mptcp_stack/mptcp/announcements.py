"""Addresses announced with ADD_ADDR until the peer echoes them (RFC 8684 section 3.4.1)."""

from typing import TYPE_CHECKING

from mptcp_stack.mptcp.keys import add_addr_hmac, same
from mptcp_stack.tcp import Address
from mptcp_stack.wire import AddAddr

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.host import LocalAddress


class Announcements:
    """ADD_ADDR in both directions for one connection."""

    __slots__ = ("_connection", "_pending", "_retries", "_timer", "received")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._pending: dict[int, AddAddr] = {}
        self._retries = 0
        self._timer = connection.host.context.timers.timer(self._again)
        self.received: dict[int, Address] = {}
        """The peer's addresses by address ID."""

    def announce(self, address: "LocalAddress", now: int) -> None:
        """Announce one of our addresses, on the port of the connection."""
        connection = self._connection
        digest = add_addr_hmac(connection.local_key, connection.remote_key, address.address_id, address.ip, None)
        option = AddAddr(address.address_id, address.ip, None, digest)
        self._pending[address.address_id] = option
        self._send(option)
        self._timer.set_earlier(now + connection.host.config.add_addr_timeout_ns)

    def _send(self, option: AddAddr) -> None:
        self._connection.count("MPTcpExtEchoAddTx" if option.echo else "MPTcpExtAddAddrTx")
        self._connection.send_option(option)

    def _again(self, now: int) -> None:
        config = self._connection.host.config
        self._retries += 1
        if self._retries > config.add_addr_retries:
            self._pending.clear()
        for option in self._pending.values():
            self._send(option)
        if self._pending:
            self._timer.set(now + (config.add_addr_timeout_ns << self._retries))

    def receive(self, option: AddAddr, now: int) -> None:
        """An ADD_ADDR: an echo ends our retransmissions, anything else must be signed by the peer."""
        connection = self._connection
        if option.echo:
            connection.count("MPTcpExtEchoAdd")
            self._pending.pop(option.address_id, None)
            if not self._pending:
                self._timer.cancel()
            return
        expected = add_addr_hmac(
            connection.remote_key, connection.local_key, option.address_id, option.address, option.port
        )
        if option.hmac is None or not same(option.hmac, expected):
            connection.count("MPTcpExtAddAddrHMacFailure")
            return
        connection.count("MPTcpExtAddAddr")
        self._send(AddAddr(option.address_id, option.address, option.port, echo=True))
        if option.address_id not in self.received:
            remote = Address(option.address, option.port or connection.remote.port)
            self.received[option.address_id] = remote
            connection.path_manager.on_address_announced(option.address_id, remote, now)

    def withdrawn(self, address_id: int) -> None:
        """The peer sent REMOVE_ADDR."""
        self.received.pop(address_id, None)

    def stop(self) -> None:
        """No timer fires any more."""
        self._timer.cancel()
