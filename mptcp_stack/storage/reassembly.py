"""Out-of-order bytes waiting for the gap before them to be filled."""

from bisect import bisect_right

from mptcp_stack.storage.chunks import Chunks, cut, length_of
from mptcp_stack.storage.range_set import RangeSet

_SAMPLE_BYTES = 64
"""So many bytes of those that overlap tell whether both are the same part of a stream."""


class Reassembly:
    """Puts a stream in order from ``next`` on. Of overlapping bytes the ones that came first stay."""

    __slots__ = ("_held", "_starts", "held_bytes", "latest", "next", "ranges")

    def __init__(self, start: int) -> None:
        self.next = start
        self.held_bytes = 0
        self.latest = start
        self.ranges = RangeSet()
        self._starts: list[int] = []
        self._held: list[tuple[int, Chunks]] = []

    def insert(self, start: int, chunks: Chunks, length: int) -> Chunks:
        """Take ``length`` bytes at ``start``; return what is now in order, and move ``next`` behind it.

        Bytes below ``next`` and bytes already held are ignored.
        """
        end = start + length
        if start < self.next:
            if end <= self.next:
                return []
            chunks = cut(chunks, self.next - start, length)
            start = self.next
        if start == self.next and (not self._starts or end <= self._starts[0]):
            # It fills the gap or its beginning, and need not be kept.
            self.next = end
            return chunks + self._drain() if self._starts and end == self._starts[0] else chunks
        self.latest = start
        held_end = self._held[-1][0] if self._held else self.next
        if held_end <= start < end:
            # Beyond everything that is held, as most of a fast path's segments are.
            self._hold(len(self._held), start, end, chunks)
            self.ranges.add(start, end)
            return []
        for gap_start, gap_end in self.ranges.missing(start, end):
            index = bisect_right(self._starts, gap_start)
            self._hold(index, gap_start, gap_end, cut(chunks, gap_start - start, gap_end - start))
        self.ranges.add(start, end)
        return self._drain() if start == self.next else []

    def agrees(self, start: int, chunks: Chunks, length: int) -> bool:
        """Whether ``length`` bytes at ``start`` are, where they overlap with those held, the same (as samples show)."""
        end = start + length
        index = max(bisect_right(self._starts, start) - 1, 0)
        while index < len(self._starts) and self._starts[index] < end:
            held_start, (held_end, held) = self._starts[index], self._held[index]
            first = max(start, held_start)
            last = min(end, held_end, first + _SAMPLE_BYTES)
            if first < last and not _same(cut(held, first - held_start, last - held_start),
                                          cut(chunks, first - start, last - start)):  # fmt: skip
                return False
            index += 1
        return True

    def forget(self) -> None:
        """Drop all bytes that wait for a gap to be filled."""
        self.held_bytes = 0
        self.ranges.clear()
        self._starts.clear()
        self._held.clear()

    def _hold(self, index: int, start: int, end: int, chunks: Chunks) -> None:
        self._starts.insert(index, start)
        self._held.insert(index, (end, chunks))
        self.held_bytes += end - start

    def _drain(self) -> Chunks:
        ordered: Chunks = []
        count = 0
        for start, (end, chunks) in zip(self._starts, self._held, strict=True):
            if start != self.next:
                break
            ordered += chunks
            self.held_bytes -= end - start
            self.next = end
            count += 1
        del self._starts[:count], self._held[:count]
        self.ranges.discard_below(self.next)
        return ordered


class Tail:
    """The last few bytes of a stream that was handed on, to compare with what claims to be the same bytes."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = b""

    def follow(self, chunks: Chunks) -> None:
        """``chunks``, not empty, are the bytes that come next."""
        self._bytes = bytes(chunks[-1][-_SAMPLE_BYTES:])

    def agrees(self, chunks: Chunks, overlap: int) -> bool:
        """Whether the first ``overlap`` bytes of ``chunks`` can be the end of what was handed on."""
        known = self._bytes[-overlap:]
        return _same([memoryview(known)], cut(chunks, overlap - len(known), overlap))


def _same(one: Chunks, other: Chunks) -> bool:
    return b"".join(one) == b"".join(other)


class ReceiveQueue:
    """Bytes in order that the application has not read yet."""

    __slots__ = ("_chunks", "length")

    def __init__(self) -> None:
        self._chunks: Chunks = []
        self.length = 0

    def extend(self, chunks: Chunks) -> None:
        """Add bytes at the tail."""
        self._chunks += chunks
        self.length += length_of(chunks)

    def peek(self, limit: int) -> Chunks:
        """Up to ``limit`` bytes from the head, which stay."""
        return cut(self._chunks, 0, min(limit, self.length))

    def take(self, limit: int) -> Chunks:
        """Up to ``limit`` bytes from the head."""
        if limit >= self.length:
            taken = self._chunks
            self._chunks = []
            self.length = 0
            return taken
        taken = cut(self._chunks, 0, limit)
        self._chunks = cut(self._chunks, limit, self.length)
        self.length -= limit
        return taken
