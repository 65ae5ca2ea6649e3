"""What collectors left beside a point's result, as tidy frames: ``load(point_directory, "interfaces")``.

Each collector of the testbed has its parser here, under the same name. Every frame has a column `time_s`, seconds
since the load began (negative before), on one clock for all collectors of a point. `load` also takes a parser of a
user's own as ``module:function``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pandas as pd

from analysis.collected.files import Collected, collected_directories
from analysis.errors import UnreadableFile, foreseen

__all__ = ["PARSERS", "Collected", "UnreadableFile", "collected_directories", "load"]

PARSERS = {
    "cpu": "analysis.collected.cpu:parse",
    "events": "analysis.collected.events:parse",
    "interfaces": "analysis.collected.interfaces:parse",
    "mptcp-monitor": "analysis.collected.mptcp_monitor:parse",
    "nstat": "analysis.collected.nstat:parse",
    "pcap": "analysis.collected.pcap:parse",
    "perf": "analysis.collected.perf:parse",
    "socket-states": "analysis.collected.socket_states:parse",
    "sockets": "analysis.collected.sockets:parse",
    "softnet": "analysis.collected.softnet:parse",
    "tracepoints": "analysis.collected.tracepoints:parse",
}
"""Parsers by name of the collector; each takes a :class:`Collected` and gives a frame."""


def load(directory: Path, name: str, parser: str | None = None) -> pd.DataFrame:
    """Return the frame of the collector `name` from a point's directory, or from its `collected` within.

    `parser` is `module:function` for a collector that is not in :data:`PARSERS`. Raises :class:`UnreadableFile`
    when the collector did not run (with its reason) or its files are not as expected.
    """
    place = parser or PARSERS.get(name)
    if place is None:
        raise UnreadableFile(f"no parser for collector '{name}'; there are {', '.join(PARSERS)}")
    module, _, function = place.partition(":")
    parse: Callable[[Collected], pd.DataFrame] = getattr(import_module(module), function)
    opened = Collected.open(directory, name)
    with foreseen(f"{opened.directory}: files of collector {name} are not as expected"):
        return parse(opened)
