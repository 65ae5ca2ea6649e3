"""Flow affinity: on which core the packets of a connection's subflows are processed, and what that costs.

A bulk download between programs that are pinned to one core each, with four ways to choose the core of incoming
packets. `none`: the one where they came in (on virtual links the sender's). `rps`: by a hash of the flow, so that the
subflows of one connection scatter. `rfs`: the one where the application last received; for MPTCP that works from Linux
6.18 on, which records every subflow of a connection. `mptcp-aware`: all packets of a host to its application's core,
which any kernel can do as long as a host has one application.

Our own stack is one process that reads all packets of a host from its TUN device, so it handles every subflow on one
core whatever the setting. What is steered is the kernel's work before: from the link to the device. RFS cannot help
there: no socket of the kernel's tells it where the application is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.input.validation import FieldError
from testbed.placement import Placement, observe
from testbed.placement.cpus import online_cpus
from testbed.placement.spec import TableSize
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.measure import BulkLoad, Measurement, bulk

NONE, RPS, RFS, AWARE = STEERING = ("none", "rps", "rfs", "mptcp-aware")
PROGRAM = "testbed.loadgen"
AT_HOME = 0.9
"""Share of its packets that a core must have got when they were sent there."""


class FlowAffinityParameters(Parameters):
    """What can be set."""

    seconds: float = Field(gt=0, le=3600, description="seconds of one transfer")
    paths: int = Field(default=2, ge=1, le=8, description="number of links")
    wire: Literal["mtu", "super-segments"] = Field(default="mtu", description="what crosses the links")
    process_cpus: str = Field(default="client:0,server:1", description="cores of the programs, by host")
    rfs_entries: TableSize = Field(default=4096, description="size of the tables of receive flow steering")

    @model_validator(mode="after")
    def _pinned(self) -> FlowAffinityParameters:
        if not (self.cpus(CLIENT) and self.cpus(SERVER)):
            raise FieldError("process_cpus", 'must pin client and server, e.g. "client:0,server:1"')
        return self


class FlowAffinity(Experiment[FlowAffinityParameters]):
    """Packets by core and interface under four kinds of steering."""

    name = "flow-affinity"
    title = "Flow affinity: packets on the application's core"
    topology = "two-paths"
    stacks = ("kernel-tcp", "kernel-mptcp", "python-mptcp")
    figure = "flow_affinity"
    repeats = "flow steering that knows MPTCP, as in the talk"
    needs = ("RPS and RFS", "tracepoints")
    collectors = ("tracepoints+events=net:netif_receive_skb", "softnet", "cpu+interval=200ms")
    limits = (
        "The talk steered flows between the cores of servers with cards of 10 Gbit/s and several queues, and "
        "counted cache misses. Here virtual links have no queues of a card, there are two cores, and virtual "
        "machines rarely have hardware counters: where the packets went can be shown, what that saves in caches "
        "hardly."
    )
    scales: ClassVar[Mapping[str, FlowAffinityParameters]] = {
        "quick": FlowAffinityParameters(repetitions=3, seconds=2),
        "paper": FlowAffinityParameters(repetitions=10, seconds=10),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the number of links, unshaped."""
        return {**self.written("paths", "wire"), "rate": "none"}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return all kinds of steering in turn, for each stack and repetition."""
        return [
            Point(stack, repetition, {"steering": steering})
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for steering in STEERING
        ]

    def placement(self, point: Point) -> Placement:
        """Return the programs' cores, and the steering that the point is about."""
        placement, steering = super().placement(point), point.factors["steering"]
        rps_cpus = {
            NONE: "",
            RPS: placement.rps_cpus or ",".join(map(str, online_cpus())),
            AWARE: placement.process_cpus,
        }
        return placement.model_copy(
            update={
                "rps_cpus": rps_cpus[RPS if steering == RFS else str(steering)],
                "rfs_entries": placement.rfs_entries if steering == RFS else 0,
            }
        )

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer from the server to the client, and count packets where they were processed."""
        # Hardware counters are taken where there are any; elsewhere the manifest says that they are not supported.
        bench = replace(bench, collect=replace(bench.collect, added=("perf", *bench.collect.added)))
        measurement = bench.measure(bulk, BulkLoad("download", limit_seconds=self.parameters.seconds))
        home = self.parameters.cpus(CLIENT)
        measurement.result.update(summary(bench.directory / "collected", home, measurement.result["received_bytes"]))
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and packets that were not where they had been sent."""
        problems, share = list(measurement.problems), measurement.result["home_share"]
        if point.factors["steering"] == AWARE and share < AT_HOME:
            problems.append(
                f"only {share:.0%} of the client's packets were processed on the core that they were sent to"
            )
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer, and the time to start the programs and collectors."""
        return self.parameters.seconds + 2.5


def summary(collected: Path, home: Sequence[int], received_bytes: int) -> dict[str, Any]:
    """Return packets of the client's interfaces by core, and what the transfer cost.

    `home_share`: of all packets the part processed on the application's cores `home`; `home_shares`: of each interface
    that had any. `cpu_s_per_gbyte`: time that all cores were busy, whoever with, for 10^9 bytes received.
    """
    packets = {
        interface: by_core
        for (host, interface), by_core in observe.received_packets(collected).items()
        if host == CLIENT and sum(by_core.values())
    }
    at_home = {interface: sum(by_core.get(cpu, 0) for cpu in home) for interface, by_core in packets.items()}
    totals = {interface: sum(by_core.values()) for interface, by_core in packets.items()}
    busy_s, used = observe.busy_seconds(collected), observe.usage(collected, PROGRAM)
    gbytes = received_bytes / 1e9
    return {
        "home_share": round(sum(at_home.values()) / max(1, sum(totals.values())), 4),
        "home_shares": {interface: round(at_home[interface] / totals[interface], 4) for interface in packets},
        "packets": {name: {f"cpu{cpu}": count for cpu, count in by_core.items()} for name, by_core in packets.items()},
        "steered": {f"cpu{cpu}": count for cpu, count in observe.steered_packets(collected).items()},
        "busy_s": {f"cpu{cpu}": seconds for cpu, seconds in busy_s.items()},
        "cpu_s_per_gbyte": round(sum(busy_s.values()) / gbytes, 4) if gbytes else None,
        "programs": {host: asdict(one) for host, one in used.items()},
        "cache_misses": observe.hardware_events(collected).get("cache-misses"),
    }
