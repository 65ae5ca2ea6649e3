"""Measures every link that does something to packets, in both directions, and compares with what was asked.

Rate, one-way delay, loss and the queue's depth, on the otherwise idle link in its first state (schedules and
traces have not begun; a trace's mean rate holds). Rates and queues are those of the wire: Ethernet frames without
preamble and checksum (IP packet + 14 bytes), which is also what the shapers count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from testbed.calibrate.delivery import measure_delivery
from testbed.calibrate.depth import measure_depth
from testbed.calibrate.rates import measure_rates
from testbed.calibrate.results import Calibration, Delivery, Depth
from testbed.calibrate.way import Effort, Way
from testbed.errors import LabError
from testbed.host.hosts import Host
from testbed.spec import Link, LinkKind

__all__ = ["Calibration", "Delivery", "Depth", "Effort", "as_json", "calibrate", "require"]

# More than this at once would measure the machine, not its links.
_MOST_BPS: Mapping[LinkKind, int] = {"tc": 1_000_000_000, "emulator": 200_000_000}
# A machine shared with others is late in bursts: each attempt after the first further one waits twice as long.
_PAUSES_S = (0.0, 0.2, 0.4, 0.8)

_Measure = Callable[[Sequence[Calibration], Sequence[Way], Mapping[str, Host], Effort], list[Calibration]]


def calibrate(links: Sequence[Link], hosts: Mapping[str, Host], effort: Effort = Effort.QUICK) -> list[Calibration]:
    """Measure those of `links` that do something to packets; what came out, in the order of the links.

    As many as the machine can carry are measured at once, those that seem wrong again, alone and for longer: on a busy
    machine the measurement itself may be at fault. Whether each is as asked is for the caller to see (`require`).
    """
    ways = [
        Way(link, asked, link.ends[i], link.ends[1 - i])
        for link in links
        if link.kind != "direct"
        for i, asked in enumerate(link.directions)
    ]
    results = [way.begin() for way in ways]
    every = range(len(ways))
    shaped = [index for index in every if ways[index].rate_bps]
    for measure, chosen in ((measure_rates, shaped), (measure_delivery, every), (measure_depth, shaped)):
        _improve(results, ways, chosen, hosts, effort, measure)
        if effort is Effort.QUICK and not all(results[index].ok for index in chosen):
            break  # the run will not begin
    return results


def require(results: Sequence[Calibration]) -> None:
    """LabError that names link, asked and measured value of the first that is not as asked."""
    for result in results:
        if not result.ok:
            raise LabError(f"link {result.link}, {result.direction}: {result.problem}", exit_code=1)


def as_json(results: Sequence[Calibration]) -> list[dict[str, Any]]:
    """The results for the record: their numbers, whether they are as asked, and in words."""
    return [asdict(one) | {"ok": one.ok, "problem": one.problem, "text": str(one)} for one in results]


def _improve(
    results: list[Calibration], ways: Sequence[Way], chosen: Sequence[int], hosts: Mapping[str, Host], effort: Effort,
    measure: _Measure,
) -> None:  # fmt: skip
    """Put what `measure` finds of the `chosen` into `results`."""
    for batch in _batches(ways, chosen):
        found = measure([results[i] for i in batch], [ways[i] for i in batch], hosts, effort)
        for index, result in zip(batch, found, strict=True):
            results[index] = result
    for index in chosen:
        for pause_s in _PAUSES_S:
            if results[index].ok:
                break
            time.sleep(pause_s)
            (results[index],) = measure([results[index]], [ways[index]], hosts, max(effort, Effort.LONGER))


def _batches(ways: Sequence[Way], chosen: Sequence[int]) -> Iterator[list[int]]:
    """The `chosen` in groups to measure together."""
    batch: list[int] = []
    for index in chosen:
        if batch and sum(ways[other].rate_bps / _MOST_BPS[ways[other].link.kind] for other in [*batch, index]) > 1:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
