"""Goodput of one TCP connection over a link that loses packets at random, against the share of lost packets.

The kernel's TCP and ours meet the same losses (same seed) on the same emulated link. The bound is that of Mathis et al.
(1997) for Reno with an acknowledgement a segment, 1.22 MSS / (RTT sqrt(p)), and never more than the link's rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.stacks.measure import BulkLoad, Measurement, bulk
from testbed.units import DelayNs, Probability, RateBps, SizeBytes

MSS_BYTES, FRAME_BYTES = 1448, 1514
"""Payload of a full packet with timestamps, and its length on the wire."""
MATHIS = sqrt(3 / 2)
CHANCE = 4
"""How many standard deviations the link's own count of lost packets may be from what was asked."""

Losses = Annotated[
    tuple[Probability, ...], BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)
]


class LossyParameters(Parameters):
    """What can be set."""

    losses: Losses = Field(min_length=1, description="shares of packets lost, e.g. 1 % or 0.01")
    seconds: float = Field(gt=0, le=3600, description="seconds that one transfer takes at the bound")
    rate: RateBps = Field(default=50_000_000, description="rate of the link")
    delay: DelayNs = Field(default=10_000_000, description="its one-way delay")
    queue: SizeBytes = Field(default=125_000, description="its drop-tail queue")


class LossyLink(Experiment[LossyParameters]):
    """Goodput against loss."""

    name = "lossy-link"
    title = "Goodput over a link that loses packets"
    topology = "two-paths"
    stacks = ("kernel-tcp@reno", "python-tcp@reno", "kernel-tcp@cubic", "python-tcp@cubic")
    figure = "lossy_link"
    repeats = "the bound of Mathis and others (CCR 1997)"
    limits = (
        "One emulated link of 50 Mbit/s and 20 ms round trip; losses are independent of each other, as the "
        "formula assumes and real links are not. At quick scale a transfer takes some seconds, so that single "
        "losses at the start matter."
    )
    scales: ClassVar[Mapping[str, LossyParameters]] = {
        "quick": LossyParameters(repetitions=3, losses=(0.0, 0.001, 0.01, 0.03), seconds=5),
        "paper": LossyParameters(repetitions=5, losses=(0.0, 0.001, 0.003, 0.01, 0.03), seconds=30),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the one link, but for its loss."""
        return {"paths": 1, **self.written("rate", "queue", "delay")}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every loss and stack, the repetitions in one lab."""
        return [
            Point(stack, repetition, {"loss": loss}, topology={"loss": str(loss)})
            for loss in self.parameters.losses
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer from the server to the client, as many bytes with every stack.

        A limit of time would be one for writing: what then waits in the send buffer, megabytes in ours, goes on at the
        rate of the losses, and the quick start would be a larger share for who has a small buffer.
        """
        seconds = self.parameters.seconds
        bound_bps = self.bound_bps(float(point.factors["loss"]))
        load = BulkLoad("download", limit_bytes=round(bound_bps * seconds / 8), time_limit_s=60 + 5 * seconds)
        measurement = bench.measure(bulk, load)
        measurement.result["bound_bps"] = round(bound_bps)
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and a loss that was not as asked."""
        asked = float(point.factors["loss"])
        numbers = measurement.links["path1"]["server->client"]
        entered = numbers["offered"] - numbers["queue_dropped"]
        off = abs(numbers["lost"] - entered * asked)
        if off <= CHANCE * sqrt(entered * asked * (1 - asked)):
            return measurement.problems
        return [*measurement.problems, f"the link lost {numbers['lost']} of {entered} packets, asked was {asked:.2%}"]

    def bound_bps(self, loss: float) -> float:
        """Return the most that is expected of Reno."""
        parameters = self.parameters
        link_bps = parameters.rate * MSS_BYTES / FRAME_BYTES
        round_trip_s = 2 * parameters.delay / 1e9
        if not loss or not round_trip_s:
            return link_bps
        return min(link_bps, MATHIS * MSS_BYTES * 8 / (round_trip_s * sqrt(loss)))

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer and the time to start the programs."""
        return self.parameters.seconds + 1.5
