"""What DSS checksums cost: goodput and processor time with and without them, on unshaped links.

A checksum over the data of every mapping (RFC 8684 section 3.3) finds middleboxes that alter the stream. No network
card computes it, so each end touches every byte once more. Measured with super-segments, one mapping of up to 64 KB
each, as a card with segmentation offload takes them, and with segments of one MSS from the sender to the receiver, as
without offload. Both ends are on the same processors; what counts is the time from 0.3 s after the first byte to the
last, and the processor time of both programs in it, with what the kernel does on their account. Transfers with and
without take turns.

The paper (NSDI 2012) measured hosts with 10 Gbit/s cards over the size of a segment: the larger the segments, the fewer
costs there are beside the checksum, so that it hardly shows at 1500 B and takes a good part of the goodput with jumbo
frames. The same is expected here, from single segments to super-segments. Our stack's sum is one division of a long
integer by 65535, several times slower than the kernel's machine code.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.host.hosts import Host
from testbed.placement import observe
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.measure import TIMELINE, BulkLoad, Measurement, bulk

CHECKSUM = "dss_checksum=on"
SUPER, SINGLE = SEGMENTS = ("super-segments", "mss")
_WIRE = {SUPER: "super-segments", SINGLE: "mtu"}
_ONE_MSS = "gso_max_bytes=1400"
PROGRAM = "testbed.loadgen.bulk"
SETTLE_NS = 300_000_000
"""How long a transfer finds its rate before it counts."""


class ChecksumParameters(Parameters):
    """What can be set."""

    seconds: float = Field(gt=0.5, le=3600, description="seconds of one transfer")
    paths: int = Field(default=2, ge=1, le=8, description="number of links")


class DssChecksum(Experiment[ChecksumParameters]):
    """Goodput and processor time of one connection with and without DSS checksums."""

    name = "dss-checksum"
    title = "What DSS checksums cost"
    topology = "two-paths"
    stacks = ("kernel-mptcp", f"kernel-mptcp+{CHECKSUM}", "python-mptcp", f"python-mptcp+{CHECKSUM}")
    figure = "dss_checksum"
    repeats = 'cost of DSS checksums, NSDI 2012 ("How Hard Can It Be?")'
    limits = (
        "Virtual links in place of 10 Gbit/s cards: sender and receiver share one machine. Segments are of "
        "one MSS (1448 B) or of up to 64 KB; the sizes in between, jumbo frames among them, are left out."
    )
    collectors = ("cpu+interval=50ms",)
    scales: ClassVar[Mapping[str, ChecksumParameters]] = {
        "quick": ChecksumParameters(repetitions=3, seconds=1.5),
        "paper": ChecksumParameters(repetitions=10, seconds=10),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the number of links, unshaped."""
        return {"paths": self.parameters.paths, "rate": "none"}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return all stacks in turn, every other time in reverse, for each kind of segment."""
        return [
            Point(stack, repetition, {"segments": segments}, topology={"wire": _WIRE[segments]})
            for segments in SEGMENTS
            for repetition in range(1, self.parameters.repetitions + 1)
            for stack in stacks[:: 1 if repetition % 2 else -1]
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer from the server to the client, and look whether either end was to use checksums."""
        if point.factors["segments"] == SINGLE:
            for host in (CLIENT, SERVER):
                for interface in bench.lab.hosts[host].interfaces:
                    bench.lab.hosts[host].run(["ip", "link", "set", "dev", interface, "gso_max_segs", "1"])
            if bench.stack.is_ours:
                bench = replace(bench, stack=create(f"{point.stack}+{_ONE_MSS}"))
        measurement = bench.measure(bulk, BulkLoad("download", limit_seconds=self.parameters.seconds))
        measurement.result["dss_checksum"] = [
            report["settings"]["dss_checksum"] if report else _kernel_uses_checksums(bench.lab.hosts[host])
            for host, report in measurement.stacks.items()
        ]
        measurement.result.update(steady(bench))
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and an end that did not do with checksums what it should."""
        problems, wanted = list(measurement.problems), CHECKSUM in point.stack
        if measurement.result["dss_checksum"] != [wanted, wanted]:
            found = measurement.result["dss_checksum"]
            problems.append(f"DSS checksums wanted: {wanted}; used by client and server: {found}")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer, and the time to start the programs and the collector."""
        return self.parameters.seconds + 2


def _kernel_uses_checksums(host: Host) -> bool:
    return host.sysctl("net.mptcp.checksum_enabled") == "1"


def steady(bench: Bench) -> dict[str, float]:
    """Return rate, and processor time of both programs for 10^9 bytes, of a download after its first part."""
    lines = (bench.directory / TIMELINE).read_text().splitlines()[1:]
    rows = [(int(time_ns), int(received)) for time_ns, received in csv.reader(lines)]
    counted = [row for row in rows if row[0] >= rows[0][0] + SETTLE_NS]
    (begin_ns, before), (end_ns, after) = counted[0], counted[-1]
    used_s = observe.run_seconds(bench.directory / "collected", PROGRAM, begin_ns, end_ns)
    return {
        "steady_s": round((end_ns - begin_ns) / 1e9, 3),
        "steady_bps": round((after - before) * 8e9 / (end_ns - begin_ns)),
        "cpu_s_per_gbyte": round(used_s * 1e9 / (after - before), 4),
    }
