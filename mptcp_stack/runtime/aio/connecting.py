"""Opening and accepting connections as asyncio transports."""

from __future__ import annotations

import asyncio
import errno
import ssl
from asyncio import sslproto
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mptcp_stack.runtime.driver import Driver
from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.socket_options.options import SocketOptions, current_settings
from mptcp_stack.stack import Address, Connection

from .transports import StreamTransport

ProtocolFactory = Callable[[], asyncio.BaseProtocol]
Transports = tuple[asyncio.Transport, asyncio.BaseProtocol]
Way = tuple[Address, Address | None]
"""Where to, and from which local address."""


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
    options: SocketOptions,
    protocol: asyncio.BaseProtocol,
    tls: Tls | None,
    waiter: asyncio.Future[None] | None,
) -> tuple[StreamTransport, asyncio.Transport]:
    """The transport of an established connection, and the one to give to the application: another one with TLS.

    `connection_made` was called when it returns, or is called at the end of the TLS handshake; then `waiter` is set.
    """
    if tls is None:
        transport = StreamTransport(loop, options, protocol)
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
    transport = StreamTransport(loop, options, cipher)
    transport.begin()
    return transport, cipher._app_transport


class _Race:
    """Connects one of several ways: the next begins when one has failed, or when `delay_s` has passed (RFC 8305).

    `established` becomes what `begin` makes of the first connection; the others are given up.
    """

    def __init__(
        self,
        driver: Driver,
        ways: Iterable[Way],
        delay_s: float | None,
        begin: Callable[[SocketOptions], asyncio.BaseProtocol],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.established: asyncio.Future[asyncio.BaseProtocol] = self._loop.create_future()
        self.errors: list[OSError] = []
        self._driver = driver
        self._ways = deque(ways)
        self._delay_s = delay_s
        self._begin = begin
        self._attempts: set[_Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self) -> None:
        """Begin the next attempt; when there is none and none is under way, it is lost."""
        self._stop_timer()
        while self._ways:
            remote, local = self._ways.popleft()
            options = SocketOptions(self._driver, current_settings())
            if local is not None:
                options.bind(local)
            try:
                options.connection = self._driver.connect(remote, local, **options.opening())
            except OSError as problem:
                self.errors.append(problem)
                continue
            except Exception as problem:
                # Of a plug-in: the next way would have it, too.
                self.give_up()
                self.established.set_exception(problem)
                return
            attempt = _Attempt(self, options)
            self._attempts.add(attempt)
            self._driver.attach(options.connection, attempt)
            if self._delay_s is not None and self._ways:
                self._timer = self._loop.call_later(self._delay_s, self.go_on)
            return
        if not self._attempts:
            self.established.set_exception(self.errors[-1])

    def won(self, attempt: _Attempt) -> None:
        """It is established."""
        self._attempts.discard(attempt)
        self.give_up()
        # At once: data may be in the same batch of packets, and a transport must be there to take it.
        try:
            self.established.set_result(self._begin(attempt.options))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as problem:
            attempt.give_up()
            self.established.set_exception(problem)

    def lost(self, attempt: _Attempt, problem: OSError) -> None:
        """It has failed."""
        self._attempts.discard(attempt)
        self.errors.append(problem)
        self.go_on()

    def give_up(self) -> None:
        """Reset whatever is under way."""
        self._stop_timer()
        while self._attempts:
            self._attempts.pop().give_up()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Attempt:
    """The handler of a connection until it is established."""

    def __init__(self, race: _Race, options: SocketOptions) -> None:
        self._race = race
        self.options = options

    def on_connected(self) -> None:
        if self._race.established.done():
            self.give_up()  # cancelled in this turn of the loop
        else:
            self._race.won(self)

    def on_closed(self, problem: OSError | None) -> None:
        if not self._race.established.done():
            self._race.lost(self, problem or error(errno.ECONNABORTED))

    def on_readable(self) -> None:
        """Never before `on_connected`."""

    def on_writable(self) -> None:
        """Never before `on_connected`."""

    def give_up(self) -> None:
        connection, driver = self.options.connection, self.options.driver
        if connection is not None:
            connection.abort()
            driver.detach(connection)
            driver.wake()


async def open_stream(
    driver: Driver,
    protocol_factory: ProtocolFactory,
    ways: Iterable[Way],
    tls: Tls | None = None,
    delay_s: float | None = None,
    all_errors: bool = False,
) -> Transports:
    """Connect one of the `ways`, and give the connection to a new protocol.

    Raises OSError when all fail (with `all_errors` an ExceptionGroup of them), and TLS errors.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    transports: list[asyncio.Transport] = []

    def begin(options: SocketOptions) -> asyncio.BaseProtocol:
        protocol = protocol_factory()
        lower, upper = build_transport(loop, options, protocol, tls, ready)
        transports.extend((lower, upper))
        # After our caller has gone on, as with asyncio's own transports.
        loop.call_soon(lower.start_reading)
        return protocol

    race = _Race(driver, ways, delay_s, begin)
    race.go_on()
    try:
        protocol = await race.established
        await ready
    except BaseException as problem:
        race.give_up()
        if transports:
            transports[0].abort()
        elif problem in race.errors:
            raise _summary(race.errors, all_errors) from None
        raise
    return transports[1], protocol


def _summary(errors: list[OSError], all_errors: bool) -> Exception:
    """What asyncio raises when no address can be connected to."""
    if all_errors:
        return ExceptionGroup("create_connection failed", errors)
    if len({str(problem) for problem in errors}) == 1:
        return errors[0]
    return OSError("Multiple exceptions: " + ", ".join(map(str, errors)))


def accept_stream(
    loop: asyncio.AbstractEventLoop,
    options: SocketOptions,
    connection: Connection,
    protocol_factory: ProtocolFactory,
    tls: Tls | None,
) -> None:
    """Give a connection that the listener with `options` accepted to a new protocol, or reset it if there is none."""
    try:
        protocol = protocol_factory()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as problem:
        loop.call_exception_handler(
            {"message": "Error on transport creation for incoming connection", "exception": problem}
        )
        connection.abort()
        options.driver.wake()
        return
    inherited = options.inherit()
    inherited.attach(connection)
    lower, _ = build_transport(loop, inherited, protocol, tls, None)
    lower.start_reading()
