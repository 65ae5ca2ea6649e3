"""Who is left with TIME-WAIT, over time, by many short connections that the server or the client closes first.

The end that closes a connection first keeps it in TIME-WAIT for a minute. At a client, who needs a port for each
connection, that limits how many it can make: so servers close first, or, where that is a burden on them, clients do. In
MPTCP each subflow is closed by itself, whoever ends the connection: without care both ends keep subflows in TIME-WAIT.
With our stack's rule (`passive_close`), the end whose peer closed the connection first, the passive closer, waits for
the peer's FIN on each subflow too. Counted every tenth of a second, and once more after the last request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.lab import Lab
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.measure import HttpLoad, Measurement, http
from testbed.units import RateBps, SizeBytes

STATE = "TIME-WAIT"
_JOINS = "MPTcpExtMPJoinAckRx"


class TimeWaitParameters(Parameters):
    """What can be set."""

    requests: int = Field(default=1000, ge=1, le=10**7, description="requests, a connection each")
    size: SizeBytes = Field(default=10_000, description="size of a response")
    concurrency: int = Field(default=20, ge=1, le=10_000, description="requests under way at a time")
    rate: RateBps = Field(default=50_000_000, description="rate of each link")
    queue: SizeBytes = Field(default=500_000, description="drop-tail queue before each link")


class TimeWait(Experiment[TimeWaitParameters]):
    """Connections in TIME-WAIT after a thousand requests."""

    name = "time-wait"
    title = "TIME-WAIT after requests that the server or the client ends"
    topology = "two-paths"
    stacks = ("kernel-tcp", "kernel-mptcp", "python-mptcp", "python-mptcp+passive_close=off")
    figure = "time_wait"
    repeats = "the talk's rule that avoids TIME-WAIT at the passive closer"
    limits = (
        "A thousand connections, not the tens of thousands of a busy server. The last count is right after the last "
        "request, before the first of them leaves TIME-WAIT."
    )
    collectors = ("socket-states",)
    scales: ClassVar[Mapping[str, TimeWaitParameters]] = {
        "quick": TimeWaitParameters(repetitions=3),
        "paper": TimeWaitParameters(repetitions=5),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the links' rate and queue."""
        return self.written("rate", "queue")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every stack with either end closing first; stacks in turn, each time in a new lab."""
        return [
            Point(stack, repetition, {"closes_first": end})
            for repetition in range(1, self.parameters.repetitions + 1)
            for end in (SERVER, CLIENT)
            for stack in stacks
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make the requests, then count."""
        parameters, ends = self.parameters, (CLIENT, SERVER)
        before = {host: _kernel_waiting(bench.lab, host) for host in ends}
        first = str(point.factors["closes_first"])
        load = HttpLoad(parameters.size, parameters.requests, parameters.concurrency, closes_first=first)
        measurement = bench.measure(http, load)
        for host in ends:
            report = measurement.stacks[host]
            kernel = _kernel_waiting(bench.lab, host) - before[host]
            measurement.result[f"{host}_time_wait"] = kernel if report is None else report["flows"].get(STATE, 0)
        report = measurement.stacks[SERVER]
        counted = measurement.counters[SERVER] if report is None else report["counters"]
        measurement.result["subflows"] = parameters.requests + counted.get(_JOINS, 0)
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and more connections waiting than there were."""
        result, problems = measurement.result, list(measurement.problems)
        if result["duration_s"] > 50:
            problems.append(f"the requests took {result['duration_s']:.0f} s: the first have left TIME-WAIT by then")
        for host in (CLIENT, SERVER):
            if result[f"{host}_time_wait"] > result["subflows"]:
                problems.append(f"{host}: {result[f'{host}_time_wait']} in TIME-WAIT of {result['subflows']} subflows")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the time that links and processors need, and that to start the programs."""
        parameters = self.parameters
        return 1.5 + parameters.requests * max(1e-3, parameters.size * 8 / parameters.rate)


def _kernel_waiting(lab: Lab, host: str) -> int:
    return len(lab.hosts[host].run(["ss", "-Htan", "state", "time-wait"]).stdout.splitlines())
