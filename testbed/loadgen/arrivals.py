"""When the requests of an open loop arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

PROCESSES: dict[str, Callable[[Random], float]] = {
    "constant": lambda random: 1.0,
    "poisson": lambda random: random.expovariate(1.0),
    # Shape 1.5: a mean, but no variance; long silences between bursts, as aggregated traffic has them.
    "pareto": lambda random: random.paretovariate(1.5) / 3.0,
}
"""By name: how long the next request is awaited, in units of the mean."""


class Arrivals(NamedTuple):
    """A process of arrivals, one of :data:`PROCESSES`, with ``per_s`` of them a second on average."""

    process: str
    per_s: float

    def gaps_ns(self, random: Random) -> Iterator[int]:
        """Return the time to each arrival from the one before."""
        mean_ns = 1e9 / self.per_s
        draw = PROCESSES[self.process]
        while True:
            yield round(mean_ns * draw(random))
