"""When the last, partial segment of what was written has to wait for more: Nagle's algorithm, and the cork.

Nagle (RFC 9293 section 3.7.4) in the form of Minshall, as Linux has it: a partial segment waits while another partial
one is not acknowledged yet. A single write, however odd its length, never waits.
"""

from collections.abc import Callable
from typing import Final

from mptcp_stack.storage import Timers

CORK_NS: Final = 200_000_000
"""A cork holds back for so long at the most, as TCP_CORK of Linux does."""


class SmallWrites:
    """The rules for one connection; positions are those of its send queue."""

    __slots__ = ("_cork_timer", "_partial_end", "_uncork", "_wake", "cork", "nodelay")

    def __init__(self, nodelay: bool, timers: Timers, wake: Callable[[], None]) -> None:
        self.nodelay = nodelay
        self.cork = False
        self._partial_end = -1
        self._uncork = False
        self._wake = wake
        self._cork_timer = timers.timer(self._cork_expired)

    def waits(self, base: int, now: int) -> bool:
        """Whether a partial segment has to wait; everything below ``base`` is acknowledged."""
        if self.cork and not self._uncork:
            if not self._cork_timer.armed:
                self._cork_timer.set(now + CORK_NS)
            return True
        return not self.nodelay and base < self._partial_end

    def sent(self, end: int) -> None:
        """A partial segment that ends at ``end`` leaves."""
        self._partial_end = end
        self._uncork = False
        self._cork_timer.cancel()

    def let_go(self) -> None:
        """The next partial segment does not wait for the cork."""
        self._uncork = True

    def _cork_expired(self, now: int) -> None:
        self.let_go()
        self._wake()

    def stop(self) -> None:
        """No timer fires any more."""
        self._cork_timer.cancel()
