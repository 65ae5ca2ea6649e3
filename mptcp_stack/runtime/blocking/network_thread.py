"""The thread in which a network for blocking sockets runs."""

from __future__ import annotations

import atexit
import errno
import os
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

from mptcp_stack.runtime.aio.event_loop import EventLoop
from mptcp_stack.runtime.config import NetworkConfig
from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.network import Network
from mptcp_stack.stack import Address

from .network_side import NetworkSide

Result = TypeVar("Result")


class NetworkThread:
    """Runs an event loop, and the sides of all sockets on it, until `close`. Raises what `EventLoop` raises.

    `over`: it can be asked nothing more; `ended`: and all its sides are gone, or soon will be. Should it end by an
    exception, every socket fails with ENETDOWN. In a child process of `os.fork` it is over: reading and writing goes
    on through the parent, everything else fails with ENETDOWN.
    """

    def __init__(self, network: Network | NetworkConfig) -> None:
        self.loop = EventLoop(network)
        self.over = self.ended = False
        self._sides: dict[int, NetworkSide] = {}
        self._steps: set[Future[Any]] = set()
        self._hangups = select.epoll()
        self.loop.add_reader(self._hangups.fileno(), self.heed_hangups)
        self.loop.driver.failed.add_done_callback(self._lose_device)
        self._thread = threading.Thread(target=self._run, name="mptcp-network", daemon=True)
        self._thread.start()
        _RUNNING.add(self)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.over = self.ended = True
            for side in tuple(self._sides.values()):
                side.close()
            for step in tuple(self._steps):
                with suppress(InvalidStateError):
                    step.set_exception(error(errno.ENETDOWN))

    def _lose_device(self, _: object) -> None:
        """The device has gone, and with it the connections: everything fails from now on (ENETDOWN)."""
        self.over = self.ended = True
        for side in tuple(self._sides.values()):
            side.stop_listening()

    def call(self, step: Callable[[], Result]) -> Result:
        """Have a step done in this thread, and wait for it. An exception in the waiting thread withdraws it.

        Raises what the step raises, OSError (ENETDOWN; EDEADLK for what this thread asks itself).
        """
        if threading.current_thread() is self._thread:
            # A finalizer of the program's, which the collector runs here, and in the midst of anything.
            raise error(errno.EDEADLK)
        future: Future[Result] = Future()
        self._steps.add(future)
        try:
            if self.over:
                raise error(errno.ENETDOWN)
            with suppress(RuntimeError):  # closed meanwhile
                self.loop.call_soon_threadsafe(self._do, step, future)
            return future.result()
        finally:
            future.cancel()
            self._steps.discard(future)

    def _do(self, step: Callable[[], Result], future: Future[Result]) -> None:
        if future.done() or not future.set_running_or_notify_cancel():
            return
        try:
            # What the caller closed before is closed: an address is free again.
            self.heed_hangups()
            future.set_result(step())
        except Exception as problem:
            future.set_exception(problem)

    # --- sides

    def watch(self, side: NetworkSide) -> None:
        """Tell a side when its application is gone."""
        self._sides[side.number] = side
        # Nothing is asked for: a hang-up is always told. Once is enough.
        self._hangups.register(side.number, select.EPOLLONESHOT)

    def forget(self, side: NetworkSide) -> None:
        """It closes its end."""
        if self._sides.pop(side.number, None) is not None:
            self._hangups.unregister(side.number)

    def heed_hangups(self) -> None:
        """Tell the sides whose applications are gone."""
        # One at a time: what is done for one may close others.
        while events := self._hangups.poll(0, 1):
            side = self._sides.get(events[0][0])
            if side is not None:
                side.hang_up()

    # --- ports

    def reserve(self, local: Address, user: NetworkSide) -> Address:
        """An address that nobody else has, with a free port for port 0. Raises OSError (EADDRINUSE)."""
        if local.port:
            self._check(local, user, shared=user.options.reuse_address)
            return local
        for port in user.options.stack.ephemeral_ports():
            with suppress(OSError):
                self._check(Address(local.ip, port), user, shared=False)
                return Address(local.ip, port)
        raise error(errno.EADDRINUSE)

    def check_listening(self, user: NetworkSide) -> None:
        """Raise OSError (EADDRINUSE) when the address of a socket that is to listen has another listener."""
        if user.local is not None:
            self._check(user.local, user, shared=True)

    def _check(self, local: Address, user: NetworkSide, shared: bool) -> None:
        """As Linux has it: two sockets may have the same address if both say so (SO_REUSEADDR) and none listens."""
        for side in tuple(self._sides.values()):
            other = side.local
            if other is None or side is user or other.port != local.port:
                continue
            if not other.overlaps(local):
                continue
            if not (shared and side.options.reuse_address and side.listener is None):
                raise error(errno.EADDRINUSE)

    # --- the end

    def close(self, exiting: bool = False) -> None:
        """Let all sockets deliver what was written, `linger_s` at the most, and stop. May be called again.

        `exiting`: daemon threads that wait go on waiting until the process is gone, as they would with a kernel.
        """
        if self not in _RUNNING:
            return
        _RUNNING.discard(self)
        self.over = self.ended = True
        self.loop.call_soon_threadsafe(self._finish, exiting)
        self._thread.join()
        self.loop.close()
        self._hangups.close()

    def _finish(self, exiting: bool) -> None:
        for side in tuple(self._sides.values()):
            if exiting:
                side.finish_unseen()
            else:
                side.finish()
        if threading.current_thread() is self._thread:  # else it was killed
            self.loop.stop()

    def abandon(self) -> None:
        """In a child process: what the parent's thread alone may use is closed here."""
        self.over = True
        for side in self._sides.values():
            side.end.close()
        self._hangups.close()


_RUNNING: WeakSet[NetworkThread] = WeakSet()


def _close_all() -> None:
    """At the end of a program that has not closed its networks; a kernel would deliver what was written, too."""
    for thread in tuple(_RUNNING):
        thread.close(exiting=True)


atexit.register(_close_all)


def _abandon_all() -> None:
    for thread in tuple(_RUNNING):
        thread.abandon()
    _RUNNING.clear()


os.register_at_fork(after_in_child=_abandon_all)
