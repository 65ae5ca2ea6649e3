"""What `transport.get_extra_info("socket")` and `server.sockets` give: a socket's options and names, but no data."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.network import SocketAddress, family_of, socket_address
from mptcp_stack.runtime.socket_options.options import SocketOptions


class TransportSocket:
    """Like `asyncio.trsock.TransportSocket`.

    Whoever asks a connection for its `fileno` gets a descriptor that can be polled and nothing else: it is readable
    while there is something to read, the end included. HTTP clients see by it whether an idle connection has ended.
    """

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, options: SocketOptions) -> None:
        self._options = options
        self._descriptor = -1
        self._readable = False
        self._released = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.getsockname()}>"

    @property
    def family(self) -> socket.AddressFamily:
        """AF_INET or AF_INET6."""
        return family_of(self.getsockname())

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        """The value as `socket.getsockopt` gives it. Raises OSError (ENOPROTOOPT when there is no such option)."""
        return self._options.get(level, optname, buflen)

    def setsockopt(self, level: int, optname: int, value: Any) -> None:
        """Set a value as `socket.setsockopt` does. Raises OSError (ENOPROTOOPT), TypeError."""
        self._options.set(level, optname, value)

    def getsockname(self) -> SocketAddress:
        """Our address and port: of the first subflow, even after that has gone (RFC 6897 section 5.2.2)."""
        holder = self._options.connection or self._options.listener
        return ("0.0.0.0", 0) if holder is None else socket_address(holder.local)

    def getpeername(self) -> SocketAddress:
        """The peer's address and port, as `getsockname`. Raises OSError (ENOTCONN)."""
        return socket_address(self._options.connected().remote)

    def shutdown(self, how: int) -> None:
        """End our stream; SHUT_RD does nothing, reading is the transport's. Raises OSError (ENOTCONN)."""
        connection = self._options.connected()
        if how != socket.SHUT_RD:
            connection.shutdown()
            self._options.driver.wake()

    def fileno(self) -> int:
        """A descriptor to poll, made at the first call; -1 for a listener and after the connection was closed."""
        if self._descriptor < 0 and self._options.connection is not None and not self._released:
            self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self.update()
        return self._descriptor

    def update(self) -> None:
        """Something has arrived or was read."""
        connection = self._options.connection
        if self._descriptor < 0 or connection is None:
            return
        readable = bool(connection.receive_ready) or connection.eof or connection.closing.closed
        if readable and not self._readable:
            os.eventfd_write(self._descriptor, 1)
        elif self._readable and not readable:
            os.eventfd_read(self._descriptor)
        self._readable = readable

    def release(self) -> None:
        """The connection is closed: there is no descriptor any more."""
        self._released = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def gettimeout(self) -> float:
        """It does not block: 0."""
        return 0.0

    def settimeout(self, value: float | None) -> None:
        """Only 0 is possible. Raises ValueError."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def setblocking(self, flag: bool) -> None:
        """Only False is possible. Raises ValueError."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def get_inheritable(self) -> bool:
        """No other process can have it."""
        return False

    def dup(self) -> TransportSocket:
        """Impossible. Raises OSError (EOPNOTSUPP)."""
        raise error(errno.EOPNOTSUPP)
