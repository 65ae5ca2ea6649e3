"""Data sequence mappings: which bytes of a subflow are which bytes of the connection (RFC 8684 section 3.3.1)."""

from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from mptcp_stack.mptcp.keys import Key
from mptcp_stack.storage import MASK_32, Chunks
from mptcp_stack.wire import data_checksum

MAPPING_BYTES: Final = 256
"""What one costs in memory (184 bytes of CPython 3.11, and its place in a list)."""


@dataclass(slots=True, init=False)
class Mapping:
    """``length`` payload bytes at ``ssn`` of a subflow, counted from 1, are those at ``dsn`` of the stream, from 0."""

    ssn: int
    dsn: int
    length: int
    data_fin: bool
    first: bool
    """Announced with the MP_CAPABLE option instead of a DSS."""
    checksum: int | None
    infinite: bool
    """The bytes from here on are TCP's (section 3.7); on the wire the length is 0."""

    # Written out: a generated one is not compiled, and one is made for each segment.
    def __init__(
        self,
        ssn: int,
        dsn: int,
        length: int,
        data_fin: bool = False,
        first: bool = False,
        checksum: int | None = None,
        infinite: bool = False,
    ) -> None:
        self.ssn = ssn
        self.dsn = dsn
        self.length = length
        self.data_fin = data_fin
        self.first = first
        self.checksum = checksum
        self.infinite = infinite

    @property
    def end(self) -> int:
        """One beyond the last byte on the subflow."""
        return self.ssn + self.length

    def checksum_of(self, chunks: Chunks, key: Key) -> int:
        """The DSS checksum over this mapping and its payload; ``key`` is that of the side that sends them."""
        return data_checksum(key.dsn(self.dsn), self.ssn & MASK_32, self.length + self.data_fin, chunks)

    def with_length(self, length: int) -> "Mapping":
        """The same, of so many bytes."""
        return Mapping(self.ssn, self.dsn, length, self.data_fin, self.first, self.checksum, self.infinite)

    def verifies(self, chunks: Chunks, key: Key) -> bool:
        """Whether the checksum that came with the mapping is that of its payload; one that is missing never is."""
        return self.checksum is not None and self.checksum % 65535 == self.checksum_of(chunks, key)


_by_ssn = attrgetter("ssn")


def _goes_on(one: Mapping, other: Mapping) -> bool:
    """Whether ``other`` begins where ``one`` ends, in both numberings."""
    return one.end == other.ssn and one.dsn + one.length == other.dsn


class MappingTable:
    """Mappings received on one subflow without checksums, until the bytes they speak of have passed.

    The last one that has passed stays: one that comes later must not contradict it. Of those that wait, what goes on
    where another one ends, in both numberings, makes that one longer.
    """

    __slots__ = ("_mappings",)

    def __init__(self) -> None:
        self._mappings: list[Mapping] = []

    def __len__(self) -> int:
        return len(self._mappings)

    def add(self, mapping: Mapping) -> bool:
        """Remember a mapping. False: it contradicts one already there."""
        mappings = self._mappings
        if mappings and mappings[-1].dsn == mapping.dsn and mappings[-1] == mapping:
            return True
        start = end = bisect_right(mappings, mapping.ssn, key=_by_ssn)
        if start and mappings[start - 1].end > mapping.ssn:
            start -= 1
        while end < len(mappings) and mappings[end].ssn < mapping.end:
            end += 1
        if start > 1 and _goes_on(mappings[start - 1], mapping):
            start -= 1
        if end < len(mappings) and _goes_on(mapping, mappings[end]):
            end += 1
        if start < end:
            return self._merge(mapping, start, end)
        mappings.insert(start, mapping)
        return True

    def _merge(self, mapping: Mapping, start: int, end: int) -> bool:
        """``mapping`` overlaps with those from index ``start`` to ``end``, or goes on there: all must say the same."""
        others = self._mappings[start:end]
        first, last = others[0], others[-1]
        if any(other.dsn - other.ssn != mapping.dsn - mapping.ssn for other in others):
            return False
        if first.ssn <= mapping.ssn and mapping.end <= first.end:
            return True
        first = min(first, mapping, key=_by_ssn)
        self._mappings[start:end] = [first.with_length(max(last.end, mapping.end) - first.ssn)]
        return True

    def covers(self, ssn: int) -> bool:
        """Whether the byte at ``ssn`` has a mapping."""
        index = bisect_right(self._mappings, ssn, key=_by_ssn)
        return index > 0 and ssn < self._mappings[index - 1].end

    def find(self, ssn: int) -> Mapping | None:
        """The mapping of the byte at ``ssn``; those before it are forgotten."""
        mappings = self._mappings
        passed = 0
        while passed + 1 < len(mappings) and mappings[passed + 1].ssn <= ssn:
            passed += 1
        if passed:
            del mappings[:passed]
        if mappings and mappings[0].ssn <= ssn < mappings[0].end:
            return mappings[0]
        return None
