"""ApacheBench micro-flows: many short connections at once, for responses of growing size.

Repeats the measurement that is usually shown for MPTCP on servers: 100 requests at once, one connection each,
over regular TCP on one link, TCP over bonded links, and MPTCP. For small responses the cost of a connection
decides, for large ones the sum of the links.

The queues are long enough for 100 connections at once: at 1 Gbit/s the 1000 packets that Linux gives an interface,
at 50 Mbit/s 80 ms. In a queue of 100 kB a few unlucky connections wait for one retransmission timeout after the
other, and the last of them decides the requests per second of a short run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, PositiveInts, Scalar
from testbed.stacks import create
from testbed.stacks.measure import HttpLoad, Measurement, apache, http
from testbed.units import RateBps, SizeBytes

LOADGEN, AB = "loadgen", "ab"

SLOWEST = 30
"""How many times longer than links and processors need a stack may take before its point fails."""


class MicroflowParameters(Parameters):
    """What can be set.

    A point makes `requests` requests, or fewer when those would move more than `limit` bytes, but enough to fill
    the loop three times: its start and end distort. `ab_sizes_bytes` are measured with ApacheBench as well.
    """

    sizes_bytes: PositiveInts = Field(min_length=1)
    ab_sizes_bytes: PositiveInts
    requests: int = Field(ge=1)
    limit: SizeBytes
    concurrency: int = Field(ge=1)
    paths: int = Field(default=2, ge=1, le=8)
    rate: RateBps
    queue: SizeBytes


class AbMicroflows(Experiment[MicroflowParameters]):
    """Requests per second against response size."""

    name = "ab-microflows"
    title = "Micro-flows: requests per second by response size"
    topology = "two-paths"
    stacks = ("kernel-tcp", "kernel-bond", "kernel-mptcp", "python-tcp", "python-mptcp")
    figure = "ab_microflows"
    scales: ClassVar[Mapping[str, MicroflowParameters]] = {
        "quick": MicroflowParameters(
            repetitions=3,
            sizes_bytes=(1_000, 3_000, 10_000, 30_000, 100_000, 300_000),
            ab_sizes_bytes=(1_000, 10_000, 100_000),
            requests=3_000,
            limit=120_000_000,
            concurrency=100,
            rate=50_000_000,
            queue=500_000,
        ),
        "paper": MicroflowParameters(
            repetitions=3,
            sizes_bytes=(1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
            ab_sizes_bytes=(1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
            requests=100_000,
            limit=100_000_000_000,
            concurrency=100,
            rate=1_000_000_000,
            queue=1_500_000,
        ),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the links' number, rate and queue."""
        parameters = self.parameters
        return {"paths": parameters.paths, "rate": parameters.rate, "queue": parameters.queue}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return repetition by repetition every stack, size and, on stacks that can carry it, ApacheBench."""
        return [
            Point(stack, repetition, {"size_bytes": size, "generator": generator})
            for repetition in range(1, self.parameters.repetitions + 1)
            for stack in stacks
            for size in self.parameters.sizes_bytes
            for generator in self._generators(stack, size)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make the requests of one point."""
        measuring = {LOADGEN: http, AB: apache}[str(point.factors["generator"])]
        size = int(point.factors["size_bytes"])
        load = HttpLoad(
            size,
            self._requests(size),
            self.parameters.concurrency,
            time_limit_s=120 + SLOWEST * self.expected_seconds(point),
        )
        return bench.measure(measuring, load)

    def expected_seconds(self, point: Point) -> float:
        """Return the time that the slower of links and processors needs, and that to start the programs."""
        size = int(point.factors["size_bytes"])
        requests = self._requests(size)
        return 1.5 + max(requests / 1000, requests * size * 8 / self.parameters.rate / self.parameters.paths)

    def _generators(self, stack: str, size_bytes: int) -> tuple[str, ...]:
        checked = size_bytes in self.parameters.ab_sizes_bytes and create(stack).supports("ab")
        return (LOADGEN, AB) if checked else (LOADGEN,)

    def _requests(self, size_bytes: int) -> int:
        """Return how many requests a point makes."""
        parameters = self.parameters
        return min(parameters.requests, max(parameters.limit // size_bytes, 3 * parameters.concurrency))
