"""An application that does anything at any time, and knows what it must find: the model of a connection."""

from random import Random
from typing import TYPE_CHECKING

from mptcp_stack.sim import Application

if TYPE_CHECKING:
    from collections.abc import Callable

    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.sim import Host

EVERYTHING = 1 << 31
HABITS: dict[str, tuple[int, ...]] = {
    "eager": (EVERYTHING,),
    "slow": (5000,),
    "tiny": (1, 3, 100),
    "idle": (0, 0, 0, 10_000),
}
"""How an application reads: so much at a time, one of these."""


class Actor(Application):
    """``written`` is what the peer has to get, ``taken`` how much of the peer's was read.

    ``ended``: it writes no more. ``left``: it does not read any more either, by its own will. ``ends``: how often it
    was told that the connection is over.
    """

    def __init__(
        self,
        name: str,
        random: Random,
        budget: int,
        sizes: tuple[int, ...],
        habits: tuple[str, ...],
        attached: "Callable[[Actor], None]",
    ) -> None:
        super().__init__()
        self.name = name
        self.random = random
        self.budget = budget
        self.peer: Actor | None = None
        self.written = bytearray()
        self.taken = 0
        self.ended = self.left = self.aborted = self.settled = False
        self.ends = 0
        self.habit = random.choice(habits)
        self._sizes = sizes
        self._bytes = Random(random.random())
        self._attached = attached

    def attach(self, host: "Host", connection: "Connection") -> None:
        """See ``Application``."""
        super().attach(host, connection)
        self._attached(self)

    @property
    def owed(self) -> bytearray:
        """All that the peer has written."""
        return self.peer.written if self.peer is not None else bytearray()

    # --- what the stack tells

    def handle_connected(self) -> None:
        """See ``Application``."""
        assert not self.connected, "connected twice"
        self.connected = True

    def handle_readable(self) -> None:
        """See ``Application``: eager ones read at once."""
        if self.settled or self.habit == "eager":
            self.read(EVERYTHING)

    def handle_writable(self) -> None:
        """See ``Application``."""
        if self.random.random() < 0.8:
            self.write()

    def handle_closed(self, error: OSError | None) -> None:
        """See ``Application``."""
        self.ends += 1
        assert self.ends == 1, "Closed twice"
        assert error is self.connection.error
        self.closed, self.error = True, error
        if error is None:
            self.read(EVERYTHING)

    # --- what it does

    def act(self, destructive: bool) -> None:
        """One thing or another."""
        drawn, connection = self.random.random(), self.connection
        if drawn < 0.45:
            self.write()
        elif drawn < 0.8:
            self.read(self.random.choice(HABITS[self.habit]))
        elif drawn < 0.807:
            self.shutdown()
        elif drawn < 0.815 and destructive:
            self.random.choice([self.close, self.abort])()
        elif drawn < 0.9:
            connection.nodelay = self.random.random() < 0.5
        elif drawn < 0.93:
            connection.cork = self.random.random() < 0.3
        elif drawn < 0.95:
            connection.keep_alive = self.random.random() < 0.5
        elif drawn < 0.97:
            self.habit = self.random.choice(list(HABITS))
        self.host.settle()

    def wind_up(self) -> None:
        """Say what is left to say, read what comes, and end."""
        if self.settled or self.closed:
            return
        self.settled = True
        self.connection.cork = False
        if self.random.random() < 0.5:
            self.write(1000)
        self.read(EVERYTHING)
        self.shutdown()
        self.host.settle()

    def read(self, limit: int) -> None:
        """Read, and compare with what the peer has written."""
        if self.left or not limit:
            return
        if self.random.random() < 0.05:
            self._expect(b"".join(self.connection.peek(limit)), limit)
        data = b"".join(self.connection.receive(limit))
        self._expect(data, limit)
        self.taken += len(data)
        if self.connection.eof and not self.eof:
            self.eof = True
            ended = self.peer is not None and self.peer.ended
            assert ended, f"{self.name}: an end that the peer has not written"
            assert self.taken == len(self.owed), f"{self.name}: end at {self.taken} of {len(self.owed)}"

    def _expect(self, data: bytes, limit: int) -> None:
        assert len(data) <= limit, "more than was asked for"
        where = f"{self.name}: wrong bytes among the {len(data)} at {self.taken} of {len(self.owed)}"
        assert data == self.owed[self.taken : self.taken + len(data)], where

    def write(self, length: int = 0) -> None:
        """Write as much as is taken of something."""
        connection = self.connection
        length = min(length or self.random.choice(self._sizes), self.budget)
        if self.ended or self.closed or not length:
            return
        data = self._bytes.randbytes(length)
        try:
            taken = connection.send(data)
        except OSError:
            assert connection not in self.host.stack.connections, "a connection that goes on takes nothing"
            return
        assert 0 <= taken <= length
        self.written += data[:taken]
        self.budget -= taken
        if taken < length:
            connection.want_room()

    def shutdown(self) -> None:
        """Write no more."""
        if not self.ended:
            self.ended = True
            self.connection.shutdown()

    def close(self) -> None:
        """Neither write nor read any more."""
        self.ended = self.left = True
        self.connection.close()

    def abort(self) -> None:
        """End it at once."""
        self.ended = self.left = self.aborted = True
        self.connection.abort()
