"""What the raw files of collectors say of where packets and programs ran, summed up over one load.

Reads what `tracepoints`, `softnet`, `cpu` and `perf` leave (see `testbed.collectors`).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

RECEIVE = "net:netif_receive_skb"
"""The tracepoint that every packet passes once, on the core where it is processed after any steering."""

_STEERED, _CPU_COLUMN = 9, 12
_IDLE_FIELDS = (3, 4)  # of a core's line in /proc/stat: idle and iowait

Core = int
Interface = tuple[str, str]
"""Host and name."""


def received_packets(directory: Path) -> dict[Interface, dict[Core, int]]:
    """Packets that came in by each interface, by the core that processed them.

    One packet is what the stack gets at once: GRO may have merged several of the wire.
    """
    packets = {}
    for (host, source), (first, last) in _ends(directory / "tracepoints.jsonl").items():
        event, _, interface = source.partition(" ")
        if event == RECEIVE:
            packets[host, interface] = {int(cpu): count - first["value"][cpu] for cpu, count in last["value"].items()}
    return packets


def steered_packets(directory: Path) -> dict[Core, int]:
    """Packets that another core handed over to each core (softnet_stat's received_rps), of the whole machine."""
    first, last = _ends(directory / "softnet.jsonl")["", "softnet_stat"]
    before, after = (_parse_softnet(sample["text"]) for sample in (first, last))
    return {cpu: count - before.get(cpu, 0) for cpu, count in after.items()}


def busy_seconds(directory: Path) -> dict[Core, float]:
    """Time that each core was not idle, whatever it did."""
    first, last = _ends(directory / "cpu.jsonl")["", "cores"]
    before, after = (_parse_cores(sample["text"]) for sample in (first, last))
    return {cpu: round(seconds - before.get(cpu, 0.0), 2) for cpu, seconds in after.items()}


def hardware_events(directory: Path) -> dict[str, int]:
    """Hardware events of the whole machine, such as cache-misses; empty where it has no counters for them."""
    path = directory / "perf.jsonl"
    if not path.exists():
        return {}
    return {
        source: sum(counted[0] - first["value"][cpu][0] for cpu, counted in last["value"].items())
        for (_, source), (first, last) in _ends(path).items()
    }


@dataclass
class Usage:
    """What the programs of a host needed, up to the last sample of each."""

    run_s: float = 0.0
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    migrations: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def usage(directory: Path, command: str) -> dict[str, Usage]:
    """What the programs whose command line holds `command` needed, by host."""
    owners: dict[int, str] = {}
    threads: dict[tuple[int, int], Usage] = {}
    for sample in _samples(directory / "cpu.jsonl"):
        if sample["source"] == "processes":
            owners |= {
                int(pid): one["host"]
                for pid, one in sample["value"].items()
                if one["host"] and command in " ".join(one["command"])
            }
        elif sample["source"] == "threads":
            for pid, thread, _core, _user, _system, run_ms, *counts in sample["value"]:
                threads[pid, thread] = Usage((run_ms or 0.0) / 1e3, *(int(count or 0) for count in counts))
    total: dict[str, Usage] = {}
    for (pid, _), one in threads.items():
        if pid in owners:
            total[owners[pid]] = total.get(owners[pid], Usage()) + one
    return total


def run_seconds(directory: Path, command: str, begin_ns: int, end_ns: int) -> float:
    """Processor time of the programs whose command line holds `command`, between two moments of CLOCK_MONOTONIC.

    With what the kernel did on their account; even between two samples.
    """
    pids: set[int] = set()
    ran_s: dict[tuple[int, int], float] = {}
    times, totals = [], []
    for sample in _samples(directory / "cpu.jsonl"):
        if sample["source"] == "processes":
            pids |= {int(pid) for pid, one in sample["value"].items() if one["host"] and command in one["command"]}
        elif sample["source"] == "threads":
            ran_s |= {(pid, thread): (run_ms or 0.0) / 1e3 for pid, thread, _, _, _, run_ms, *_ in sample["value"]}
            times.append(sample["time_ns"])
            totals.append(dict(ran_s))
    sums = [sum(seconds for (pid, _), seconds in total.items() if pid in pids) for total in totals]
    return _between(times, sums, end_ns) - _between(times, sums, begin_ns)


def _between(times: Sequence[int], values: Sequence[float], moment_ns: int) -> float:
    """Value at a moment, on the line between the samples around it; the nearest outside of all."""
    after = min(max(bisect_left(times, moment_ns), 1), len(times) - 1)
    share: float = (moment_ns - times[after - 1]) / (times[after] - times[after - 1])
    return values[after - 1] + min(max(share, 0.0), 1.0) * (values[after] - values[after - 1])


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    with path.open() as lines:
        yield from map(json.loads, lines)


def _ends(path: Path) -> dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]:
    """The first and the last sample of each source, by host and source."""
    ends: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}
    for sample in _samples(path):
        key = sample["host"], sample["source"]
        ends[key] = (ends[key][0] if key in ends else sample), sample
    return ends


def _parse_softnet(text: str) -> dict[Core, int]:
    """Steered packets by core; older kernels do not number their lines."""
    rows = [[int(word, 16) for word in line.split()] for line in text.splitlines()]
    return {row[_CPU_COLUMN] if len(row) > _CPU_COLUMN else number: row[_STEERED] for number, row in enumerate(rows)}


def _parse_cores(text: str) -> dict[Core, float]:
    """Seconds not idle by core, from /proc/stat and the line behind it that says how many ticks a second has."""
    lines = [line.split() for line in text.splitlines()]
    ticks = float(lines[-1][1])
    return {
        int(name[3:]): sum(int(value) for place, value in enumerate(values[:8]) if place not in _IDLE_FIELDS) / ticks
        for name, *values in lines
        if name.startswith("cpu") and name != "cpu"
    }
