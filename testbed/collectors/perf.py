"""Hardware performance counters by core over time, where the machine has them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from testbed.collectors.base import Place, SampledCollector, Source
from testbed.collectors.perf_events import HARDWARE, Counter, cores
from testbed.errors import Unsupported

EVENTS = {
    "cycles": 0,
    "instructions": 1,
    "cache-references": 2,
    "cache-misses": 3,
    "branches": 4,
    "branch-misses": 5,
}
"""The kernel's generalised hardware events (linux/perf_event.h), under perf's names."""


class Perf(SampledCollector):
    """Counters of the whole machine on every core; what a processor lacks of them is left out."""

    name = "perf"
    summary = "hardware counters by core: cycles, instructions, cache and branch misses"

    def sources(self, places: Iterable[Place]) -> Iterable[Source]:
        """Return the counts of each event, one for each core, with the times they were wanted and ran."""
        refusals = []
        for name, number in EVENTS.items():
            try:
                counters = {cpu: Counter(HARDWARE, number, cpu) for cpu in cores()}
            except OSError as error:
                refusals.append(f"{name}: {error.strerror}")
                continue
            yield Source("", name, partial(_read, counters))
        if len(refusals) == len(EVENTS):
            raise Unsupported(
                f"this machine has no hardware counters ({refusals[0]}); virtual machines often lack them"
            )


def _read(counters: dict[int, Counter]) -> dict[int, list[int]]:
    return {cpu: list(counter.read()) for cpu, counter in counters.items()}
