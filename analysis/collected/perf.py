"""Hardware counters over time, by core.

Raw: `source` is the event; `value` has for each core the count, and for how many ns it was wanted and really ran.
"""

from __future__ import annotations

import pandas as pd

from analysis.collected.files import Collected


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample, event and core: `time_s`, `event`, `cpu`, `count`, `share`. Cumulative.

    Where the processor has fewer counters than events, each ran a `share` of the time, and `count` is scaled up.
    """
    rows = []
    for reading in collected.readings():
        for cpu, (count, wanted_ns, ran_ns) in reading.content.items():
            share = ran_ns / wanted_ns if wanted_ns else 0.0
            scaled = count / share if share else 0.0
            row = {"time_s": reading.time_s, "event": reading.source, "cpu": int(cpu), "count": scaled, "share": share}
            rows.append(row)
    return collected.frame(rows)
