"""Numbers that describe a run of requests, under the same keys for our generator and for ApacheBench."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

PERCENTILES = (50, 66, 75, 80, 90, 95, 98, 99, 100)
"""The percentiles that ApacheBench prints."""

NS_PER_MS = 1_000_000


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` per cent of the (sorted, not empty) values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def describe_ms(samples_ns: Sequence[int]) -> dict[str, float] | None:
    """Describe times in ns by min, mean, sd and p50 ... p100 in ms; ``None`` when there are none."""
    if not samples_ns:
        return None
    ordered = [sample / NS_PER_MS for sample in sorted(samples_ns)]
    numbers = {"min": ordered[0], "mean": statistics.fmean(ordered), "sd": statistics.pstdev(ordered)}
    numbers |= {f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES}
    return {name: round(number, 6) for name, number in numbers.items()}
