"""Delay and loss: small packets, one after the other, on the otherwise idle link."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import ceil, sqrt
from statistics import fmean, pstdev
from typing import Any

from testbed.calibrate.results import Calibration, Delivery
from testbed.calibrate.way import SETTLE_S, Effort, Way, next_line, start
from testbed.host.hosts import Host
from testbed.links import probe
from testbed.spec import Impairments

_SECOND = 1_000_000_000
_PROBES = {Effort.QUICK: 400, Effort.LONGER: 1000, Effort.THOROUGH: 2000}
# A thorough measurement of loss: enough packets to lose so many, as long as it is not too long.
_LOST, _MOST_PROBES = 100, 20_000
_GAP_US, _SHORT_GAP_US = 1000, 250


def measure_delivery(
    results: Sequence[Calibration], ways: Sequence[Way], hosts: Mapping[str, Host], effort: Effort
) -> list[Calibration]:
    """Fill in delays and losses."""
    count = max(_count(way.asked, effort) for way in ways)
    slowest_bps = min((way.rate_bps for way in ways if way.rate_bps), default=_SECOND)
    # A link that is busy for half of the time only: the probes do not wait for each other.
    usual_us = _GAP_US if count <= max(_PROBES.values()) else _SHORT_GAP_US
    gap_us = max(usual_us, 2 * probe.FRAME_BYTES * 8 * 1_000_000 // slowest_bps)
    arrived = _probe(ways, hosts, gap_us, count)
    return [
        replace(result, delivery=_delivery(way, count, arrived[_address(way)]))
        for result, way in zip(results, ways, strict=True)
    ]


def _count(asked: Impairments, effort: Effort) -> int:
    if effort is not Effort.THOROUGH or not asked.mean_loss:
        return _PROBES[effort]
    return min(_MOST_PROBES, max(_PROBES[effort], ceil(_LOST / asked.mean_loss)))


def _address(way: Way) -> str:
    return str(way.receiver.address.ip)


def _probe(ways: Sequence[Way], hosts: Mapping[str, Host], gap_us: int, count: int) -> dict[str, list[tuple[int, int]]]:
    """By receiving address what arrived there: number of the probe and ns on the way."""
    to_receive, to_send = defaultdict(list), defaultdict(list)
    for way in ways:
        to_receive[way.receiver.host].append(_address(way))
        to_send[way.sender.host].append(_address(way))
    arrived: dict[str, list[tuple[int, int]]] = {}
    with ExitStack() as programs:
        receivers = [start(hosts[name], probe.__file__, ["receive", *ips]) for name, ips in to_receive.items()]
        for receiver in receivers:
            programs.callback(receiver.kill)
            next_line(receiver)
        # Ends that do not know each other yet ask, and hold packets back until they are answered.
        wait_us = round(1e6 * (SETTLE_S + 2 * max(way.longest_s for way in ways)))
        arguments = ["send", str(gap_us), str(count), str(wait_us)]
        for sender in [start(hosts[name], probe.__file__, [*arguments, *ips]) for name, ips in to_send.items()]:
            programs.callback(sender.kill)
            sender.communicate(timeout=30 + 2 * gap_us * count / 1e6)
        time.sleep(SETTLE_S + max(way.longest_s for way in ways))
        for receiver in receivers:
            arrived |= json.loads(receiver.communicate(timeout=10)[0] or "{}")
    return arrived


def _delivery(way: Way, sent: int, arrived: Sequence[Any]) -> Delivery:
    asked, tolerance = way.asked, way.link.tolerance
    serialisation_ns = probe.FRAME_BYTES * 8 * _SECOND // way.rate_bps if way.rate_bps and not asked.trace else 0
    if way.link.kind == "tc":
        serialisation_ns = 0  # a token bucket lets a packet through at once
    counted = [(number, ns) for number, ns in arrived if number]
    delays_ms = sorted((ns - serialisation_ns) / 1e6 for _, ns in counted) or [0.0]
    asked_ns = asked.delay_ns + asked.reorder * asked.reorder_extra_ns
    return Delivery(
        asked_ms=asked_ns / 1e6,
        mean_ms=fmean(delays_ms),
        sd_ms=pstdev(delays_ms),
        p99_ms=delays_ms[len(delays_ms) * 99 // 100],
        sent=sent,
        lost=sent - len({number for number, _ in counted}),
        asked_loss=asked.mean_loss,
        loss_spread=_loss_spread(asked, sent),
        # Of packets close together jitter delays some to keep their order.
        tolerance_ms=(tolerance.delay_ns + asked.jitter_ns) / 1e6,
        p99_limit_ms=way.longest_s * 1e3 + tolerance.p99_ns / 1e6,
    )


def _loss_spread(asked: Impairments, sent: int) -> float:
    """The standard deviation of the number of lost packets: the binomial one, more when losses come in bursts."""
    memory = 1 - asked.burst_loss.enter - asked.burst_loss.leave if asked.burst_loss else 0.0
    clustering = (1 + memory) / (1 - memory) if memory < 1 else sent
    return sqrt(max(0.0, sent * asked.mean_loss * (1 - asked.mean_loss) * clustering))
