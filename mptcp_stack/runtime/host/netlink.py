"""Questions and orders to the kernel by rtnetlink."""

from __future__ import annotations

from asyncio import SelectorEventLoop
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class Netlink:
    """pyroute2's IPRoute (`route`) with a thread to use it in, by `run`.

    Each of its requests runs an event loop, which it would make by the policy of the process, which may make loops of
    ours; in a thread where one runs it cannot, and for every thread it opens a socket. Here it has one of each.

    Raises OSError.
    """

    def __init__(self) -> None:
        from pyroute2 import IPRoute  # type: ignore[import-untyped]

        self._actions: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        # A daemon, for the process may end without closing us.
        self._thread = Thread(target=self._work, name="mptcp-netlink", daemon=True)
        self._thread.start()
        self._loop = SelectorEventLoop()
        with ExitStack() as on_error:
            on_error.callback(self._actions.put, None)
            on_error.callback(self._loop.close)
            self.route: IPRoute = self.run(lambda: IPRoute(use_event_loop=self._loop))
            on_error.pop_all()

    def run(self, action: Callable[[], Result]) -> Result:
        """Call `action` in the thread; what it returns or raises. RuntimeError when closed, or in a child process."""
        if not self._thread.is_alive():
            raise RuntimeError("netlink is closed, or belongs to another process")
        done: Future[Result] = Future()
        self._actions.put((action, done))
        return done.result()

    def close(self, first: Callable[[], object]) -> None:
        """Call `first` in the thread and end it. May be called again; in a child process nothing happens."""
        if not self._thread.is_alive():
            return
        with ExitStack() as steps:
            steps.callback(self._thread.join)
            steps.callback(self._actions.put, None)
            steps.callback(self.run, self._close)
            self.run(first)

    def _close(self) -> None:
        with ExitStack() as steps:
            steps.callback(self._loop.close)
            steps.callback(self._loop.run_until_complete, self._loop.shutdown_asyncgens())
            steps.callback(self.route.close)

    def _work(self) -> None:
        while (item := self._actions.get()) is not None:
            action, done = item
            try:
                done.set_result(action())
            except BaseException as problem:
                done.set_exception(problem)
