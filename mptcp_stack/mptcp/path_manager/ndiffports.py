"""Several subflows between the same two addresses, which differ in our port: for networks that hash flows to paths."""

from functools import partial
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.path_manager.base import PathManagerMaker
from mptcp_stack.mptcp.path_manager.retrying import Retrying

if TYPE_CHECKING:
    from mptcp_stack.mptcp.path_manager.owner import PathOwner


@mypyc_attr(allow_interpreted_subclasses=True)
class NDiffPorts(Retrying):
    """``ndiffports:4``: the side that connects has four subflows, all between the addresses that it began with."""

    name = "ndiffports"

    def __init__(self, connection: "PathOwner", count: int = 2) -> None:
        super().__init__(connection)
        self._count = count

    @classmethod
    @override
    def configured(cls, parameter: str) -> PathManagerMaker:
        """The number of subflows, the first one included."""
        if not parameter:
            return cls
        if not parameter.isdecimal() or int(parameter) == 0:
            raise ValueError(f"path manager ndiffports:{parameter}: the number of subflows must be 1 or more")
        return partial(cls, count=int(parameter))

    @override
    def announce_others(self, now: int) -> None:
        """There are no others."""

    @override
    def fill(self, now: int) -> None:
        connection = self.connection
        remote = connection.announcements.remotes().get(0)
        address = next((address for address in connection.stack.addresses if address.ip == connection.local.ip), None)
        if remote is None or address is None:
            return
        there = sum((subflow.local.ip, subflow.remote) == (address.ip, remote) for subflow in connection.subflows)
        for _ in range((self._count if connection.active else 1) - there):
            self.want(address, 0, remote, now)
