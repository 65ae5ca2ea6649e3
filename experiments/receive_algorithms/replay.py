"""What finding the place of a segment costs with each receive algorithm, for segments in a recorded order of arrival.

`costs` has it measured by a program of its own, `python -m experiments.receive_algorithms FILE REPLAYS`, in which our
queue is pure Python, whatever runs here. Compiled it takes plain integers, whose comparisons nobody counts, and its
time would be C's beside that of queues in Python.
"""

from __future__ import annotations

import csv
import gc
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.receive_algorithms.queues import ALGORITHMS, Regular, Segment
from mptcp_stack.build import PURE, running
from testbed.host.commands import run
from testbed.host.process import module_command

_PAYLOAD = memoryview(bytes(1 << 16))
_START_S = 60.0
"""Chosen: to start a program and read its input takes less on any machine."""


class Arrival(NamedTuple):
    """A segment that a subflow handed to its connection: `length` bytes at data sequence number `start`."""

    subflow: int
    start: int
    length: int


def costs(arrivals: Sequence[Arrival], replays: int, file: Path) -> dict[str, Any]:
    """Write `arrivals` to `file`, and return what they cost as pure Python; `build` is what the program says it ran.

    `comparisons_*` are those of sequence numbers for a segment, `ns_*` the processor time (median of `replays`),
    `delivered_bytes_*` what came out, by algorithm; the rest is of `disorder`. Raises LabError when the program fails.
    """
    with file.open("w", newline="") as table:
        csv.writer(table).writerows([Arrival._fields, *arrivals])
    command = module_command("experiments.receive_algorithms", str(file), str(replays))
    limit_s = _START_S + len(arrivals) * replays / 1000
    measured: dict[str, Any] = json.loads(run(["env", f"{PURE}=1", *command], timeout=limit_s).stdout)
    return measured


def main(file: str, replays: str) -> None:
    """Print what the arrivals in a file cost, as JSON."""
    with open(file, newline="") as table:
        _, *rows = csv.reader(table)
    arrivals = [Arrival(*map(int, row)) for row in rows]
    measured = {"build": running(), "segments": len(arrivals), **disorder(arrivals)}
    times = nanoseconds(arrivals, int(replays))
    for name in ALGORITHMS:
        measured[f"comparisons_{name}"] = round(comparisons(name, arrivals), 3)
        measured[f"ns_{name}"] = round(times[name], 1)
        measured[f"delivered_bytes_{name}"] = replay(name, arrivals)
    json.dump(measured, sys.stdout)


class Gauge(Regular):
    """Tells how many segments are held."""

    held = 0

    def added(self, segment: Segment) -> None:
        self.held += 1

    def removed(self, segment: Segment) -> None:
        self.held -= 1


def disorder(arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Return the share of `arrivals` that had to be kept, and how many were held when one came: mean and maximum."""
    queue = Gauge(min(arrival.start for arrival in arrivals))
    held, kept = [], 0
    for subflow, start, length in arrivals:
        before = queue.held
        queue.insert(subflow, start, [_PAYLOAD[:length]], length)
        held.append(before)
        kept += queue.held > before
    return {
        "out_of_order_share": round(kept / len(arrivals), 4),
        "held_mean": round(statistics.fmean(held), 2),
        "held_max": max(held),
    }


class Counted(int):
    """A sequence number that counts how often one is compared with another."""

    comparisons = 0

    def __add__(self, other: int) -> Counted:
        return Counted(int(self) + int(other))

    def __lt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) < int(other)

    def __le__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) <= int(other)

    def __gt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) > int(other)

    def __ge__(self, other: int) -> bool:
        Counted.comparisons += 1
        return int(self) >= int(other)

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return int(self) == other

    __hash__ = int.__hash__


def comparisons(algorithm: str, arrivals: Sequence[Arrival]) -> float:
    """Return how often sequence numbers are compared for one segment, in the mean."""
    Counted.comparisons = 0
    replay(algorithm, [Arrival(subflow, Counted(start), length) for subflow, start, length in arrivals])
    return Counted.comparisons / len(arrivals)


def replay(algorithm: str, arrivals: Sequence[Arrival]) -> int:
    """Put `arrivals`, of a stream that begins with the first byte of them, in order; return how many bytes came out."""
    queue = ALGORITHMS[algorithm](min(arrivals, key=lambda arrival: int(arrival.start)).start)
    insert, delivered = queue.insert, 0
    for subflow, start, length in arrivals:
        for chunk in insert(subflow, start, [_PAYLOAD[:length]], length):
            delivered += len(chunk)
    return delivered


def nanoseconds(arrivals: Sequence[Arrival], rounds: int) -> dict[str, float]:
    """Return the processor time that each algorithm needs for one segment, in ns: the median of `rounds` replays.

    The algorithms take turns. What the replay itself needs, without any queue, is subtracted.
    """
    taken: dict[str, list[int]] = {name: [] for name in (*ALGORITHMS, "")}
    enabled = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, times in taken.items():
                began_ns = time.process_time_ns()
                replay(name, arrivals) if name else _replay_nothing(arrivals)
                times.append(time.process_time_ns() - began_ns)
    finally:
        if enabled:
            gc.enable()
    medians = {name: statistics.median(times) / len(arrivals) for name, times in taken.items()}
    loop_ns = medians.pop("")
    return {name: median - loop_ns for name, median in medians.items()}


def _replay_nothing(arrivals: Sequence[Arrival]) -> int:
    min(arrivals, key=lambda arrival: int(arrival.start))
    delivered = 0
    for _, _, length in arrivals:
        for chunk in [_PAYLOAD[:length]]:
            delivered += len(chunk)
    return delivered
