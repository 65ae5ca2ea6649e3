"""Bytes and packets by interface over time: what each path carried, and when."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from testbed.collectors.base import Place, SampledCollector, Source


class Interfaces(SampledCollector):
    """``/proc/net/dev`` of every host."""

    name = "interfaces"
    summary = "bytes, packets and drops of every interface of every host"

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return each host's table."""
        for place in places:
            yield Source(place.name, "dev", Path(f"/proc/{place.pid}/net/dev").read_text)
