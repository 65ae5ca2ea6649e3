"""Blocking sockets over a stack of our own, with the calls, errors and timeouts of the standard library's.

A `SocketNetwork` runs an event loop in one thread, which alone touches the stack. A call on a socket is handed to that
thread as an *attempt*: it is tried at once and then again whenever something happened on that connection, until it
succeeds, fails or its time is up; the calling thread sleeps until then. So any number of threads can use any
number of sockets, also the same one, and a call costs two switches between threads.

    with SocketNetwork(NetworkConfig(addresses=["10.0.1.101/24@eth1"])) as network, network.socket() as connection:
        connection.connect(("10.0.1.102", 80))
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
"""

from __future__ import annotations

import errno
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from mptcp_stack.stack import Connection, Listener

from .config import NetworkConfig
from .event_loop import EventLoop
from .network import Network, SocketAddress, mptcp_info, packed_address, socket_address
from .transports import Writable, unchanging

Result = TypeVar("Result")


class _NotYet:
    """What an attempt returns when it has to wait."""


_NOT_YET: Final = _NotYet()
Attempt = Callable[[], Any]


class SocketNetwork:
    """A network for blocking sockets, with the thread that drives it; a context manager.

    Raises what `EventLoop` raises.
    """

    def __init__(self, network: Network | NetworkConfig) -> None:
        self.loop = EventLoop(network)
        self.sides: set[_Side] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, name="mptcp-network", daemon=True)
        self._thread.start()

    def __enter__(self) -> SocketNetwork:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def counters(self) -> Counter[str]:
        """Counts of what happened; other threads may be changing them."""
        return self.loop.network.counters

    def socket(self, **settings: Any) -> Socket:
        """A new socket; `settings` (fields of `StackConfig`) differ from those of the network for its connections."""
        return Socket(self, settings)

    def close(self) -> None:
        """Close all sockets, let them deliver what was written, stop. May be called again."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop)
            self._thread.join()
        self.loop.close()

    def _stop(self) -> None:
        for side in self.sides:
            side.expire_all()
        self.loop.stop()


class _Call:
    """An attempt that a thread waits for."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self.result: Future[Any] = Future()

    def retry(self) -> bool:
        """Try again; whether it is over."""
        if self.result.done():
            return True
        try:
            result = self._attempt()
        except Exception as error:
            self.result.set_exception(error)
            return True
        if result is _NOT_YET:
            return False
        self.result.set_result(result)
        return True

    def expire(self, error: OSError) -> None:
        """Give up, unless it is over."""
        if not self.result.done():
            self.result.set_exception(error)


class _Side:
    """What the network's thread knows of one socket: the handler of its connection, and the calls that wait."""

    def __init__(self, network: SocketNetwork) -> None:
        self.network = network
        self.driver = network.loop.driver
        self.closed = False
        self.connection: Connection | None = None
        self.established = False
        self.ended = False
        self.error: OSError | None = None
        self.listener: Listener | None = None
        self.arrivals: deque[_Side] = deque()
        self._calls: list[_Call] = []

    def submit(self, call: _Call, timeout: float | None) -> None:
        """Try a call, and again on every event for `timeout` seconds (None: for ever, 0: never)."""
        if self.closed:
            call.expire(_bad_descriptor())
        if call.retry():
            return
        if timeout == 0:
            call.expire(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"))
            return
        self._calls.append(call)
        self.network.sides.add(self)
        if timeout is not None:
            timer = self.network.loop.call_later(timeout, call.expire, TimeoutError("timed out"))
            # From the thread that sets the result, which is the loop's.
            call.result.add_done_callback(lambda _: timer.cancel())

    def retry_all(self) -> None:
        """Something happened."""
        if self._calls:
            self._calls = [call for call in self._calls if not call.retry()]

    def accept(self, connection: Connection) -> None:
        """A connection to our listener."""
        side = _Side(self.network)
        side.connection = connection
        side.established = True
        self.driver.attach(connection, side)
        self.arrivals.append(side)
        if self.listener is not None:
            self.listener.waiting += 1
        self.retry_all()

    def on_connected(self) -> None:
        """See `ConnectionHandler`."""
        self.established = True
        self.retry_all()

    def on_readable(self) -> None:
        """See `ConnectionHandler`."""
        self.retry_all()

    def on_writable(self) -> None:
        """See `ConnectionHandler`."""
        self.retry_all()

    def on_closed(self, error: OSError | None) -> None:
        """See `ConnectionHandler`."""
        self.ended = True
        self.error = error
        self.retry_all()

    def close(self) -> None:
        """Close everything; calls of other threads that wait fail with EBADF."""
        self.closed = True
        if self.listener is not None:
            self.driver.stop_listening(self.listener)
        for side in self.arrivals:
            side.close()
        if self.connection is not None:
            self.driver.detach(self.connection)
            if self.established:
                self.connection.close()
            else:
                self.connection.abort()
            self.driver.wake()
        self.expire_all()
        self.network.sides.discard(self)

    def expire_all(self) -> None:
        """Let every call that waits fail with EBADF."""
        for call in self._calls:
            call.expire(_bad_descriptor())
        self._calls.clear()


class Socket:
    """A TCP or MPTCP socket like `socket.socket`; a context manager. Make it with `SocketNetwork.socket`.

    Calls raise what the standard library's raise: OSError with its errno, TimeoutError after `settimeout`,
    BlockingIOError when the timeout is 0.
    """

    def __init__(self, network: SocketNetwork, settings: Mapping[str, Any], side: _Side | None = None) -> None:
        self._network = network
        self._settings = dict(settings)
        self._side = _Side(network) if side is None else side
        self._local: SocketAddress | None = None
        self._timeout = socket.getdefaulttimeout()
        self._closed = False

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, attempt: Callable[[], Result | _NotYet], timeout: float | None) -> Result:
        """Run an attempt in the network's thread and wait for it."""
        if self._closed or self._network.loop.is_closed():
            raise _bad_descriptor()
        call = _Call(attempt)
        self._network.loop.call_soon_threadsafe(self._side.submit, call, timeout)
        result: Result = call.result.result()
        return result

    def _connected(self) -> Connection:
        connection = self._side.connection
        if connection is None or not self._side.established:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return connection

    # --- opening

    def bind(self, address: SocketAddress) -> None:
        """Use this address (empty: any of the stack) and port (0: any) for `connect` or `listen`."""
        self._local = address

    def connect(self, address: SocketAddress) -> None:
        """Connect. Raises OSError: ConnectionRefusedError, TimeoutError, ENETUNREACH, EADDRNOTAVAIL, EISCONN."""
        side = self._side
        remote = packed_address(address[0], address[1])
        local = None if self._local is None else packed_address(self._local[0], self._local[1])

        def begin() -> None:
            if side.connection is None:
                side.connection = side.driver.connect(remote, local, **self._settings)
                side.driver.attach(side.connection, side)
            elif side.established:
                raise OSError(errno.EISCONN, "Transport endpoint is already connected")

        def finish() -> _NotYet | None:
            if side.ended and not side.established:
                error, side.connection, side.ended = side.error, None, False
                raise error or ConnectionAbortedError(errno.ECONNABORTED, "Software caused connection abort")
            return None if side.established else _NOT_YET

        self._call(begin, None)
        self._call(finish, self._timeout)

    def listen(self, backlog: int = 128) -> None:
        """Accept connections to the address of `bind`. Raises OSError (EADDRINUSE, EADDRNOTAVAIL)."""
        side = self._side
        host, port = (self._local or ("", 0))[:2]
        local = packed_address(host, port)

        def attempt() -> None:
            if side.listener is None:
                side.listener = side.driver.listen(local, backlog, side.accept, **self._settings)

        self._call(attempt, None)

    def accept(self) -> tuple[Socket, SocketAddress]:
        """The next connection, and the address of its peer."""
        side = self._side

        def attempt() -> _Side | _NotYet:
            if side.listener is None:
                raise OSError(errno.EINVAL, "Invalid argument")
            if not side.arrivals:
                return _NOT_YET
            side.listener.waiting -= 1
            return side.arrivals.popleft()

        accepted = Socket(self._network, {}, side=self._call(attempt, self._timeout))
        return accepted, accepted.getpeername()

    # --- data

    def send(self, data: Writable) -> int:
        """Send some of `data`; how many bytes were taken."""
        view = unchanging(data)
        side = self._side

        def attempt() -> int | _NotYet:
            taken = self._connected().send(view)
            side.driver.wake()
            return taken if taken or not view else _NOT_YET

        return self._call(attempt, self._timeout)

    def sendall(self, data: Writable) -> None:
        """Send all of `data`; the timeout is for the whole of it. How much was sent before an error is not known."""
        view = unchanging(data)
        side = self._side

        def attempt() -> _NotYet | None:
            nonlocal view
            view = view[self._connected().send(view) :]
            side.driver.wake()
            return _NOT_YET if view else None

        self._call(attempt, self._timeout)

    def recv(self, limit: int) -> bytes:
        """Up to `limit` bytes, at least one; none at the end of the peer's stream."""
        return self._call(lambda: self._take(limit, b"".join), self._timeout)

    def recv_into(self, buffer: bytearray | memoryview, limit: int = 0) -> int:
        """Receive into `buffer`, up to `limit` bytes or its length (0); how many."""
        view = memoryview(buffer).cast("B")

        def fill(chunks: list[memoryview]) -> int:
            filled = 0
            for chunk in chunks:
                view[filled : filled + len(chunk)] = chunk
                filled += len(chunk)
            return filled

        return self._call(lambda: self._take(limit or len(view), fill), self._timeout)

    def _take(self, limit: int, use: Callable[[list[memoryview]], Result]) -> Result | _NotYet:
        side = self._side
        connection = self._connected()
        if connection.receive_ready:
            result = use(connection.receive(limit))
            # The window opens again.
            side.driver.wake()
            return result
        if connection.eof or limit == 0:
            return use([])
        if side.ended:
            if side.error is not None:
                raise side.error
            return use([])
        return _NOT_YET

    # --- the end

    def shutdown(self, how: int) -> None:
        """End our stream (SHUT_WR, SHUT_RDWR); SHUT_RD has no effect, as nothing of it is told to the peer."""

        def attempt() -> None:
            connection = self._connected()
            if how != socket.SHUT_RD:
                connection.shutdown()
                self._side.driver.wake()

        self._call(attempt, None)

    def close(self) -> None:
        """Close; what was sent is still delivered. May be called again."""
        if not self._closed and not self._network.loop.is_closed():
            self._network.loop.call_soon_threadsafe(self._side.close)
        self._closed = True

    def __del__(self) -> None:
        self.close()

    # --- what it is

    def settimeout(self, seconds: float | None) -> None:
        """Let each later call last this long; None: for ever, 0: not at all."""
        if seconds is not None and seconds < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """See `settimeout`."""
        return self._timeout

    def setblocking(self, blocking: bool) -> None:
        """`settimeout(None)` or `settimeout(0)`."""
        self._timeout = None if blocking else 0.0

    def getpeername(self) -> SocketAddress:
        """Address and port of the peer."""
        return self._call(lambda: socket_address(self._connected().remote), None)

    def getsockname(self) -> SocketAddress:
        """Our own address and port."""

        def attempt() -> SocketAddress:
            source = self._side.connection or self._side.listener
            if source is None:
                return self._local or ("0.0.0.0", 0)
            return socket_address(source.local)

        return self._call(attempt, None)

    def mptcp_info(self) -> dict[str, object]:
        """See `network.mptcp_info`."""
        return self._call(lambda: mptcp_info(self._connected()), None)


def _bad_descriptor() -> OSError:
    return OSError(errno.EBADF, "Bad file descriptor")
