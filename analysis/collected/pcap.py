"""Captures of the hosts' interfaces: one row a TCP segment."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import capture
from analysis.collected.files import Collected

_FLAGS = "FSRPAUEC"
_SUBTYPES = {
    0: "MP_CAPABLE", 1: "MP_JOIN", 2: "DSS", 3: "ADD_ADDR", 4: "REMOVE_ADDR", 5: "MP_PRIO", 6: "MP_FAIL",
    7: "MP_FASTCLOSE", 8: "MP_TCPRST",
}  # fmt: skip


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a TCP segment and interface that saw it.

    `time_s`, `host`, `interface`, `source` and `destination` as "10.0.1.1:80", `length_bytes` with Ethernet's header,
    `payload_bytes`, `seq`, `ack`, `window` (not scaled), `flags` such as "PA", `mptcp` (names of the MPTCP options,
    joined by a space; RFC 8684 section 8). With super-segments a row is what the interface was given at once.
    """
    rows = []
    for path in collected.paths:
        _, host, interface = path.name.partition(".pcap")[0].split("-", 2)
        for segment in capture.segments(path):
            rows.append(
                {
                    "time_s": collected.wall_seconds(segment.time_ns),
                    "host": host,
                    "interface": interface,
                    "length_bytes": segment.wire_bytes,
                    "source": str(segment.source),
                    "destination": str(segment.destination),
                    "payload_bytes": segment.payload_bytes,
                    "seq": segment.seq,
                    "ack": segment.ack,
                    "window": segment.window,
                    "flags": "".join(name for bit, name in enumerate(_FLAGS) if segment.flags >> bit & 1),
                    "mptcp": " ".join(_subtypes(segment.options)),
                }
            )
    return collected.frame(rows).sort_values("time_s", kind="stable", ignore_index=True)


def _subtypes(options: bytes) -> Iterator[str]:
    """Return the names of the MPTCP options."""
    for kind, body in capture.options(options):
        if kind == capture.OPTION_MPTCP and body:
            yield _SUBTYPES.get(body[0] >> 4, "?")
