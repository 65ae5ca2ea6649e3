"""ApacheBench micro-flows: many short connections at once, for responses of growing size.

Repeats the measurement that is usually shown for MPTCP on servers: 100 requests at once, one connection each,
over regular TCP on one link, TCP over bonded links, and MPTCP. For small responses the cost of a connection
decides, for large ones the sum of the links. Reported was that MPTCP is behind TCP up to some 30 kB and near
twice as fast from 100 kB on, and that round-robin bonding, as good on equal links, collapses on unequal ones: its
packets arrive out of order, and it can fill no link further than the slowest one. All of that depends on what a
connection costs against what the links carry: faster links, or slower processors, move the crossover up.

The queues are long enough for 100 connections at once: at 1 Gbit/s the 1000 packets that Linux gives an interface. In a
queue of 100 kB a few unlucky connections wait for one retransmission timeout after the other, and the last of them
decides the requests per second of a short run.

A point ends with its last request or its time: no request is begun after that, and those under way are finished. Where
a thread of server or client never rested meanwhile (it ran, or waited for a core) it was the limit, not the links: such
points are marked. ApacheBench against apache2 checks our generator on the kernel's stacks, over the equal links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, PositiveInts, Scalar
from testbed.stacks import create
from testbed.stacks.measure import LONG_LIVED_BYTES, HttpLoad, Measurement, apache, http
from testbed.units import DELAY, RATE, DelayNs, RateBps, SizeBytes

LOADGEN, AB = "loadgen", "ab"
AB_PER_S = 3000
"""Requests that ApacheBench is asked for in each second of a point, at the most."""
EQUAL, UNEQUAL = "equal", "unequal"

SLOWEST = 30
"""How many times longer than links and processors need a stack may take before its point fails."""
LASTING = 4
"""Longest waits on the slow link that a request must last for a subflow to have joined there."""


class MicroflowParameters(Parameters):
    """What can be set."""

    sizes_bytes: PositiveInts = Field(min_length=1, description="sizes of a response, in bytes")
    unequal_sizes_bytes: PositiveInts = Field(
        default=(), description="those measured again with the last link at slow_rate; empty: none"
    )
    ab_sizes_bytes: PositiveInts = Field(description="those measured with ApacheBench as well; empty: none")
    requests: int = Field(ge=1, le=10**7, description="requests of a point, at the most")
    seconds: float = Field(gt=0, le=3600, description="seconds in which requests of a point are begun")
    concurrency: int = Field(ge=1, le=10_000, description="requests under way at a time")
    paths: int = Field(default=2, ge=1, le=8, description="number of links")
    rate: RateBps = Field(description="rate of each link")
    queue: SizeBytes = Field(description="drop-tail queue before each link")
    slow_rate: RateBps = Field(default=10_000_000, description="rate of the last link where links are unequal")
    slow_delay: DelayNs = Field(default=0, description="its one-way delay, beyond that of the others")


class AbMicroflows(Experiment[MicroflowParameters]):
    """Requests per second against response size."""

    name = "ab-microflows"
    title = "Micro-flows: requests per second by response size"
    topology = "two-paths"
    stacks = ("kernel-tcp", "kernel-bond", "kernel-mptcp", "python-tcp", "python-mptcp")
    figure = "ab_microflows"
    repeats = 'requests per second by response size of the talk and of NSDI 2012 ("How Hard Can It Be?")'
    needs = ("apache2", "ab")
    limits = (
        "Shown before between two servers with two network cards of 1 Gbit/s each and 100,000 requests a point. Here"
        " client, server and both links share two cores, so that a connection costs more against what the links carry,"
        " most of all with stacks and load generators in Python. A point is cut off after the time named in the figure;"
        " the table has the number of requests that were made. The slow link has no delay of its own: at these rates"
        " only the kernel's shapers carry the links, and netem, which delays there, is missing from some kernels"
        " (--set slow_delay=10ms where it is there)."
    )
    scales: ClassVar[Mapping[str, MicroflowParameters]] = {
        "quick": MicroflowParameters(
            repetitions=3,
            sizes_bytes=(1_000, 10_000, 30_000, 100_000, 300_000),
            unequal_sizes_bytes=(30_000, 100_000),
            ab_sizes_bytes=(1_000, 100_000),
            requests=100_000,
            seconds=2,
            concurrency=100,
            rate=50_000_000,
            queue=500_000,
            slow_rate=10_000_000,
        ),
        "paper": MicroflowParameters(
            repetitions=3,
            sizes_bytes=(1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
            unequal_sizes_bytes=(1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
            ab_sizes_bytes=(1_000, 30_000, 300_000, 1_000_000),
            requests=100_000,
            seconds=4,
            concurrency=100,
            rate=1_000_000_000,
            queue=1_500_000,
            slow_rate=100_000_000,
        ),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the links' number, rate and queue."""
        return self.written("paths", "rate", "queue")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return the links, equal and unequal, and for each the stacks, with all repetitions in one lab."""
        return [
            Point(
                stack,
                repetition,
                {"links": links, "size_bytes": size, "generator": generator},
                topology=self._slow_link() if links == UNEQUAL else {},
            )
            for links, sizes in self._links()
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for size in sizes
            for generator in self._generators(stack, links, size)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make the requests of one point."""
        parameters = self.parameters
        measuring = {LOADGEN: http, AB: apache}[str(point.factors["generator"])]
        expected_s = self.expected_seconds(point)
        load = HttpLoad(
            int(point.factors["size_bytes"]),
            self._requests(point),
            parameters.concurrency,
            time_limit_s=120 + SLOWEST * expected_s,
            seconds=parameters.seconds,
            long_lived_bytes=self._long_lived_bytes(str(point.factors["links"])),
        )
        return bench.measure(measuring, load)

    def _requests(self, point: Point) -> int:
        """Return how many requests are asked for: of ApacheBench, which has no time limit of use, about its share."""
        parameters = self.parameters
        if point.factors["generator"] == LOADGEN:
            return parameters.requests
        carried_per_s = parameters.paths * parameters.rate / 8 / int(point.factors["size_bytes"])
        number = round(parameters.seconds * min(carried_per_s, AB_PER_S))
        return min(parameters.requests, max(2 * parameters.concurrency, number))

    def expected_seconds(self, point: Point) -> float:
        """Return the time that a point is given, that of its last requests, and that to start the programs."""
        parameters = self.parameters
        rate = parameters.rate if point.factors["links"] == EQUAL else parameters.slow_rate
        last_s = parameters.concurrency * int(point.factors["size_bytes"]) * 8 / rate / parameters.paths
        return 1.0 + last_s + min(parameters.seconds, parameters.requests / 1000)

    def _long_lived_bytes(self, links: str) -> int:
        """Return the size from which on requests last long enough for a subflow on every path.

        A SYN may have to wait in the slow link's queue, behind subflows that are there already. By then a request must
        not be over, nor its server have sent all it has.
        """
        if links == EQUAL:
            return LONG_LIVED_BYTES
        parameters = self.parameters
        wait_s = parameters.queue * 8 / parameters.slow_rate + 2 * parameters.slow_delay / 1e9
        total_bps = parameters.rate * (parameters.paths - 1) + parameters.slow_rate
        return max(LONG_LIVED_BYTES, round(LASTING * wait_s * total_bps / 8 / parameters.concurrency))

    def _links(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Give the kinds of links, and the sizes for each."""
        yield EQUAL, self.parameters.sizes_bytes
        if self.parameters.unequal_sizes_bytes and self.parameters.paths > 1:
            yield UNEQUAL, self.parameters.unequal_sizes_bytes

    def _slow_link(self) -> dict[str, Scalar]:
        parameters = self.parameters
        others = parameters.paths - 1
        return {
            "rate": ",".join([*[RATE.write(parameters.rate)] * others, RATE.write(parameters.slow_rate)]),
            "delay": ",".join([*["0 ms"] * others, DELAY.write(parameters.slow_delay)]),
        }

    def _generators(self, stack: str, links: str, size_bytes: int) -> tuple[str, ...]:
        checked = links == EQUAL and size_bytes in self.parameters.ab_sizes_bytes and create(stack).supports("ab")
        return (LOADGEN, AB) if checked else (LOADGEN,)
