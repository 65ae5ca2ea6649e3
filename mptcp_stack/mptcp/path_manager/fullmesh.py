"""Full mesh: every local address with every address of the peer that it reaches."""

from mptcp_stack.mptcp.path_manager.retrying import Retrying


class FullMesh(Retrying):
    """The side that listens announces its addresses; the side that connects opens the subflows, as NATs demand."""

    name = "fullmesh"

    def fill(self, now: int) -> None:
        """See ``Retrying``."""
        connection = self.connection
        in_use = {(subflow.local.ip, subflow.remote) for subflow in connection.subflows}
        for remote_id, remote in connection.announcements.remotes().items():
            for address in self.local_addresses(remote.ip):
                if (address.ip, remote) not in in_use:
                    self.want(address, remote_id, remote, now)
