"""Collectors: what is watched while a load runs, each one small file.

A collector is named on the command line by a name of :data:`COLLECTORS`, or as ``module:Class`` for a user's own.
Settings follow behind ``+``: ``interfaces+interval=20ms``.

Rules:

- Collectors begin before the load and end after it, however it ends; what they leave is never changed afterwards.
- One that fails costs nothing but what it would have collected; one that the experiment requires costs the point.
- A new one is a file here, its name in ``COLLECTORS``, and a parser under the same name in ``analysis/collected/``.

How it works: a ``Collection`` owns the collectors of one load, and one process that samples for all of them in all
hosts (``sampler``); programs of their own (``programs``) end before it is closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from testbed.errors import LabError

if TYPE_CHECKING:
    from testbed.collectors.base import Collector

COLLECTORS = {
    "cpu": "testbed.collectors.cpu:Cpu",
    "events": "testbed.collectors.events:Events",
    "interfaces": "testbed.collectors.interfaces:Interfaces",
    "mptcp-monitor": "testbed.collectors.mptcp_monitor:MptcpMonitor",
    "nstat": "testbed.collectors.nstat:Nstat",
    "pcap": "testbed.collectors.pcap:Pcap",
    "perf": "testbed.collectors.perf:Perf",
    "socket-states": "testbed.collectors.socket_states:SocketStates",
    "sockets": "testbed.collectors.sockets:Sockets",
    "softnet": "testbed.collectors.softnet:Softnet",
    "tracepoints": "testbed.collectors.tracepoints:Tracepoints",
}
"""Collectors by name; more classes of the same interface may be named directly."""

ALL = "all"
"""Stands for every collector of the table."""


def create(text: str) -> Collector:
    """Return the collector ``name[+key=value...]``. Raises :class:`LabError` with the allowed values."""
    from testbed.collectors.base import Collector
    from testbed.input.plugins import blamed, class_named
    from testbed.input.validation import unknown

    name, *pairs = text.split("+")
    place = COLLECTORS.get(name, name)
    if ":" not in place:
        raise LabError(unknown("collector", name, [*COLLECTORS, ALL, "module:Class"]))
    found = class_named(place, f"collector '{name}'", Collector, "settings")
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise LabError(f"collector '{name}': {pair}: must be key=value")
        settings[key] = value
    try:
        return found(settings)
    except LabError:
        raise
    except Exception as error:
        raise LabError(f"collector '{name}': {blamed(error)}") from error


def expand(texts: Iterable[str]) -> list[str]:
    """Return the collectors that a user named, ``all`` as the whole table, each once, all of them valid.

    One with settings takes the place of the same one without. Raises :class:`LabError`.
    """
    chosen: dict[str, str] = {}
    for text in texts:
        for one in COLLECTORS if text == ALL else [text]:
            name = create(one).name
            if text != ALL or name not in chosen:
                chosen[name] = one
    return list(chosen.values())
