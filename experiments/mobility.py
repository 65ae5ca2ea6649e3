"""Mobility: addresses go and come while a transfer runs, the one that the connection began with among them.

A download over two paths. At one end, the client's or the server's, the second address is taken from its interface (`ip
address del`) and comes back; then the first one goes, over which the connection was made, and comes back. A loss has to
be told to the peer on the other path (REMOVE_ADDR, RFC 8684 section 3.4.2). A server announces the address that returns
(ADD_ADDR, which the client echoes, section 3.4.1), and the client joins it (MP_JOIN); a client just joins from its own.
Every byte is hashed at both ends, and every packet is captured: the times of the options are those of the wire.

The talk named mobility with REMOVE_ADDR as implemented, without a figure to compare with. Our stack sees by itself what
happens to its interfaces. The kernel's path manager does not watch addresses: with each change it is told what a daemon
would tell it, `ip mptcp endpoint delete` or `add`, so its times contain those of that program.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar
from testbed.host.hosts import Host
from testbed.lab import Lab
from testbed.stacks.base import CLIENT, SERVER, StackUnderTest
from testbed.stacks.measure import TIMELINE, BulkLoad, Measurement, bulk
from testbed.units import DelayNs, RateBps, SizeBytes

SETTLE_S = 0.6
"""After a change: what was under way, and what joins and grows, does not count."""
SILENT_SHARE, BUSY_SHARE = 0.02, 0.3
"""Of a path's rate: without its address it carries less, with it more."""

ENDPOINT_FLAGS = {CLIENT: "subflow", SERVER: "signal"}
"""What the kernel's path manager does with an address: a client joins from it, a server announces it."""


class Moment(NamedTuple):
    """The address of a path (0 or 1) goes or comes back."""

    name: str
    path: int
    there: bool


MOMENTS = (
    Moment("second_goes", 1, False),
    Moment("second_returns", 1, True),
    Moment("first_goes", 0, False),
    Moment("first_returns", 0, True),
)
"""One after the other, `step_s` apart."""


class MobilityParameters(Parameters):
    """What can be set."""

    step_s: float = Field(ge=1.5, le=600, description="seconds from one change to the next")
    rate: RateBps = Field(default=8_000_000, description="rate of each path")
    delay: DelayNs = Field(default=20_000_000, description="its one-way delay")
    queue: SizeBytes = Field(default=60_000, description="its drop-tail queue")


class Mobility(Experiment[MobilityParameters]):
    """One download, two addresses, four changes."""

    name = "mobility"
    title = "Mobility: addresses go and come under a transfer"
    topology = "two-paths"
    stacks = ("python-mptcp", "kernel-mptcp")
    figure = "mobility"
    repeats = "the talk's mobility with REMOVE_ADDR"
    needs = ("tcpdump",)
    collectors = ("interfaces", "pcap")
    limits = (
        "Addresses are taken from interfaces of hosts on emulated links; nobody walks. The links stay as they are:"
        " how a path dies is shown by the experiment handover."
    )
    scales: ClassVar[Mapping[str, MobilityParameters]] = {
        "quick": MobilityParameters(repetitions=3, step_s=2),
        "paper": MobilityParameters(repetitions=5, step_s=10),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the two equal paths."""
        return self.written("rate", "queue", "delay")

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return the changes at either end, for every stack in one lab."""
        return [
            Point(stack, repetition, {"moves": host})
            for stack in stacks
            for repetition in range(1, self.parameters.repetitions + 1)
            for host in (CLIENT, SERVER)
        ]

    @property
    def _seconds(self) -> float:
        return self.parameters.step_s * (len(MOMENTS) + 1)

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Download while addresses go and come."""
        moving = str(point.factors["moves"])
        if not bench.stack.runs_our_stack(moving):
            _use_endpoints_of(bench.lab, moving)
        script = _Script(bench, moving, self.parameters.step_s)
        load = BulkLoad("download", limit_seconds=self._seconds, check="sha256")
        measurement = replace(bench, progress=script).measure(bulk, load)
        measurement.result.update(
            moments_ns=script.began_ns,
            rates_bps=script.rates_bps(),
            longest_gap_s=_longest_gap_s(bench.directory / TIMELINE),
        )
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, and paths that carried without their address or not with it."""
        problems = list(measurement.problems) + _missing_signals(str(point.factors["moves"]), measurement)
        for moment in MOMENTS:
            carried = measurement.result["rates_bps"].get(moment.name, {})
            for path in range(2):
                share = carried.get(str(path + 1), 0) / self.parameters.rate
                there = moment.there or path != moment.path
                if share < BUSY_SHARE if there else share > SILENT_SHARE:
                    has = "has" if there else "has lost"
                    problems.append(f"{moment.name}: path {path + 1} {has} its address and carries {share:.0%}")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer and the time to start and stop programs and captures."""
        return self._seconds + 4


def _missing_signals(moves: str, measurement: Measurement) -> list[str]:
    """Return what of the changes did not reach the other end, by its counters."""
    reports = {host: measurement.stacks[host] for host in (CLIENT, SERVER)}
    counters = {host: report["counters"] if report else measurement.counters[host] for host, report in reports.items()}
    losses = sum(not moment.there for moment in MOMENTS)
    wanted = [(SERVER if moves == CLIENT else CLIENT, "RmAddr", losses), (SERVER, "MPJoinAckRx", 1 + losses)]
    if moves == SERVER:
        wanted += [(CLIENT, "AddAddr", 1 + losses), (SERVER, "EchoAdd", 1 + losses)]
    found = [(host, name, count, counters[host].get(f"MPTcpExt{name}", 0)) for host, name, count in wanted]
    return [f"{host}: {name} is {got}, not {count} or more" for host, name, count, got in found if got < count]


@dataclass
class _Script:
    """Changes the addresses of `host` when their time has come, and counts what the client's interfaces received.

    It is called ten times a second while the programs run; its time begins with the transfer.
    """

    bench: Bench
    host: str
    step_s: float
    start_ns: int = 0
    began_ns: dict[str, int] = field(default_factory=dict)
    counts: list[tuple[int, list[int]]] = field(default_factory=list)

    def __call__(self, share: float) -> None:
        self.bench.progress(share)
        now_ns, client = time.monotonic_ns(), self.bench.lab.hosts[CLIENT]
        if not self.start_ns and (self.bench.directory / TIMELINE).exists():
            self.start_ns = now_ns
        received = client.byte_counts()
        self.counts.append((now_ns, [received[interface][0] for interface in client.interfaces]))
        done = len(self.began_ns)
        if self.start_ns and done < len(MOMENTS) and now_ns >= self.start_ns + self.step_s * 1e9 * (done + 1):
            moment = MOMENTS[done]
            self.began_ns[moment.name] = time.monotonic_ns()
            change_address(self.bench.lab, self.bench.stack, self.host, moment.path, moment.there)

    def rates_bps(self) -> dict[str, dict[str, int]]:
        """Return what each path carried after each moment, from when it has settled to the next one."""
        bounds = [*self.began_ns.values(), self.counts[-1][0]]
        return {
            name: self._rates(begin_ns + round(SETTLE_S * 1e9), end_ns)
            for name, (begin_ns, end_ns) in zip(self.began_ns, pairwise(bounds), strict=True)
        }

    def _rates(self, begin_ns: int, end_ns: int) -> dict[str, int]:
        within = [one for one in self.counts if begin_ns <= one[0] <= end_ns]
        (first_ns, first), (last_ns, last) = within[0], within[-1]
        elapsed_ns = max(1, last_ns - first_ns)
        return {
            str(path): round((after - before) * 8e9 / elapsed_ns)
            for path, (before, after) in enumerate(zip(first, last, strict=True), 1)
        }


def change_address(lab: Lab, stack: StackUnderTest, host: str, path: int, there: bool) -> None:
    """Give the address of a path (from 0) back to its interface in `host`, or take it away."""
    moving = lab.hosts[host]
    address, interface = moving.ends[path].address, moving.interfaces[path]
    moving.run(["ip", "address", "add" if there else "del", str(address), "dev", interface])
    if stack.runs_our_stack(host):
        return
    if there:
        _add_endpoint(moving, path)
        return
    for number in endpoint_ids(moving.run(["ip", "mptcp", "endpoint", "show"]).stdout, str(address.ip)):
        moving.run(["ip", "mptcp", "endpoint", "delete", "id", number])


def _use_endpoints_of(lab: Lab, moving: str) -> None:
    """Make the kernel's path manager use the addresses of the host that moves, as a user of that host would."""
    for host in (CLIENT, SERVER):
        lab.hosts[host].run(["ip", "mptcp", "endpoint", "flush"])
    for path in range(len(lab.hosts[moving].ends)):
        _add_endpoint(lab.hosts[moving], path)


def _add_endpoint(host: Host, path: int) -> None:
    end = host.ends[path]
    host.run(["ip", "mptcp", "endpoint", "add", str(end.address.ip), "dev", end.interface, ENDPOINT_FLAGS[host.name]])


def endpoint_ids(shown: str, address: str) -> list[str]:
    """Return the IDs of an address in what `ip mptcp endpoint show` prints."""
    lines = [line.split() for line in shown.splitlines()]
    return [words[words.index("id") + 1] for words in lines if words and words[0] == address]


def _longest_gap_s(timeline: Path) -> float:
    """Return the longest time in which the application received nothing, to a tenth of a second."""
    with timeline.open() as file:
        rows = [(int(row["time_ns"]), int(row["received_bytes"])) for row in csv.DictReader(file)]
    news = [time_ns for (_, before), (time_ns, after) in pairwise(rows) if after > before]
    return round(max((later - earlier for earlier, later in pairwise(news)), default=0) / 1e9, 2)
