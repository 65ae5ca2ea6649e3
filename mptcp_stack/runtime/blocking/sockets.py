"""Blocking sockets over a stack of our own: the standard library's, but for their opening, options, names and errors.

    with SocketNetwork(NetworkConfig(addresses=["10.0.1.101/24@eth1"])) as network, network.socket() as connection:
        connection.connect(("10.0.1.102", 80))
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")

A `SocketNetwork` runs an event loop in a thread, which alone touches the stack. A socket's descriptor is a real one, an
end of a pair of Unix sockets, whose other end that thread serves (see `network_side`).
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from socket import AF_INET
from typing import Any, Final, TypeVar

from mptcp_stack.runtime.config import NetworkConfig
from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.network import Network, SocketAddress, family_of, mptcp_info, packed_address, socket_address
from mptcp_stack.runtime.socket_options.options import SocketOptions
from mptcp_stack.stack import Address, Connection

from .network_side import NetworkSide, network_side_of
from .network_thread import NetworkThread

Result = TypeVar("Result")
_DEFAULT_TIMEOUT: Final = object()
_LINGER_POLL_S: Final = 0.005
"""Chosen: `close` with SO_LINGER returns so much later at the most; each look is a call into the network's thread."""
_PORTS: Final = range(1 << 16)
_FLOWS: Final = range(1 << 20)  # of 20 bits: RFC 8200 section 7
_OF_THE_DESCRIPTOR: Final = {
    (socket.SOL_SOCKET, option) for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO, socket.SO_RCVLOWAT)
}
"""Options that the kernel obeys by itself, as all reading and writing is there."""
_LARGEST_INT: Final = (1 << 31) - 1


class SocketNetwork:
    """A network for blocking sockets, with the thread that drives it; a context manager.

    Raises what `EventLoop` raises.
    """

    def __init__(self, network: Network | NetworkConfig) -> None:
        self._thread = NetworkThread(network)
        self.loop = self._thread.loop

    def __enter__(self) -> SocketNetwork:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def counters(self) -> Counter[str]:
        """Counts of what happened; other threads may be changing them."""
        return self.loop.network.counters

    def socket(
        self,
        family: int = AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        **settings: Any,
    ) -> Socket:
        """A new socket; `settings` (fields of `StackConfig`) differ from those of the network for its connections.

        It takes addresses of both families, whatever `family` is. Raises ValueError, OSError.
        """
        if family not in (socket.AF_INET, socket.AF_INET6, -1):
            raise error(errno.EAFNOSUPPORT)
        if type != -1 and type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) != socket.SOCK_STREAM:
            raise error(errno.EPROTONOSUPPORT)
        if proto not in (0, socket.IPPROTO_TCP, -1):
            raise error(errno.EPROTONOSUPPORT)
        made = Socket(
            family, proto=proto, fileno=NetworkSide(self._thread, SocketOptions(self.loop.driver, settings)).new
        )
        if type != -1 and type & socket.SOCK_NONBLOCK:
            made.setblocking(False)
        return made

    def create_connection(
        self,
        address: tuple[str | None, int],
        timeout: float | object | None = _DEFAULT_TIMEOUT,
        source_address: tuple[str, int] | None = None,
        *,
        all_errors: bool = False,
    ) -> Socket:
        """Connect as `socket.create_connection`, which it can stand in for: what is no time means the default one."""
        problems: list[OSError] = []
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
                problems.append(failed)
        try:
            if all_errors:
                raise ExceptionGroup("create_connection failed", problems)
            raise problems[-1] if problems else OSError("getaddrinfo returns an empty list")
        finally:
            problems.clear()  # they name this frame

    def create_server(
        self,
        address: tuple[str, int] | tuple[str, int, int, int],
        *,
        family: int = AF_INET,
        backlog: int | None = None,
        reuse_port: bool = False,
        dualstack_ipv6: bool = False,
    ) -> Socket:
        """Listen as `socket.create_server`; without address and family on the addresses of both."""
        if reuse_port:
            raise ValueError("SO_REUSEPORT not supported on this platform")
        if dualstack_ipv6 and family != socket.AF_INET6:
            raise ValueError("dualstack_ipv6 requires AF_INET6 family")
        server = self.socket(family)
        try:
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dualstack_ipv6)
                address = (address[0] or "::", *address[1:])
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen(*(() if backlog is None else (backlog,)))
        except OSError as problem:
            server.close()
            raise OSError(
                problem.errno, f"{problem.strerror} (while attempting to bind on address {address!r})"
            ) from None
        except BaseException:
            server.close()
            raise
        return server

    def close(self) -> None:
        """Close all sockets, let them deliver what was written, stop. May be called again."""
        self._thread.close()


def telling(
    plain: Callable[..., Any], flags_at: int = 9, address_in: bool = False, unconnected: int = errno.ENOTCONN
) -> Any:
    """A call of the standard library's that moves data, with the errors of a TCP socket.

    `flags_at`: which argument its flags are. `address_in`: its result ends with an address, where TCP has none.
    `unconnected`: the error when there is no connection, and none has failed.
    """

    @wraps(plain)
    def call(self: Socket, *args: Any, **named: Any) -> Any:
        if not self._side.streaming:
            raise self._what_happened() or self._refusal(unconnected)
        if (args[flags_at] if len(args) > flags_at else named.get("flags", 0)) & socket.MSG_OOB:
            raise error(errno.EOPNOTSUPP)
        self._waiting.append(None)
        try:
            result = plain(self, *args, **named)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as told:
            raise self._what_happened() or told from None
        finally:
            self._waiting.pop()
        count = result[0] if address_in else result
        if not count and count is not None and (problem := self._what_happened()) is not None:
            raise problem
        return (*result[:-1], None) if address_in else result

    return call


class Socket(socket.socket):
    """A TCP or MPTCP socket; a `socket.socket` with another kernel behind it. Make it with `SocketNetwork.socket`.

    Made with a `fileno`, as `dup` does, it is another one over the same connection or listener.
    """

    def __init__(
        self,
        family: int = AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        fileno: int | None = None,
    ) -> None:
        side = None if fileno is None else network_side_of(fileno)
        if fileno is None or side is None:
            raise ValueError("sockets are made by SocketNetwork.socket, or with the fileno of one")
        self._side: NetworkSide = side
        self._closing = False
        self._waiting: list[None] = []
        """An item for each call that may be waiting."""
        super().__init__(AF_INET if family < 0 else family, socket.SOCK_STREAM, max(proto, 0), fileno)
        side.descriptors.add(fileno)
        side.sockets.add(self)

    def _call(self, step: Callable[[], Result]) -> Result:
        """Do something in the network's thread."""
        if self.fileno() < 0:
            raise error(errno.EBADF)
        return self._side.thread.call(step)

    def _refusal(self, number: int) -> OSError:
        """Why a call is impossible."""
        if self._closing or self.fileno() < 0:
            return error(errno.EBADF)
        return error(errno.ENETDOWN if self._side.thread.over else number)

    def _what_happened(self) -> OSError | None:
        """What ended the connection, once, as SO_ERROR has it; the network's end always."""
        if self._closing:
            return error(errno.EBADF)
        if self._side.thread.ended:
            return error(errno.ENETDOWN)
        options = self._side.options
        problem, options.error = options.error, None
        if problem is not None:
            with suppress(OSError):
                super().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return problem

    # --- opening

    def bind(self, address: Any, /) -> None:
        """Use this address (empty: any of the stack) and port (0: a free one) for `connect` or `listen`.

        A specific address is the only one that subflows may use, unless others are added with TCP_MULTIPATH_ADD.
        Raises OSError: EADDRNOTAVAIL, EADDRINUSE, EINVAL when it is bound already.
        """
        self._call(partial(self._side.bind, _resolve(address, "bind", self.family)))

    def connect(self, address: Any, /) -> None:
        """Connect. Raises OSError: ConnectionRefusedError, TimeoutError, ENETUNREACH, EADDRNOTAVAIL, EISCONN.

        With a timeout of 0 it raises BlockingIOError (EINPROGRESS, later EALREADY) until it is connected.
        """
        pending = self._call(partial(self._side.connect, _resolve(address, "connect", self.family)))
        timeout = self.gettimeout()
        if timeout == 0:
            raise error(pending)
        poll = select.poll()
        poll.register(self, select.POLLOUT)
        self._waiting.append(None)
        try:
            if not poll.poll(None if timeout is None else min(timeout * 1000, _LARGEST_INT)):
                raise TimeoutError("timed out")
        finally:
            self._waiting.pop()
        if not self._side.streaming:
            raise self._what_happened() or error(errno.ECONNABORTED)

    def connect_ex(self, address: Any, /) -> int:
        """As `connect`, but the number of the error is returned, 0 for none. Raises OSError (socket.gaierror)."""
        try:
            Socket.connect(self, address)
        except socket.gaierror:
            raise
        except OSError as problem:
            return problem.errno or errno.EAGAIN
        return 0

    def listen(self, backlog: int = 128, /) -> None:
        """Accept connections to the address of `bind`. Raises OSError (EADDRINUSE, EADDRNOTAVAIL)."""
        if backlog > _LARGEST_INT:
            raise OverflowError("Python int too large to convert to C int")
        self._call(partial(self._side.listen, max(backlog, 0)))

    def accept(self) -> tuple[Socket, SocketAddress]:
        """The next connection, and the address of its peer. It inherits our options, but not the timeout."""
        side = self._side
        if side.listener is None or side.thread.over:
            raise self._refusal(errno.EINVAL)
        self._waiting.append(None)
        try:
            rung = super().recv(1)
        except ConnectionResetError:
            rung = b""
        finally:
            self._waiting.pop()
        try:
            arrival = side.arrivals.popleft() if rung else None
        except IndexError:  # the listener ends
            arrival = None
        if arrival is None:
            raise self._refusal(errno.EINVAL)
        with suppress(RuntimeError):  # the network is closed
            side.thread.loop.call_soon_threadsafe(side.taken)
        assert arrival.connection is not None
        return Socket(proto=self.proto, fileno=arrival.new), socket_address(arrival.connection.remote)

    # --- data

    send = telling(socket.socket.send, 1, unconnected=errno.EPIPE)
    sendall = telling(socket.socket.sendall, 1, unconnected=errno.EPIPE)
    sendmsg = telling(socket.socket.sendmsg, 2, unconnected=errno.EPIPE)
    sendfile = telling(socket.socket.sendfile)
    recv = telling(socket.socket.recv, 1)
    recv_into = telling(socket.socket.recv_into, 2)
    recvfrom = telling(socket.socket.recvfrom, 1, address_in=True)
    recvfrom_into = telling(socket.socket.recvfrom_into, 2, address_in=True)
    recvmsg = telling(socket.socket.recvmsg, 2, address_in=True)
    recvmsg_into = telling(socket.socket.recvmsg_into, 2, address_in=True)

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        """Send as `send`: the address, which comes last, has no meaning for a stream."""
        sent: int = self.send(data, *flags_and_address[:-1])
        return sent

    # --- the end

    def shutdown(self, how: int, /) -> None:
        """End our stream (SHUT_WR), read nothing beyond what has arrived (SHUT_RD), of which the peer is not told.

        A listener whose reading is shut accepts nothing more.
        """
        side = self._side
        if side.listener is not None and how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self._call(side.stop_listening)
            return
        if not side.streaming:
            raise self._refusal(errno.ENOTCONN)
        super().shutdown(how)

    def _real_close(self, *args: Any) -> None:
        """What `close` does at last; what was sent is still delivered (but see SO_LINGER).

        Calls of other threads that wait fail with EBADF; the kernel would leave them waiting.
        """
        side = self._side
        self._closing = True
        side.sockets.discard(self)
        last = self.fileno() >= 0 and not side.sockets and not side.thread.over
        try:
            if last and side.options.linger_s and self.gettimeout() != 0:
                self._linger(side.options.linger_s)
        finally:
            if last and self._waiting:
                with suppress(OSError):
                    super().shutdown(socket.SHUT_RDWR)
            super()._real_close(*args)  # type: ignore[misc]
        if side.listener is not None:
            with suppress(OSError):
                side.thread.call(side.thread.heed_hangups)  # nobody is answered any more

    def _linger(self, seconds: int) -> None:
        """End our stream and wait until the peer has acknowledged all of it, at the most so long."""
        side = self._side
        if not side.streaming:
            return
        deadline = time.monotonic() + seconds
        with suppress(OSError):
            super().shutdown(socket.SHUT_WR)
            while not self._call(side.is_delivered) and time.monotonic() < deadline:
                time.sleep(_LINGER_POLL_S)

    def detach(self) -> int:
        """Give the descriptor away, as `socket.detach`: it reads and writes, and that is all it can do."""
        side = self._side
        side.sockets.discard(self)
        if not side.streaming and not side.sockets:
            with suppress(OSError):
                side.thread.call(side.hang_up)
        return super().detach()

    # --- what it is

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6: that of its address, or until it has one what was asked for."""
        return family_of(self._name())

    def _name(self) -> SocketAddress:
        address = self._side.name
        if not address.ip and super().family == socket.AF_INET6:
            address = Address(bytes(16), address.port)
        return socket_address(address)

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        """Set an option; see `SocketOptions`. Raises OSError, TypeError."""
        if (level, optname) in _OF_THE_DESCRIPTOR:
            super().setsockopt(level, optname, value)
            return
        self._call(partial(self._side.options.set, level, optname, value))
        if (level, optname) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            self._call(self._side.fit_sending)
        elif (level, optname) == (socket.SOL_SOCKET, socket.SO_RCVBUF):
            self._call(self._side.fit_receiving)

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:
        """Read an option: a number, a name or a list, or bytes when `buflen` is given. Raises OSError."""
        if (level, optname) in _OF_THE_DESCRIPTOR:
            return super().getsockopt(level, optname, buflen)
        if (level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR):
            super().getsockopt(level, optname)
        return self._call(partial(self._side.options.get, level, optname, buflen))

    def getpeername(self) -> SocketAddress:
        """Address and port of the peer: those of the first subflow, even after it has gone (RFC 6897 section 5.2.2).

        Raises OSError: ENOTCONN, also when the connection is over.
        """
        connection = self._opened()
        if connection.closing.closed:
            raise error(errno.ENOTCONN)
        return socket_address(connection.remote)

    def getsockname(self) -> SocketAddress:
        """Our own address and port, as `getpeername`."""
        if self.fileno() < 0:
            raise error(errno.EBADF)
        return self._name()

    def _opened(self) -> Connection:
        connection = self._side.connection
        if connection is None or not self._side.streaming or self.fileno() < 0:
            raise self._refusal(errno.ENOTCONN)
        return connection

    def mptcp_info(self) -> dict[str, object]:
        """Whether MPTCP is spoken, and the state of every subflow. Raises OSError (ENOTCONN)."""
        return self._call(lambda: mptcp_info(self._opened()))


def _resolve(address: Any, caller: str, family: int) -> Address:
    """An address of the stack's; a name is looked up, best in `family`. Raises as `socket.connect`: TypeError too."""
    if not isinstance(address, tuple):
        raise TypeError(f"{caller}(): AF_INET address must be tuple, not {type(address).__name__}")
    if len(address) not in (2, 3, 4):
        raise TypeError(f"{caller}(): AF_INET address must be a pair (host, port)")
    host, port = address[:2]
    if not isinstance(port, int):
        raise TypeError(f"an integer is required for the port (got type {type(port).__name__})")
    if port not in _PORTS:
        raise OverflowError(f"{caller}(): port must be 0-65535.")
    if address[2:] and address[2] not in _FLOWS:
        raise OverflowError(f"{caller}(): flowinfo must be 0-1048575.")
    try:
        return packed_address(host, port)
    except ValueError:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = next((entry for entry in entries if entry[0] == family), entries[0])[4]
        return packed_address(str(found[0]), int(found[1]))
