"""Passes of tracepoints over time, by core and interface.

Raw: `source` is the tracepoint, for those of devices with the interface behind it; `value` the count of each core since
the collector began.
"""

from __future__ import annotations

import pandas as pd

from analysis.collected.files import Collected


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample, tracepoint, interface and core: `time_s`, `event`, `host`, `interface`, `cpu`, `count`.

    Cumulative. `host` and `interface` are empty for tracepoints that have no device: those count the whole machine.
    """
    rows = []
    for reading in collected.readings():
        event, _, interface = reading.source.partition(" ")
        at = {"time_s": reading.time_s, "event": event, "host": reading.host, "interface": interface}
        rows += [at | {"cpu": int(cpu), "count": count} for cpu, count in reading.content.items()]
    return collected.frame(rows)
