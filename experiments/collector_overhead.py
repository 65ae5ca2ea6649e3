"""What each collector costs: the same load with one collector at a time, and with none.

The cost is the processor time that the collector itself uses, and that server and client use more than without it
(which has what kernel and stack do on the collector's account while they work for these programs, but not what happens
in interrupts), in per cent of one core while the load runs. Whether throughput suffers depends on what limits it: here
the links do; `--set rate=none` lets the processors. Collectors take turns within a repetition, between two
measurements without any; the cost is relative to the mean of those two, and how far they lie apart is the noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from testbed.collectors import COLLECTORS, create
from testbed.collectors.base import Site
from testbed.collectors.collection import RAN, Wanted
from testbed.errors import Unsupported
from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.stacks.measure import BulkLoad, HttpLoad, Measurement, bulk, http
from testbed.units import SizeBytes

HTTP, BULK = "http", "bulk"
BASELINES = ("none", "none again")
"""Stand for no collector, before all others and after them."""

Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)]


class OverheadParameters(Parameters):
    """What can be set."""

    collectors: Names = Field(default=tuple(COLLECTORS), description="those measured, with settings if wanted")
    size: SizeBytes = Field(default=30_000, description="size of a response")
    requests: int = Field(ge=1, le=10**7, description="requests of a point")
    concurrency: int = Field(default=100, ge=1, le=10_000, description="requests under way at a time")
    bulk: SizeBytes = Field(description="size of the bulk transfer")
    rate: str = Field(default="50 Mbit/s", description="rate of each link, or none: the machine's own speed")
    queue: SizeBytes = Field(default=500_000, description="drop-tail queue before each link")


class CollectorOverhead(Experiment[OverheadParameters]):
    """Processor time, requests per second and throughput with one collector at a time."""

    name = "collector-overhead"
    title = "What each collector costs"
    topology = "two-paths"
    stacks = ("kernel-mptcp", "python-mptcp")
    figure = "collector_overhead"
    needs = ("tcpdump",)
    limits = (
        "At quick scale three repetitions of some two seconds of load: costs below the distance of the two "
        "measurements without a collector are noise. Hardware counters are missing on virtual machines; such "
        "collectors are listed as unsupported."
    )
    scales: ClassVar[Mapping[str, OverheadParameters]] = {
        "quick": OverheadParameters(repetitions=3, requests=800, bulk=24_000_000),
        "paper": OverheadParameters(repetitions=10, requests=4000, bulk=120_000_000),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the links' rate and queue."""
        return self.written("rate", "queue")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return for each stack and repetition every load with every collector in turn."""
        before, after = BASELINES
        return [
            Point(stack, repetition, {"load": load, "collector": collector})
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for load in (HTTP, BULK)
            for collector in (before, *self.parameters.collectors, after)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Run the load; the result's `rate` is in requests or bits per second."""
        collector = str(point.factors["collector"])
        watched = replace(bench, collect=Wanted() if collector in BASELINES else Wanted(required=(collector,)))
        if watched.collect.required:
            create(collector).require(Site(bench.lab.hosts, bench.stack, bench.directory))
        parameters = self.parameters
        if point.factors["load"] == HTTP:
            measurement = watched.measure(http, HttpLoad(parameters.size, parameters.requests, parameters.concurrency))
            rate = measurement.result["requests_per_s"]
        else:
            measurement = watched.measure(bulk, BulkLoad("download", limit_bytes=parameters.bulk))
            rate = measurement.result["throughput_bps"]
        for record in measurement.collectors.values():
            if record["outcome"] != RAN:
                raise Unsupported(record["why"])
            measurement.result["collector_cpu_s"] = record["cpu_s"]
        measurement.result["rate"] = rate
        return measurement

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the load and the time to start the programs."""
        parameters = self.parameters
        size = parameters.bulk if point.factors["load"] == BULK else parameters.requests * parameters.size
        return 1.5 + size * 8 / 100e6
