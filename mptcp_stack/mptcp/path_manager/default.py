"""What each address is for is said with flags, as for the endpoints of Linux's in-kernel path manager (ip-mptcp(8))."""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.local_address import choose_source
from mptcp_stack.mptcp.path_manager.retrying import Retrying
from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.local_address import LocalAddress
    from mptcp_stack.mptcp.path_manager.owner import PathOwner
    from mptcp_stack.mptcp.subflow.subflow import Subflow


_JOINING: Final = frozenset({"subflow", "fullmesh"})


@mypyc_attr(allow_interpreted_subclasses=True)
class Default(Retrying):
    """Both sides alike: an address is announced with ``signal``; with ``subflow`` it joins the peer's first address,
    with ``fullmesh`` as well all the peer's addresses. An address that the peer announces is joined from those with
    ``fullmesh``, or else from the one that routing chooses. ``backup`` makes backups of the subflows of an address.

    Limits: ``max_subflows``, ``max_addresses_accepted``. What fails is not tried again; the next address is. With no
    subflow left that goes for any pair of addresses that the flags allow, and for the first one (Linux only waits).
    """

    name = "default"

    def __init__(self, connection: "PathOwner") -> None:
        super().__init__(connection)
        self._used: set[bytes] = {connection.local.ip}

    @override
    def on_established(self, now: int) -> None:
        for address in self.connection.stack.addresses:
            if address.ip != self.connection.local.ip:
                self._announce(address, now)
        self._join(now)

    @override
    def on_local_address_added(self, address: "LocalAddress", now: int) -> None:
        self._announce(address, now)
        self._join(now)

    @override
    def on_local_address_removed(self, address: "LocalAddress", now: int) -> None:
        self._used.discard(address.ip)

    @override
    def on_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """There is room for another address."""
        super().on_subflow_closed(subflow, error, now)
        self._join(now)

    @override
    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        super().on_address_announced(address_id, remote, now)
        if any(subflow.remote.ip == remote.ip for subflow in self.connection.subflows):
            return
        reaching = self.local_addresses(remote.ip)
        sources = [address for address in reaching if "fullmesh" in address.flags]
        routed = choose_source(reaching, remote.ip)
        for address in sources or ([routed] if routed else []):
            self.want(address, address_id, remote, now)

    @override
    def fill(self, now: int) -> None:
        """Only when nothing is left."""
        if not self.alone:
            return
        for address, remote_id, remote in self.missing():
            if address.flags & _JOINING or address.ip == self.connection.local.ip:
                self.want(address, remote_id, remote, now)

    def _announce(self, address: "LocalAddress", now: int) -> None:
        if "signal" in address.flags:
            self.connection.announcements.announce(address, now, address.port)

    def _join(self, now: int) -> None:
        connection = self.connection
        remotes = connection.announcements.remotes()
        for address in connection.stack.addresses:
            if not _JOINING & address.flags or address.ip in self._used:
                continue
            targets = remotes.items() if "fullmesh" in address.flags else list(remotes.items())[:1]
            for remote_id, remote in targets:
                if address in self.local_addresses(remote.ip) and connection.open_subflow(
                    address, remote_id, remote, now
                ):
                    self._used.add(address.ip)
