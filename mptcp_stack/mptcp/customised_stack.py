"""The stack for connections that have settings of their own."""

from typing_extensions import override

from mptcp_stack.mptcp.config import StackConfig
from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.connection_services import ConnectionServices
from mptcp_stack.mptcp.keys import Key
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.opening.listener import Listener
from mptcp_stack.mptcp.path_manager import PathManagerMaker
from mptcp_stack.mptcp.path_manager.events import PathEvent
from mptcp_stack.mptcp.scheduler import Scheduler
from mptcp_stack.mptcp.services import Remnant
from mptcp_stack.tcp import Address, Context, Endpoint


class CustomisedStack(ConnectionServices):
    """A ``stack`` with other settings; flows, tokens, timers, counters and output are the same.

    ``local_ips``: the addresses that its connections may use (RFC 6897 section 6.3.3), None for all.
    """

    def __init__(
        self,
        stack: ConnectionServices,
        *,
        config: StackConfig,
        context: Context,
        scheduler: type[Scheduler],
        path_manager: PathManagerMaker,
        local_ips: frozenset[bytes] | None,
    ) -> None:
        self._stack = stack
        self.config = config
        self.context = context
        self.scheduler = scheduler
        self.path_manager = path_manager
        self.local_ips = local_ips
        self.random = stack.random

    @property
    @override
    def addresses(self) -> tuple[LocalAddress, ...]:
        """Those of ``local_ips`` that the stack has at the moment."""
        addresses = self._stack.addresses
        if self.local_ips is None:
            return addresses
        return tuple(address for address in addresses if address.ip in self.local_ips)

    # --- as the stack

    @override
    def is_peer(self, ip: bytes) -> bool:
        return self._stack.is_peer(ip)

    @override
    def bind(self, ip: bytes, port: int, remote: Address) -> Address:
        return self._stack.bind(ip, port, remote)

    @override
    def add_flow(self, endpoint: Endpoint) -> None:
        self._stack.add_flow(endpoint)

    @override
    def remove_flow(self, endpoint: Endpoint, now: int) -> None:
        self._stack.remove_flow(endpoint, now)

    @override
    def add_remnant(self, remnant: Remnant) -> None:
        self._stack.add_remnant(remnant)

    @override
    def remove_remnant(self, remnant: Remnant) -> None:
        self._stack.remove_remnant(remnant)

    @override
    def new_key(self, version: int = 1) -> Key:
        return self._stack.new_key(version)

    @override
    def token_in_use(self, token: int) -> bool:
        return self._stack.token_in_use(token)

    @override
    def add_token(self, connection: Connection) -> None:
        self._stack.add_token(connection)

    @override
    def remove(self, connection: Connection) -> None:
        self._stack.remove(connection)

    @override
    def wake(self, connection: Connection) -> None:
        self._stack.wake(connection)

    @override
    def accepted(self, listener: Listener, connection: Connection) -> None:
        self._stack.accepted(listener, connection)

    @override
    def connected(self, connection: Connection) -> None:
        self._stack.connected(connection)

    @override
    def readable(self, connection: Connection) -> None:
        self._stack.readable(connection)

    @override
    def writable(self, connection: Connection) -> None:
        self._stack.writable(connection)

    @override
    def closed(self, connection: Connection) -> None:
        self._stack.closed(connection)

    @override
    def tell(self, event: PathEvent) -> None:
        self._stack.tell(event)
