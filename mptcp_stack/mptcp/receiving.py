"""The receiving half of a connection: order by data sequence number, and the shared window."""

from collections.abc import Iterable
from typing import Final

from mptcp_stack.storage import NEVER, Chunks, Reassembly, ReceiveQueue, cut, tail_agrees, tail_of
from mptcp_stack.tcp.rtt import INITIAL_RTO_NS

INITIAL_WINDOW_BYTES: Final = 128 << 10
"""Far more than a sender's initial window, so that growing keeps ahead of its slow start."""

_MEMORY_FACTOR: Final = 2
"""What comes before its turn may cost so many times the buffer: full segments, each alone, cost 1.4 times their bytes,
small ones far more (``storage.chunks``). Linux leaves half of a buffer to what packets cost, too."""
_LEAST_MEMORY_BYTES: Final = 128 << 10
"""But so much, as what small segments cost has no relation to a small buffer: some two hundred pieces."""


class Receiving:
    """Bytes on their way to the application; positions count from 0 at the first byte of the stream.

    ``capacity_bytes``: how far the window reaches beyond what was read. With ``autotuning`` it begins small and grows
    up to ``buffer_bytes``; the next occasion is what arrives at ``round_end_ns`` or later. ``memory_bytes``: what may
    be held before its turn, here and in subflows together.
    """

    __slots__ = (
        "_buffer_bytes", "_edge", "_read", "_read_in_round", "_reassembly", "_tail", "capacity_bytes", "fin",
        "memory_bytes", "queue", "round_end_ns",
    )  # fmt: skip

    def __init__(self, buffer_bytes: int, autotuning: bool) -> None:
        self.resize(buffer_bytes)
        if autotuning and buffer_bytes > INITIAL_WINDOW_BYTES:
            self.capacity_bytes = INITIAL_WINDOW_BYTES
            self.round_end_ns = 0
        self.queue = ReceiveQueue()
        self.fin: int | None = None
        self.start()

    def start(self) -> None:
        """Nothing has arrived yet, and nothing was offered."""
        self._reassembly = Reassembly(0)
        self._tail = b""
        self._edge = 0
        self._read = self._read_in_round = 0

    def resize(self, buffer_bytes: int) -> None:
        """The application fixes the capacity. What was offered before stays offered."""
        self._buffer_bytes = self.capacity_bytes = buffer_bytes
        self.memory_bytes = max(_MEMORY_FACTOR * buffer_bytes, _LEAST_MEMORY_BYTES)
        self.round_end_ns = NEVER

    def end_round(self, rtt_ns: int, now: int) -> None:
        """A round trip of the slowest subflow, ``rtt_ns``, is over: grow with what the application read in it.

        The window is to hold two such rounds, and as a sender in slow start doubles, a round that brought more than
        the one before promises that the next brings more again (Dynamic Right-Sizing, Fisk and Feng 2001).
        """
        read = self.in_order_bytes - self.queue.length
        before, self._read_in_round = self._read_in_round, read - self._read
        self._read = read
        growth = min(max(self._read_in_round / max(before, 1), 1), 2)
        self.capacity_bytes = min(max(self.capacity_bytes, int(2 * growth * self._read_in_round)), self._buffer_bytes)
        grown = self.capacity_bytes == self._buffer_bytes
        self.round_end_ns = NEVER if grown else now + (rtt_ns or INITIAL_RTO_NS)

    @property
    def next(self) -> int:
        """The data acknowledgement: one beyond the last byte in order, and beyond the DATA_FIN if that was reached."""
        following = self._reassembly.next
        return following + 1 if self.finished else following

    @property
    def in_order_bytes(self) -> int:
        """How much of the stream has arrived without a gap."""
        return self._reassembly.next

    @property
    def finished(self) -> bool:
        """Everything up to the peer's DATA_FIN has arrived."""
        return self.fin is not None and self._reassembly.next >= self.fin

    def has_room(self, size: int) -> bool:
        """Whether the window that the peer was offered has room for so many bytes more."""
        return self._edge - self._reassembly.next >= size

    def may_begin(self, dsn: int) -> bool:
        """Whether an honest peer can map bytes to ``dsn``: between the first ever and the end of the window."""
        return 0 <= dsn <= self._limit

    def insert(self, dsn: int, chunks: Chunks, length: int) -> bool:
        """Bytes from a subflow. What lies beyond the window or the end, where no honest peer sends, is dropped.

        False: they contradict what the application was given, so that they are not what their mapping says. If they
        contradict what waits for a gap to be filled, one of both is wrong: none is kept, and the peer sends it again.
        """
        room = self._limit - dsn
        if self.fin is not None:
            room = min(room, self.fin - dsn)
        if length > room:
            if room <= 0:
                return True
            chunks, length = cut(chunks, 0, room), room
        reassembly = self._reassembly
        overlap = reassembly.next - dsn
        if 0 < overlap < length and not tail_agrees(self._tail, chunks, overlap):
            return False
        if reassembly.charge and not reassembly.agrees(dsn, chunks):
            reassembly.forget()
            return True
        ordered = reassembly.insert(dsn, chunks, length)
        if ordered:
            self._tail = tail_of(ordered)
            self.queue.extend(ordered)
        return True

    def may_hold(self, elsewhere: Iterable[int]) -> bool:
        """Whether there is memory for more that comes before its turn, beside what others hold (bytes)."""
        return self._reassembly.charge + sum(elsewhere) < self.memory_bytes

    def prune(self) -> bool:
        """Let go of what costs too much memory, the farthest away first, so that what is due next finds some."""
        reassembly = self._reassembly
        if reassembly.charge <= self.memory_bytes:
            return False
        while reassembly.charge > self.memory_bytes:
            reassembly.shed()
        return True

    def forget(self, unread: bool) -> None:
        """Let go of what waits for a gap to be filled, and of what is ``unread`` if nobody is going to read it."""
        self._reassembly.forget()
        if unread:
            self.queue = ReceiveQueue()

    def finish_at(self, end: int) -> None:
        """The peer's DATA_FIN at ``end``, unless it contradicts what has arrived or lies beyond the window."""
        if not self.finished and self._reassembly.next <= end <= self._limit:
            self.fin = end
            if self._reassembly.ranges and self._reassembly.ranges.end > end:
                self._reassembly.forget()  # something claims to be beyond

    @property
    def _limit(self) -> int:
        """Where the window ends: that which the peer was offered, or would be now if that reaches farther.

        What is unread takes room from it, whichever subflow it came on: each of them has an edge of its own in TCP.
        """
        return max(self._edge, self._reassembly.next + self.capacity_bytes - self.queue.length)

    def finish(self) -> None:
        """The peer's end of data where TCP's FIN says it."""
        self.fin = self._reassembly.next

    def window(self) -> int:
        """Bytes the peer may send beyond ``next``; the right edge never moves back."""
        following = self._reassembly.next
        edge = following + self.capacity_bytes - self.queue.length
        if edge > self._edge:
            self._edge = edge
        return max(0, self._edge - following)
