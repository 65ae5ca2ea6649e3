"""The kernel's protocol counters over time, under the names that nstat has for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pandas as pd

from analysis.collected.files import Collected


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample and counter: `time_s`, `host`, `stack`, `counter`, `value`, cumulative, zeros left out.

    `stack` is "kernel" or "ours". A host whose programs use our stack has both: its kernel forwards the packets.
    What a load added to a counter is its last value minus its first. Gauges such as TcpCurrEstab are states.
    """
    rows = []
    for reading in collected.readings():
        stack = "ours" if reading.source == "stack" else "kernel"
        at = {"time_s": reading.time_s, "host": reading.host, "stack": stack}
        counted = _READERS[reading.source](reading.content)
        rows += [at | {"counter": counter, "value": value} for counter, value in counted if value]
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


_READERS: dict[str, Callable[[Any], Iterable[tuple[str, int]]]] = {
    "snmp": _pairs,
    "netstat": _pairs,
    "snmp6": _single,
    "stack": dict[str, int].items,
}
"""By source."""
