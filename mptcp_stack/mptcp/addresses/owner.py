"""What the addresses of a connection, and the options that speak of them, ask of the connection."""

from abc import abstractmethod

from mptcp_stack.mptcp.addresses.announcements import Announcements
from mptcp_stack.mptcp.addresses.signals import Signals
from mptcp_stack.mptcp.closing.closing import Closing
from mptcp_stack.mptcp.closing.owner import ClosingOwner
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.tcp import Address


class AddressesOwner(ClosingOwner):
    """The connection as its addresses see it. ``departed``: those of ours that have gone and are not withdrawn yet."""

    closing: Closing
    announcements: Announcements
    signals: Signals
    departed: frozenset[bytes]

    @abstractmethod
    def has_other(self, subflow: Subflow) -> bool:
        """Whether data can go over another subflow than this one."""

    @abstractmethod
    def close_subflow(self, subflow: Subflow, now: int) -> None:
        """Close a subflow: in order if it answers, else at once. What it holds goes out on the others.

        The only one is reset: a peer that has gone back to TCP would take a FIN for the end of our data.
        """

    @abstractmethod
    def address_announced(self, address_id: int, remote: Address, now: int) -> None:
        """The peer announced an address where subflows can go."""

    @abstractmethod
    def address_withdrawn(self, address_id: int, now: int) -> None:
        """The peer took an address back; its subflows are closed."""
