"""The kernel's protocol counters over time, under the names that nstat has for them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.collected.files import Collected


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and counter: `time_s`, `host`, `counter`, `value`, cumulative; zeros are left out.

    What a load added to a counter is its last value minus its first. Gauges such as TcpCurrEstab are states.
    """
    rows = [
        {"time_s": reading.time_s, "host": reading.host, "counter": counter, "value": value}
        for reading in collected.readings()
        for counter, value in (_single(reading.content) if reading.source == "snmp6" else _pairs(reading.content))
        if value
    ]
    return collected.frame(rows)


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    """Read lines in pairs, names above values, with the protocol in front (`snmp`, `netstat`)."""
    lines = [line.split() for line in text.splitlines()]
    for (protocol, *names), (_, *values) in zip(lines[::2], lines[1::2], strict=True):
        yield from ((protocol.rstrip(":") + name, int(value)) for name, value in zip(names, values, strict=True))


def _single(text: str) -> Iterator[tuple[str, int]]:
    """Read a name and a value on each line (`snmp6`)."""
    for line in text.splitlines():
        name, value = line.split()
        yield name, int(value)
