"""Out-of-order segments at the connection: what finding the place of one costs, algorithm by algorithm.

Segments that the subflows deliver in order are out of order for the connection when paths differ in delay, and the more
subflows, the longer the queue. A download over 2 and over 8 emulated paths, in segments of one MSS, with our stack at
both ends gives a real order of arrival: the receiver's event stream says which subflow delivered which bytes when, and
the sender's which data sequence numbers these were. The order is then replayed through the receive algorithms of the
paper, and through ours, in one process: comparisons of sequence numbers for a segment, and processor time (the median
of many replays that take turns, without the time of the replay itself). All of it is pure Python, as only so our queue
can be compared with the others: a stack that is compiled takes part as `+build=pure`.

    regular        a list, searched from its end backwards, as TCP did in Linux until 2016
    tree           a balanced search tree
    shortcuts      first behind the last segment of the same subflow, else as regular
    all shortcuts  then behind those of the other subflows, else backwards from the nearest
    ours           bisection in a sorted array

The paper (NSDI 2012) gave the processor load of a receiver in the kernel: it was higher with 8 subflows than with 2,
and there the shortcuts saved most. The load of our receiver would not show it, as all around the queue is Python;
comparisons are the same in any language. The time is CPython's: a step along a list costs a few bytecodes, while a
bisection is one call into C whatever the length. The kernel's MPTCP of today keeps a red-black tree (with a shortcut
for the last segment) that cannot be exchanged for another, so it has no bar.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from experiments.receive_algorithms.queues import ALGORITHMS
from experiments.receive_algorithms.replay import Arrival, costs
from testbed.errors import Unsupported
from testbed.experiment import Bench, Experiment, Parameters, Point, PositiveInts, Scalar
from testbed.stacks.base import CLIENT, SERVER, common_build
from testbed.stacks.measure import BulkLoad, Measurement, bulk
from testbed.units import RATE, DelayNs, RateBps, SizeBytes

ARRIVALS = "arrivals.csv"
"""The order of arrival, among a point's raw files: subflow, data sequence number of the first byte, length."""


class ReceiveParameters(Parameters):
    """What can be set."""

    subflows: PositiveInts = Field(default=(2, 8), description="numbers of paths, a subflow on each")
    size: SizeBytes = Field(description="size of the transfer that is recorded")
    replays: int = Field(ge=1, le=1000, description="how often its segments are given to each algorithm")
    rate: RateBps = Field(default=48_000_000, description="rate of all paths together")
    first_delay: DelayNs = Field(default=5_000_000, description="one-way delay of the first path")
    last_delay: DelayNs = Field(default=75_000_000, description="that of the last; those between are evenly spaced")
    queue: SizeBytes = Field(default=100_000, description="drop-tail queue before each path")


class ReceiveAlgorithms(Experiment[ReceiveParameters]):
    """Comparisons and processor time for a segment in the out-of-order queue."""

    name = "receive-algorithms"
    title = "Out-of-order segments: the cost of finding their place"
    topology = "n-paths"
    stacks = ("python-mptcp+build=pure+gso_max_bytes=1400",)
    figure = "receive_algorithms"
    repeats = 'out-of-order receive algorithms, NSDI 2012 ("How Hard Can It Be?")'
    collectors = ("events",)
    limits = (
        "A replay of recorded arrivals in CPython in place of the processor load of a kernel at 1 Gbit/s and more: two "
        "cores cannot run eight fast emulated paths with both ends in Python. The queue comes from delays of up to "
        "75 ms at 48 Mbit/s."
    )
    scales: ClassVar[Mapping[str, ReceiveParameters]] = {
        "quick": ReceiveParameters(repetitions=3, size=12_000_000, replays=9),
        "paper": ReceiveParameters(repetitions=10, size=100_000_000, replays=21),
    }

    def points(self, stacks: Sequence[str]) -> list[Point]:
        """Return every number of subflows, its repetitions in one lab."""
        parameters = self.parameters
        return [
            Point(stack, repetition, {"subflows": subflows}, topology=self._paths(subflows))
            for stack in stacks
            for subflows in parameters.subflows
            for repetition in range(1, parameters.repetitions + 1)
        ]

    def _paths(self, number: int) -> dict[str, Scalar]:
        parameters = self.parameters
        step_ns = (parameters.last_delay - parameters.first_delay) / max(1, number - 1)
        delays = ",".join(f"{round(parameters.first_delay + path * step_ns)} ns" for path in range(number))
        rate = RATE.write(parameters.rate // number)
        return {"paths": number, "rate": rate, "delay": delays, **self.written("queue")}

    def run_point(self, bench: Bench, point: Point) -> Measurement:
        """Make one transfer, then replay the arrivals of its segments."""
        if not (bench.stack.runs_our_stack(CLIENT) and bench.stack.runs_our_stack(SERVER)):
            raise Unsupported(f"stack {bench.stack.name} does not tell in which order its segments arrived")
        if bench.stack.build != "pure":
            raise Unsupported(f"queues are compared as pure Python, stack {point.stack} is compiled: add +build=pure")
        measurement = bench.measure(bulk, BulkLoad("download", limit_bytes=self.parameters.size))
        arrivals = read_arrivals(bench.directory / "collected")
        measured = costs(arrivals, self.parameters.replays, bench.directory / ARRIVALS)
        build = common_build([*measurement.stacks.values(), {"build": measured.pop("build")}])
        measurement.result.update(measured, subflows_used=len({arrival.subflow for arrival in arrivals}))
        return replace(measurement, build=build)

    def checks(self, point: Point, measurement: Measurement) -> list[str]:
        """Return what the stack found, subflows that carried nothing, and algorithms that lost bytes."""
        problems, result = list(measurement.problems), measurement.result
        if result["subflows_used"] != point.factors["subflows"]:
            problems.append(f"only {result['subflows_used']} of {point.factors['subflows']} subflows carried data")
        for name in ALGORITHMS:
            if result[f"delivered_bytes_{name}"] != result["received_bytes"]:
                problems.append(
                    f"{name} delivered {result[f'delivered_bytes_{name}']} of {result['received_bytes']} bytes"
                )
        return problems

    def expected_seconds(self, point: Point) -> float:
        """Return the length of the transfer, and the time to start the programs and for the replays."""
        parameters = self.parameters
        return 3 + parameters.size * 8 / parameters.rate + parameters.replays * parameters.size / 40e6


def read_arrivals(collected: Path) -> list[Arrival]:
    """Return in which order a download's segments came to the connection, from the event streams of both ends."""
    sent: dict[int, list[tuple[int, int, int]]] = {}
    for event in _events(collected / f"events-{SERVER}.jsonl", "DataSent", "Reinjected"):
        sent.setdefault(event["subflow"], []).append((event["ssn"], event["dsn"], event["length_bytes"]))
    numbers = _server_numbers(collected)
    arrivals = []
    for event in _events(collected / f"events-{CLIENT}.jsonl", "DataReceived"):
        mappings = sent[numbers[event["subflow"]]]
        ssn, end = event["ssn"], event["ssn"] + event["length_bytes"]
        place = bisect_right(mappings, ssn, key=lambda mapping: mapping[0]) - 1
        while ssn < end:
            first, dsn, length = mappings[place]
            part = min(end, first + length) - ssn
            arrivals.append(Arrival(event["subflow"], dsn + ssn - first, part))
            ssn, place = ssn + part, place + 1
    return arrivals


def _server_numbers(collected: Path) -> dict[int, int]:
    """Return what the server calls each of the client's subflows: either end numbers them as it likes."""
    ends = {
        host: {
            (event["local"], event["remote"]): event["subflow"]
            for event in _events(collected / f"events-{host}.jsonl", "SubflowUp")
        }
        for host in (CLIENT, SERVER)
    }
    return {number: ends[SERVER][remote, local] for (local, remote), number in ends[CLIENT].items()}


def _events(path: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        for line in lines:
            event = json.loads(line)
            if event["event"] in kinds:
                yield event
