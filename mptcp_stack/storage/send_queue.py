"""What the application has written and the peer has not acknowledged yet, by stream offset."""

from bisect import bisect_right
from typing import Final

from mptcp_stack.storage.chunks import EMPTY, Chunks, append

_HEAD_LIMIT: Final = 64
"""As in ``ReceiveQueue``."""


class SendQueue:
    """A stream of bytes from ``base`` on: appended at the tail, taken once in order, released at the head.

    Offsets are unwrapped sequence numbers. No payload is copied, but small writes are joined: one super-segment never
    consists of more parts than one ``writev`` takes, and what waits long for its acknowledgement costs little more than
    its bytes.
    """

    __slots__ = ("_cursor", "_head", "_starts", "_views", "base", "end", "next")

    def __init__(self, base: int) -> None:
        self.base = base
        self.next = base
        self.end = base
        self._starts: list[int] = []
        self._views: Chunks = []
        self._head = 0
        self._cursor = 0

    @property
    def queued_bytes(self) -> int:
        """Bytes held, sent or not."""
        return self.end - self.base

    @property
    def unsent_bytes(self) -> int:
        """Bytes that ``take`` has not given out yet."""
        return self.end - self.next

    def append(self, data: memoryview) -> None:
        """Add ``data`` at the tail; its memory must not change until it is released."""
        if not len(data):
            return
        views, starts = self._views, self._starts
        append(views, data, self._head)
        last = len(views) - 1
        if last < len(starts):  # joined with what was there
            del starts[last + 1 :]
            self._cursor = min(self._cursor, last)
        else:
            starts.append(self.end)
        self.end += len(data)

    def take(self, limit: int) -> Chunks:
        """Up to ``limit`` bytes from ``next`` on; moves ``next`` behind them."""
        limit = min(limit, self.end - self.next)
        chunks: Chunks = []
        cursor = self._cursor
        while limit:
            view = self._views[cursor]
            offset = self.next - self._starts[cursor]
            part = view[offset : offset + limit]
            chunks.append(part)
            taken = len(part)
            limit -= taken
            self.next += taken
            if offset + taken == len(view):
                cursor += 1
        self._cursor = cursor
        return chunks

    def peek(self, start: int, end: int) -> Chunks:
        """Bytes ``[start, end)`` as far as they are held, without moving anything."""
        start = max(start, self.base)
        chunks: Chunks = []
        index = max(bisect_right(self._starts, start) - 1, self._head)
        while index < len(self._views) and self._starts[index] < end:
            offset = self._starts[index]
            chunks.append(self._views[index][max(0, start - offset) : end - offset])
            index += 1
        return chunks

    def forget(self) -> None:
        """Let go of all bytes, sent or not: nobody is going to have them."""
        self.next = self.end
        self._starts.clear()
        self._views.clear()
        self._head = self._cursor = 0

    def release(self, upto: int) -> None:
        """Let go of everything below ``upto``, which must have been taken."""
        if upto <= self.base:
            return
        head = self._head
        count = len(self._views)
        while head < count and self._starts[head] + len(self._views[head]) <= upto:
            self._views[head] = EMPTY
            head += 1
        self.base = upto
        if head == count or (head > _HEAD_LIMIT and 2 * head > count):
            del self._starts[:head], self._views[:head]
            self._cursor -= head
            head = 0
        self._head = head
