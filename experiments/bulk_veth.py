"""Bulk transfer over unshaped virtual links: how many bits a second the stacks themselves can move.

Both kinds of wire are measured: super-segments of up to 64 KB, as virtual links pass them when nothing cuts
them, and packets of 1500 B, as a network card's wire carries them. Stacks take turns, so that a change of the
machine's pace during the run meets all of them. The kernel is also measured with iperf3, which is not held back
by Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.stacks import create
from testbed.stacks.measure import BulkLoad, Measurement, bulk, iperf3

LOADGEN, IPERF3 = "loadgen", "iperf3"
WIRES = ("super-segments", "mtu")


class BulkParameters(Parameters):
    """What can be set."""

    seconds: float = Field(gt=0, le=3600, description="seconds of one transfer")
    paths: int = Field(default=2, ge=1, le=8, description="number of links")


class BulkVeth(Experiment[BulkParameters]):
    """Throughput of one connection over unshaped links."""

    name = "bulk-veth"
    title = "Bulk transfer over unshaped virtual links"
    topology = "two-paths"
    stacks = ("kernel-mptcp", "python-mptcp")
    figure = "bulk_veth"
    needs = ("iperf3",)
    limits = (
        "There is no network card: packets pass between two virtual interfaces of one machine, and sender, "
        "receiver and the kernel's forwarding share its cores, two where this was made. The rates are what these "
        "stacks cost in processor time, not what they would give on a wire."
    )
    scales: ClassVar[Mapping[str, BulkParameters]] = {
        "quick": BulkParameters(repetitions=3, seconds=4),
        "paper": BulkParameters(repetitions=10, seconds=20),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the number of links, unshaped."""
        return {"paths": self.parameters.paths, "rate": "none"}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return all stacks in turn, for each kind of wire and repetition."""
        return [
            Point(stack, repetition, {"wire": wire, "generator": generator}, topology={"wire": wire})
            for wire in WIRES
            for repetition in range(1, self.parameters.repetitions + 1)
            for stack in stacks
            for generator in ((LOADGEN, IPERF3) if create(stack).supports("iperf3") else (LOADGEN,))
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer from the server to the client."""
        measuring = {LOADGEN: bulk, IPERF3: iperf3}[str(point.factors["generator"])]
        load = BulkLoad("download", limit_seconds=self.parameters.seconds)
        return bench.measure(measuring, load)

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer and the time to start the programs."""
        return self.parameters.seconds + 1.5
