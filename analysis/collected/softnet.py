"""Packet processing by core over time: softnet_stat and softirqs."""

from __future__ import annotations

import pandas as pd

from analysis.collected.files import Collected, Reading

_SOFTNET = {"processed": 0, "dropped": 1, "time_squeeze": 2, "received_rps": 9, "flow_limit": 10}
"""Hexadecimal columns of softnet_stat (net/core/net-procfs.c); `received_rps`: packets steered to this core."""
_CPU_COLUMN = 12
"""The core's number, since Linux 5.10: cores that are off have no line."""


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample, core and counter: `time_s`, `cpu`, `counter`, `value`, cumulative.

    Counters: packets `processed`, `dropped`, `received_rps` (steered to this core by RPS or RFS), `time_squeeze`,
    `flow_limit`; and softirqs by type, such as `softirq_NET_RX`. The whole machine's: also what is not of the lab.
    """
    rows = []
    for reading in collected.readings():
        found = _softnet(reading) if reading.source == "softnet_stat" else _softirqs(reading)
        rows += [{"time_s": reading.time_s, "cpu": cpu, "counter": name, "value": value} for cpu, name, value in found]
    return collected.frame(rows)


def _softnet(reading: Reading) -> list[tuple[int, str, int]]:
    found = []
    for line_number, line in enumerate(reading.content.splitlines()):
        numbers = [int(word, 16) for word in line.split()]
        cpu = numbers[_CPU_COLUMN] if len(numbers) > _CPU_COLUMN else line_number
        found += [(cpu, name, numbers[place]) for name, place in _SOFTNET.items()]
    return found


def _softirqs(reading: Reading) -> list[tuple[int, str, int]]:
    header, *lines = reading.content.splitlines()
    cpus = [int(word.removeprefix("CPU")) for word in header.split()]
    found = []
    for line in lines:
        name, *values = line.split()
        found += [(cpu, f"softirq_{name.rstrip(':')}", int(value)) for cpu, value in zip(cpus, values, strict=False)]
    return found
