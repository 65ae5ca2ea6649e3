"""What the stack tells the application. Take events with ``Stack.next_event()`` until it returns None."""

from dataclasses import dataclass

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.opening.listener import Listener
from mptcp_stack.mptcp.path_manager.events import (
    AddressAnnounced,
    AddressWithdrawn,
    LocalAddressAdded,
    LocalAddressRemoved,
    PathEvent,
    PathsWanted,
    SubflowClosed,
    SubflowOpened,
)

__all__ = [
    "Accepted", "AddressAnnounced", "AddressWithdrawn", "Closed", "Connected", "Event", "LocalAddressAdded",
    "LocalAddressRemoved", "PathEvent", "PathsWanted", "Readable", "SubflowClosed", "SubflowOpened", "Writable",
]  # fmt: skip


@dataclass(slots=True)
class Accepted:
    """A peer opened a connection to a listener."""

    listener: Listener
    connection: Connection


@dataclass(slots=True)
class Connected:
    """A connection that we opened is established."""

    connection: Connection


@dataclass(slots=True)
class Readable:
    """New data, or the end of it, can be read."""

    connection: Connection


@dataclass(slots=True)
class Writable:
    """There is room again, after ``send`` took less than it was given."""

    connection: Connection


@dataclass(slots=True)
class Closed:
    """Nothing more will happen on this connection; ``error`` is None after an orderly close or our own abort."""

    connection: Connection
    error: OSError | None


Event = Accepted | Connected | Readable | Writable | Closed | PathEvent
