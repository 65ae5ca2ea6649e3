"""What the parts of a connection ask of the stack that it lives in."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from mptcp_stack.mptcp.config import StackConfig
from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.tcp import Address, Context, Endpoint, Upper
from mptcp_stack.wire import Segment

if TYPE_CHECKING:
    from random import Random


class Remnant(ABC):
    """What takes the place of an endpoint, in its ``flow``, until the peer knows that the connection is over."""

    __slots__ = ("flow",)
    NAME: ClassVar[str]
    """Of its state, as ``Stack.flow_states`` has it."""
    flow: bytes

    @abstractmethod
    def receive(self, segment: Segment, now: int) -> None:
        """A segment of its flow."""

    @property
    @abstractmethod
    def upper(self) -> "Upper":
        """The layer above the endpoint, which goes with it."""

    @abstractmethod
    def dissolve(self) -> None:
        """It is over, and nobody is in a call of it: nothing refers back."""


class StackServices(ABC):
    """The stack as the parts of its connections see it."""

    context: Context
    config: StackConfig
    random: "Random"

    @property
    @abstractmethod
    def addresses(self) -> tuple[LocalAddress, ...]:
        """The local addresses that may be used."""

    @abstractmethod
    def is_peer(self, ip: bytes) -> bool:
        """Whether an address can be the peer's: one host's, and none of this stack's."""

    @abstractmethod
    def bind(self, ip: bytes, port: int, remote: Address) -> Address:
        """A free local address for a flow to ``remote``; ``port`` 0: choose one. Raises OSError."""

    @abstractmethod
    def add_flow(self, endpoint: Endpoint) -> None:
        """Segments of this endpoint's flow are for it."""

    @abstractmethod
    def remove_flow(self, endpoint: Endpoint, now: int) -> None:
        """The endpoint is closed or in TIME-WAIT."""

    @abstractmethod
    def add_remnant(self, remnant: Remnant) -> None:
        """Segments of its flow are for it."""

    @abstractmethod
    def remove_remnant(self, remnant: Remnant) -> None:
        """It is over."""

    @abstractmethod
    def new_key(self, version: int = 1) -> Key:
        """A key whose token no connection of this stack uses (RFC 8684 section 3.1)."""

    @abstractmethod
    def token_in_use(self, token: int) -> bool:
        """Whether a connection of this stack has it."""
