"""What a path manager decides about, as events for the application (``userspace``)."""

from dataclasses import dataclass

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.path_manager.owner import PathOwner
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.tcp import Address


@dataclass(slots=True)
class PathEvent:
    """Something that a path manager decides about. Only the path manager ``userspace`` tells the application."""

    connection: PathOwner


@dataclass(slots=True)
class PathsWanted(PathEvent):
    """Both sides speak MPTCP: further subflows may be opened and addresses announced."""


@dataclass(slots=True)
class AddressAnnounced(PathEvent):
    """The peer announced an address."""

    address_id: int
    remote: Address


@dataclass(slots=True)
class AddressWithdrawn(PathEvent):
    """The peer withdrew an address; its subflows are closed."""

    address_id: int


@dataclass(slots=True)
class LocalAddressAdded(PathEvent):
    """The stack has one more address."""

    address: LocalAddress


@dataclass(slots=True)
class LocalAddressRemoved(PathEvent):
    """The stack has an address no longer."""

    address: LocalAddress


@dataclass(slots=True)
class SubflowOpened(PathEvent):
    """A further subflow can carry data, whoever opened it."""

    subflow: Subflow


@dataclass(slots=True)
class SubflowClosed(PathEvent):
    """A subflow is gone or did not come up; ``error`` is None after an orderly close."""

    subflow: Subflow
    error: OSError | None
