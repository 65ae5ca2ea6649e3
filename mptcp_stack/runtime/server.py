"""asyncio's Server over listeners of the stack."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mptcp_stack.stack import Address, Connection

from .driver import Driver
from .options import SocketOptions, current_settings
from .streams import ProtocolFactory, Tls, accept_stream
from .transport_socket import TransportSocket


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
        self._settings = current_settings()
        self._listening: list[SocketOptions] = []
        self._closed = False
        self._forever: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[one.getsockname() for one in self.sockets]}>"

    def listen(self) -> None:
        """Begin to accept, on all addresses or none. Without effect when it does. Raises OSError."""
        if self._listening:
            return
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        try:
            for address in self._addresses:
                self._listening.append(self._listen(address))
        except OSError:
            self._stop()
            raise

    def _listen(self, address: Address) -> SocketOptions:
        options = SocketOptions(self._driver, self._settings)
        options.bind(address)

        def accept(connection: Connection) -> None:
            accept_stream(self._loop, options, connection, self._protocol_factory, self._tls)

        options.listener = self._driver.listen(address, self._backlog, accept, **options.opening())
        return options

    def _stop(self) -> None:
        for options in self._listening:
            if options.listener is not None:
                self._driver.stop_listening(options.listener)
        self._listening.clear()

    @property
    def sockets(self) -> tuple[TransportSocket, ...]:
        """What it listens on; empty when it does not. Options set there hold for connections accepted later."""
        return tuple(TransportSocket(options) for options in self._listening)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return bool(self._listening)

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
