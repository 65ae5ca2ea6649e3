"""Packet processing by core: softnet_stat and softirqs of the whole machine, whichever host the packets are of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from testbed.collectors.base import Place, SampledCollector, Source


class Softnet(SampledCollector):
    """``/proc/net/softnet_stat`` and ``/proc/softirqs``: the kernel counts both by core, not by host."""

    name = "softnet"
    summary = "packets processed, dropped and steered, and softirqs, by core"

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return the machine's tables."""
        yield Source("", "softnet_stat", Path("/proc/net/softnet_stat").read_text)
        yield Source("", "softirqs", Path("/proc/softirqs").read_text)
