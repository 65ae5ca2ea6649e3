"""What becomes of a connection whose path leads through a middlebox: the matrix of middleboxes and stacks.

One connection over two paths carries content both ways, rests, and does so again. The middleboxes are on the second
path only, or on both; kernel TCP has just the first. The verdict comes from what both ends received, their counters and
what each path carried in the second half:

    full       MPTCP, and both paths in use
    fewer      MPTCP, and one path in use
    fallback   plain TCP, everything arrived (for kernel TCP: as always)
    failed     not everything arrived: reset, or not within the time limit
    corrupt    an application got bytes that were not sent

MPTCP sees changed bytes only with the checksums of DSS options (RFC 8684 section 3.3); without them, as plain TCP, it
delivers what such a middlebox made of them, and so it does after it had to fall back because every path alters bytes
(section 3.7). That is no fault of a stack, so the check asks `no corrupt byte` of all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar, names_of
from testbed.loadgen import content
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER
from testbed.stacks.counters import link_problems
from testbed.stacks.exchange import ExchangeLoad, exchange
from testbed.stacks.measure import Measurement
from testbed.stacks.mptcp_diagnosis import FALLBACKS
from testbed.units import DelayNs, RateBps, SizeBytes, TimeNs

PATHS = ("path1", "path2")
PLACES: Mapping[str, tuple[str, ...]] = {"second": PATHS[1:], "both": PATHS}
"""Where the middleboxes are."""

FULL, FEWER, FALLBACK, FAILED, CORRUPT = VERDICTS = ("full", "fewer", "fallback", "failed", "corrupt")
"""From best to worst."""

USED = 0.05
"""Least share of the bytes of the second half that makes a path one in use."""

CHECKSUM = "dss_checksum=on"
LINGER = "linger_s=1"
"""When a program ends everything has arrived or never will: subflows that cannot close are not waited for."""
PLAIN = "kernel-tcp"
_PATTERN = content.prefix(5000)[4000:4002]
"""Two bytes of the content, where early in it; they occur again every 65536 bytes on average."""


@dataclass(frozen=True)
class Row:
    """Middleboxes in a row, as in a topology.

    `changes_bytes`: they alter the stream itself, or where its bytes belong, which only DSS checksums cover. `kernel`
    and `python` are settings of the stacks that make the row mean something: sysctls, and settings as behind a stack's
    name. `plays`: how often each repetition plays it, more where it is chance that decides.
    """

    boxes: tuple[Mapping[str, Any], ...] = ()
    changes_bytes: bool = False
    kernel: Mapping[str, str] = field(default_factory=dict)
    python: tuple[str, ...] = ()
    plays: int = 1


def _box(kind: str, **parameters: Any) -> Mapping[str, Any]:
    return {"kind": kind, **parameters}


_LOSS = _box("lose", segments="data", share=0.02)
ROWS: Mapping[str, Row] = {
    "none": Row(),
    "strip-all": Row((_box("strip-option"),)),
    "strip-syn": Row((_box("strip-option", packets="syn"),)),
    "strip-non-syn": Row((_box("strip-option", packets="non-syn"),)),
    "strip-synack": Row((_box("strip-option", packets="syn", direction="backward"),)),
    "strip-join": Row((_box("strip-option", subtypes=["mp-join"]),)),
    "strip-add-addr": Row((_box("strip-option", subtypes=["add-addr"]),)),
    "strip-dss": Row((_box("strip-option", subtypes=["dss"]),)),
    "strip-dss-later": Row((_box("strip-option", subtypes=["dss"], after="100 kB"),)),
    "drop-unknown-syn": Row((_box("drop-unknown-syn"),)),
    "corrupt-syn": Row((_box("corrupt-option", packets="syn"),)),
    "corrupt-dss": Row((_box("corrupt-option", subtypes=["dss"], share=0.05),), changes_bytes=True, plays=5),
    "nat": Row((_box("nat"),)),
    "nat-timeout": Row((_box("nat", timeout="300 ms"),)),
    "nat-timeout-reset": Row((_box("nat", timeout="300 ms", forgotten="reset"),)),
    "rewrite-sequence": Row((_box("rewrite-sequence"),)),
    "rewrite-no-sack": Row((_box("rewrite-sequence", sack=False), _LOSS)),
    "split": Row((_box("split"),)),
    "split-one-option": Row((_box("split", copy_options=False),)),
    "coalesce": Row((_box("mss-clamp", mss=536), _box("coalesce"))),
    "modify-payload": Row((_box("modify-payload"),), changes_bytes=True),
    "alg": Row(
        (_box("application-gateway", pattern=f"hex:{_PATTERN.hex()}", replacement=f"hex:{_PATTERN.hex()}2a"),),
        changes_bytes=True,
    ),
    # Behind the link nothing is lost any more; before it, what the queue drops was acknowledged already.
    "proactive-ack": Row((_box("proactive-ack", direction="backward"),)),
    "proactive-ack-loss": Row((_box("proactive-ack"), _LOSS)),
    "retransmitting-proxy": Row((_box("retransmitting-proxy"), _LOSS)),
    "hole-filling": Row((_LOSS, _box("hole-filling"), _LOSS)),
    "window-clamp": Row((_box("window-clamp"),)),
    "rst-injection": Row((_box("rst-injection"),)),
    "duplicate-acks": Row((_box("duplicate-acks"),)),
    "reorder-acks": Row((_box("reorder-acks"),)),
    "icmp-blackhole": Row((_box("icmp-blackhole"),)),
    "ecn-bleach": Row((_box("ecn-bleach"),), kernel={"net.ipv4.tcp_ecn": "1"}, python=("ecn=on",)),
}
"""The rows of the matrix."""


class MiddleboxParameters(Parameters):
    """What can be set."""

    rows: Annotated[tuple[str, ...], names_of("row", ROWS)] = Field(
        default=tuple(ROWS), description="middleboxes, the rows of the matrix"
    )
    places: Annotated[tuple[str, ...], names_of("place", PLACES)] = Field(
        default=tuple(PLACES), description="paths on which they stand"
    )
    round_bytes: SizeBytes = Field(default=400_000, description="size of what is sent each way in a round")
    pause: TimeNs = Field(default=700_000_000, description="time between the two rounds")
    rate: RateBps = Field(default=20_000_000, description="rate of each path")
    delay: DelayNs = Field(default=5_000_000, description="its one-way delay")
    queue: SizeBytes = Field(default=100_000, description="its drop-tail queue")
    time_limit_s: float = Field(default=10, gt=0, le=600, description="seconds after which a cell has failed")


class Middleboxes(Experiment[MiddleboxParameters]):
    """The matrix of middleboxes and stacks."""

    name = "middleboxes"
    title = "Middleboxes on the path: what becomes of a connection"
    topology = "two-paths"
    stacks = (PLAIN, "kernel-mptcp", f"kernel-mptcp+{CHECKSUM}", "python-mptcp", f"python-mptcp+{CHECKSUM}")
    figure = "middleboxes"
    repeats = "the talk's list of middleboxes; NSDI 2012 and RFC 8684 on fallback"
    limits = (
        "Middleboxes are models of what studies found in the Internet, one or two behaviours at a time, on "
        "emulated links of 20 Mbit/s; real ones combine them and keep state for longer. A connection counts as "
        "failed when it is not done after the time limit, 10 s at quick scale: one that would recover after a "
        "minute is among them there."
    )
    scales: ClassVar[Mapping[str, MiddleboxParameters]] = {
        "quick": MiddleboxParameters(repetitions=1),
        "paper": MiddleboxParameters(repetitions=5, round_bytes=1_000_000, time_limit_s=60),
    }

    def topology_parameters(self) -> dict[str, Scalar]:
        """Return the two paths, alike."""
        return self.written("rate", "queue", "delay")

    def specification(self) -> dict[str, Any]:
        """Return what was asked, with the middleboxes of each row."""
        rows = {name: [dict(box) for box in ROWS[name].boxes] for name in self.parameters.rows}
        return super().specification() | {"middleboxes": rows}

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every stack with every row in one lab; with checksums only the rows that change bytes, and none."""
        return [
            Point(stack, repetition, {"row": row, "place": place})
            for stack in stacks
            for row in self.parameters.rows
            for place in self.parameters.places
            if place == "both" or stack != PLAIN
            if CHECKSUM not in stack or ROWS[row].changes_bytes or not ROWS[row].boxes
            for repetition in range(1, self.parameters.repetitions * ROWS[row].plays + 1)
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Put the middleboxes of the row in their place, and make one exchange."""
        row = ROWS[str(point.factors["row"])]
        parameters = self.parameters
        for path in PATHS:
            placed = path in PLACES[str(point.factors["place"])]
            bench.lab.set_middleboxes(path, row.boxes if placed else ())
        for host in (CLIENT, SERVER):
            for name, value in {"net.ipv4.tcp_ecn": "2", **row.kernel}.items():
                bench.lab.hosts[host].set_sysctl(name, value)
        if bench.stack.is_ours:
            bench = replace(bench, stack=create("+".join([point.stack, LINGER, *row.python])))
        load = ExchangeLoad(parameters.round_bytes, 2, parameters.pause / 1e9, parameters.time_limit_s)
        measurement = bench.measure(exchange, load)
        judge(measurement)
        return measurement

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return corrupt bytes where a stack could have seen them, and faults of the links."""
        # What arrives is asked, not when: frames that the emulator delivers late are none lost.
        links = {
            link: {direction: {**numbers, "late": 0} for direction, numbers in directions.items()}
            for link, directions in measurement.links.items()
        }
        problems = link_problems(links)
        result = measurement.result
        # Where both paths alter bytes the stack has to become TCP, and the middlebox does with it as it likes. An end
        # that says MP_FAIL on its only subflow has done so (RFC 8684 section 3.7), before a counter of fallbacks moves.
        is_tcp = result["fallbacks"] or (result["mp_fails"] and not result["joined"])
        sees = CHECKSUM in point.stack and not is_tcp
        if result["verdict"] == CORRUPT and (sees or not ROWS[str(point.factors["row"])].changes_bytes):
            problems.append("an application got bytes that were not sent")
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the time of an exchange, its pause and the start of the programs."""
        return 2.5


def judge(measurement: Measurement) -> None:
    """Put the verdict and what it rests on into the result."""
    result = measurement.result
    counters = {
        host: (measurement.stacks[host] or {}).get("counters") or measurement.counters[host]
        for host in (CLIENT, SERVER)
    }
    fallbacks = [
        f"{end}: {fallback.counter}"
        for fallback in FALLBACKS
        for end, numbers in counters.items()
        if numbers.get(f"MPTcpExt{fallback.counter}")
    ]
    late = [result["late_bytes"][path] for path in PATHS]
    used = sum(one >= USED * sum(late) for one in late if one)
    result["fallbacks"] = "; ".join(fallbacks)
    result["mp_fails"] = sum(numbers.get("MPTcpExtMPFailTx", 0) for numbers in counters.values())
    result["joined"] = counters[SERVER].get("MPTcpExtMPJoinAckRx", 0)
    multipath = counters[SERVER].get("MPTcpExtMPCapableACKRX", 0)
    result["verdict"] = _verdict(result, bool(multipath) and not fallbacks, used)
    for name, number in _box_counters(measurement.links).items():
        result[f"middleboxes_{name}"] = number


def _verdict(result: Mapping[str, Any], multipath: bool, used: int) -> str:
    ends = (result, result["server"])
    if not all(end["content_ok"] for end in ends):
        return CORRUPT
    if any(end["failure"] for end in ends):
        return FAILED
    if not multipath:
        return FALLBACK
    return FULL if used == len(PATHS) else FEWER


def _box_counters(links: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, int]:
    """What all middleboxes together did to packets."""
    boxes = [numbers for link in links.values() for name, numbers in link.items() if name.startswith("middlebox")]
    return {name: sum(box[name] for box in boxes) for name in ("changed", "dropped", "injected")}
