"""Data sequence mappings: which bytes of a subflow are which bytes of the connection (RFC 8684 section 3.3.1)."""

from bisect import bisect_right, insort
from typing import NamedTuple

_LIMIT = 65536


class Mapping(NamedTuple):
    """``length`` payload bytes at ``ssn`` (counted from 1) of a subflow are those at ``dsn``; both unwrapped."""

    ssn: int
    dsn: int
    length: int
    data_fin: bool = False
    first: bool = False
    """Announced with the MP_CAPABLE option instead of a DSS."""


class MappingTable:
    """Mappings received on one subflow, until the bytes they speak of have passed."""

    __slots__ = ("_mappings",)

    def __init__(self) -> None:
        self._mappings: list[Mapping] = []

    def __len__(self) -> int:
        return len(self._mappings)

    def add(self, ssn: int, dsn: int, length: int) -> bool:
        """Remember a mapping. False: it contradicts one already there, or there are too many."""
        mappings = self._mappings
        mapping = Mapping(ssn, dsn, length)
        if mappings and mappings[-1] == mapping:
            return True
        index = bisect_right(mappings, mapping)
        for other in mappings[max(0, index - 1) : index + 1]:
            if other.ssn < ssn + length and ssn < other.ssn + other.length:
                return other.dsn - other.ssn == dsn - ssn and self._extend(other, mapping)
        if len(mappings) >= _LIMIT:
            return False
        insort(mappings, mapping)
        return True

    def _extend(self, other: Mapping, mapping: Mapping) -> bool:
        end = max(other.ssn + other.length, mapping.ssn + mapping.length)
        start = min(other, mapping)
        self._mappings.remove(other)
        insort(self._mappings, start._replace(length=end - start.ssn))
        return True

    def find(self, ssn: int) -> Mapping | None:
        """The mapping of the byte at ``ssn``; earlier ones are forgotten."""
        mappings = self._mappings
        while mappings and mappings[0].ssn + mappings[0].length <= ssn:
            mappings.pop(0)
        if mappings and mappings[0].ssn <= ssn:
            return mappings[0]
        return None
