"""Drives a stack from an asyncio event loop: packets in, timers, events to their handlers, packets out.

It takes part in the loop's waits (`waiting`). After one it receives, tells handlers, heeds its timers and sends: what a
handler writes at once goes out together with the acknowledgement of what it was told of, and neither waits for what
others do in this turn of the loop. Before the next wait it sends what they have written.

Nothing that goes wrong here may end the loop, keep it busy or leave it without its timer: there are other connections.
An exception ends the connection it came from, and is told to the loop's exception handler. A device in trouble loses
packets, and with one that has gone everything ends at once (`failed`).
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

from mptcp_stack.events import Accepted, Closed, Connected, Event, PathEvent, Readable, Writable
from mptcp_stack.mptcp.containment import end, end_connection
from mptcp_stack.runtime.host.address_monitor import AddressMonitor
from mptcp_stack.stack import Address, Connection, Listener
from mptcp_stack.wire import Packet

from .driven_loop import DrivenLoop
from .errors import NetworkDownError
from .network import Network
from .retrying_reader import RetryingReader, is_gone

logger = logging.getLogger("mptcp_stack")

_NS_PER_SECOND: Final = 1e9
_DRAIN_POLL_S: Final = 0.005
"""Chosen: a loop closes so much later at the most, and looks at its connections no more than 200 times a second."""
_RECEIVES_NOTHING: Final = "the network's device receives nothing"
_SENDS_NOTHING: Final = "the network's device sends nothing"
_SEES_NO_ADDRESSES: Final = "interfaces and addresses of the host cannot be looked at"


class ConnectionHandler(Protocol):
    """Who is told about one connection.

    A protocol and no base: a compiled class that has one of Python's, as transports have, can have no other beside it.
    """

    def on_connected(self) -> None:
        """The connection that we opened is established."""

    def on_readable(self) -> None:
        """Data or the end of data can be read."""

    def on_writable(self) -> None:
        """There is room again, after `Connection.send` took less than it was given."""

    def on_closed(self, error: OSError | None) -> None:
        """Nothing more will come; called once, and nothing after it."""


AcceptHandler = Callable[[Connection], None]


class Driver:
    """Runs one network on one event loop, from its making to `close`.

    `clock` gives the time in nanoseconds and must run as `loop.time` does. `failed` is done when the network's device
    has gone: every connection has ended with NetworkDownError then, and there will be no other.
    """

    def __init__(
        self,
        loop: DrivenLoop,
        network: Network,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.network = network
        self._loop = loop
        self._stack = network.stack
        self._device = network.device
        self._clock = clock
        self._handlers: dict[Connection, tuple[ConnectionHandler, contextvars.Context]] = {}
        self._acceptors: dict[Listener, AcceptHandler] = {}
        self.on_path_event: Callable[[PathEvent], None] = lambda _: None
        """Who is told what the path manager `userspace` leaves to the application, for all connections."""
        self._to_send = False
        self._told = False
        """Whether somebody was told something since the loop computed how long it may wait."""
        self.failed: asyncio.Future[None] = loop.create_future()
        self._troubled: set[str] = set()
        self._stack.on_exception = self._report
        self._descriptor = self._device.fileno()
        self._device_reader = RetryingReader(loop, self._descriptor, self._receive, self._fail)
        self._address_reader: RetryingReader | None = None
        if network.address_monitor is not None:
            check = partial(self._check_addresses, network.address_monitor)
            self._address_reader = RetryingReader(loop, network.address_monitor.fileno(), check)
        loop.read_at_once(self._descriptor, self._receive)
        loop.join(self)

    # --- for transports, servers and sockets

    @property
    def now(self) -> int:
        """The time by which the stack runs, in nanoseconds."""
        return self._clock()

    def connect(self, remote: Address, local: Address | None, **settings: Any) -> Connection:
        """Open a connection; give it a handler at once. `settings` as in `Stack.connect`.

        Raises OSError when there is no way or no free port.
        """
        self._check_device()
        connection = self._stack.connect(remote, self._clock(), local, **settings)
        self.wake()
        return connection

    def listen(self, local: Address, backlog: int, accept: AcceptHandler, **settings: Any) -> Listener:
        """Call `accept` with every connection to `local` (port 0: any free one); it gives each a handler.

        `settings` as in `Stack.listen`. Raises OSError.
        """
        listener = self.bind(local, backlog, accept, **settings)
        listener.accepting = True
        return listener

    def bind(self, local: Address, backlog: int, accept: AcceptHandler, **settings: Any) -> Listener:
        """As `listen`, but nothing is accepted before `Listener.accepting` is set: until then the address is taken."""
        self._check_device()
        for port in [local.port] if local.port else self._stack.ephemeral_ports():
            try:
                listener = self._stack.listen(Address(local.ip, port), self._clock(), backlog, **settings)
            except OSError as error:
                if local.port or error.errno != errno.EADDRINUSE:
                    raise
                continue
            listener.accepting = False
            self._acceptors[listener] = accept
            return listener
        raise OSError(errno.EADDRINUSE, "Address already in use")

    def stop_listening(self, listener: Listener) -> None:
        """Accept nothing more; connections that exist stay."""
        listener.close()
        self._acceptors.pop(listener, None)

    def attach(self, connection: Connection, handler: ConnectionHandler) -> None:
        """From now on `handler` is told about `connection`, with the context variables of now, as in asyncio."""
        self._handlers[connection] = (handler, contextvars.copy_context())

    def detach(self, connection: Connection) -> None:
        """Nobody is told about `connection` any more; the stack brings it to its end."""
        self._handlers.pop(connection, None)

    def wake(self) -> None:
        """Something was done to a connection: send what follows from it before the loop waits."""
        self._to_send = True

    def _check_device(self) -> None:
        if self.failed.done():
            raise NetworkDownError

    # --- the loop's waits

    def before_wait(self, timeout: float | None) -> float | None:
        """Send; how many seconds of `timeout` the loop may wait: until the next timer, not at all when it is wanted."""
        self._told = False
        try:
            if self._to_send:
                self._send_all()
            if timeout == 0 or self._told:
                return 0.0
            deadline = self._stack.next_deadline()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as problem:
            self._report(None, problem)
            return 0.0
        if deadline is None:
            return timeout
        rest_s = max(deadline - self._clock(), 0) / _NS_PER_SECOND
        return rest_s if timeout is None or rest_s < timeout else timeout

    def after_wait(self) -> None:
        """Heed the timers, and send."""
        try:
            deadline = self._stack.next_deadline()
            if deadline is not None and deadline <= self._clock():
                self._stack.handle_timers(self._clock())
                self.wake()
                self._deliver()
            if self._to_send:
                self._send_all()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as problem:
            self._report(None, problem)

    def _receive(self) -> None:
        """Packets wait in the device."""
        try:
            self._receive_all()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as problem:
            self._report(None, problem)

    def _receive_all(self) -> None:
        limit = self.network.batch_packets
        try:
            packets = self._device.receive(limit)
        except Exception as problem:
            if not is_gone(problem):
                self._note_trouble(_RECEIVES_NOTHING, problem)
            self._device_reader.failed(problem)
            return
        self._device_reader.worked()
        self._troubled.discard(_RECEIVES_NOTHING)
        self._stack.receive(packets, self._clock(), backlogged=len(packets) == limit)
        self.wake()
        self._deliver()

    def _check_addresses(self, address_monitor: AddressMonitor) -> None:
        """An interface or an address of the host has changed: perhaps one of the stack's is gone, or back."""
        assert self._address_reader is not None
        try:
            change = address_monitor.refresh()
        except Exception as problem:
            self._note_trouble(_SEES_NO_ADDRESSES, problem)
            self._address_reader.failed(problem)
            return
        self._address_reader.worked()
        self._troubled.discard(_SEES_NO_ADDRESSES)
        # A program may have taken or given them itself.
        for address in change.gone:
            with suppress(OSError):
                self._stack.remove_address(address.ip.packed, self._clock())
        for address in change.come:
            with suppress(OSError):
                self._stack.add_address(address.local_address, self._clock())
        self.wake()
        self._deliver()

    def _send_all(self) -> None:
        self._to_send = False
        packets = self._stack.transmit(self._clock())
        if packets:
            self._send(packets)
        self._deliver()

    def _send(self, packets: Sequence[Packet]) -> None:
        taken = 0
        try:
            if not self.failed.done():
                taken = self._device.send(packets)
                self._troubled.discard(_SENDS_NOTHING)
        except Exception as problem:
            if is_gone(problem):
                self._fail(problem)
            else:
                self._note_trouble(_SENDS_NOTHING, problem)
        if taken < len(packets):
            self._stack.counters["IpOutDiscards"] += len(packets) - taken

    def _deliver(self) -> None:
        next_event = self._stack.next_event
        while (event := next_event()) is not None:
            self._told = True
            began_s = self._loop.time() if self._loop.get_debug() else 0.0
            try:
                self._tell(event)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as problem:
                # Who was to be told.
                connection = end_connection(event.connection, problem, self._clock())
                self._report(connection, problem)
            if began_s:
                self._note_slowness(event, self._loop.time() - began_s)

    def _tell(self, event: Event) -> None:
        if isinstance(event, Accepted):
            self._accept(event)
            return
        if isinstance(event, PathEvent):
            self.on_path_event(event)
            self.wake()
            return
        attached = self._handlers.get(event.connection)
        if attached is None:
            return
        handler, context = attached
        match event:
            case Readable():
                context.run(handler.on_readable)
            case Writable():
                context.run(handler.on_writable)
            case Connected():
                context.run(handler.on_connected)
            case Closed():
                del self._handlers[event.connection]
                context.run(handler.on_closed, event.error)

    def _accept(self, event: Accepted) -> None:
        acceptor = self._acceptors.get(event.listener)
        if acceptor is not None:
            acceptor(event.connection)
        else:
            # The listener was closed while the handshake was under way.
            event.connection.abort()
            self.wake()

    # --- what goes wrong

    def _report(self, connection: Connection | None, problem: BaseException) -> None:
        """Tell the program of an exception that has ended a connection, if it was in one."""
        which = "" if connection is None else f" of {connection.local} - {connection.remote}, which has ended"
        self.wake()
        self._told = True
        self._loop.call_exception_handler({"message": f"Exception in the stack{which}", "exception": problem})

    def _note_slowness(self, event: Event, taken_s: float) -> None:
        """As asyncio does of its callbacks in debug mode."""
        if taken_s >= self._loop.slow_callback_duration:
            logger.warning("Telling of %s took %.3f seconds", type(event).__name__, taken_s)

    def _note_trouble(self, what: str, problem: Exception) -> None:
        """Say so, once until it works again."""
        if what not in self._troubled:
            self._troubled.add(what)
            details = None if isinstance(problem, OSError) else problem
            logger.warning("%s: %s", what, problem, exc_info=details)

    def _fail(self, problem: Exception) -> None:
        """The device has gone: so has everything, and there is nothing to do any more."""
        if self.failed.done():
            return
        connections = self._stack.connections
        self._told = True
        logger.error("the network's device has gone (%s), and %d connections with it", problem, len(connections))
        self._stop()
        self.failed.set_result(None)
        for connection in connections:
            end(connection, NetworkDownError(), self._clock())
        self._stack.transmit(self._clock())
        self._deliver()

    def _stop(self) -> None:
        """Let go of the loop."""
        self._device_reader.stop()
        self._loop.read_no_more(self._descriptor)
        if self._address_reader is not None:
            self._address_reader.stop()

    # --- the end

    async def drain(self) -> None:
        """Close every connection, and wait until all that was written is delivered: `linger_s` at the most.

        What is delivered to a peer that goes on sending is not waited for. Handlers are not told any more.
        """
        self._handlers.clear()
        for connection in self._stack.connections:
            connection.close()
        self.wake()
        deadline = self._loop.time() + self.network.linger_s
        while any(map(_has_business, self._stack.connections)) and self._loop.time() < deadline:
            await asyncio.sleep(_DRAIN_POLL_S)

    def close(self) -> None:
        """Reset what is still there, and let go of the loop."""
        self._stop()
        self._handlers.clear()
        self._acceptors.clear()
        for connection in self._stack.connections:
            connection.abort()
        self._send(self._stack.transmit(self._clock()))
        self._loop.leave(self)


def _has_business(connection: Connection) -> bool:
    """Whether data of ours is under way, or both sides have ended and only the closing of subflows is left."""
    return not connection.sending.finished or connection.receiving.finished
