"""Opening and accepting connections as asyncio transports."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mptcp_stack.stack import Address, Connection

from .driver import Driver
from .transports import StreamTransport

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
Transports = tuple[asyncio.Transport, asyncio.BaseProtocol]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS over a connection; the times are seconds, None for asyncio's own."""

    context: ssl.SSLContext
    server_side: bool
    server_hostname: str | None = None
    handshake_timeout: float | None = None
    shutdown_timeout: float | None = None


def build_transport(
    loop: asyncio.AbstractEventLoop,
    driver: Driver,
    connection: Connection,
    protocol: asyncio.BaseProtocol,
    tls: Tls | None,
    waiter: asyncio.Future[None] | None,
) -> tuple[StreamTransport, asyncio.Transport]:
    """The transport of an established connection, and the one to give to the application: another one with TLS.

    `connection_made` was called when it returns, or is called at the end of the TLS handshake; then `waiter` is set.
    """
    if tls is None:
        transport = StreamTransport(loop, driver, connection, protocol)
        transport.begin()
        if waiter is not None:
            waiter.set_result(None)
        return transport, transport
    # Typeshed lags behind: no waiter on the server's side, times may be fractions.
    make: Any = sslproto.SSLProtocol
    cipher = make(
        loop,
        protocol,
        tls.context,
        waiter,
        server_side=tls.server_side,
        server_hostname=tls.server_hostname,
        ssl_handshake_timeout=tls.handshake_timeout,
        ssl_shutdown_timeout=tls.shutdown_timeout,
    )
    transport = StreamTransport(loop, driver, connection, cipher)
    transport.begin()
    return transport, cipher._app_transport


class _Opening:
    """The handler of a connection until it is established."""

    def __init__(self, established: asyncio.Future[asyncio.BaseProtocol], begin: ProtocolFactory) -> None:
        self._established = established
        self._begin = begin

    def on_connected(self) -> None:
        if self._established.done():
            return  # cancelled, and about to reset the connection
        # At once: data may be in the same batch of packets, and a transport must be there to take it.
        try:
            protocol = self._begin()
        except Exception as error:
            self._established.set_exception(error)
        else:
            self._established.set_result(protocol)

    def on_closed(self, error: OSError | None) -> None:
        if not self._established.done():
            self._established.set_exception(error or ConnectionAbortedError())

    def on_readable(self) -> None:
        """Never before `on_connected`."""

    def on_writable(self) -> None:
        """Never before `on_connected`."""


async def open_stream(
    driver: Driver,
    protocol_factory: ProtocolFactory,
    remote: Address,
    local: Address | None = None,
    tls: Tls | None = None,
) -> Transports:
    """Connect, and give the connection to a new protocol. Raises OSError when it fails, and TLS errors."""
    loop = asyncio.get_running_loop()
    established: asyncio.Future[asyncio.BaseProtocol] = loop.create_future()
    ready: asyncio.Future[None] = loop.create_future()
    connection = driver.connect(remote, local)
    transports: list[asyncio.Transport] = []

    def begin() -> asyncio.BaseProtocol:
        protocol = protocol_factory()
        lower, upper = build_transport(loop, driver, connection, protocol, tls, ready)
        transports.extend((lower, upper))
        # After our caller has gone on, as with asyncio's own transports.
        loop.call_soon(lower.start_reading)
        return protocol

    driver.attach(connection, _Opening(established, begin))
    try:
        protocol = await established
        await ready
    except BaseException:
        if transports:
            transports[0].abort()
        else:
            connection.abort()
            driver.detach(connection)
            driver.wake()
        raise
    return transports[1], protocol


def accept_stream(
    loop: asyncio.AbstractEventLoop,
    driver: Driver,
    connection: Connection,
    protocol_factory: ProtocolFactory,
    tls: Tls | None,
) -> None:
    """Give an accepted connection to a new protocol; a protocol that cannot be made resets it."""
    try:
        protocol = protocol_factory()
    except Exception as error:
        loop.call_exception_handler(
            {"message": "Error on transport creation for incoming connection", "exception": error}
        )
        connection.abort()
        driver.wake()
        return
    lower, _ = build_transport(loop, driver, connection, protocol, tls, None)
    lower.start_reading()
