"""What a connection asks of the stack, beside what its parts do."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from mptcp_stack.mptcp.opening.listener import Listener
from mptcp_stack.mptcp.path_manager.base import PathManagerMaker
from mptcp_stack.mptcp.path_manager.events import PathEvent
from mptcp_stack.mptcp.scheduler.base import Scheduler
from mptcp_stack.mptcp.services import StackServices

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection


class ConnectionServices(StackServices):
    """The stack as a whole connection sees it."""

    scheduler: type[Scheduler]
    path_manager: PathManagerMaker

    @abstractmethod
    def add_token(self, connection: "Connection") -> None:
        """MP_JOINs with this connection's token are for it."""

    @abstractmethod
    def remove(self, connection: "Connection") -> None:
        """The connection is over: nothing refers to it any more."""

    @abstractmethod
    def wake(self, connection: "Connection") -> None:
        """The connection has something to send."""

    # --- what the application is told (``mptcp_stack.events``)

    @abstractmethod
    def accepted(self, listener: Listener, connection: "Connection") -> None:
        """A peer has opened the connection."""

    @abstractmethod
    def connected(self, connection: "Connection") -> None:
        """The connection, which we have opened, is established."""

    @abstractmethod
    def readable(self, connection: "Connection") -> None:
        """There are new data, or the end of them."""

    @abstractmethod
    def writable(self, connection: "Connection") -> None:
        """There is room again."""

    @abstractmethod
    def closed(self, connection: "Connection") -> None:
        """Nothing more will happen; ``connection.error`` says why."""

    @abstractmethod
    def tell(self, event: PathEvent) -> None:
        """What a path manager leaves to the application."""
