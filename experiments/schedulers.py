"""Schedulers: which subflow carries what, on two paths that differ much.

Every scheduler of our stack, an example of one's own (`examples/scheduler.py`), and the kernel's default.
Three loads, one connection each: a download as fast as it goes, and answers of a small and of a larger size to one
request after the other, with pauses, when both subflows are there. For the download the capacity of both paths counts;
for an answer, when its last byte arrives, which a slow path can delay. `sent` is what the server's interfaces sent for
each byte of use, headers, duplicates and retransmissions included.

Reported were web objects that arrive earlier with ECF (Lim and others, CoNEXT 2017) and less blocking with BLEST
(Ferlin and others, Networking 2016) than with the default of lowest round-trip time. Much of what they gain is where
a slow path blocks a fast one in the peer's window; here buffers are large, and for every scheduler what blocks the
window is sent again on the other path (opportunistic retransmission): less is left to gain. Redundant sending pays for
its short times with every byte on every path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from experiments.simultaneous_flows import Cases
from testbed.experiment import Bench, Experiment, Parameters, Point, PositiveInts, Scalar
from testbed.stacks.base import SERVER
from testbed.stacks.frames import FramesLoad, frames
from testbed.stacks.measure import BulkLoad, Measurement, bulk
from testbed.units import SizeBytes

EXAMPLE = "examples.scheduler:WaitForFast"
BULK = "bulk"
PAUSES = "constant:rate=16 kbit/s,frame=200 B"
"""Requests of 200 bytes, a tenth of a second after the answer before."""


class SchedulersParameters(Parameters):
    """What can be set."""

    cases: Cases = Field(min_length=1, description="pairs of paths: rates in Mbit/s, one-way delays in ms")
    size: SizeBytes = Field(default=4_000_000, description="size of the download")
    answers: PositiveInts = Field(default=(30_000, 200_000), description="sizes of the answers, in bytes")
    seconds: float = Field(default=2.5, gt=0, le=600, description="seconds of answers of each size")
    queue: SizeBytes = Field(default=100_000, description="drop-tail queue before each path")


class Schedulers(Experiment[SchedulersParameters]):
    """One connection, two paths, and who gets the next bytes."""

    name = "schedulers"
    title = "Schedulers on paths that differ"
    topology = "two-paths"
    stacks = (
        "kernel-mptcp",
        "python-mptcp+scheduler=lowest-rtt",
        "python-mptcp+scheduler=round-robin",
        "python-mptcp+scheduler=redundant",
        "python-mptcp+scheduler=blest",
        "python-mptcp+scheduler=ecf",
        "python-mptcp+scheduler=backup-aware",
        f"python-mptcp+scheduler={EXAMPLE}",
    )
    figure = "schedulers"
    repeats = "ECF (CoNEXT 2017) and BLEST (Networking 2016) against lowest round-trip time"
    limits = (
        "Two emulated paths without other traffic, and no backups: without one backup-aware is lowest-rtt. At quick"
        " scale only the unequal pair of paths, and five seconds of answers three times; equal paths, and thirty"
        " seconds five times, at paper scale."
    )
    scales: ClassVar[Mapping[str, SchedulersParameters]] = {
        "quick": SchedulersParameters(repetitions=3, cases=("10/4:10/100",), seconds=5),
        "paper": SchedulersParameters(
            repetitions=5, cases=("10/4:10/100", "10/10:10/10"), size=20_000_000, answers=(30_000, 100_000, 200_000),
            seconds=30,
        ),
    }  # fmt: skip

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the queue before each path."""
        return self.written("queue")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every load on every pair of paths, the loads of one pair in one lab."""
        loads = [BULK, *(str(size) for size in self.parameters.answers)]
        return [
            Point(stack, repetition, {"case": case, "load": load}, _links(case))
            for stack in stacks
            for case in self.parameters.cases
            for load in loads
            for repetition in range(1, self.parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Download, or ask for answers."""
        load, parameters = str(point.factors["load"]), self.parameters
        if load == BULK:
            measurement = bench.measure(bulk, BulkLoad("download", limit_bytes=parameters.size))
            useful_bytes = measurement.result["received_bytes"]
        else:
            asked = FramesLoad(PAUSES, "dialogue", parameters.seconds, answer_bytes=int(load), seed=bench.seed)
            measurement = bench.measure(frames, asked)
            useful_bytes = measurement.result["dialogue"]["bytes"]
        sent = [measurement.paths[SERVER][end.interface]["tx_bytes"] for end in bench.lab.hosts[SERVER].ends]
        measurement.result.update(
            first_path_share=round(sent[0] / sum(sent), 4), sent_per_byte=round(sum(sent) / max(1, useful_bytes), 4)
        )
        return measurement

    def expected_seconds(self, point: Point) -> float:
        """Return the time that the links need and that to start the programs."""
        parameters = self.parameters
        return 2 + (parameters.size * 8 / 10e6 if point.factors["load"] == BULK else parameters.seconds)


def _links(case: str) -> dict[str, Scalar]:
    """Return the topology's parameters for a case: "10/4:10/100" are rates in Mbit/s and one-way delays in ms."""
    rates, delays = (part.split("/") for part in case.split(":"))
    return {
        "rate": ",".join(f"{rate} Mbit/s" for rate in rates), "delay": ",".join(f"{delay} ms" for delay in delays)
    }  # fmt: skip
