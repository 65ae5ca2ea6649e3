"""Nothing is decided here: the application is told what happens, and gives the orders."""

from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.local_address import is_link_local
from mptcp_stack.mptcp.path_manager.base import PathManager
from mptcp_stack.mptcp.path_manager.events import (
    AddressAnnounced,
    AddressWithdrawn,
    LocalAddressAdded,
    LocalAddressRemoved,
    PathEvent,
    PathsWanted,
    SubflowClosed,
    SubflowOpened,
)
from mptcp_stack.tcp import Address
from mptcp_stack.tcp.errors import address_not_available, family_not_supported, invalid, network_unreachable

if TYPE_CHECKING:
    from mptcp_stack.mptcp.local_address import LocalAddress
    from mptcp_stack.mptcp.subflow.subflow import Subflow


@mypyc_attr(allow_interpreted_subclasses=True)
class Userspace(PathManager):
    """Hands every occasion to the application as a ``PathEvent``; ``event.connection.path_manager`` takes the orders.

    Orders are those of Linux's generic netlink family for its path managers in user space (linux/mptcp_pm.h).
    """

    name = "userspace"

    # --- orders

    def announce(self, ip: bytes, now: int, port: int | None = None) -> None:
        """Announce one of our addresses.

        Raises OSError: EADDRNOTAVAIL when it is none of them, EINVAL when it is link-local, or the port is none or
        another one than before.
        """
        if self.over:
            return
        connection = self.connection
        if is_link_local(ip):
            raise invalid("a link-local address is of no use beyond its link")
        connection.announcements.announce(self._ours(ip), now, port)

    def withdraw(self, ip: bytes, now: int) -> None:
        """Take an address back, and close its subflows. Raises OSError (EADDRNOTAVAIL) when there is neither."""
        if self.over:
            return
        connection = self.connection
        used = {subflow.local.ip for subflow in connection.subflows}
        if ip not in used | {address.ip for address in connection.announcements.sent.values()}:
            raise address_not_available()
        connection.withdraw(ip, now)

    def open_subflow(
        self, ip: bytes, remote_id: int, remote: Address, now: int, backup: bool = False
    ) -> "Subflow | None":
        """Join an address of the peer; None beyond the limit of subflows, or without a free port.

        Raises OSError: EADDRNOTAVAIL when ``ip`` is none of our addresses, EAFNOSUPPORT when one is IPv4 and one IPv6,
        ENETUNREACH where nobody may connect to.
        """
        if self.over:
            return None
        remote = remote.unmapped
        if len(ip) != len(remote.ip):
            raise family_not_supported()
        if not self.connection.stack.is_peer(remote.ip):
            raise network_unreachable()
        return self.connection.open_subflow(self._ours(ip), remote_id, remote, now, backup)

    def close_subflow(self, subflow: "Subflow", now: int) -> None:
        """Close a subflow; what it holds goes out on the others."""
        if not self.over:
            self.connection.count("MPTcpExtRmSubflow")
            self.connection.close_subflow(subflow, now)

    def set_backup(self, subflow: "Subflow", backup: bool) -> None:
        """Change the priority of a subflow, ours and the peer's (MP_PRIO)."""
        if not self.over:
            self.connection.set_backup(subflow, backup)

    def _ours(self, ip: bytes) -> "LocalAddress":
        for address in self.connection.stack.addresses:
            if address.ip == ip:
                return address
        raise address_not_available()

    # --- events

    def _tell(self, event: PathEvent) -> None:
        self.connection.tell(event)

    @override
    def on_established(self, now: int) -> None:
        self._tell(PathsWanted(self.connection))

    @override
    def on_local_address_added(self, address: "LocalAddress", now: int) -> None:
        self._tell(LocalAddressAdded(self.connection, address))

    @override
    def on_local_address_removed(self, address: "LocalAddress", now: int) -> None:
        self._tell(LocalAddressRemoved(self.connection, address))

    @override
    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        self._tell(AddressAnnounced(self.connection, address_id, remote))

    @override
    def on_address_removed(self, address_id: int, now: int) -> None:
        self._tell(AddressWithdrawn(self.connection, address_id))

    @override
    def on_subflow_established(self, subflow: "Subflow", now: int) -> None:
        self._tell(SubflowOpened(self.connection, subflow))

    @override
    def on_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        self._tell(SubflowClosed(self.connection, subflow, error))
