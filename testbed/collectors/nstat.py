"""Protocol counters over time (MIB, MPTCP's among them): what `nstat` prints, without its history."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from testbed.collectors.base import Place, SampledCollector, Sampling, Settings, Site, Source
from testbed.units import TimeNs

FILES = ("snmp", "netstat", "snmp6")


class NstatSettings(Sampling):
    """They are long tables and change slowly: a second between samples."""

    interval: TimeNs = 1_000_000_000


class Nstat(SampledCollector):
    """``/proc/net/snmp``, ``netstat`` and, with IPv6, ``snmp6`` of every host."""

    name = "nstat"
    summary = "IP, TCP and MPTCP counters of every host, the kernel's and our stack's"
    settings_type: ClassVar[type[Settings]] = NstatSettings
    stack_samples = "counters"

    def places(self, site: Site) -> list[Place]:
        """Return all hosts: where our stack runs, the kernel forwards its packets."""
        return site.places

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return each host's tables."""
        for place in places:
            for file in FILES:
                path = Path(f"/proc/{place.pid}/net/{file}")
                if path.exists():
                    yield Source(place.name, file, path.read_text)
