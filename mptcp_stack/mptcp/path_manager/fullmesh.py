"""Full mesh: every local address with every address of the peer that it reaches."""

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.path_manager.retrying import Retrying


@mypyc_attr(allow_interpreted_subclasses=True)
class FullMesh(Retrying):
    """The side that listens announces its addresses; the side that connects opens the subflows, as NATs demand."""

    name = "fullmesh"

    @override
    def fill(self, now: int) -> None:
        for address, remote_id, remote in self.missing():
            self.want(address, remote_id, remote, now)
