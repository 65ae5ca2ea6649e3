"""What the sending half asks of the connection."""

from abc import abstractmethod
from collections.abc import Collection

from mptcp_stack.mptcp.subflow.owner import SubflowOwner
from mptcp_stack.mptcp.subflow.subflow import Subflow


class SendingOwner(SubflowOwner):
    """The connection as its sending half sees it.

    ``needs_third_ack``: the first data carry MP_CAPABLE (RFC 8684 section 3.1). ``wants_room``: the application waits
    until it can write.
    """

    needs_third_ack: bool
    wants_room: bool

    @property
    @abstractmethod
    def detached(self) -> bool:
        """The application has closed."""

    @abstractmethod
    def retries(self) -> int:
        """How many timeouts in a row mean that the peer is gone."""

    @abstractmethod
    def carrier(self, avoided: Collection[int] = ()) -> Subflow | None:
        """The subflow for what is not tied to one: the fastest of those that have not stopped answering.

        One from a local address whose ID is ``avoided`` is the last choice.
        """

    @abstractmethod
    def data_acked(self, now: int) -> None:
        """The peer has acknowledged more of our stream."""
