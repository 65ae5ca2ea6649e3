"""Ways to keep a connection's out-of-order segments, for comparison with the one that our stack uses.

All of them keep segments in a doubly linked list, in order, and differ in how they find the place of a new one:

    regular        from the end of the list backwards, as TCP did in Linux until 2016
    tree           down a balanced search tree
    shortcuts      behind the last segment of the same subflow, where it most often belongs; else as `regular`
    all-shortcuts  also behind the last segments of the other subflows; else backwards from the nearest one above
    ours           bisection in a sorted array: `mptcp_stack.storage.Reassembly`, as it is

The linked ones are those of 'How Hard Can It Be?' (NSDI 2012) and of the Linux kernel that came out of it
(multipath-tcp.org, net/mptcp/mptcp_ofo_queue.c). Here the tree is a treap, whose priorities are a hash of the number.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from typing_extensions import override

from mptcp_stack.storage import Chunks, Reassembly, cut

_GOLDEN = 0x9E3779B97F4A7C15


class ReceiveQueue(ABC):
    """Puts a connection's bytes in order."""

    @abstractmethod
    def insert(self, subflow: int, start: int, chunks: Chunks, length: int) -> Chunks:
        """Take `length` bytes at `start`; return what is now in order."""


class Ours(ReceiveQueue):
    """The queue of our stack."""

    def __init__(self, start: int) -> None:
        self._reassembly = Reassembly(start)

    @override
    def insert(self, subflow: int, start: int, chunks: Chunks, length: int) -> Chunks:
        return self._reassembly.insert(start, chunks, length)


class Segment:
    """One segment in the list; `left`, `right` and `priority` are the tree's."""

    __slots__ = ("after", "before", "chunks", "end", "left", "priority", "right", "start", "subflow")

    def __init__(self, subflow: int, start: int, end: int, chunks: Chunks) -> None:
        self.subflow, self.start, self.end, self.chunks = subflow, start, end, chunks
        self.before: Segment | None = None
        self.after: Segment | None = None
        self.left: Segment | None = None
        self.right: Segment | None = None
        self.priority = (int(start) * _GOLDEN) & 0xFFFFFFFFFFFFFFFF


class Linked(ReceiveQueue):
    """Segments in a list; of overlapping bytes the ones that came first stay."""

    def __init__(self, start: int) -> None:
        self.next = start
        self.head: Segment | None = None
        self.tail: Segment | None = None

    @abstractmethod
    def find(self, subflow: int, start: int) -> Segment | None:
        """Return the last segment that begins at or before `start`, None if there is none; the list is not empty."""

    def added(self, segment: Segment) -> None:  # the list is all that some have
        """Take note of a segment in the list."""

    def removed(self, segment: Segment) -> None:
        """Take note of the first segment of the list having left it."""

    @override
    def insert(self, subflow: int, start: int, chunks: Chunks, length: int) -> Chunks:
        end = start + length
        if start < self.next:
            if end <= self.next:
                return []
            chunks = cut(chunks, self.next - start, length)
            start = self.next
        if start == self.next:
            self.next = end
            return self._drain(chunks) if self.head is not None else chunks
        before = None if self.head is None else self.find(subflow, start)
        self._keep(before, Segment(subflow, start, end, chunks))
        return []

    def _keep(self, before: Segment | None, segment: Segment) -> None:
        """Put what is new of `segment` behind `before`, in pieces where others lie in between."""
        if before is not None and before.end > segment.start:
            if segment.end <= before.end:
                return
            self._cut_head(segment, before.end)
        after = self.head if before is None else before.after
        while after is not None and after.start < segment.end:
            if segment.start < after.start:
                piece = cut(segment.chunks, 0, after.start - segment.start)
                self._link(before, Segment(segment.subflow, segment.start, after.start, piece))
            if segment.end <= after.end:
                return
            self._cut_head(segment, after.end)
            before, after = after, after.after
        self._link(before, segment)

    @staticmethod
    def _cut_head(segment: Segment, start: int) -> None:
        segment.chunks = cut(segment.chunks, start - segment.start, segment.end - segment.start)
        segment.start = start

    def _link(self, before: Segment | None, segment: Segment) -> None:
        after = self.head if before is None else before.after
        segment.before, segment.after = before, after
        if before is None:
            self.head = segment
        else:
            before.after = segment
        if after is None:
            self.tail = segment
        else:
            after.before = segment
        self.added(segment)

    def _drain(self, ordered: Chunks) -> Chunks:
        """Return `ordered`, the bytes up to `next`, with those that follow."""
        ordered = list(ordered)
        segment = self.head
        while segment is not None and segment.start <= self.next:
            if segment.end > self.next:
                skipped = self.next - segment.start
                ordered += cut(segment.chunks, skipped, segment.end - segment.start) if skipped else segment.chunks
                self.next = segment.end
            self.removed(segment)
            segment = segment.after
        self.head = segment
        if segment is None:
            self.tail = None
        else:
            segment.before = None
        return ordered


def _backwards(segment: Segment | None, start: int) -> Segment | None:
    """Return the last segment from `segment` backwards that begins at or before `start`."""
    while segment is not None and segment.start > start:
        segment = segment.before
    return segment


class Regular(Linked):
    """Looks from the end of the list backwards."""

    def find(self, subflow: int, start: int) -> Segment | None:
        return _backwards(self.tail, start)


class Tree(Linked):
    """Looks down a treap: ordered by number from left to right, by priority from top to bottom."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self._root: Segment | None = None

    def find(self, subflow: int, start: int) -> Segment | None:
        found, segment = None, self._root
        while segment is not None:
            if segment.start <= start:
                found, segment = segment, segment.right
            else:
                segment = segment.left
        return found

    def added(self, segment: Segment) -> None:
        parent, place = None, self._root
        while place is not None and place.priority >= segment.priority:
            parent, place = place, place.left if segment.start < place.start else place.right
        segment.left, segment.right = _split(place, segment.start)
        if parent is None:
            self._root = segment
        elif segment.start < parent.start:
            parent.left = segment
        else:
            parent.right = segment

    def removed(self, segment: Segment) -> None:
        # It is the smallest: the leftmost one.
        parent, place = None, self._root
        while place is not segment:
            assert place is not None
            parent, place = place, place.left
        if parent is None:
            self._root = segment.right
        else:
            parent.left = segment.right


def _split(root: Segment | None, start: int) -> tuple[Segment | None, Segment | None]:
    """Return what lies below `start` and what above, both trees again."""
    below: Segment | None = None
    above: Segment | None = None
    below_end: Segment | None = None
    above_end: Segment | None = None
    while root is not None:
        if root.start < start:
            if below_end is None:
                below = root
            else:
                below_end.right = root
            below_end, root = root, root.right
        else:
            if above_end is None:
                above = root
            else:
                above_end.left = root
            above_end, root = root, root.left
    if below_end is not None:
        below_end.right = None
    if above_end is not None:
        above_end.left = None
    return below, above


class Shortcuts(Linked):
    """Looks behind the last segment of the same subflow first."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.shortcuts: dict[int, Segment] = {}

    def find(self, subflow: int, start: int) -> Segment | None:
        shortcut = self.shortcuts.get(subflow)
        if shortcut is not None and _belongs_behind(shortcut, start):
            return shortcut
        return self.find_without(subflow, start)

    def find_without(self, subflow: int, start: int) -> Segment | None:
        """Return what `find` does when the shortcut of the subflow did not lead there."""
        return _backwards(self.tail, start)

    def added(self, segment: Segment) -> None:
        self.shortcuts[segment.subflow] = segment

    def removed(self, segment: Segment) -> None:
        if self.shortcuts.get(segment.subflow) is segment:
            del self.shortcuts[segment.subflow]


class AllShortcuts(Shortcuts):
    """Looks behind the last segments of all subflows, then backwards from the nearest of them that lies above."""

    def find_without(self, subflow: int, start: int) -> Segment | None:
        nearest = self.tail
        for shortcut in self.shortcuts.values():
            if shortcut.start > start:
                if nearest is None or shortcut.start < nearest.start:
                    nearest = shortcut
            elif _belongs_behind(shortcut, start):
                return shortcut
        return _backwards(nearest, start)


def _belongs_behind(segment: Segment, start: int) -> bool:
    return segment.start <= start and (segment.after is None or start < segment.after.start)


ALGORITHMS: Mapping[str, Callable[[int], ReceiveQueue]] = {
    "regular": Regular,
    "tree": Tree,
    "shortcuts": Shortcuts,
    "all-shortcuts": AllShortcuts,
    "ours": Ours,
}
