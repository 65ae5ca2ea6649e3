"""What a connection asks of the stack it lives in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mptcp_stack.mptcp.config import MptcpConfig
from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.path_manager import PathManager
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.tcp import Address, Context, Endpoint

if TYPE_CHECKING:
    from random import Random

    from mptcp_stack.events import Event
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.subflow import Subflow


@dataclass(frozen=True)
class LocalAddress:
    """An address of the stack.

    ``ip`` is packed (4 or 16 bytes), ``address_id`` MPTCP's name for it; with ``gateway`` it reaches beyond its prefix.
    """

    ip: bytes
    prefix_length: int = 32
    gateway: bool = False
    address_id: int = 0
    mtu: int = 0
    """Of the link it is on (bytes); 0: that of the stack's configuration."""

    def reaches(self, remote: bytes) -> bool:
        """Whether packets from this address find their way to ``remote``."""
        if len(remote) != len(self.ip):
            return False
        shift = 8 * len(remote) - self.prefix_length
        same = int.from_bytes(remote, "big") >> shift == int.from_bytes(self.ip, "big") >> shift
        return same or self.gateway


class Host(Protocol):
    """The stack as its connections see it."""

    context: Context
    random: "Random"
    scheduler: type[Scheduler]
    path_manager: type[PathManager]

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """The local addresses that may be used."""

    @property
    def config(self) -> MptcpConfig:
        """The settings of the stack."""

    def bind(self, ip: bytes, port: int, remote: Address) -> Address:
        """A free local address for a flow to ``remote``; ``port`` 0: choose one. Raises OSError."""

    def add_flow(self, subflow: "Subflow") -> None:
        """Segments of this subflow's flow are for it."""

    def remove_flow(self, endpoint: Endpoint, now: int) -> None:
        """The endpoint is closed or in TIME-WAIT."""

    def new_key(self, version: int = 1) -> Key:
        """A key whose token no connection of this stack uses (RFC 8684 section 3.1)."""

    def token_in_use(self, token: int) -> bool:
        """Whether a connection of this stack has it."""

    def add_token(self, connection: "Connection") -> None:
        """MP_JOINs with this connection's token are for it."""

    def remove(self, connection: "Connection") -> None:
        """The connection is over: nothing refers to it any more."""

    def wake(self, connection: "Connection") -> None:
        """The connection has something to send."""

    def emit(self, event: "Event") -> None:
        """Tell the application."""
