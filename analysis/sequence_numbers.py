"""Sequence numbers: unwrapped, mapped from subflow to connection, and which of them were seen."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


def unwrap(number: int, bits: int, near: int) -> int:
    """Return the value that is `number` modulo 2**bits and nearest to `near`."""
    half = 1 << (bits - 1)
    return near + ((number - near + half) & ((1 << bits) - 1)) - half


class Ranges:
    """A set of numbers, as ranges [start, end) that do not touch."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def end(self) -> int:
        """Return the number after the highest; 0 when there is none."""
        return self._ends[-1] if self._ends else 0

    def overlaps(self, start: int, end: int) -> bool:
        """Return whether one of the numbers from `start` to before `end` is in the set."""
        place = bisect_right(self._ends, start)
        return place < len(self._starts) and self._starts[place] < end

    def parts(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Return (start, end, whether in the set) of the parts of a range that are in the set or not."""
        place = bisect_right(self._ends, start)
        while start < end:
            begins = self._starts[place] if place < len(self._starts) else end
            until, inside = (min(begins, end), False) if start < begins else (min(self._ends[place], end), True)
            yield start, until, inside
            start, place = until, place + inside

    def add(self, start: int, end: int) -> None:
        """Add the numbers from `start` to before `end`."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]


class Mappings:
    """Where the bytes of a subflow are in the stream of the connection (RFC 8684 section 3.3.1)."""

    ENDLESS = 1 << 62
    """Length of an infinite mapping (section 3.7)."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._mapped: dict[int, tuple[int, int]] = {}

    def add(self, ssn: int, dsn: int, length_bytes: int) -> None:
        """Map `length_bytes` from `ssn` on to `dsn`; a later mapping of the same beginning takes its place."""
        if ssn not in self._mapped:
            self._starts.insert(bisect_left(self._starts, ssn), ssn)
        self._mapped[ssn] = dsn, length_bytes

    def pieces(self, ssn: int, length_bytes: int) -> Iterator[tuple[int, int | None, int]]:
        """Return (ssn, dsn, length) of each part of a range that one mapping covers; dsn None for what none does."""
        end = ssn + length_bytes
        place = bisect_right(self._starts, ssn) - 1
        while ssn < end:
            dsn, until = self._at(place, ssn)
            following = self._starts[place + 1] if place + 1 < len(self._starts) else end
            if until <= ssn:
                until = following
            until = min(end, until, following)
            yield ssn, dsn, until - ssn
            ssn = until
            if ssn >= following:
                place += 1

    def _at(self, place: int, ssn: int) -> tuple[int | None, int]:
        """Return the dsn of `ssn` by the mapping at a place, and where that ends; None when it ended before."""
        if place < 0:
            return None, ssn
        start = self._starts[place]
        dsn, length_bytes = self._mapped[start]
        return (dsn + ssn - start, start + length_bytes) if ssn < start + length_bytes else (None, ssn)
