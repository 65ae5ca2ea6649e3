"""Packets that a capture has twice: taken at two interfaces they cross, or given in two files."""

from __future__ import annotations

from collections import deque
from typing import Final

from analysis import capture
from analysis.capture import Segment

_TIMESTAMPS: Final = 8
_APART_NS: Final = 1_000_000_000
"""Longer than any queue that lies between two interfaces of one host."""
_APART_WITHOUT_NS: Final = 1_000_000
"""Without the sender's clock in it, a segment that is sent again looks the same: that takes it longer than this."""
_FEW, _SHARE = 3, 0.02
"""What chance brings: a sender whose clock ticks in milliseconds may send a segment twice in one of them."""


class Twins:
    """Counts segments with data that are there twice, in all that TCP says."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, tuple[object, ...]]] = deque()
        self._seen: dict[tuple[object, ...], int] = {}
        self._segments = self._twins = 0

    def take(self, segment: Segment) -> None:
        """Look at the next segment in the order of time."""
        if not segment.payload_bytes:
            return
        self._segments += 1
        while self._recent and segment.time_ns - self._recent[0][0] > _APART_NS:
            then, old = self._recent.popleft()
            if self._seen.get(old) == then:
                del self._seen[old]
        same = segment[2:]
        if same in self._seen and segment.time_ns - self._seen[same] <= _apart_ns(segment):
            self._twins += 1
        self._seen[same] = segment.time_ns
        self._recent.append((segment.time_ns, same))

    def notes(self) -> list[str]:
        """Return a line when so many are there twice that it is no chance."""
        if self._twins < max(_FEW, self._segments * _SHARE):
            return []
        what = f"{self._twins} of {self._segments} segments are there twice and count as retransmitted"
        return [f"{what}: give each packet once (one interface of -i any, one file of one place)"]


def _apart_ns(segment: Segment) -> int:
    kinds = [kind for kind, _ in capture.options(segment.options)]
    return _APART_NS if _TIMESTAMPS in kinds else _APART_WITHOUT_NS
