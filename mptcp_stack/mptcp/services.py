"""What a connection asks of the stack it lives in."""

from typing import TYPE_CHECKING, Protocol

from mptcp_stack.mptcp.config import MptcpConfig
from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.tcp import Address, Context, Endpoint

if TYPE_CHECKING:
    from random import Random

    from mptcp_stack.events import Event
    from mptcp_stack.mptcp.closing.fast_close import FastCloseWait
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.path_manager import PathManagerMaker
    from mptcp_stack.mptcp.scheduler import Scheduler
    from mptcp_stack.mptcp.subflow.subflow import Subflow


class StackServices(Protocol):
    """The stack as its connections see it."""

    context: Context
    random: "Random"
    scheduler: "type[Scheduler]"
    path_manager: "PathManagerMaker"

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """The local addresses that may be used."""

    @property
    def config(self) -> MptcpConfig:
        """The settings of the stack."""

    def is_peer(self, ip: bytes) -> bool:
        """Whether an address can be the peer's: one host's, and none of this stack's."""

    def bind(self, ip: bytes, port: int, remote: Address) -> Address:
        """A free local address for a flow to ``remote``; ``port`` 0: choose one. Raises OSError."""

    def add_flow(self, subflow: "Subflow") -> None:
        """Segments of this subflow's flow are for it."""

    def add_fast_close(self, wait: "FastCloseWait") -> None:
        """Segments of its flow are for it."""

    def remove_fast_close(self, wait: "FastCloseWait") -> None:
        """It is over."""

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
