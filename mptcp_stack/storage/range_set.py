"""A set of integers kept as sorted, disjoint, half-open ranges."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final


class RangeSet:
    """Half-open ranges ``[start, end)``; touching ranges are joined. ``total``: how many integers are in them."""

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self.total = 0
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """The number of ranges, not of integers."""
        return len(self._starts)

    def add(self, start: int, end: int) -> None:
        """Add ``[start, end)``; an empty range changes nothing."""
        if start >= end:
            return
        if self._ends and start == self._ends[-1]:  # as most ranges grow
            self._ends[-1] = end
            self.total += end - start
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
            self.total -= sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.total += end - start

    @property
    def end(self) -> int:
        """One beyond the largest integer of a set that is not empty."""
        return self._ends[-1]

    @property
    def first_end(self) -> int:
        """Where the first range of a set that is not empty ends."""
        return self._ends[0]

    def covers(self, start: int, end: int) -> bool:
        """Whether all of ``[start, end)`` is in the set."""
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and self._ends[index] >= end

    def range_at(self, value: int) -> tuple[int, int] | None:
        """The range that holds ``value``, if any."""
        index = bisect_right(self._starts, value) - 1
        if index >= 0 and value < self._ends[index]:
            return self._starts[index], self._ends[index]
        return None

    def first_within(self, start: int, end: int) -> tuple[int, int] | None:
        """The first part of ``[start, end)`` that is in the set, if any."""
        index = bisect_right(self._ends, start)
        if index < len(self._starts) and self._starts[index] < end:
            return max(start, self._starts[index]), min(end, self._ends[index])
        return None

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of ``[start, end)`` that are not in the set, in order."""
        gaps = []
        index = bisect_right(self._ends, start)
        while start < end and index < len(self._starts):
            if start < self._starts[index]:
                gaps.append((start, min(end, self._starts[index])))
            start = max(start, self._ends[index])
            index += 1
        if start < end:
            gaps.append((start, end))
        return gaps

    def discard_below(self, value: int) -> None:
        """Forget everything smaller than ``value``."""
        index = bisect_right(self._ends, value)
        self.total -= sum(self._ends[:index]) - sum(self._starts[:index])
        del self._starts[:index], self._ends[:index]
        if self._starts and self._starts[0] < value:
            self.total -= value - self._starts[0]
            self._starts[0] = value

    def discard_from(self, value: int) -> None:
        """Forget ``value`` and everything larger."""
        index = bisect_left(self._starts, value)
        self.total -= sum(self._ends[index:]) - sum(self._starts[index:])
        del self._starts[index:], self._ends[index:]
        if self._ends and self._ends[-1] > value:
            self.total -= self._ends[-1] - value
            self._ends[-1] = value

    def clear(self) -> None:
        """Forget everything."""
        self._starts.clear()
        self._ends.clear()
        self.total = 0


NO_RANGES: Final = RangeSet()
"""To look at in place of one that nobody has needed yet; nothing is ever added to it."""
