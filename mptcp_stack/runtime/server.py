"""asyncio's Server over listeners of the stack."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import NamedTuple

from mptcp_stack.stack import Address, Connection, Listener

from .driver import Driver
from .network import SocketAddress, socket_address
from .streams import ProtocolFactory, Tls, accept_stream


class ListeningAddress(NamedTuple):
    """What `Server.sockets` holds: as much of a socket as can be asked for its name."""

    family: socket.AddressFamily
    name: SocketAddress

    @property
    def type(self) -> socket.SocketKind:
        """SOCK_STREAM."""
        return socket.SOCK_STREAM

    def getsockname(self) -> SocketAddress:
        """Address and port."""
        return self.name


class Server(asyncio.AbstractServer):
    """Listens on one or more addresses of the stack; connections that exist outlive it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        driver: Driver,
        addresses: Sequence[Address],
        protocol_factory: ProtocolFactory,
        backlog: int,
        tls: Tls | None,
    ) -> None:
        self._loop = loop
        self._driver = driver
        self._addresses = addresses
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._tls = tls
        self._listeners: list[Listener] = []
        self._closed = False
        self._forever: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[name.getsockname() for name in self.sockets]}>"

    def listen(self) -> None:
        """Begin to accept, on all addresses or none. Without effect when it does. Raises OSError."""
        if self._listeners:
            return
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        try:
            for address in self._addresses:
                self._listeners.append(self._driver.listen(address, self._backlog, self._accept))
        except OSError:
            self._stop()
            raise

    def _accept(self, connection: Connection) -> None:
        accept_stream(self._loop, self._driver, connection, self._protocol_factory, self._tls)

    def _stop(self) -> None:
        for listener in self._listeners:
            self._driver.stop_listening(listener)
        self._listeners.clear()

    @property
    def sockets(self) -> tuple[ListeningAddress, ...]:
        """The addresses it listens on, as things with `getsockname`; empty when it does not."""
        return tuple(
            ListeningAddress(
                socket.AF_INET6 if len(listener.local.ip) == 16 else socket.AF_INET, socket_address(listener.local)
            )
            for listener in self._listeners
        )

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return bool(self._listeners)

    async def start_serving(self) -> None:
        """Begin to accept. Raises OSError."""
        self.listen()

    async def serve_forever(self) -> None:
        """Accept until cancelled or closed."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.listen()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()

    def close(self) -> None:
        """Accept nothing more; `serve_forever` ends with CancelledError. Connections that exist stay."""
        self._closed = True
        self._stop()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()

    async def wait_closed(self) -> None:
        """Nothing to wait for: as in Python 3.11, connections that exist are not counted."""
