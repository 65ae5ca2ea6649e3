"""Out-of-order bytes waiting for the gap before them to be filled."""

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Final

from mptcp_stack.storage.chunks import SMALL_BYTES, Chunks, append, cost, cut, kept
from mptcp_stack.storage.range_set import NO_RANGES, RangeSet
from mptcp_stack.storage.receive_queue import ReceiveQueue

_SAMPLE_BYTES: Final = 64
"""So many bytes of those that overlap tell whether both are the same part of a stream."""
_RECENT: Final = 8
"""Twice what one acknowledgement can report: of ranges that have grown together only one is left."""


class _Held:
    """What waits, piece by piece, as ``Reassembly`` describes it."""

    __slots__ = ("chunks", "ranges", "recent", "starts")

    def __init__(self) -> None:
        self.ranges = RangeSet()
        self.recent: list[int] = []
        self.starts: list[int] = []
        self.chunks: Chunks = []


class Reassembly:
    """Puts a stream in order from ``next`` on. Of overlapping bytes the ones that came first stay.

    ``charge``: what is held costs so many bytes of memory; 0 when nothing is, which is nearly always.
    """

    __slots__ = ("_held", "charge", "next")

    def __init__(self, start: int) -> None:
        self.next = start
        self.charge = 0
        self._held: _Held | None = None

    @property
    def ranges(self) -> RangeSet:
        """Which bytes are held; to look at."""
        return NO_RANGES if self._held is None else self._held.ranges

    @property
    def recent(self) -> list[int]:
        """A byte of each of the ranges that changed last, the latest first."""
        return [] if self._held is None else self._held.recent

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
        held = self._held
        if start == self.next and (held is None or end <= held.starts[0]):
            # It fills the gap or its beginning, and need not be kept.
            self.next = end
            return chunks + self._drain(held) if held is not None and end == held.starts[0] else chunks
        if end <= self.next or not length:
            return []
        if held is None:
            held = self._held = _Held()
        if not held.ranges.covers(start, end):
            self._hold(held, start, end, chunks)
            held.ranges.add(start, end)
            if start == self.next:
                return self._drain(held)
        _remember(held, start)
        return []

    def agrees(self, start: int, chunks: Chunks) -> bool:
        """Whether the bytes at ``start`` are, where they overlap with those held, the same (as samples show)."""
        if self._held is None:
            return True
        starts, pieces = self._held.starts, self._held.chunks
        for chunk in chunks:
            end = start + len(chunk)
            index = max(bisect_right(starts, start) - 1, 0)
            while index < len(starts) and starts[index] < end:
                held_start, held = starts[index], pieces[index]
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
        self._held = None

    def shed(self) -> None:
        """Drop the piece that is farthest away; there must be one."""
        held = self._held
        assert held is not None
        start, chunk = held.starts.pop(), held.chunks.pop()
        held.ranges.discard_from(start)
        self.charge -= cost(chunk)
        if not held.starts:
            self._held = None

    def _hold(self, waiting: _Held, start: int, end: int, chunks: Chunks) -> None:
        """Keep those bytes that are new, joined with their neighbours where one of both is small."""
        starts, held = waiting.starts, waiting.chunks
        beyond = start - waiting.ranges.end if starts else 1
        if len(chunks) == 1 and (beyond > 0 or (beyond == 0 and end - start >= SMALL_BYTES)):
            # As most of what comes before its turn.
            chunk = kept(chunks[0])
            starts.append(start)
            held.append(chunk)
            self.charge += cost(chunk)
            return
        first, last = _neighbours(waiting, start, end)
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

    def _drain(self, held: _Held) -> Chunks:
        """What is held from ``next`` on without a gap, and no longer is."""
        self.next = held.ranges.first_end
        count = bisect_left(held.starts, self.next)
        ordered = held.chunks[:count]
        if count == len(held.starts):
            self.forget()
            return ordered
        del held.starts[:count], held.chunks[:count]
        self.charge -= sum(map(cost, ordered))
        held.ranges.discard_below(self.next)
        return ordered


def _remember(held: _Held, start: int) -> None:
    """The range at ``start`` is the one that changed last."""
    first, last = held.ranges.range_at(start) or (start, start)
    recent = held.recent
    if not (recent and first <= recent[0] < last):
        held.recent = [start, *[one for one in recent if not first <= one < last][: _RECENT - 1]]


def _neighbours(held: _Held, start: int, end: int) -> tuple[int, int]:
    """Which of the pieces that are held overlap with ``[start, end)``, touch it, or may be joined with it."""
    starts, chunks = held.starts, held.chunks
    first = last = bisect_right(starts, start)
    if first and _end_of(held, first - 1) >= start:
        first -= 1
        # Of small pieces in a row each has half the bytes of the one before it at the most: there are few.
        while first and len(chunks[first]) < SMALL_BYTES and _end_of(held, first - 1) == starts[first]:
            first -= 1
    return first, bisect_right(starts, end, lo=last)


def _end_of(held: _Held, index: int) -> int:
    return held.starts[index] + len(held.chunks[index])


def _add(pieces: Chunks, chunks: Chunks) -> None:
    for chunk in chunks:
        append(pieces, kept(chunk))


def tail_of(chunks: Chunks) -> bytes:
    """The last few bytes of a stream that was handed on, to compare with what claims to be the same bytes.

    ``chunks``, not empty, are what came last.
    """
    return bytes(chunks[-1][-_SAMPLE_BYTES:])


def tail_agrees(tail: bytes, chunks: Chunks, overlap: int) -> bool:
    """Whether the first ``overlap`` bytes of ``chunks`` can be the end of what was handed on, with that ``tail``."""
    known = tail[-overlap:]
    return b"".join(cut(chunks, overlap - len(known), overlap)) == known
