"""Trying again, each time after twice as long, when a subflow does not come up or dies."""

from abc import abstractmethod
from typing import TYPE_CHECKING

from mptcp_stack.mptcp.path_manager.base import PathManager
from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.mptcp.host import LocalAddress
    from mptcp_stack.mptcp.subflow import Subflow

_NEVER = 1 << 126


class Retrying(PathManager):
    """A path manager that wants certain subflows and goes on trying to have them.

    A subclass says in ``fill`` which ones it wants, by calling ``want`` for each. ``join_retries`` and
    ``join_retry_ns`` of the configuration say how often a pair of addresses is tried again, and after what time first.
    """

    def __init__(self, connection: "Connection") -> None:
        super().__init__(connection)
        self._failures: dict[tuple[bytes, Address], int] = {}
        self._due_ns: dict[tuple[bytes, Address], int] = {}

    @abstractmethod
    def fill(self, now: int) -> None:
        """Ask for the subflows that are missing."""

    def want(self, address: "LocalAddress", remote_id: int, remote: Address, now: int) -> bool:
        """Open a subflow, unless this pair of addresses waits after a failure; whether it was opened."""
        if now < self._due_ns.get((address.ip, remote), now):
            return False
        return self.connection.open_subflow(address, remote_id, remote, now) is not None

    def announce_others(self, now: int) -> None:
        """Announce every address of ours but the one that the connection began with."""
        connection = self.connection
        for address in connection.host.addresses:
            if address.ip != connection.local.ip:
                connection.announcements.announce(address, now)

    def on_established(self, now: int) -> None:
        """See ``PathManager``: the side that listens announces, the side that connects joins, as NATs demand."""
        if self.connection.active:
            self.fill(now)
        else:
            self.announce_others(now)

    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        """See ``PathManager``."""
        self._forget(remote.ip)
        if self.connection.active:
            self.fill(now)

    def on_local_address_added(self, address: "LocalAddress", now: int) -> None:
        """See ``PathManager``."""
        self._forget(address.ip)
        if self.connection.active:
            self.fill(now)
        else:
            self.connection.announcements.announce(address, now)

    def on_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """See ``PathManager``: what was closed in order, and what the peer refuses for good, is not opened again."""
        if error is None or not self.connection.active:
            return
        pair = subflow.local.ip, subflow.remote
        if subflow.carried_data:
            self._failures.pop(pair, None)
        self._failures[pair] = failures = self._failures.get(pair, 0) + 1
        config = self.connection.host.config
        if subflow.refused or failures > config.join_retries:
            self._due_ns[pair] = _NEVER
            return
        self._due_ns[pair] = now + (config.join_retry_ns << (failures - 1))
        self.wake_at(self._due_ns[pair])

    def on_timer(self, now: int) -> None:
        """See ``PathManager``."""
        waiting = [due_ns for due_ns in self._due_ns.values() if now < due_ns < _NEVER]
        if waiting:
            self.wake_at(min(waiting))
        self.fill(now)

    def _forget(self, ip: bytes) -> None:
        """An address has come (back): what failed with it before says nothing."""
        for table in (self._failures, self._due_ns):
            for pair in [pair for pair in table if ip in (pair[0], pair[1].ip)]:
                del table[pair]
