"""Fairness at a shared bottleneck: an MPTCP connection of two subflows against one TCP connection of the kernel's.

Both subflows and the TCP connection cross one slow link. Coupled congestion control (RFC 6356 and its successors) takes
no more there than one TCP connection would; uncoupled subflows take a share each. The rates are those of the time in
which both connections ran, after a first part in which they find their rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

from pydantic import Field

from testbed.errors import LabError
from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.host.process import announced_ready, running
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.measure import TIMELINE, BulkLoad, Measurement, bulk
from testbed.stacks.timeline import rate_bps, read_timeline
from testbed.units import DelayNs, RateBps, SizeBytes

COMPETITOR_PORT = 5002
COMPETITOR_TIMELINE = "competitor-timeline.csv"
_COMPETITOR_EXTRA_S = 10.0
UNCOUPLED = ("reno", "cubic")


class FairnessParameters(Parameters):
    """What can be set."""

    seconds: float = Field(gt=0, le=3600, description="seconds of one transfer")
    settle_seconds: float = Field(default=3.0, ge=0, le=3600, description="seconds at its begin that do not count")
    rate: RateBps = Field(default=20_000_000, description="rate of the bottleneck")
    delay: DelayNs = Field(default=20_000_000, description="its one-way delay")
    queue: SizeBytes = Field(default=100_000, description="its drop-tail queue")


class Fairness(Experiment[FairnessParameters]):
    """Shares of a bottleneck."""

    name = "fairness"
    title = "Fairness: two subflows and one TCP connection at a shared bottleneck"
    topology = "shared-bottleneck"
    stacks = (
        "python-mptcp@lia",
        "python-mptcp@olia",
        "python-mptcp@balia",
        "python-mptcp@reno",
        "kernel-mptcp@reno",
    )
    figure = "fairness"
    repeats = "the rule of RFC 6356; OLIA (CoNEXT 2012) and BALIA (ToN 2016) at a shared bottleneck"
    limits = (
        "The literature's testbeds and simulations run for minutes over many flows and path mixes. Here two "
        "subflows meet one TCP connection at one emulated bottleneck of 20 Mbit/s, at quick scale for 10 s, "
        "three times; the Linux kernel has no coupled congestion control, so that its stack appears uncoupled alone."
    )
    scales: ClassVar[Mapping[str, FairnessParameters]] = {
        "quick": FairnessParameters(repetitions=3, seconds=13),
        "paper": FairnessParameters(repetitions=5, seconds=60, settle_seconds=10),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the bottleneck."""
        return self.written("rate", "queue", "delay")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every stack, its repetitions in one lab."""
        return [
            Point(stack, repetition) for stack in stacks for repetition in range(1, self.parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer while the competitor's runs; both download."""
        congestion = bench.stack.congestion if bench.stack.congestion in UNCOUPLED else UNCOUPLED[0]
        with self._competitor(bench, congestion):
            measurement = bench.measure(bulk, BulkLoad("download", limit_seconds=self.parameters.seconds))
        ours, theirs = (read_timeline(bench.directory / name) for name in (TIMELINE, COMPETITOR_TIMELINE))
        begin_ns = max(ours[0][0], theirs[0][0]) + round(self.parameters.settle_seconds * 1e9)
        end_ns = min(ours[0][-1], theirs[0][-1])
        if end_ns <= begin_ns:
            raise LabError("the two transfers did not run at the same time", 1)
        rates = [rate_bps(timeline, begin_ns, end_ns) for timeline in (ours, theirs)]
        measurement.result.update(
            competitor_congestion=congestion,
            compared_s=round((end_ns - begin_ns) / 1e9, 3),
            mptcp_bps=round(rates[0]),
            tcp_bps=round(rates[1]),
            jain_index=round(jain_index(rates), 4),
        )
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and a bottleneck that was none."""
        result, problems = measurement.result, list(measurement.problems)
        total_bps = result["mptcp_bps"] + result["tcp_bps"]
        if total_bps < 0.8 * self.parameters.rate:
            problems.append(f"the link was not the bottleneck: {total_bps / self.parameters.rate:.0%} of it was used")
        if not result["tcp_bps"]:
            problems.append("the competing connection received nothing")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer and the time to start the programs."""
        return self.parameters.seconds + 3

    @contextmanager
    def _competitor(self, bench: Bench, congestion: str) -> Iterator[None]:
        """Run a download of the kernel's TCP over the first path during the block."""
        lab, stack, module = bench.lab, create("kernel-tcp", congestion), "testbed.loadgen.bulk"
        lab.set_congestion_control(congestion)
        serve = stack.command(lab, SERVER, module, "server", "--listen", f"0.0.0.0:{COMPETITOR_PORT}")
        fetch = stack.command(
            lab, CLIENT, module, "client", "--direction", "download",
            "--connect", f"{stack.server_address(lab)}:{COMPETITOR_PORT}",
            "--seconds", str(self.parameters.seconds + _COMPETITOR_EXTRA_S),
            "--timeline", str(bench.directory / COMPETITOR_TIMELINE),
        )  # fmt: skip
        with running(lab.hosts[SERVER], serve, bench.directory, "competitor-server") as server:
            server.await_start(announced_ready)
            with running(lab.hosts[CLIENT], fetch, bench.directory, "competitor-client") as client:
                client.await_start(lambda _: (bench.directory / COMPETITOR_TIMELINE).exists())
                yield


def jain_index(rates: Sequence[float]) -> float:
    """Return Jain's index of `rates`: 1 when all are equal, 1/n when one has everything."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0
