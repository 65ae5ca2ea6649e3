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

import asyncio
import errno
import io
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import IO, Any, Final, TypeVar

from mptcp_stack.stack import Address, Connection

from .calls import NOT_YET, Call, NotYet, Side
from .config import NetworkConfig
from .errors import error
from .event_loop import EventLoop
from .network import Network, SocketAddress, family_of, mptcp_info, packed_address, socket_address
from .options import SocketOptions
from .transports import Writable, unchanging

Result = TypeVar("Result")
_DEFAULT_TIMEOUT: Final = object()
_SENDFILE_BYTES = 1 << 18
_ALWAYS_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_RECEIVE_FLAGS = _ALWAYS_FLAGS | socket.MSG_PEEK | socket.MSG_WAITALL


class SocketNetwork:
    """A network for blocking sockets, with the thread that drives it; a context manager.

    Raises what `EventLoop` raises.
    """

    def __init__(self, network: Network | NetworkConfig) -> None:
        self.loop = EventLoop(network)
        self._waiting: set[Side] = set()
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
        """A new socket; `settings` (fields of `StackConfig`) differ from those of the network for its connections.

        Raises ValueError.
        """
        return Socket(self, Side(self.loop, SocketOptions(self.loop.driver, settings), self._waiting))

    def create_connection(
        self,
        address: tuple[str, int],
        timeout: float | object | None = _DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
    ) -> Socket:
        """See `socket.create_connection`, which it can stand in for: what is not a time means the default one."""
        problem: OSError = error(errno.EADDRNOTAVAIL)
        for *_, found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            connection = self.socket()
            try:
                if timeout is None or isinstance(timeout, int | float):
                    connection.settimeout(timeout)
                if source_address is not None:
                    connection.bind(source_address)
                connection.connect(found)
                return connection
            except OSError as failed:
                connection.close()
                problem = failed
        raise problem

    def create_server(self, address: tuple[str, int], *, backlog: int = 128) -> Socket:
        """See `socket.create_server`."""
        server = self.socket()
        try:
            server.bind(address)
            server.listen(backlog)
        except OSError:
            server.close()
            raise
        return server

    def close(self) -> None:
        """Close all sockets, let them deliver what was written, stop. May be called again."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop)
            self._thread.join()
        self.loop.close()

    def _stop(self) -> None:
        for side in self._waiting:
            side.expire_all()
        self.loop.stop()


class Socket:
    """A TCP or MPTCP socket like `socket.socket`; a context manager. Make it with `SocketNetwork.socket`.

    Calls raise what the standard library's raise: OSError with its errno, TimeoutError after `settimeout`,
    BlockingIOError when the timeout is 0. Its file descriptor is for polling only.
    """

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, network: SocketNetwork, side: Side) -> None:
        self._network = network
        self._side = side
        self._timeout = socket.getdefaulttimeout()
        self._closed = False
        self._released = False
        self._descriptor = -1
        # The names by which `socket.SocketIO` and `socket.makefile` count the files of a socket.
        self._io_refs = 0

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, attempt: Callable[[], Result | NotYet], timeout: float | None = None) -> Result:
        """Run an attempt in the network's thread and wait for it."""
        if (self._closed and not self._io_refs) or self._network.loop.is_closed():
            raise error(errno.EBADF)
        call = Call(attempt, self._side.ring)
        self._network.loop.call_soon_threadsafe(self._side.submit, call, timeout)
        result: Result = call.result.result()
        return result

    def _connected(self) -> Connection:
        connection = self._side.connection
        if connection is None or not self._side.established:
            raise error(errno.ENOTCONN)
        return connection

    # --- opening

    def bind(self, address: SocketAddress) -> None:
        """Use this address (empty: any of the stack) and port (0: any) for `connect` or `listen`.

        A specific address is the only one that subflows may use, unless others are added with TCP_MULTIPATH_ADD.
        Raises OSError: EADDRNOTAVAIL, EINVAL when it is bound already.
        """
        local = _resolve(address)

        def attempt() -> None:
            side = self._side
            if side.local is not None or side.connection is not None or side.listener is not None:
                raise error(errno.EINVAL)
            if local.ip and all(own.ip != local.ip for own in side.options.stack.addresses):
                raise error(errno.EADDRNOTAVAIL)
            side.options.bind(local)
            side.local = local

        self._call(attempt)

    def connect(self, address: SocketAddress) -> None:
        """Connect. Raises OSError: ConnectionRefusedError, TimeoutError, ENETUNREACH, EADDRNOTAVAIL, EISCONN.

        With a timeout of 0 it raises BlockingIOError (EINPROGRESS, later EALREADY) until it is connected.
        """
        side = self._side
        remote = _resolve(address)

        def begin() -> int:
            if side.established:
                raise error(errno.EISCONN)
            if side.connection is not None:
                return errno.EALREADY
            side.attach(side.driver.connect(remote, self._side.local, **side.options.opening()))
            return errno.EINPROGRESS

        def finish() -> NotYet | None:
            if side.ended and not side.established:
                raise side.forget_failed()
            return None if side.established else NOT_YET

        pending = self._call(begin)
        if pending == errno.EINPROGRESS and self._timeout == 0:
            raise error(pending)
        try:
            self._call(finish, self._timeout)
        except BlockingIOError:
            raise error(pending) from None

    def connect_ex(self, address: SocketAddress) -> int:
        """As `connect`, but the number of the error is returned, 0 for none."""
        try:
            self.connect(address)
        except OSError as problem:
            return problem.errno or errno.EAGAIN
        return 0

    def listen(self, backlog: int = 128) -> None:
        """Accept connections to the address of `bind`. Raises OSError (EADDRINUSE, EADDRNOTAVAIL)."""
        side = self._side
        local = self._side.local or Address(b"", 0)

        def attempt() -> None:
            if side.listener is None:
                side.listener = side.driver.listen(local, backlog, side.accept, **side.options.opening())
                side.options.listener = side.listener

        self._call(attempt)

    def accept(self) -> tuple[Socket, SocketAddress]:
        """The next connection, and the address of its peer. It inherits our options, but not the timeout."""
        side = self._side

        def attempt() -> Side | NotYet:
            if side.listener is None:
                raise error(errno.EINVAL)
            if not side.arrivals:
                return NOT_YET
            side.listener.waiting -= 1
            return side.arrivals.popleft()

        accepted = Socket(self._network, self._call(attempt, self._timeout))
        return accepted, accepted.getpeername()

    # --- data

    def send(self, data: Writable, flags: int = 0) -> int:
        """Send some of `data`; how many bytes were taken. Of the `flags` only MSG_DONTWAIT has an effect."""
        view = unchanging(data)
        side = self._side

        def attempt() -> int | NotYet:
            taken = self._connected().send(view)
            side.driver.wake()
            return taken if taken or not view else NOT_YET

        return self._call(attempt, self._patience(flags))

    def sendall(self, data: Writable, flags: int = 0) -> None:
        """Send all of `data`; the timeout is for the whole of it. How much was sent before an error is not known."""
        view = unchanging(data)
        side = self._side

        def attempt() -> NotYet | None:
            nonlocal view
            view = view[self._connected().send(view) :]
            side.driver.wake()
            return NOT_YET if view else None

        self._call(attempt, self._patience(flags))

    def sendmsg(self, buffers: Iterable[Writable]) -> int:
        """Send some of what the buffers hold together; how many bytes were taken."""
        return self.send(b"".join(buffers))

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        """Send a file from `offset` on, `count` bytes of it or all; how many there were."""
        return send_file(self.sendall, file, offset, count)

    def recv(self, limit: int, flags: int = 0) -> bytes:
        """Up to `limit` bytes, at least one; none at the end of the peer's stream.

        MSG_PEEK leaves them there; MSG_WAITALL waits for all of them. Raises OSError (EOPNOTSUPP) for both together.
        """
        if flags & socket.MSG_WAITALL:
            whole = bytearray(limit)
            return bytes(whole[: self.recv_into(whole, limit, flags)])
        return self._call(lambda: self._take(limit, flags, b"".join), self._patience(flags, _RECEIVE_FLAGS))

    def recv_into(self, buffer: bytearray | memoryview, limit: int = 0, flags: int = 0) -> int:
        """Receive into `buffer`, up to `limit` bytes or its length (0); how many. Flags as for `recv`."""
        view = memoryview(buffer).cast("B")
        view = view[: limit or len(view)]
        patience = self._patience(flags, _RECEIVE_FLAGS)
        if flags & socket.MSG_WAITALL:
            return self._fill(view, patience)
        return self._receive_into(view, flags, patience)

    def _receive_into(self, view: memoryview, flags: int, patience: float | None) -> int:
        return self._call(lambda: self._take(len(view), flags, lambda chunks: _copy(chunks, view)), patience)

    def _fill(self, view: memoryview, patience: float | None) -> int:
        """Receive until `view` is full, or the stream or the time has ended; only if nothing came that is an error."""
        filled = 0
        deadline = None if patience is None else time.monotonic() + patience
        while filled < len(view):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                count = self._receive_into(view[filled:], 0, left)
            except OSError:
                if filled:
                    break
                raise
            if not count:
                break
            filled += count
        return filled

    def _take(self, limit: int, flags: int, use: Callable[[list[memoryview]], Result]) -> Result | NotYet:
        side = self._side
        connection = self._connected()
        if connection.receive_ready:
            if flags & socket.MSG_PEEK:
                return use(connection.peek(limit))
            result = use(connection.receive(limit))
            # The window opens again.
            side.driver.wake()
            return result
        if connection.eof or side.read_shut or limit == 0:
            return use([])
        if side.ended:
            if side.error is not None:
                raise side.error
            return use([])
        return NOT_YET

    def _patience(self, flags: int, known: int = _ALWAYS_FLAGS) -> float | None:
        both = socket.MSG_PEEK | socket.MSG_WAITALL
        if flags & ~known or flags & both == both:
            raise error(errno.EOPNOTSUPP)
        return 0.0 if flags & socket.MSG_DONTWAIT else self._timeout

    def makefile(self, mode: str = "r", buffering: int | None = None, **text: Any) -> io.IOBase:
        """See `socket.makefile`."""
        # It asks of a socket what ours has: to receive, to send, and the count of its files.
        make: Callable[..., io.IOBase] = socket.socket.makefile
        return make(self, mode, buffering, **text)

    # --- the end

    def shutdown(self, how: int) -> None:
        """End our stream (SHUT_WR), read nothing beyond what has arrived (SHUT_RD), of which the peer is not told."""

        def attempt() -> None:
            connection = self._connected()
            if how != socket.SHUT_WR:
                self._side.read_shut = True
                self._side.retry_all()
            if how != socket.SHUT_RD:
                connection.shutdown()
                self._side.driver.wake()

        self._call(attempt)

    def close(self) -> None:
        """Close, at once or with its last file of `makefile`; what was sent is still delivered (but see SO_LINGER).

        May be called again.
        """
        self._closed = True
        if self._io_refs > 0:
            return
        seconds = self._side.options.linger_s if self._side.holders == 1 else 0
        if seconds and self._timeout != 0 and not self._side.closed and not self._network.loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._side.linger(seconds), self._network.loop).result()
        self._release()

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
        if not self._side.closed and not self._network.loop.is_closed():
            self._network.loop.call_soon_threadsafe(self._side.release)

    def _decref_socketios(self) -> None:
        """A file of `makefile` was closed."""
        self._io_refs -= 1
        if self._closed:
            self.close()

    def __del__(self) -> None:
        self._release()

    # --- what it is

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6: that of its address."""
        return family_of(self.getsockname())

    def fileno(self) -> int:
        """A descriptor for `select` and its like, and for nothing else; -1 when it is closed."""
        if self._released:
            return -1
        if self._descriptor < 0:
            self._descriptor = self._call(self._side.descriptor)
        return self._descriptor

    def dup(self) -> Socket:
        """Another socket over the same connection, listener and options, which live until both are closed."""

        def attempt() -> None:
            self._side.holders += 1

        self._call(attempt)
        other = Socket(self._network, self._side)
        other._timeout = self._timeout
        return other

    def setsockopt(self, level: int, optname: int, value: Any) -> None:
        """Set an option; see `SocketOptions`. Raises OSError, TypeError."""
        self._call(lambda: self._side.options.set(level, optname, value))

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        """Read an option: a number, a name or a list, or bytes when `buflen` is given. Raises OSError."""
        return self._call(lambda: self._side.options.get(level, optname, buflen))

    def settimeout(self, seconds: float | None) -> None:
        """Let each later call last this long; None: for ever, 0: not at all."""
        if seconds is not None and seconds < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        """See `settimeout`."""
        return self._timeout

    timeout = property(gettimeout, doc="See `settimeout`.")

    def setblocking(self, blocking: bool) -> None:
        """`settimeout(None)` or `settimeout(0)`."""
        self._timeout = None if blocking else 0.0

    def getblocking(self) -> bool:
        """Whether calls wait."""
        return self._timeout != 0

    def getpeername(self) -> SocketAddress:
        """Address and port of the peer: those of the first subflow, even after it has gone (RFC 6897 section 5.2.2)."""
        return self._call(lambda: socket_address(self._connected().remote))

    def getsockname(self) -> SocketAddress:
        """Our own address and port, as `getpeername`."""

        def attempt() -> SocketAddress:
            source = self._side.connection or self._side.listener
            return socket_address(self._side.local or Address(b"", 0) if source is None else source.local)

        return self._call(attempt)

    def mptcp_info(self) -> dict[str, object]:
        """See `network.mptcp_info`."""
        return self._call(lambda: mptcp_info(self._connected()))


def send_file(send: Callable[[bytes], None], file: IO[bytes], offset: int, count: int | None) -> int:
    """Give a file to `send` piece by piece, from `offset` on, `count` bytes of it or all; how many there were."""
    file.seek(offset)
    sent = 0
    while count is None or sent < count:
        data = file.read(_SENDFILE_BYTES if count is None else min(_SENDFILE_BYTES, count - sent))
        if not data:
            break
        send(data)
        sent += len(data)
    file.seek(offset + sent)
    return sent


def _copy(chunks: list[memoryview], view: memoryview) -> int:
    """Put chunks into a view that has room for them; how many bytes."""
    filled = 0
    for chunk in chunks:
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return filled


def _resolve(address: SocketAddress) -> Address:
    """An address of the stack's; a name is looked up. Raises OSError (socket.gaierror)."""
    host, port = address[:2]
    try:
        return packed_address(host, port)
    except ValueError:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
        return packed_address(str(found[0]), int(found[1]))
