"""When the last, partial segment of what was written has to wait for more: Nagle's algorithm, and the cork.

Nagle (RFC 9293 section 3.7.4) in the form of Minshall, as Linux has it: a partial segment waits while another partial
one is not acknowledged yet. A single write, however odd its length, never waits.
"""

from typing import Final

from typing_extensions import override

from mptcp_stack.mptcp.sending.owner import SendingOwner
from mptcp_stack.storage import Timer

CORK_NS: Final = 200_000_000
"""A cork holds back for so long at the most, as TCP_CORK of Linux does."""


class SmallWrites(Timer):
    """The rules for one connection; positions are those of its send queue. As a timer: the end of what a cork may do.

    ``nodelay`` and ``cork`` are what the application wishes.
    """

    __slots__ = ("_connection", "_partial_end", "_uncork", "cork", "nodelay")
    __deletable__ = ("_connection",)

    def __init__(self, connection: SendingOwner) -> None:
        super().__init__(connection.stack.context.timers)
        self._connection = connection
        self.nodelay = connection.stack.config.nodelay
        self.cork = False
        self._partial_end = -1
        self._uncork = False

    def waits(self, base: int, now: int) -> bool:
        """Whether a partial segment has to wait; everything below ``base`` is acknowledged."""
        if self.cork and not self._uncork:
            if not self.armed:
                self.set(now + CORK_NS)
            return True
        return not self.nodelay and base < self._partial_end

    def sent(self, end: int) -> None:
        """A partial segment that ends at ``end`` leaves."""
        self._partial_end = end
        self._uncork = False
        self.cancel()

    def let_go(self) -> None:
        """The next partial segment does not wait for the cork."""
        self._uncork = True

    @override
    def expire(self, now: int) -> None:
        self.let_go()
        self._connection.wake()

    @override
    def end(self) -> None:
        super().end()
        del self._connection
