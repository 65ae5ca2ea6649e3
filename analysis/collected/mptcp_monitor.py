"""The kernel's MPTCP announcements: one row each.

Raw: `text` is a line of `ip mptcp monitor` such as `[  SF_ESTABLISHED] token=1f2e locid=1 saddr4=10.0.2.1 ...`.
"""

from __future__ import annotations

import re

import pandas as pd

from analysis.collected.files import Collected

_LINE = re.compile(r"\[\s*(\w+)\s*\]\s*(.*)")
_NAMES = {"saddr4": "saddr", "saddr6": "saddr", "daddr4": "daddr", "daddr6": "daddr"}
_DECIMAL = ("locid", "remid", "sport", "dport", "backup", "error", "timeout", "ifindex", "server_side")
_BASES = dict.fromkeys(_DECIMAL, 10) | {"token": 16}


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row an announcement: `time_s`, `host`, `event` (CREATED, ESTABLISHED, SF_ESTABLISHED, CLOSED ...).

    The event's fields follow where it has them: `token` (a number, as in the frame of `sockets`), `saddr`, `daddr`,
    `sport`, `dport`, `locid`, `remid`, `backup` ... Times are those of the reading.
    """
    rows = []
    for reading in collected.readings():
        match = _LINE.match(reading.content)
        if match is None:
            continue
        row = {"time_s": reading.time_s, "host": reading.host, "event": match[1]}
        for word in match[2].split():
            name, _, value = word.partition("=")
            row[_NAMES.get(name, name)] = int(value, _BASES[name]) if name in _BASES else value
        rows.append(row)
    return collected.frame(rows)
