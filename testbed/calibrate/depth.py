"""Queues: more packets than fit are sent faster than the link carries them; those that arrive have found room.

Of what arrives, a part left the queue while the others came: the rate times the time that took. What is
left is the queue's depth. Where this machine cannot send much faster than the link carries, and nothing is dropped, it
stays unknown; that the kernel has the depth as asked was read back when the link was made.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt

from testbed.calibrate.rates import flow, received
from testbed.calibrate.results import Calibration, Depth
from testbed.calibrate.way import SETTLE_S, Effort, Way, next_line, start
from testbed.host.hosts import Host
from testbed.links import blast

# How much faster than the link, and how fast at least.
_FASTER, _LEAST_BPS = 3, 200_000_000
# Faster by less than this, packets do not fill the queue.
_LEAST_FASTER = 1.5
# Sent beyond what fits: some are dropped also when the queue is a little deeper than asked.
_EXCESS = 1.25
# How much a queue may run empty between two readings of its shaper, and the chance in losses.
_BLUR_S, _DEVIATIONS = 0.0005, 3.7


def measure_depth(
    results: Sequence[Calibration], ways: Sequence[Way], hosts: Mapping[str, Host], effort: Effort
) -> list[Calibration]:
    """Fill in the depths; `effort` changes nothing."""
    counts = [_count(way) for way in ways]
    flows = defaultdict(list)
    for way, count in zip(ways, counts, strict=True):
        flows[way.sender.host].append(flow(way, rate_bps=_offered_bps(way), first=0, count=count))
    before = [received(way, hosts)[1] for way in ways]
    took_ns: dict[str, dict[str, int]] = {}
    for sender in [start(hosts[name], blast.__file__, arguments) for name, arguments in flows.items()]:
        next_line(sender)
        took_ns |= json.loads(next_line(sender))
        sender.communicate()
    time.sleep(SETTLE_S + max(way.longest_s + 1.1 * way.queue_bytes * 8 / way.rate_bps for way in ways))
    found = []
    for result, way, old in zip(results, ways, before, strict=True):
        took = took_ns[str(way.receiver.address.ip)]
        depth = _depth(way, took["packets"], took["ns"], received(way, hosts)[1] - old)
        found.append(replace(result, depth=depth))
    return found


def _offered_bps(way: Way) -> int:
    return max(_FASTER * way.rate_bps, _LEAST_BPS)


def _count(way: Way) -> int:
    """Packets to fill the queue while it runs empty, and some more."""
    remaining = 1 - way.rate_bps / _offered_bps(way)
    return round((way.queue_bytes + way.burst_bytes) / way.link.frame_bytes / remaining * _EXCESS) + 4


def _depth(way: Way, sent: int, took_ns: int, arrived_bytes: int) -> Depth:
    frame_bytes = way.link.frame_bytes
    arrived = round(arrived_bytes / frame_bytes)
    offered_bps = round(sent * frame_bytes * 8e9 / max(1, took_ns))
    slow = way.link.kind == "tc" and offered_bps < _LEAST_FASTER * way.rate_bps and arrived >= sent
    left_bytes = way.burst_bytes + way.rate_bps * took_ns // 8_000_000_000
    # What arrives at once: the packets of a burst, and those of the shaper's last packet.
    blur_bytes = frame_bytes * 2 + _BLUR_S * way.rate_bps / 8
    chance = _DEVIATIONS * sqrt(arrived * (way.asked.mean_loss + way.asked.duplicate))
    return Depth(
        asked_bytes=way.queue_bytes,
        measured_bytes=None if slow else max(0, round(arrived / way.passed * frame_bytes - left_bytes)),
        sent=sent,
        arrived=arrived,
        tolerance_bytes=round(way.link.tolerance.queue * way.queue_bytes + blur_bytes + chance * frame_bytes),
        offered_bps=offered_bps,
    )
