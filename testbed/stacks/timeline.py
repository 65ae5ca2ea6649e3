"""A bulk transfer's timeline: how many bytes had arrived when, and the rate between two moments."""

from __future__ import annotations

import csv
from bisect import bisect_left
from pathlib import Path

Timeline = tuple[list[int], list[int]]
"""Times in ns and bytes received until then."""


def read_timeline(path: Path) -> Timeline:
    """Read what a generator wrote; its last line may be cut off: the program may have been ended."""
    rows = list(csv.reader(path.read_text().rpartition("\n")[0].splitlines()))[1:]
    return [int(time_ns) for time_ns, _ in rows], [int(received) for _, received in rows]


def rate_bps(timeline: Timeline, begin_ns: int, end_ns: int) -> float:
    """Return the rate between two moments, 0 when nothing was noted between them."""
    times, received = timeline
    first, last = (min(bisect_left(times, moment), len(times) - 1) for moment in (begin_ns, end_ns))
    elapsed_ns = times[last] - times[first]
    return (received[last] - received[first]) * 8e9 / elapsed_ns if elapsed_ns else 0.0
