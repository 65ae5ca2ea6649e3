"""Simultaneous flows: one transfer over two paths must use both of them nearly to the full.

Repeats the criterion of the Linux kernel's self-test simult_flows.sh: 16 MB over two paths of given rates and delays,
in each direction, within size / (rate1 + rate2) x 1.11 + 450 ms. The factor stands for headers, the rest for the
handshakes. As there, the queue before each path holds 1000 packets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.measure import BulkLoad, Measurement, bulk
from testbed.units import SizeBytes

DIRECTIONS = ("download", "upload")
HEADERS, ALLOWANCE_S = 1.11, 0.45
"""How much longer than at the sum of the rates a transfer may take: a factor, and seconds."""
USED = 0.5
"""Share of what its rate would give that a path must have carried: both paths were used."""

Cases = Annotated[
    tuple[Annotated[str, Field(pattern=r"^\d+/\d+:\d+/\d+$")], ...],
    BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value),
]
"""Pairs of paths, "10/25:1/50": rates in Mbit/s and one-way delays in ms."""


class SimultaneousParameters(Parameters):
    """What can be set."""

    cases: Cases = Field(min_length=1, description="pairs of paths: rates in Mbit/s, one-way delays in ms")
    size: SizeBytes = Field(default=16_000_000, description="size of the transfer")
    queue: SizeBytes = Field(default=1_500_000, description="drop-tail queue before each path")


class SimultaneousFlows(Experiment[SimultaneousParameters]):
    """Time to move 16 MB over two paths at once."""

    name = "simultaneous-flows"
    title = "Simultaneous flows: one transfer over two paths"
    topology = "two-paths"
    stacks = ("kernel-mptcp", "python-mptcp")
    figure = "simultaneous_flows"
    repeats = "the Linux kernel's self-test simult_flows.sh"
    limits = (
        "As the kernel's own self-test, but on emulated links in user space: at the rates used these add less "
        "than a millisecond, which the test's allowance covers. At quick scale two of its seven cases."
    )
    scales: ClassVar[Mapping[str, SimultaneousParameters]] = {
        "quick": SimultaneousParameters(repetitions=3, cases=("10/10:1/1", "10/25:1/25")),
        "paper": SimultaneousParameters(
            repetitions=5,
            cases=("10/10:1/1", "10/10:1/25", "10/25:1/1", "10/25:1/25", "10/25:25/1", "10/3:1/25", "10/3:25/1"),
        ),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the queue before each path."""
        return self.written("queue")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every case and stack, both directions in one lab."""
        return [
            Point(stack, repetition, {"case": case, "direction": direction}, topology=_links(case))
            for case in self.parameters.cases
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for direction in DIRECTIONS
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer; the result says how long it may have taken, and whether it kept to that."""
        load = BulkLoad(str(point.factors["direction"]), limit_bytes=self.parameters.size)
        measurement = bench.measure(bulk, load)
        limit_s = self.limit_seconds(str(point.factors["case"]))
        measurement.result["limit_s"] = round(limit_s, 3)
        measurement.result["within_limit"] = measurement.result["elapsed_s"] <= limit_s
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and which path was hardly used."""
        rates, _ = _numbers(str(point.factors["case"]))
        sender = SERVER if point.factors["direction"] == "download" else CLIENT
        sent = [measurement.paths[sender][f"{sender}-eth{path}"]["tx_bytes"] for path in (1, 2)]
        shares = zip([number / sum(sent) for number in sent], [rate / sum(rates) for rate in rates], strict=True)
        return measurement.problems + [
            f"path{path} carried {share:.0%} of the bytes, of the rates it has {due:.0%}"
            for path, (share, due) in enumerate(shares, 1)
            if share < USED * due
        ]

    def expected_seconds(self, point: Point) -> float:
        """Return the time that the links need, and that to start the programs."""
        return 1.5 + self.limit_seconds(str(point.factors["case"]))

    def limit_seconds(self, case: str) -> float:
        """Return how long a transfer may take."""
        rates, _ = _numbers(case)
        return self.parameters.size * 8 / (sum(rates) * 1e6) * HEADERS + ALLOWANCE_S


def _numbers(case: str) -> tuple[list[int], list[int]]:
    """Return the rates in Mbit/s and the delays in ms of a case."""
    rates, delays = ([int(number) for number in part.split("/")] for part in case.split(":"))
    return rates, delays


def _links(case: str) -> dict[str, Scalar]:
    rates, delays = _numbers(case)
    return {
        "rate": ",".join(f"{rate} Mbit/s" for rate in rates),
        "delay": ",".join(f"{delay} ms" for delay in delays),
    }
