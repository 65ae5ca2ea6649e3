"""Bytes of one subflow that wait for their DSS checksum, and what has been said of them (RFC 8684 section 3.3.1)."""

from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import Final

from mptcp_stack.mptcp.mapping import Mapping
from mptcp_stack.storage import Chunks, ReceiveQueue

_ALTERNATIVES: Final = 8
"""Chosen: mappings kept of one position. What damages options seldom makes more, a peer could make any number."""
_MOST_REFUTED: Final = 64
"""After so many wrong checksums at one position nothing is cut any more: each costs work."""
_REACH: Final = 64
"""Mappings before a byte among which one that covers it is sought: so many full segments make the longest mapping."""

_by_ssn = attrgetter("ssn")


class ChecksumQueue:
    """The bytes are in order from ``position`` on (a subflow sequence number, counted from 1).

    ``refuted``: mappings whose checksum is not that of the bytes at ``position``.
    """

    __slots__ = ("_mappings", "_queue", "position", "refuted")

    def __init__(self) -> None:
        self._queue = ReceiveQueue()
        self._mappings: list[Mapping] = []
        self.refuted: list[Mapping] = []
        self.position = 1

    def __len__(self) -> int:
        """How many mappings it remembers."""
        return len(self._mappings)

    @property
    def length(self) -> int:
        """Bytes that wait."""
        return self._queue.length

    def add(self, mapping: Mapping) -> bool:
        """Remember a mapping of bytes that wait or will come. False: it contradicts another one."""
        mappings = self._mappings
        if mapping.ssn < self.position or (mappings and mappings[-1] == mapping):
            return True
        start = bisect_left(mappings, mapping.ssn, key=_by_ssn)
        end = bisect_right(mappings, mapping.ssn, lo=start, key=_by_ssn)
        if mapping in mappings[start:end]:
            return True
        if end - start < _ALTERNATIVES:
            mappings.insert(end, mapping)
        alone = start == end
        return alone and not (start and mappings[start - 1].end > mapping.ssn)

    def covers(self, ssn: int) -> bool:
        """Whether some mapping speaks of the byte at ``ssn``, or nothing is left to say of it."""
        mappings = self._mappings
        after = bisect_right(mappings, ssn, key=_by_ssn)
        nearest = range(after - 1, max(0, after - _REACH) - 1, -1)
        return ssn < self.position or any(mappings[index].end > ssn for index in nearest)

    def append(self, chunks: Chunks) -> None:
        """Bytes that follow those already there."""
        self._queue.extend(chunks)

    def candidates(self) -> list[Mapping]:
        """The mappings that begin at ``position`` and are not ``refuted``.

        One that reaches into the next one comes again, cut there: its length may be what is damaged.
        """
        mappings = self._mappings
        del mappings[: bisect_left(mappings, self.position, key=_by_ssn)]
        after = bisect_right(mappings, self.position, key=_by_ssn)
        candidates = mappings[:after]
        if after < len(mappings) and len(self.refuted) < _MOST_REFUTED:
            length = mappings[after].ssn - self.position
            candidates += [one.with_length(length) for one in candidates if one.length > length]
        return [one for one in candidates if one not in self.refuted]

    @property
    def may_be_mapped(self) -> bool:
        """Without ``candidates``: whether one may still come, as no later byte that is there has a mapping."""
        return not self._mappings or self._mappings[0].ssn > self.position + self.length

    def is_whole(self, mapping: Mapping) -> bool:
        """Whether all bytes of one of the ``candidates`` are there."""
        return mapping.length <= self.length

    def refute(self, mapping: Mapping) -> None:
        """Its checksum was wrong."""
        self.refuted.append(mapping)

    def peek(self, length: int) -> Chunks:
        """The first bytes."""
        return self._queue.peek(length)

    def drop(self, length: int) -> None:
        """Forget the first bytes."""
        self._queue.take(length)
        self.position += length
        self.refuted.clear()
