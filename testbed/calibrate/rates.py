"""Rates: more than a link can carry is sent, and counted at the interface where it comes out."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from testbed.calibrate.results import Calibration
from testbed.calibrate.way import SETTLE_S, Effort, Way, next_line, start
from testbed.host.hosts import Host
from testbed.links import blast

# Offered beyond the asked rate: keeps the queue full, and shows a link that is too fast.
_EXCESS = 0.15
_WINDOWS_S = {Effort.QUICK: 0.4, Effort.LONGER: 1.2, Effort.THOROUGH: 3.0}
# A window should see this many packets, so that one more or less does not matter.
_MIN_PACKETS = 200
_MAX_BURST = 16  # packets


def measure_rates(
    results: Sequence[Calibration], ways: Sequence[Way], hosts: Mapping[str, Host], effort: Effort
) -> list[Calibration]:
    """Fill in the rates."""
    window_s = max(_WINDOWS_S[effort], *(_MIN_PACKETS * way.link.frame_bytes * 8 / way.rate_bps for way in ways))
    delay_s = max(way.longest_s for way in ways)
    with _sending(ways, hosts):
        time.sleep(SETTLE_S + delay_s)
        before = [received(way, hosts) for way in ways]
        time.sleep(window_s)
        after = [received(way, hosts) for way in ways]
    # Let the queues run empty: what follows starts on an idle link.
    time.sleep(delay_s + max(way.queue_bytes * 8 / way.rate_bps for way in ways))
    return [
        replace(result, measured_bps=(last_bytes - first_bytes) * 8e9 / (last_ns - first_ns) / way.passed)
        for result, way, (first_ns, first_bytes), (last_ns, last_bytes) in zip(
            results, ways, before, after, strict=True
        )
    ]


def received(way: Way, hosts: Mapping[str, Host]) -> tuple[int, int]:
    """Time in ns and bytes received so far at the far end."""
    count = hosts[way.receiver.host].byte_counts()[way.receiver.interface][0]
    return time.monotonic_ns(), count


def flow(way: Way, *, rate_bps: int, first: int, count: int = 0) -> str:
    """An argument of `blast`: packets of the MTU, `first` at once, then `count` (0: for ever) at a rate."""
    burst = max(1, min(_MAX_BURST, way.queue_bytes // 2 // way.link.frame_bytes, 65000 // way.link.mtu))
    return json.dumps(
        {
            "address": str(way.receiver.address.ip),
            "packet_bytes": way.link.mtu,
            "rate_bps": rate_bps,
            "burst": burst,
            "first": first,
            "count": count,
        }
    )


@contextmanager
def _sending(ways: Sequence[Way], hosts: Mapping[str, Host]) -> Iterator[None]:
    flows = defaultdict(list)
    for way in ways:
        first = (way.queue_bytes + way.burst_bytes) // way.link.frame_bytes
        flows[way.sender.host].append(flow(way, rate_bps=round(way.rate_bps * (1 + _EXCESS)), first=first))
    senders = [start(hosts[name], blast.__file__, arguments) for name, arguments in flows.items()]
    try:
        for sender in senders:
            next_line(sender)
        yield
    finally:
        for sender in senders:
            sender.kill()
            sender.communicate()
