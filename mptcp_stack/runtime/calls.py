"""Calls of blocking sockets, as the network's thread sees them."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from mptcp_stack.stack import Address, Connection, Listener

from .doorbell import Doorbell
from .errors import error
from .options import SocketOptions

_LINGER_POLL_S = 0.005


class NotYet:
    """What an attempt returns when it has to wait."""


NOT_YET: Final = NotYet()
Attempt = Callable[[], Any]


class Call:
    """An attempt that a thread waits for; `settle` is called before it wakes."""

    def __init__(self, attempt: Attempt, settle: Callable[[], None]) -> None:
        self._attempt = attempt
        self._settle = settle
        self.result: Future[Any] = Future()

    def retry(self) -> bool:
        """Try again; whether it is over."""
        if self.result.done():
            return True
        try:
            result = self._attempt()
        except Exception as problem:
            self._settle()
            self.result.set_exception(problem)
            return True
        self._settle()
        if result is NOT_YET:
            return False
        self.result.set_result(result)
        return True

    def expire(self, problem: OSError) -> None:
        """Give up, unless it is over."""
        if not self.result.done():
            self.result.set_exception(problem)


class Side:
    """What the network's thread knows of one socket: the handler of its connection, and the calls that wait.

    `waiting` is the network's set of those with calls that wait, or that are polled. `holders`: how many sockets
    share it (`dup`). `local`: what was bound.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, options: SocketOptions, waiting: set[Side]) -> None:
        self.options = options
        self.driver = options.driver
        self.closed = False
        self.holders = 1
        self.local: Address | None = None
        self.connection: Connection | None = None
        self.established = False
        self.read_shut = False
        self.ended = False
        self.error: OSError | None = None
        self.listener: Listener | None = None
        self.arrivals: deque[Side] = deque()
        self._loop = loop
        self._waiting = waiting
        self._calls: list[Call] = []
        self._doorbell: Doorbell | None = None

    def descriptor(self) -> int:
        """A new descriptor that can be polled for as long as it is open."""
        if self._doorbell is None:
            self._doorbell = Doorbell()
            self._waiting.add(self)
        return self._doorbell.copy()

    def ring(self) -> None:
        """Let the descriptors show what can be done without waiting."""
        if self._doorbell is None:
            return
        connection = self.connection
        if connection is None:
            self._doorbell.show(bool(self.arrivals), self.listener is None)
            return
        readable = bool(connection.receive_ready) or connection.eof or self.read_shut
        writable = self.established and (connection.send_space > 0 or connection.sending.fin is not None)
        if self.established and not writable:
            connection.want_room()
        self._doorbell.show(readable or self.ended, writable or self.ended)

    def submit(self, call: Call, timeout: float | None) -> None:
        """Try a call, and again on every event for `timeout` seconds (None: for ever, 0: never)."""
        if self.closed:
            call.expire(error(errno.EBADF))
        if call.retry():
            return
        if timeout == 0:
            call.expire(error(errno.EAGAIN))
            return
        self._calls.append(call)
        self._waiting.add(self)
        if timeout is not None:
            timer = self._loop.call_later(timeout, call.expire, TimeoutError("timed out"))
            # From the thread that sets the result, which is the loop's.
            call.result.add_done_callback(lambda _: timer.cancel())

    def retry_all(self) -> None:
        """Something happened."""
        if self._calls:
            self._calls = [call for call in self._calls if not call.retry()]
        self.ring()

    def attach(self, connection: Connection) -> None:
        """It has a connection from now on."""
        self.connection = connection
        self.options.attach(connection)
        self.driver.attach(connection, self)

    def forget_failed(self) -> OSError:
        """The attempt to connect has failed, and the next one is possible; why."""
        problem = self.error or error(errno.ECONNABORTED)
        self.connection, self.error, self.ended = None, None, False
        self.options.connection = self.options.error = None
        return problem

    def accept(self, connection: Connection) -> None:
        """A connection to our listener."""
        side = Side(self._loop, self.options.inherit(), self._waiting)
        side.established = True
        side.attach(connection)
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
        self.error = self.options.error = error
        self.retry_all()

    async def linger(self, seconds: float) -> None:
        """End our stream and wait until the peer has acknowledged all of it, at the most so long."""
        if self.connection is None or not self.established:
            return
        self.connection.shutdown()
        self.driver.wake()
        deadline = self._loop.time() + seconds
        while not (self.connection.sending.finished or self.ended) and self._loop.time() < deadline:
            await asyncio.sleep(_LINGER_POLL_S)

    def release(self) -> None:
        """One of the sockets that share it is closed, and with the last of them everything."""
        self.holders -= 1
        if not self.holders:
            self.close()

    def close(self) -> None:
        """Close everything; calls of other threads that wait fail with EBADF."""
        self.closed = True
        if self.listener is not None:
            self.driver.stop_listening(self.listener)
        for side in self.arrivals:
            side.close()
        if self.connection is not None:
            self.driver.detach(self.connection)
            if self.established and self.options.linger_s != 0:
                self.connection.close()
            else:
                self.connection.abort()
            self.driver.wake()
        self.expire_all()
        self._waiting.discard(self)

    def expire_all(self) -> None:
        """Let every call that waits fail with EBADF, and wake those who poll."""
        if self._doorbell is not None:
            self._doorbell.close()
            self._doorbell = None
        for call in self._calls:
            call.expire(error(errno.EBADF))
        self._calls.clear()
