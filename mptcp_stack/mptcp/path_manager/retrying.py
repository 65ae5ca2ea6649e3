"""Trying again, each time after twice as long, when a subflow does not come up or dies."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr
from typing_extensions import override

from mptcp_stack.mptcp.path_manager.base import PathManager
from mptcp_stack.storage import NEVER
from mptcp_stack.tcp import Address

if TYPE_CHECKING:
    from mptcp_stack.mptcp.local_address import LocalAddress
    from mptcp_stack.mptcp.path_manager.owner import PathOwner
    from mptcp_stack.mptcp.subflow.subflow import Subflow

_SPACING_NS: Final = 20_000_000
"""Between two joins of a pair of addresses whose subflows die young although data pass. Who resets each of them slows
the connection down, but cannot have two hosts make more than fifty joins a second: half a percent of a core."""
_DOUBLINGS: Final = 40
"""Enough to reach any upper end; counting on would make ever larger numbers."""


@dataclass(slots=True)
class _Pair:
    """One of our addresses and one of the peer's between which a subflow has failed ``failures`` times in a row."""

    remote_id: int
    failures: int = 0
    failed_ns: int = 0
    due_ns: int = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class Retrying(PathManager):
    """A path manager that wants certain subflows and goes on trying to have them, as long as the connection lives.

    A subclass says in ``fill`` which ones it wants, by calling ``want`` for each. A subflow that has carried data, or
    has lived for ``join_retry_ns``, is joined again at once when it dies; any other, and one that does not come up,
    after that time, and each time after twice as long, up to ``join_retry_maximum_ns``. What was refused for good is
    not tried again (RFC 8684 section 3.6) until the peer announces its address anew (section 3.4.1).

    The side that connects joins, as NATs demand. When no subflow is left at all the other side tries as well, a little
    later: the peer may not know of it, as a reset may have come to one end alone.
    """

    def __init__(self, connection: "PathOwner") -> None:
        super().__init__(connection)
        self._pairs: dict[tuple[bytes, Address], _Pair] = {}

    @abstractmethod
    def fill(self, now: int) -> None:
        """Ask for the subflows that are missing."""
        raise NotImplementedError(f"{type(self).__name__} lacks fill")

    # --- for subclasses

    @property
    def alone(self) -> bool:
        """No subflow is up, and none of the peer's is coming up."""
        return all(subflow.joining and not subflow.was_up for subflow in self.connection.subflows)

    @property
    def joins(self) -> bool:
        """Whether it is for us to open subflows."""
        return self.connection.active or self.alone

    def missing(self) -> "Iterator[tuple[LocalAddress, int, Address]]":
        """Each of our addresses with the ID and the address of the peer's that it reaches and has no subflow to."""
        connection = self.connection
        subflows = [subflow for subflow in connection.subflows if not subflow.leaving]
        ours = {(subflow.local.ip, subflow.remote) for subflow in subflows}
        theirs = {(one.local.ip, one.remote.ip) for one in subflows if one.number and not one.joining}
        for remote_id, remote in connection.announcements.remotes().items():
            for address in self.local_addresses(remote.ip):
                if (address.ip, remote) not in ours and (address.ip, remote.ip) not in theirs:
                    yield address, remote_id, remote

    def failed_ns(self, ip: bytes, remote: Address) -> int:
        """When a subflow between two addresses has failed last; 0: never."""
        pair = self._pairs.get((ip, remote))
        return pair.failed_ns if pair is not None else 0

    def want(self, address: "LocalAddress", remote_id: int, remote: Address, now: int) -> bool:
        """Open a subflow, unless this pair of addresses waits after a failure; whether it was opened."""
        pair = self._pairs.get((address.ip, remote))
        if pair is not None and now < pair.due_ns:
            return False
        return self.connection.open_subflow(address, remote_id, remote, now) is not None

    def announce_others(self, now: int) -> None:
        """Announce every address of ours but the one that the connection began with."""
        connection = self.connection
        for address in connection.stack.addresses:
            if address.ip != connection.local.ip:
                connection.announcements.announce(address, now)

    # --- what happens

    @override
    def on_established(self, now: int) -> None:
        """The side that listens announces, the side that connects joins, as NATs demand."""
        if self.connection.active:
            self.fill(now)
        else:
            self.announce_others(now)

    @override
    def on_address_announced(self, address_id: int, remote: Address, now: int) -> None:
        """A new chance for what has failed, but not more often than every ``join_retry_ns``."""
        rest_ns = self.connection.stack.config.join_retry_ns
        for (_, other), pair in self._pairs.items():
            if other == remote:
                pair.failures, pair.due_ns = 0, pair.failed_ns + rest_ns
        self._fill_when_due(now)

    @override
    def on_address_removed(self, address_id: int, now: int) -> None:
        self._pairs = {key: pair for key, pair in self._pairs.items() if pair.remote_id != address_id}

    @override
    def on_local_address_added(self, address: "LocalAddress", now: int) -> None:
        """What failed with it before says nothing."""
        self._pairs = {key: pair for key, pair in self._pairs.items() if key[0] != address.ip}
        if not self.connection.active:
            self.connection.announcements.announce(address, now)
        self._fill_when_due(now)

    @override
    def on_subflow_closed(self, subflow: "Subflow", error: OSError | None, now: int) -> None:
        """What one of the hosts closed in order is not opened again while there are others.

        That the peer resets a subflow whose address we have taken back says nothing, should the address return.
        """
        connection = self.connection
        intended = subflow.leaving or (error is None and not subflow.rejected)
        missed = self.joins and (self.alone or not intended)
        ours = subflow.joining or (connection.active and not subflow.number)
        if not subflow.leaving and (subflow.refused or (missed and ours)):
            self._note_failure(subflow, now)
        if missed and (connection.active or ours):
            self._fill_when_due(now)
        elif missed and connection.stack.config.join_retries:
            self.wake_at(now + connection.stack.config.join_retry_ns)

    @override
    def on_subflow_established(self, subflow: "Subflow", now: int) -> None:
        """The side that listens has what it wants."""
        if not self.connection.active:
            self.stop()

    @override
    def on_timer(self, now: int) -> None:
        self._fill_when_due(now)

    # --- bookkeeping

    def _note_failure(self, subflow: "Subflow", now: int) -> None:
        config = self.connection.stack.config
        targets = [one for one in self.connection.announcements.remotes().items() if one[1].ip == subflow.remote.ip]
        if not targets:
            return
        remote_id, remote = next((one for one in targets if one[1] == subflow.remote), targets[0])
        pair = self._pairs.setdefault((subflow.local.ip, remote), _Pair(remote_id))
        was_good = subflow.carried_data or (subflow.was_up and now - subflow.opened_ns >= config.join_retry_ns)
        pair.failures = 0 if was_good else pair.failures + 1
        pair.failed_ns = now
        if subflow.refused or max(pair.failures, 1) > config.join_retries:
            pair.due_ns = NEVER
        elif not pair.failures:
            pair.due_ns = max(now, subflow.opened_ns + _SPACING_NS)
        else:
            wait_ns = config.join_retry_ns << min(pair.failures - 1, _DOUBLINGS)
            pair.due_ns = now + min(wait_ns, config.join_retry_maximum_ns)

    def _fill_when_due(self, now: int) -> None:
        """Open what is missing and may be tried now; the rest in its time."""
        if self.joins:
            self.fill(now)
        waiting = [pair.due_ns for pair in self._pairs.values() if now < pair.due_ns < NEVER]
        if waiting:
            self.wake_at(min(waiting))
