"""What the end of a connection asks of the connection."""

from abc import abstractmethod

from mptcp_stack.mptcp.sending.owner import SendingOwner
from mptcp_stack.mptcp.sending.sending import Sending


class ClosingOwner(SendingOwner):
    """The connection as its end sees it."""

    sending: Sending

    @property
    @abstractmethod
    def known(self) -> bool:
        """Whether the application knows of it: who listens does not before it is established."""

    @abstractmethod
    def shutdown(self) -> None:
        """No more data from us; what is queued is still sent."""

    @abstractmethod
    def stop(self) -> None:
        """No timer of a part fires any more."""

    @abstractmethod
    def forget(self) -> None:
        """Nothing in the stack refers to it any more."""

    @abstractmethod
    def tell_closed(self) -> None:
        """Tell the application that it is over, and by which error."""
