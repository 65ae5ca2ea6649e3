"""Refuses data after a gap: whatever does not follow what has passed is dropped until the gap is filled."""

from __future__ import annotations

from testbed.middleboxes.base import Directed, Flows, Middlebox, Passage
from testbed.middleboxes.packet import SYN, Segment, distance


class HoleFilling(Middlebox[Directed]):
    """A stream without holes, as devices want it that read along."""

    def begin(self) -> None:
        self._expected: Flows[list[int | None]] = Flows(lambda: [None, None])

    def on_segment(self, segment: Segment, direction: int, now_ns: int) -> Passage:
        expected = self._expected.of(segment)
        known = expected[direction]
        if known is None or segment.flags & SYN:
            expected[direction] = segment.end
        elif segment.end != segment.sequence:  # it takes up sequence numbers
            if distance(segment.sequence, known) > 0:
                return []
            if distance(segment.end, known) > 0:
                expected[direction] = segment.end
        return [(direction, segment)]
