"""Our stack's event stream: one row an observation.

Raw: one JSON document a line with `event`, `time_ns` (CLOCK_MONOTONIC), `connection` and the fields of that event, as
`mptcp_stack/observe.py` documents them; one file a host.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from analysis.collected.files import Collected
from analysis.errors import UnreadableFile
from analysis.files import open_regular


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row an observation: `time_s`, `host`, `event`, `connection`, `subflow`, and the events' fields.

    A field is NA where an event has none of that name. Whole numbers stay whole: sequence numbers have 64 bits.
    """
    rows = []
    for path in collected.paths:
        host = path.stem.removeprefix(f"{collected.name}-")
        with open_regular(path) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    document = json.loads(line)
                    time_s = collected.seconds(document.pop("time_ns"))
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                    raise UnreadableFile(f"{path}:{number}: not an observation ({error})") from error
                rows.append({"time_s": time_s, "host": host, **document})
    rows.sort(key=lambda row: row["time_s"])
    names = dict.fromkeys(name for row in rows for name in row)
    return collected.frame(rows and {name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> Any:
    """Return values as a column; whole numbers without the detour over floating point that gaps would mean."""
    if all(value is None or type(value) is int for value in values):
        try:
            return pd.array(values, dtype="UInt64")
        except OverflowError:  # a sequence number that went once round
            return pd.Series(values, dtype=object)
    return values
