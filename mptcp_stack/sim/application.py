"""Small scripted applications, driven by a stack's events and using a connection's face only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mptcp_stack.mptcp.connection import Connection
    from mptcp_stack.sim.network import Host

REQUEST_BYTES: Final = 8


def pattern(length: int, seed: int = 0) -> bytes:
    """`length` bytes without a period, the same for the same seed: misplaced data never compares equal."""
    return Random(seed).randbytes(length)


class Application:
    """Reads everything, and closes once the peer has closed and all that was written has been sent.

    That alone is a sink. `read_limit_bytes` and `read_interval_ns` make a slow reader: at most so many bytes,
    then a rest of so long. Subclasses override the `on_` methods; `write` queues without limit and sends as
    the connection accepts.
    """

    def __init__(self, read_limit_bytes: int = 2**31, read_interval_ns: int = 0) -> None:
        self.received = bytearray()
        self.connected = False
        self.eof = False
        self.closed = False
        self.error: OSError | None = None
        self._read_limit_bytes = read_limit_bytes
        self._read_interval_ns = read_interval_ns
        self._resting = False
        self._outgoing: deque[memoryview] = deque()
        self._finish: Callable[[], None] | None = None

    def attach(self, host: Host, connection: Connection) -> None:
        """Say whose connection this application uses; the network calls it once."""
        self.host = host
        self.connection = connection

    # What the script of a subclass is made of.

    def on_connected(self) -> None:
        """The connection is established (either side)."""

    def on_data(self, data: bytes) -> None:
        """Some bytes were read, in order."""

    def on_eof(self) -> None:
        """The peer has closed and everything was read."""
        self.finish(self.connection.close)

    def write(self, data: bytes) -> None:
        """Send `data` after all that was written before."""
        if data:
            self._outgoing.append(memoryview(data))
        self._flush()

    def finish(self, how: Callable[[], None]) -> None:
        """Call `how` (the connection's `shutdown` or `close`) as soon as everything written was accepted."""
        self._finish = how
        self._flush()

    # What the network calls for the stack's events.

    def handle_connected(self) -> None:
        """Accepted or Connected."""
        self.connected = True
        self.on_connected()

    def handle_readable(self) -> None:
        """Read as far as the reader's pace allows."""
        if self._resting or self.closed:
            return
        data = b"".join(self.connection.receive(self._read_limit_bytes))
        if data:
            self.received += data
            self.on_data(data)
        if self.connection.eof and not self.eof:
            self.eof = True
            self.on_eof()
        elif self._read_interval_ns and data:
            self._resting = True
            self.host.call_later(self._read_interval_ns, self._rested)

    def handle_writable(self) -> None:
        """Send what waits."""
        self._flush()

    def handle_closed(self, error: OSError | None) -> None:
        """Nothing more will happen on the connection."""
        self.closed = True
        self.error = error
        self._outgoing.clear()
        self._finish = None

    def _rested(self) -> None:
        self._resting = False
        self.handle_readable()

    def _flush(self) -> None:
        if self.connection.error is not None:
            return  # `Closed` is on its way
        while self._outgoing:
            chunk = self._outgoing[0]
            accepted = self.connection.send(chunk)
            if accepted < len(chunk):
                self._outgoing[0] = chunk[accepted:]
                return
            self._outgoing.popleft()
        if self._finish is not None:
            how, self._finish = self._finish, None
            how()


class Sink(Application):
    """Reads all and closes after the peer."""


class Source(Application):
    """Sends `payload`, then ends its direction, and reads what comes until the peer has closed as well."""

    def __init__(self, payload: bytes, read_limit_bytes: int = 2**31, read_interval_ns: int = 0) -> None:
        super().__init__(read_limit_bytes, read_interval_ns)
        self.payload = payload

    def on_connected(self) -> None:
        self.write(self.payload)
        self.finish(self.connection.shutdown)


class Echo(Application):
    """Sends back what it reads; closes after the peer."""

    def on_data(self, data: bytes) -> None:
        self.write(data)


class RequestServer(Application):
    """Reads a request of eight bytes, a length, answers with so many bytes and closes first."""

    def on_data(self, data: bytes) -> None:
        if len(self.received) >= REQUEST_BYTES:
            length = int.from_bytes(self.received[:REQUEST_BYTES], "big")
            self.write(pattern(length))
            self.finish(self.connection.close)


class RequestClient(Application):
    """Asks for `length` bytes and reads them until the server closes."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def on_connected(self) -> None:
        self.write(self.length.to_bytes(REQUEST_BYTES, "big"))
