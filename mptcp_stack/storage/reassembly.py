"""Out-of-order bytes waiting for the gap before them to be filled."""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Final

from mptcp_stack.storage.chunks import SMALL_BYTES, Chunks, append, cost, cut, kept
from mptcp_stack.storage.range_set import RangeSet
from mptcp_stack.storage.receive_queue import ReceiveQueue

_SAMPLE_BYTES: Final = 64
"""So many bytes of those that overlap tell whether both are the same part of a stream."""
_RECENT: Final = 8
"""Twice what one acknowledgement can report: of ranges that have grown together only one is left."""


class Reassembly:
    """Puts a stream in order from ``next`` on. Of overlapping bytes the ones that came first stay.

    ``charge``: what is held costs so many bytes of memory; 0 when nothing is. ``recent``: a byte of each of the ranges
    that changed last, the latest first.
    """

    __slots__ = ("_chunks", "_starts", "charge", "next", "ranges", "recent")

    def __init__(self, start: int) -> None:
        self.next = start
        self.charge = 0
        self.ranges = RangeSet()
        self.recent: list[int] = []
        self._starts: list[int] = []
        self._chunks: Chunks = []

    @property
    def held_bytes(self) -> int:
        """Payload that waits for a gap to be filled."""
        return self.ranges.total

    def insert(self, start: int, chunks: Chunks, length: int) -> Chunks:
        """Take ``length`` bytes at ``start``; return what is now in order, and move ``next`` behind it.

        Bytes below ``next`` and bytes already held are ignored.
        """
        end = start + length
        if start < self.next < end:
            chunks = cut(chunks, self.next - start, length)
            start = self.next
        if start == self.next and (not self._starts or end <= self._starts[0]):
            # It fills the gap or its beginning, and need not be kept.
            self.next = end
            return chunks + self._drain() if self._starts and end == self._starts[0] else chunks
        if end <= self.next or not length:
            return []
        if not self.ranges.covers(start, end):
            self._hold(start, end, chunks)
            self.ranges.add(start, end)
            if start == self.next:
                return self._drain()
        self._remember(start)
        return []

    def agrees(self, start: int, chunks: Chunks) -> bool:
        """Whether the bytes at ``start`` are, where they overlap with those held, the same (as samples show)."""
        starts = self._starts
        for chunk in chunks:
            end = start + len(chunk)
            index = max(bisect_right(starts, start) - 1, 0)
            while index < len(starts) and starts[index] < end:
                held_start, held = starts[index], self._chunks[index]
                first = max(start, held_start)
                last = min(end, held_start + len(held), first + _SAMPLE_BYTES)
                if first < last and held[first - held_start : last - held_start] != chunk[first - start : last - start]:
                    return False
                index += 1
            start = end
        return True

    def forget(self) -> None:
        """Drop all bytes that wait for a gap to be filled."""
        self.charge = 0
        self.ranges.clear()
        self.recent.clear()
        self._starts.clear()
        self._chunks.clear()

    def shed(self) -> None:
        """Drop the piece that is farthest away; there must be one."""
        start, chunk = self._starts.pop(), self._chunks.pop()
        self.ranges.discard_from(start)
        self.charge -= cost(chunk)

    def _hold(self, start: int, end: int, chunks: Chunks) -> None:
        """Keep those bytes that are new, joined with their neighbours where one of both is small."""
        starts, held = self._starts, self._chunks
        beyond = start - self.ranges.end if starts else 1
        if len(chunks) == 1 and (beyond > 0 or (beyond == 0 and end - start >= SMALL_BYTES)):
            # As most of what comes before its turn.
            chunk = kept(chunks[0])
            starts.append(start)
            held.append(chunk)
            self.charge += cost(chunk)
            return
        first, last = self._neighbours(start, end)
        begin = min(start, starts[first]) if first < last else start
        incoming = ReceiveQueue()
        incoming.extend(chunks)
        pieces: Chunks = []
        at = start
        for old_start, old in zip(starts[first:last], held[first:last], strict=True):
            if at < old_start:
                _add(pieces, incoming.take(old_start - at))
                at = old_start
            append(pieces, old)
            self.charge -= cost(old)
            old_end = old_start + len(old)
            if at < old_end:
                incoming.take(old_end - at)  # what came first stays
                at = old_end
        if at < end:
            _add(pieces, incoming.take(end - at))
        self.charge += sum(map(cost, pieces))
        starts[first:last] = list(accumulate(map(len, pieces[:-1]), initial=begin))
        held[first:last] = pieces

    def _remember(self, start: int) -> None:
        """The range at ``start`` is the one that changed last."""
        first, last = self.ranges.range_at(start) or (start, start)
        if not (self.recent and first <= self.recent[0] < last):
            self.recent = [start, *[one for one in self.recent if not first <= one < last][: _RECENT - 1]]

    def _neighbours(self, start: int, end: int) -> tuple[int, int]:
        """Which of the pieces that are held overlap with ``[start, end)``, touch it, or may be joined with it."""
        starts = self._starts
        first = last = bisect_right(starts, start)
        if first and self._end_of(first - 1) >= start:
            first -= 1
            # Of small pieces in a row each has half the bytes of the one before it at the most: there are few.
            while first and len(self._chunks[first]) < SMALL_BYTES and self._end_of(first - 1) == starts[first]:
                first -= 1
        return first, bisect_right(starts, end, lo=last)

    def _end_of(self, index: int) -> int:
        return self._starts[index] + len(self._chunks[index])

    def _drain(self) -> Chunks:
        """What is held from ``next`` on without a gap, and no longer is."""
        self.next = self.ranges.first_end
        count = bisect_left(self._starts, self.next)
        ordered = self._chunks[:count]
        del self._starts[:count], self._chunks[:count]
        self.charge -= sum(map(cost, ordered))
        self.ranges.discard_below(self.next)
        return ordered


def _add(pieces: Chunks, chunks: Chunks) -> None:
    for chunk in chunks:
        append(pieces, kept(chunk))


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
        return b"".join(cut(chunks, overlap - len(known), overlap)) == known
