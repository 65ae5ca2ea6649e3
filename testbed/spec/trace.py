"""Delivery traces: a link's rate over time as recorded, in the format of mahimahi's packet-delivery traces.

Each line holds the time in milliseconds, a whole number, at which the link can deliver one packet of 1500 bytes; a time
may come again for more than one. Smaller packets share such an opportunity, one that finds nothing waiting is lost. The
last line is the trace's length: from there it begins anew.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from analysis.errors import UnreadableFile
from analysis.files import open_regular
from testbed.input.validation import BESIDE, Frozen

DIRECTORY = Path(__file__).resolve().parents[2] / "topologies" / "traces"
"""Where a trace is looked for that is neither beside its topology nor where the user is."""

_TIME = re.compile(rb"[0-9]{1,12}")
MOST_BYTES = 1 << 24
"""Of a file: hours of a fast link."""

PACKET_BYTES = 1514
"""What one opportunity delivers: an IP packet of 1500 bytes with its Ethernet header."""


class Trace(Frozen):
    """A trace as read. `opportunities_ms` are not part of what is written down: `sha256` says which ones they were."""

    file: str
    sha256: str
    opportunities_ms: tuple[int, ...] = Field(exclude=True, repr=False)

    @property
    def period_ms(self) -> int:
        """Its length, after which it begins anew."""
        return self.opportunities_ms[-1]

    @cached_property
    def mean_bps(self) -> int:
        """The rate in the long run, in bit/s of Ethernet frames."""
        return len(self.opportunities_ms) * PACKET_BYTES * 8 * 1000 // self.period_ms


def read_trace(name: str, beside: Path | None = None) -> Trace:
    """The trace in the file `name`: in the folder `beside`, else from here, else one of the lab's own.

    ValueError (for pydantic) when it is not one.
    """
    folders = ([beside] if beside else []) + [Path(), DIRECTORY]
    path = next((place for folder in folders if (place := folder / name).is_file()), None)
    if path is None:
        raise ValueError(f"there is no file {name}, neither beside the topology, nor here, nor in topologies/traces")
    try:
        with open_regular(path) as file:
            data = file.read(MOST_BYTES + 1)
    except UnreadableFile as error:
        raise ValueError(str(error)) from error
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name}: more than {MOST_BYTES} bytes")
    times: list[int] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.strip()
        if not text:
            continue
        if not _TIME.fullmatch(text) or (times and int(text) < times[-1]):
            raise ValueError(f"{name}, line {number}: must be a time in whole ms, not before that of the line above")
        times.append(int(text))
    if not times or not times[-1]:
        raise ValueError(f"{name}: must end with the trace's length in ms, more than 0")
    return Trace(file=name, sha256=hashlib.sha256(data).hexdigest(), opportunities_ms=tuple(times))


def _trace(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Trace):
        return value
    if not isinstance(value, str):
        raise ValueError("must be the name of a file with one time in ms a line (a delivery trace as of mahimahi)")
    return read_trace(value, (info.context or {}).get(BESIDE))


TraceFile = Annotated[Trace, BeforeValidator(_trace)]
