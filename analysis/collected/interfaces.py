"""`/proc/net/dev` over time: cumulative bytes and packets by host and interface."""

from __future__ import annotations

import pandas as pd

from analysis.collected.files import Collected

_FIELDS = {"rx_bytes": 0, "rx_packets": 1, "rx_dropped": 3, "tx_bytes": 8, "tx_packets": 9, "tx_dropped": 11}
"""Columns of the kernel's table behind the name (net/core/net-procfs.c)."""

COUNTERS = list(_FIELDS)


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and interface: `time_s`, `host`, `interface` and :data:`COUNTERS`, cumulative.

    `analysis.collected.files.deltas` makes increments of them.
    """
    rows = []
    for reading in collected.readings():
        for line in reading.content.splitlines()[2:]:
            name, _, values = line.partition(":")
            numbers = values.split()
            counts = {field: int(numbers[place]) for field, place in _FIELDS.items()}
            rows.append({"time_s": reading.time_s, "host": reading.host, "interface": name.strip(), **counts})
    return collected.frame(rows)
