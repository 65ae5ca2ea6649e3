"""Number of TCP sockets, or of our stack's flows, in each state over time."""

from __future__ import annotations

import pandas as pd

from analysis.collected.files import Collected


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a sample, host and state that some socket is in: `time_s`, `host`, `stack`, `state`, `sockets`.

    `stack` is "kernel" or "ours". A sample without any socket has one row with the state "" and 0.
    """
    rows = []
    for reading in collected.readings():
        stack = "ours" if reading.source == "stack" else "kernel"
        at = {"time_s": reading.time_s, "host": reading.host, "stack": stack}
        states = {state: number for state, number in reading.content.items() if number}
        rows += [at | {"state": state, "sockets": number} for state, number in (states or {"": 0}).items()]
    return collected.frame(rows)
