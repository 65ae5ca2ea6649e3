"""The interface of a path manager. Adding one: subclass ``PathManager`` and register its name."""

from typing import TYPE_CHECKING

from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection


class PathManager:
    """Decides for one connection which addresses to announce and which subflows to open.

    It acts through ``connection.announcements.announce`` and ``connection.open_subflow``.
    """

    name = ""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection

    def on_established(self, now: int) -> None:
        """Both sides have agreed on MPTCP and further subflows may be opened."""

    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        """The peer announced an address (ADD_ADDR with a valid HMAC)."""

    def on_address_removed(self, address_id: int, now: int) -> None:
        """The peer withdrew an address (REMOVE_ADDR)."""
