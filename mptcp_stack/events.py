"""What the stack tells the application. Take events with ``Stack.next_event()`` until it returns None."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.local_address import LocalAddress
    from mptcp_stack.mptcp.opening.listener import Listener
    from mptcp_stack.mptcp.subflow.subflow import Subflow
    from mptcp_stack.tcp import Address


@dataclass(slots=True)
class Accepted:
    """A peer opened a connection to a listener."""

    listener: "Listener"
    connection: "Connection"


@dataclass(slots=True)
class Connected:
    """A connection that we opened is established."""

    connection: "Connection"


@dataclass(slots=True)
class Readable:
    """New data, or the end of it, can be read."""

    connection: "Connection"


@dataclass(slots=True)
class Writable:
    """There is room again, after ``send`` took less than it was given."""

    connection: "Connection"


@dataclass(slots=True)
class Closed:
    """Nothing more will happen on this connection; ``error`` is None after an orderly close or our own abort."""

    connection: "Connection"
    error: OSError | None


@dataclass(slots=True)
class PathEvent:
    """Something that a path manager decides about. Only the path manager ``userspace`` tells the application."""

    connection: "Connection"


@dataclass(slots=True)
class PathsWanted(PathEvent):
    """Both sides speak MPTCP: further subflows may be opened and addresses announced."""


@dataclass(slots=True)
class AddressAnnounced(PathEvent):
    """The peer announced an address."""

    address_id: int
    remote: "Address"


@dataclass(slots=True)
class AddressWithdrawn(PathEvent):
    """The peer withdrew an address; its subflows are closed."""

    address_id: int


@dataclass(slots=True)
class LocalAddressAdded(PathEvent):
    """The stack has one more address."""

    address: "LocalAddress"


@dataclass(slots=True)
class LocalAddressRemoved(PathEvent):
    """The stack has an address no longer."""

    address: "LocalAddress"


@dataclass(slots=True)
class SubflowOpened(PathEvent):
    """A further subflow can carry data, whoever opened it."""

    subflow: "Subflow"


@dataclass(slots=True)
class SubflowClosed(PathEvent):
    """A subflow is gone or did not come up; ``error`` is None after an orderly close."""

    subflow: "Subflow"
    error: OSError | None


Event = Accepted | Connected | Readable | Writable | Closed | PathEvent
