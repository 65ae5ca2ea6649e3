"""What a path manager asks of its connection."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from mptcp_stack.mptcp.addresses.owner import AddressesOwner
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.path_manager.base import PathManager
    from mptcp_stack.mptcp.path_manager.events import PathEvent


class PathOwner(AddressesOwner):
    """The connection as its path manager sees it."""

    path_manager: "PathManager"

    @property
    @abstractmethod
    def link(self) -> str:
        """The link that the connection began on; what its link-local addresses mean, they mean there."""

    @abstractmethod
    def open_subflow(
        self, address: LocalAddress, remote_id: int, remote: Address, now: int, backup: bool = False
    ) -> Subflow | None:
        """Join ``remote`` from ``address``; None beyond the limit of subflows, without a free port, or to nobody.

        Nor has a connection further subflows that has ended or is TCP.
        """

    @abstractmethod
    def set_backup(self, subflow: Subflow, backup: bool) -> None:
        """Use a subflow only without an alternative, or as any other, and ask the peer to do so (section 3.3.8).

        It stays a backup as long as the peer wants that.
        """

    @abstractmethod
    def withdraw(self, ip: bytes, now: int) -> None:
        """Take one of our addresses back, and close the subflows from it (section 3.4.2); nothing once it is TCP."""

    @abstractmethod
    def tell(self, event: "PathEvent") -> None:
        """Tell the application."""
