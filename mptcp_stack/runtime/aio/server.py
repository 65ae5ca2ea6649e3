"""asyncio's Server over listeners of the stack."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence

from mptcp_stack.runtime.driver import Driver
from mptcp_stack.runtime.errors import NetworkDownError
from mptcp_stack.runtime.network import socket_address
from mptcp_stack.runtime.socket_options.options import SocketOptions, current_settings
from mptcp_stack.stack import Address, Connection

from .connecting import ProtocolFactory, Tls, accept_stream
from .transport_socket import TransportSocket


class Server(asyncio.AbstractServer):
    """Bound to one or more addresses of the stack, and listening there; connections that exist outlive it.

    Raises OSError when an address is not the stack's or in use: then it has none of them.
    """

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
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._tls = tls
        self._settings = current_settings()
        self._context = contextvars.copy_context()
        self._bound: list[SocketOptions] = []
        self._serving = False
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        try:
            for address in addresses:
                self._bound.append(self._bind(address))
        except OSError:
            self._release()
            raise
        driver.failed.add_done_callback(self._lose_device)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[one.getsockname() for one in self.sockets]}>"

    def _bind(self, address: Address) -> SocketOptions:
        options = SocketOptions(self._driver, self._settings)
        options.bind(address)

        def accept(connection: Connection) -> None:
            own = self._context.copy()
            own.run(accept_stream, self._loop, options, connection, self._protocol_factory, self._tls)

        try:
            options.listener = self._driver.bind(address, self._backlog, accept, **options.opening())
        except OSError as error:
            where, why = socket_address(address), (error.strerror or "").lower()
            raise OSError(error.errno, f"error while attempting to bind on address {where}: {why}") from None
        return options

    def _release(self) -> None:
        for options in self._bound:
            if options.listener is not None:
                self._driver.stop_listening(options.listener)
        self._bound.clear()

    def listen(self) -> None:
        """Begin to accept. Without effect when it does. Raises RuntimeError when it is closed, NetworkDownError."""
        if self._driver.failed.done():
            raise NetworkDownError
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        if not self._serving:
            # Protocols see the variables of who began to serve, as in asyncio.
            self._context = contextvars.copy_context()
        self._serving = True
        for options in self._bound:
            if options.listener is not None:
                options.listener.accepting = True

    @property
    def sockets(self) -> tuple[TransportSocket, ...]:
        """What it is bound to; empty when closed. Options set there hold for connections accepted later."""
        return tuple(TransportSocket(options) for options in self._bound)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._serving

    async def start_serving(self) -> None:
        """Begin to accept."""
        self.listen()

    async def serve_forever(self) -> None:
        """Accept until cancelled or closed. Raises NetworkDownError when the network's device has gone."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.listen()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()

    def _lose_device(self, _: object) -> None:
        if self._forever is not None and not self._forever.done():
            self._forever.set_exception(NetworkDownError())
        self.close()

    def close(self) -> None:
        """Accept nothing more; `serve_forever` ends with CancelledError. Connections that exist stay."""
        if self._closed:
            return
        self._closed = True
        self._serving = False
        self._driver.failed.remove_done_callback(self._lose_device)
        self._release()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_closed(self) -> None:
        """Wait until `close` was called. Connections that exist are not waited for."""
        if not self._closed:
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
