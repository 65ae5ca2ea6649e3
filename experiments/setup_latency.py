"""Setting up a connection while others are open: how long the server takes to answer, and the client to connect.

A server that gets a SYN with MP_CAPABLE makes a key, hashes it, and must find that no open connection has the same
token (RFC 8684 section 3.1). How much longer does that take than TCP's answer, and does it depend on the number of
connections? So many idle connections are opened over one unshaped path, then further ones are made and closed, 5 ms
apart, each timed twice: at the server's interface from the SYN to the SYN/ACK, by a capture in nanoseconds,
and in the client's program from the call to the connection.

The paper (NSDI 2012) reported the first of these for the kernel, in microseconds: MPTCP took longer than TCP,
for the hash and the check, and longer still with more connections, as its table of tokens had chains to walk.
Linux's MPTCP of today has a larger table, and our stack a hash table that grows: no such growth is expected of either.
The answer of our stack comes from a process that has to be woken, so it takes many times as long as the kernel's, which
answers where the packet came in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.stacks.base import SERVER
from testbed.stacks.measure import Measurement
from testbed.stacks.setup import HANDSHAKES, SetupLoad, handshakes, setup

Counts = Annotated[
    tuple[Annotated[int, Field(ge=0, le=10_000)], ...],
    BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value),
]


class SetupParameters(Parameters):
    """What can be set."""

    open: Counts = Field(default=(0, 10, 100, 1000), description="numbers of connections that are open meanwhile")
    samples: int = Field(ge=20, le=10**6, description="connections that are timed in a point")


class SetupLatency(Experiment[SetupParameters]):
    """Time from SYN to SYN/ACK at the server, and to connect at the client."""

    name = "setup-latency"
    title = "Setting up a connection while others are open"
    topology = "two-paths"
    stacks = ("kernel-tcp", "kernel-mptcp", "python-tcp", "python-mptcp")
    figure = "setup_latency"
    repeats = 'time to answer a SYN, NSDI 2012 ("How Hard Can It Be?")'
    needs = ("tcpdump",)
    collectors = (HANDSHAKES,)
    limits = (
        "A virtual link in place of a cable: the kernel handles a SYN in the sender's context, without an interrupt. "
        "The client's times are those of Python's asyncio for every stack, which hides what the kernel itself needs."
    )
    scales: ClassVar[Mapping[str, SetupParameters]] = {
        "quick": SetupParameters(repetitions=3, samples=200),
        "paper": SetupParameters(repetitions=5, samples=4000),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return one path, unshaped."""
        return {"paths": 1, "rate": "none"}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every stack with all numbers of connections in one lab."""
        return [
            Point(stack, repetition, {"open": count})
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for count in self.parameters.open
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Open the connections, time the others, and read the server's capture."""
        samples, count = self.parameters.samples, int(point.factors["open"])
        measurement = bench.measure(setup, SetupLoad(count, samples))
        captures = sorted((bench.directory / "collected").glob(f"pcap-{SERVER}-{SERVER}-eth1.pcap*"))
        seen = [one for capture in captures for one in handshakes(capture)]
        result = measurement.result
        connect_ns = result.pop("connect_ns")
        timed = seen[-samples:]
        result.update(
            handshakes=len(seen),
            retransmitted=sum(one.syns > 1 for one in seen),
            unanswered=sum(one.answer_ns is None for one in seen),
            **spread("answer", [one.answer_ns - one.syn_ns for one in timed if one.answer_ns is not None]),
            **spread("connect", connect_ns),
        )
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, handshakes that were not as they should be, and connections that went away."""
        problems, result = list(measurement.problems), measurement.result
        count, samples = int(point.factors["open"]), self.parameters.samples
        if result["open"] != count:
            problems.append(f"{result['open']} connections were open, not {count}")
        if result["handshakes"] != count + samples:
            problems.append(f"the server's capture has {result['handshakes']} handshakes, not {count + samples}")
        for name in ("retransmitted", "unanswered"):
            if result[name]:
                problems.append(f"{result[name]} SYNs were {name}")
        return problems

    def more_code(self, stack: str) -> Sequence[str]:
        """Return what reads the times out of the captures."""
        return ("analysis/capture.py", "analysis/capture_file.py")

    def expected_seconds(self, point: Point) -> float:
        """Return the time of the handshakes, and that to start the programs and the capture."""
        return 2.5 + (int(point.factors["open"]) + 6 * self.parameters.samples) / 1000


def spread(name: str, times_ns: Sequence[int]) -> dict[str, float]:
    """Return median, quartiles, and the 5th and 95th percentiles of `times_ns` in microseconds; nothing of nothing."""
    if len(times_ns) < 2:
        return {}
    cuts = quantiles(times_ns, n=20, method="inclusive")
    wanted = {"p5": cuts[0], "p25": cuts[4], "median": cuts[9], "p75": cuts[14], "p95": cuts[18]}
    return {f"{name}_{percentile}_us": round(value / 1e3, 3) for percentile, value in wanted.items()}
