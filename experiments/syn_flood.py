"""Legitimate requests beside a SYN flood: how many are served, and how fast, against the rate of the flood.

A client makes requests at random times at a steady mean rate. From before the first until after the last a third host
sends SYNs with made-up addresses, which a router drops the answers to. Each of them leaves the server with a handshake
that never ends, until its table is full (1024 places). Then a server with SYN cookies (RFC 4987) answers with a cookie,
keeps nothing, and makes the connection out of the third ACK; one without them can only refuse new handshakes, or forget
old ones. Kernel and Python stacks are measured both ways. With MPTCP the cookie must also bring back the server's key.

The talk names SYN cookies among the next steps for MPTCP and reports no figures: at its time a server under a flood
could not offer MPTCP. Here all connections that were served should be MPTCP. What ends the service with cookies is
processor time, so the figure says how many SYNs a second each stack can answer on this machine beside its work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from testbed.collectors.collection import DIRECTORY, RAN
from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar, names_of
from testbed.host.process import announced_ready, module_command, running
from testbed.loadgen.client import FAILURES
from testbed.loadgen.server import BACKLOG
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.measure import HTTP_PORT, HttpLoad, Measurement, http, last_document
from testbed.stacks.mptcp_diagnosis import FALLBACKS
from testbed.units import SizeBytes

ATTACKER, ROUTER = "rival1", "left"
SOURCES = "10.3.1.128/26"
"""Addresses of the attacker's subnet that nobody has."""
SYNS: Mapping[str, tuple[str, ...]] = {"plain": (), "mp-capable": ("--mptcp",)}
WITHOUT = "syn_cookies=off"

NOT_SERVED = frozenset({"timeout", "unfinished", "unreachable"})
"""Failures that a flood may cause. All others are faults: bytes were altered or connections were reset."""
FORGOTTEN = "reset"
"""Without cookies a server that forgot a handshake knows nothing of its third ACK, and resets it."""
HEARD = 0.99
"""From this share of the flood's SYNs on that reached the stack, the machine is not what keeps requests from it."""
MOST_HALF_OPEN = 3 * BACKLOG
"""The kernel's list of sockets is read while it changes: those that come for others that go are seen beside them, which
has made it up to twice as many. A table without bounds would have every SYN of the flood."""
LEAD = 5 * BACKLOG // 4
"""SYNs before the first request, so that the table is full."""


def _rates(value: Any) -> Any:
    return [rate for rate in value.split(",") if rate.strip()] if isinstance(value, str) else value


class SynFloodParameters(Parameters):
    """What can be set."""

    floods: Annotated[tuple[Annotated[int, Field(ge=0, le=10**7)], ...], BeforeValidator(_rates)] = Field(
        description="SYNs a second of the flood; 0: none"
    )
    syns: Annotated[tuple[str, ...], names_of("kind of SYN", SYNS)] = Field(
        default=tuple(SYNS), description="kinds of SYN that it is made of"
    )
    seconds: float = Field(gt=0, le=600, description="seconds in which requests are made")
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="seconds after which a request is not served")
    requests_per_s: float = Field(default=100.0, gt=0, le=10**6, description="requests a second beside the flood")
    size: SizeBytes = Field(default=10_000, description="size of a response")


class SynFlood(Experiment[SynFloodParameters]):
    """Requests served beside a SYN flood."""

    name = "syn-flood"
    title = "Requests served beside a SYN flood"
    topology = "dumbbell"
    stacks = tuple(
        stack + more
        for stack in ("kernel-tcp", "kernel-mptcp", "python-tcp", "python-mptcp")
        for more in ("", f"+{WITHOUT}")
    )
    figure = "syn_flood"
    repeats = "SYN cookies, among the talk's next steps; RFC 4987"
    limits = (
        "Attacker, routers, server and client share the machine's processors: a flood takes time from all of them, and "
        "the kernel answers SYNs on the processor that sends them. With network cards and machines of their own the "
        "kernel's stacks would stand rates that cannot be made here; rates are those that were reached."
    )
    collectors = ("socket-states",)
    scales: ClassVar[Mapping[str, SynFloodParameters]] = {
        "quick": SynFloodParameters(repetitions=3, floods=(0, 1000, 10_000), syns=("mp-capable",), seconds=2),
        "paper": SynFloodParameters(
            repetitions=3, floods=(0, 1000, 5000, 10_000, 20_000, 50_000, 100_000), seconds=10, timeout_s=5
        ),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return one attacker and links of the machine's own speed."""
        return {"pairs": 1, "rate": "none", "delay": "0 ms"}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every stack with every flood; without a flood once, and where it makes a difference."""
        return [
            Point(stack, repetition, {"flood_per_s": flood, "syn": syn if flood else "none"})
            for stack in stacks
            for flood in self.parameters.floods
            for syn in self.parameters.syns[: None if flood else 1]
            if flood or WITHOUT not in stack
            for repetition in range(1, self.parameters.repetitions + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make the requests beside the flood."""
        parameters = self.parameters
        load = HttpLoad(
            parameters.size, round(parameters.requests_per_s * parameters.seconds),
            # Room for all that may wait for an answer at a time.
            concurrency=round(2 * parameters.requests_per_s * (parameters.timeout_s + 1)),
            request_timeout_s=parameters.timeout_s, time_limit_s=parameters.seconds + parameters.timeout_s + 2,
            rate_per_s=parameters.requests_per_s, seed=bench.seed,
        )  # fmt: skip
        flood: dict[str, Any] = {"sent": 0, "rate_per_s": 0.0, "slowest_rate_per_s": 0}
        measurement = bench.measure(partial(http, beside=partial(_flooding, bench, point, flood)), load)
        measurement.result.update(
            flood=flood,
            served_share=round(measurement.result["succeeded"] / load.requests, 4),
            half_open_peak=_half_open_peak(bench.directory / DIRECTORY),
            **_counted(measurement, flood["sent"]),
        )
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what must not be beside a flood either; without one, all that the stack found."""
        result = measurement.result
        if not point.factors["flood_per_s"]:
            return list(measurement.problems)
        problems = [
            f"collector {name}: {'; '.join(record['why'])}"
            for name, record in measurement.collectors.items()
            if record["outcome"] != RAN
        ]
        expected = NOT_SERVED | {FORGOTTEN} if WITHOUT in point.stack else NOT_SERVED
        problems += [
            f"{number} requests: {FAILURES[reason]}"
            for reason, number in result["failures"].items()
            if reason not in expected
        ]
        if result["half_open_peak"] > MOST_HALF_OPEN:
            problems.append(
                f"{result['half_open_peak']} handshakes under way at a time: more than the {BACKLOG} allowed"
            )
        if WITHOUT in point.stack:
            if result["cookies_sent"]:
                problems.append(f"{result['cookies_sent']} cookies were sent where there were to be none")
        elif result["heard_share"] >= HEARD:
            problems += _problems_with_cookies(result)
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the time of the load, of requests that wait in vain, and to start the programs."""
        flood = int(point.factors["flood_per_s"])
        in_vain_s = self.parameters.timeout_s if WITHOUT in point.stack else 0
        return 2 + self.parameters.seconds + in_vain_s + (LEAD / flood if flood else 0)


def _problems_with_cookies(result: Mapping[str, Any]) -> list[str]:
    """Return where cookies did not do what they are for, on a machine that was fast enough."""
    problems = []
    if result["succeeded"] < result["requests"]:
        problems.append(f"{result['requests'] - result['succeeded']} requests were not served in spite of cookies")
    if not result["cookies_sent"]:
        problems.append("no cookie was sent: the flood did not fill the server's table")
    if result["fallbacks"]:
        problems.append(f"cookies cost MPTCP: {result['fallbacks']}")
    return problems


@contextmanager
def _flooding(bench: Bench, point: Point, report: dict[str, Any]) -> Iterator[None]:
    """Flood the server during the block, first until its table must be full; put what was sent into `report`."""
    rate = int(point.factors["flood_per_s"])
    if not rate:
        yield
        return
    lab = bench.lab
    lab.hosts[ROUTER].run(["ip", "route", "replace", "blackhole", SOURCES])
    command = module_command(
        "testbed.loadgen.flood", "--to", f"{bench.stack.server_address(lab)}:{HTTP_PORT}", "--sources", SOURCES,
        "--rate", str(rate), "--lead", str(LEAD), "--seed", str(bench.seed), *SYNS[str(point.factors["syn"])],
    )  # fmt: skip
    with running(lab.hosts[ATTACKER], command, bench.directory, "flood") as program:
        program.await_start(announced_ready)
        yield
    report.update(last_document(program))


def _half_open_peak(collected: Path) -> int:
    """Return how many handshakes the server's stack kept at a time at the most, as far as it was looked at."""
    lines = [json.loads(line) for path in collected.glob("socket-states*.jsonl") for line in path.open()]
    return max((line["value"].get("SYN-RECEIVED", 0) for line in lines if line["host"] == SERVER), default=0)


def _counted(measurement: Measurement, flood_sent: int) -> dict[str, Any]:
    """Return what both ends counted, whoever did."""
    client, server = (
        (measurement.stacks[host] or {}).get("counters") or measurement.counters[host] for host in (CLIENT, SERVER)
    )
    heard = server.get("TcpInSegs", 0) - client.get("TcpOutSegs", 0)
    return {
        "heard_share": round(min(1.0, max(0.0, heard / flood_sent)), 4) if flood_sent else 1.0,
        "cookies_sent": server.get("TcpExtSyncookiesSent", 0),
        "cookies_accepted": server.get("TcpExtSyncookiesRecv", 0),
        "mptcp_connections": server.get("MPTcpExtMPCapableACKRX", 0),
        "fallbacks": "; ".join(
            f"{end}: {number} {fallback.counter}"
            for fallback in FALLBACKS
            for end, numbers in ((CLIENT, client), (SERVER, server))
            if (number := numbers.get(f"MPTcpExt{fallback.counter}"))
        ),
    }
