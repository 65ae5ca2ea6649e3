"""Reading a descriptor that may fail: trouble that passes costs a pause, and none makes a loop spin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from mptcp_stack.phy import GONE

_PAUSES_S: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
"""After one failure, after the next, ...: who had no luck for a second has lost what it read from."""


class RetryingReader:
    """Calls `read` while `descriptor` is readable.

    `read` says whether that was `failed` or `worked`. After a failure it is called again later, and after too many in
    a row, or when what it reads from has gone, `give_up` instead, once, with the last one. Without `give_up` it is
    called again for ever.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        read: Callable[[], None],
        give_up: Callable[[Exception], None] | None = None,
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._read = read
        self._give_up = give_up
        self._failures = 0
        self._pause: asyncio.TimerHandle | None = None
        loop.add_reader(descriptor, read)
        self._reading = True

    def worked(self) -> None:
        """It was read without a failure."""
        self._failures = 0

    def failed(self, problem: Exception) -> None:
        """It was not."""
        self.stop()
        if self._give_up is not None and (is_gone(problem) or self._failures == len(_PAUSES_S)):
            self._give_up(problem)
            return
        self._failures = min(self._failures + 1, len(_PAUSES_S))
        self._pause = self._loop.call_later(_PAUSES_S[self._failures - 1], self._go_on)

    def _go_on(self) -> None:
        try:
            self._loop.add_reader(self._descriptor, self._read)
        except OSError as problem:
            self.failed(problem)  # the number is none any more
            return
        self._reading = True
        self._read()

    def stop(self) -> None:
        """Read no more. The second time it does nothing: the number may be that of another file."""
        if self._pause is not None:
            self._pause.cancel()
        if self._reading:
            self._reading = False
            with suppress(ValueError):
                self._loop.remove_reader(self._descriptor)


def is_gone(problem: Exception) -> bool:
    """Whether it says that there is nothing to read from or write to any more."""
    return isinstance(problem, OSError) and problem.errno in GONE
