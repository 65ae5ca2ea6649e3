"""Full mesh: every local address with every address of the peer that it reaches."""

from mptcp_stack.mptcp.path_manager.base import PathManager
from mptcp_stack.tcp import Address


class FullMesh(PathManager):
    """The side that listens announces its addresses; the side that connects opens the subflows, as NATs demand."""

    name = "fullmesh"

    def on_established(self, now: int) -> None:
        connection = self.connection
        if connection.active:
            self._join(0, connection.remote, now)
            return
        for address in connection.host.addresses:
            if address.ip != connection.local.ip:
                connection.announcements.announce(address, now)

    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        if self.connection.active:
            self._join(address_id, remote, now)

    def _join(self, address_id: int, remote: Address, now: int) -> None:
        connection = self.connection
        in_use = {(subflow.local.ip, subflow.remote) for subflow in connection.subflows}
        for address in connection.host.addresses:
            if (address.ip, remote) not in in_use and address.reaches(remote.ip):
                connection.open_subflow(address, address_id, remote, now)
