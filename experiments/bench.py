"""The benchmark: what our stack does in a second and what that costs, each row beside its peer in the same run.

A row is a load on a network. Its stacks take turns, so that a change of the machine's pace meets all of them, and each
ratio is one of pairs, of the same repetition. The first stack of a row is the peer: the kernel's MPTCP, its TCP, or our
own stack in another form (pure Python).

Links are unshaped, but for rows at 2 x 50 Mbit/s: what counts is the processor's time, which all programs, links and
the kernel's own work share. Costs are the processor time of the load's two programs, their start included, with what
the kernel did on their account; what it did in interrupts is on nobody's.

`./lab bench --against FILE` compares with what `./lab bench --json` printed before, here or elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Annotated, Any, ClassVar

from pydantic import Field

from testbed.experiment import Bench, Experiment, Parameters, Point, Scalar, names_of
from testbed.stacks.base import CLIENT
from testbed.stacks.frames import FramesLoad, frames
from testbed.stacks.measure import BulkLoad, HttpLoad, Measurement, bulk, http
from testbed.stacks.setup import SetupLoad, setup

OURS, KERNEL = "python-mptcp", "kernel-mptcp"
PURE = f"{OURS}+build=pure"
TCP = ("kernel-tcp", "python-tcp")
SUPER: dict[str, Scalar] = {"wire": "super-segments"}
MTU: dict[str, Scalar] = {"wire": "mtu"}
UNSHAPED: dict[str, Scalar] = {"rate": "none"}
SLOW: dict[str, Scalar] = {"rate": "50 Mbit/s", "queue": "500 kB"}
SIZES = {"1k": 1_000, "30k": 30_000, "300k": 300_000, "1M": 1_000_000}
MOST_REQUESTS = 10**6
"""Beyond what two cores serve in the time: what ends the requests is the time."""
CONCURRENCY = 100
SAMPLES = 200
"""Connections that are timed while others are open."""
STARTS = 3


@dataclass(frozen=True)
class Score:
    """What a row's numbers are: which of a result, in which unit, and whether more of it is better."""

    name: str
    unit: str
    factor: float = 1.0
    more_is_better: bool = True
    per: str = ""
    """What a second of processor time is divided by for the row's cost: a result; empty for none."""
    cost_unit: str = ""
    cost_factor: float = 1.0


GBIT_S = Score("throughput_bps", "Gbit/s", 1e-9, per="received_bytes", cost_unit="s/GB", cost_factor=1e9)
REQUESTS_S = Score("requests_per_s", "requests/s", per="requests", cost_unit="us/request", cost_factor=1e6)
CONNECT_US = Score("connect_us", "us to connect", more_is_better=False)
ROUND_TRIP_US = Score("round_trip_us", "us a round trip", more_is_better=False)
START_MS = Score("start_ms", "ms to start", more_is_better=False)

Measure = Callable[[Bench, float], Measurement]


@dataclass(frozen=True)
class Row:
    """A load on a network. `says` it in words; the first of `stacks` is the peer of the others."""

    says: str
    measure: Measure
    score: Score
    network: Mapping[str, Scalar] = field(default_factory=lambda: UNSHAPED)
    paths: int = 2
    stacks: tuple[str, ...] = (KERNEL, OURS)


def transfer(bench: Bench, seconds: float) -> Measurement:
    """One download."""
    return bench.measure(bulk, BulkLoad("download", limit_seconds=seconds))


def requests(size_bytes: int) -> Measure:
    """Return what makes requests of this size, many at once."""

    def measure(bench: Bench, seconds: float) -> Measurement:
        return bench.measure(http, HttpLoad(size_bytes, MOST_REQUESTS, CONCURRENCY, seconds=seconds))

    return measure


def connects(count_open: int) -> Measure:
    """Return what times connections while so many are open."""

    def measure(bench: Bench, seconds: float) -> Measurement:
        measurement = bench.measure(setup, SetupLoad(count_open, SAMPLES))
        measurement.result["connect_us"] = median(measurement.result.pop("connect_ns")) / 1e3
        return measurement

    return measure


def ping_pong(bench: Bench, seconds: float) -> Measurement:
    """One byte there and one back, over and over."""
    measurement = bench.measure(frames, FramesLoad("blocks:size=1 B", "dialogue", seconds, answer_bytes=1))
    measurement.result["round_trip_us"] = measurement.result["dialogue"]["delay_ms"]["p50"] * 1e3
    return measurement


def start(bench: Bench, seconds: float) -> Measurement:
    """The least of some starts of the program that has all of the stack; the client's host does it."""
    command = bench.stack.command(bench.lab, CLIENT, "testbed.loadgen.bulk", "client", "--help")
    times_s = []
    for _ in range(STARTS):
        began = time.perf_counter()
        bench.lab.hosts[CLIENT].run(command)
        times_s.append(time.perf_counter() - began)
    return Measurement({"start_ms": min(times_s) * 1e3}, [], {}, {}, {})


ROWS: Mapping[str, Row] = {
    "bulk-1-super": Row("one path, 64 KB on the wire", transfer, GBIT_S, UNSHAPED | SUPER, 1),
    "bulk-2-super": Row(
        "two paths, 64 KB on the wire", transfer, GBIT_S, UNSHAPED | SUPER,
        stacks=(KERNEL, OURS, "python-server", "python-client"),
    ),
    "bulk-4-super": Row("four paths, 64 KB on the wire", transfer, GBIT_S, UNSHAPED | SUPER, 4),
    "bulk-1-mtu": Row("one path, 1500 B on the wire", transfer, GBIT_S, UNSHAPED | MTU, 1),
    "bulk-2-mtu": Row(
        "two paths, 1500 B on the wire", transfer, GBIT_S, UNSHAPED | MTU,
        stacks=(KERNEL, OURS, "python-server", "python-client"),
    ),
    "bulk-4-mtu": Row("four paths, 1500 B on the wire", transfer, GBIT_S, UNSHAPED | MTU, 4),
    "bulk-tcp-super": Row("TCP, 64 KB on the wire", transfer, GBIT_S, UNSHAPED | SUPER, 1, TCP),
    "bulk-tcp-mtu": Row("TCP, 1500 B on the wire", transfer, GBIT_S, UNSHAPED | MTU, 1, TCP),
    "bulk-record": Row("eight paths, 9000 B on the wire", transfer, GBIT_S, UNSHAPED | MTU | {"mtu": 9000}, 8),
    "bulk-checksum": Row(
        "two paths, 64 KB, DSS checksums", transfer, GBIT_S, UNSHAPED | SUPER,
        stacks=(f"{KERNEL}+dss_checksum=on", f"{OURS}+dss_checksum=on"),
    ),
    "bulk-compiled": Row(
        "two paths, 64 KB, compiled over pure", transfer, GBIT_S, UNSHAPED | SUPER, stacks=(PURE, OURS)
    ),
    **{f"flows-{name}": Row(f"answers of {size:,} B", requests(size), REQUESTS_S) for name, size in SIZES.items()},
    **{
        f"flows-{name}-slow": Row(f"answers of {size:,} B, 2 x 50 Mbit/s", requests(size), REQUESTS_S, SLOW)
        for name, size in SIZES.items()
    },
    "flows-compiled": Row("answers of 1,000 B, compiled over pure", requests(1_000), REQUESTS_S, stacks=(PURE, OURS)),
    "connections": Row("answers of 1 B: connections", requests(1), REQUESTS_S),
    **{
        f"connect-{count}": Row(f"a connection beside {count:,} open", connects(count), CONNECT_US, paths=1)
        for count in (0, 1_000, 10_000)
    },
    "round-trip": Row("1 B there and back", ping_pong, ROUND_TRIP_US),
    "start": Row("the start of a program, compiled over pure", start, START_MS, stacks=(PURE, OURS)),
}  # fmt: skip


class BenchParameters(Parameters):
    """What can be set."""

    rows: Annotated[tuple[str, ...], names_of("row", ROWS)] = Field(
        default=tuple(ROWS), min_length=1, description="what is measured"
    )
    seconds: float = Field(gt=0, le=3600, description="seconds of one load")


class Benchmark(Experiment[BenchParameters]):
    """Rows of the benchmark."""

    name = "bench"
    title = "Benchmark: our stack beside its peers"
    topology = "two-paths"
    stacks = tuple(dict.fromkeys(stack for row in ROWS.values() for stack in row.stacks))
    figure = "bench"
    limits = (
        "There is no network card: packets pass between virtual interfaces of one machine, and sender, receiver and "
        "the kernel's forwarding share its cores. Machines differ, and a ratio with them: compare those of one machine."
    )
    scales: ClassVar[Mapping[str, BenchParameters]] = {
        "quick": BenchParameters(repetitions=5, seconds=3),
        "paper": BenchParameters(repetitions=10, seconds=10),
    }

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return the rows, and for each its repetitions, in which its stacks take turns."""
        return [
            Point(stack, repetition, {"row": name}, topology={**row.network, "paths": row.paths})
            for name, row in ((name, ROWS[name]) for name in self.parameters.rows)
            for repetition in range(1, self.parameters.repetitions + 1)
            for stack in row.stacks
            if stack in stacks
        ]

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Put the load on, and read the row's score and cost."""
        row = ROWS[str(point.factors["row"])]
        measurement = row.measure(bench, self.parameters.seconds)
        measurement.result.update(scored(row, measurement.result))
        return measurement

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the load and the time to start the programs and the lab."""
        return self.parameters.seconds + 2.5


def scored(row: Row, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a result says of a row: `score`, `cost` if it has one, their units, and who is the peer."""
    score = row.score
    found = {
        "says": row.says, "peer": row.stacks[0], "score": result[score.name] * score.factor, "score_unit": score.unit,
        "more_is_better": score.more_is_better,
    }  # fmt: skip
    if score.per:
        found["cost"] = result["programs_cpu_s"] / result[score.per] * score.cost_factor
        found["cost_unit"] = score.cost_unit
    return found
