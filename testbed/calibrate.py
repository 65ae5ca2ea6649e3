"""Measures every link that does something to packets, in both directions, and compares with what was asked.

Rates are those of the wire: Ethernet frames without preamble and checksum (IP packet + 14 bytes), which is also what
the shapers count. Delay and loss are measured on links that have a delay or lose packets, with small packets on
the otherwise idle link.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean, pstdev
from typing import Any

from testbed.errors import LabError
from testbed.hosts import Host
from testbed.links import blast, probe
from testbed.links.shaping import burst_bytes
from testbed.spec import End, Impairments, Link
from testbed.units import format_rate

# Offered beyond the asked rate: keeps the queue full, and shows a link that is too fast.
_EXCESS = 0.15
# More than this at once would measure the machine, not its links.
_MAX_TOTAL_BPS = 1_000_000_000
_SETTLE_S = 0.05
_WINDOW_S, _LONG_WINDOW_S = 0.4, 1.2
_MORE_ATTEMPTS = 4
# A window should see this many packets, so that one more or less does not matter.
_MIN_PACKETS, _FRAME_BYTES = 200, 1514
_MAX_BURST = 16  # packets
_PROBES, _MORE_PROBES = 400, 1000
_PROBE_GAP_US = 1000
# How many standard deviations the number of lost packets may be away: by chance one link in some thousands.
_LOSS_DEVIATIONS = 3.7
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Delivery:
    """What small packets met on an idle direction of a link: one-way delay in ms, packets sent and lost.

    `asked_ms` and `asked_loss` are means in the long run; the serialisation of a packet is not part of the delay.
    `loss_spread` is the standard deviation of the number of lost packets that chance gives.
    """

    asked_ms: float
    mean_ms: float
    sd_ms: float
    p99_ms: float
    sent: int
    lost: int
    asked_loss: float
    loss_spread: float
    tolerance_ms: float

    def __str__(self) -> str:
        return (
            f"delay asked {self.asked_ms:.2f} ms, measured {self.mean_ms:.2f} ± {self.sd_ms:.2f} ms "
            f"(p99 {self.p99_ms:.2f}); loss asked {self.asked_loss:.2%}, measured {self.lost / self.sent:.2%} "
            f"of {self.sent}"
        )

    @property
    def problem(self) -> str | None:
        """What is not as asked, in the user's words."""
        if abs(self.mean_ms - self.asked_ms) > self.tolerance_ms:
            return f"asked for a delay of {self.asked_ms:.1f} ms, measured {self.mean_ms:.1f} ms"
        if abs(self.lost - self.sent * self.asked_loss) > _LOSS_DEVIATIONS * self.loss_spread:
            return f"asked for {self.asked_loss:.2%} loss, measured {self.lost} of {self.sent} packets"
        return None


@dataclass(frozen=True)
class Calibration:
    """One direction of one link: rates on the wire in bit/s, 0 where none was asked; delay and loss where asked."""

    link: str
    direction: str
    asked_bps: int
    measured_bps: float
    tolerance: float
    delivery: Delivery | None = None

    def __str__(self) -> str:
        rate = f"asked {format_rate(self.asked_bps)}, measured {format_rate(self.measured_bps)}"
        parts = [rate if self.asked_bps else "rate unshaped", *([str(self.delivery)] if self.delivery else [])]
        return f"{self.link} {self.direction}: {'; '.join(parts)}"

    @property
    def problem(self) -> str | None:
        """What is not as asked, in the user's words."""
        if abs(self.measured_bps - self.asked_bps) > self.tolerance * self.asked_bps:
            return (
                f"asked for {format_rate(self.asked_bps)}, measured {format_rate(self.measured_bps)} "
                f"(more than {self.tolerance:.0%} off)"
            )
        return self.delivery.problem if self.delivery else None

    @property
    def ok(self) -> bool:
        """Whether everything measured is as asked."""
        return self.problem is None


@dataclass(frozen=True)
class _Direction:
    link: Link
    asked: Impairments
    sender: End
    receiver: End

    @property
    def rate_bps(self) -> int:
        return self.asked.capacity_bps or 0

    @property
    def queue_bytes(self) -> int:
        return self.asked.queue_bytes or (self.asked.queue_packets or 0) * self.link.frame_bytes

    def begin(self) -> Calibration:
        """A result to be filled."""
        name = f"{self.sender.host}->{self.receiver.host}"
        return Calibration(self.link.name, name, self.rate_bps, 0.0, self.link.tolerance.rate)


_Measure = Callable[[Sequence[_Direction], Mapping[str, Host], bool], list[Calibration]]


def calibrate(links: Sequence[Link], hosts: Mapping[str, Host]) -> list[Calibration]:
    """Measure those of `links` that do something to packets; the result is for the record.

    As many as the machine can carry are measured at once, those that seem wrong again, alone and for longer: on a
    busy machine the measurement itself may be at fault. LabError that names link, asked and measured value
    when one stays wrong.
    """
    directions = [
        _Direction(link, asked, link.ends[i], link.ends[1 - i])
        for link in links
        if link.kind != "direct"
        for i, asked in enumerate(link.directions)
    ]
    rates = _attempt([one for one in directions if one.rate_bps], hosts, _measure_rates)
    deliveries = _attempt([one for one in directions if one.asked.beyond_shaping], hosts, _measure_delivery)
    measured = {(one.link, one.direction): one for one in rates}
    for one in deliveries:
        key = one.link, one.direction
        rate_bps = measured[key].measured_bps if key in measured else 0.0
        measured[key] = replace(one, measured_bps=rate_bps)
    return list(measured.values())


def _attempt(directions: Sequence[_Direction], hosts: Mapping[str, Host], measure: _Measure) -> list[Calibration]:
    results = [result for batch in _batches(directions) for result in measure(batch, hosts, False)]
    for index, direction in enumerate(directions):
        for _ in range(_MORE_ATTEMPTS):
            if results[index].ok:
                break
            (results[index],) = measure([direction], hosts, True)
    for result in results:
        if not result.ok:
            raise LabError(f"link {result.link}, {result.direction}: {result.problem}", exit_code=1)
    return results


def _batches(directions: Sequence[_Direction]) -> Iterator[list[_Direction]]:
    """Directions to measure together."""
    batch: list[_Direction] = []
    for one in directions:
        if batch and sum(other.rate_bps for other in [*batch, one]) > _MAX_TOTAL_BPS:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


# --- rates ---


def _measure_rates(directions: Sequence[_Direction], hosts: Mapping[str, Host], longer: bool) -> list[Calibration]:
    least_s = _LONG_WINDOW_S if longer else _WINDOW_S
    window_s = max(least_s, *(_MIN_PACKETS * _FRAME_BYTES * 8 / one.rate_bps for one in directions))
    delay_s = max(one.asked.delay_ns + one.asked.jitter_ns for one in directions) / _SECOND
    with _sending(directions, hosts):
        time.sleep(_SETTLE_S + delay_s)
        before = [_received(one, hosts) for one in directions]
        time.sleep(window_s)
        after = [_received(one, hosts) for one in directions]
    # Let the queues run empty: what follows starts on an idle link.
    time.sleep(delay_s + max(one.queue_bytes * 8 / one.rate_bps for one in directions))
    return [
        replace(one.begin(), measured_bps=(last_bytes - first_bytes) * 8e9 / (last_ns - first_ns) / _passed(one.asked))
        for one, (first_ns, first_bytes), (last_ns, last_bytes) in zip(directions, before, after, strict=True)
    ]


def _passed(asked: Impairments) -> float:
    """How many packets arrive for each that took its share of the rate."""
    return (1 - asked.mean_loss) * (1 + asked.duplicate) or 1.0


def _received(direction: _Direction, hosts: Mapping[str, Host]) -> tuple[int, int]:
    """Time in ns and bytes received so far at the far end."""
    received = hosts[direction.receiver.host].byte_counts()[direction.receiver.interface][0]
    return time.monotonic_ns(), received


@contextmanager
def _sending(directions: Sequence[_Direction], hosts: Mapping[str, Host]) -> Iterator[None]:
    flows = defaultdict(list)
    for one in directions:
        offered_bps = round(one.rate_bps * (1 + _EXCESS))
        burst = max(1, min(_MAX_BURST, one.queue_bytes // 2 // _FRAME_BYTES))
        first = (one.queue_bytes + burst_bytes(one.rate_bps)) // _FRAME_BYTES
        flows[one.sender.host].append(f"{one.receiver.address.ip}={offered_bps}={burst}={first}")
    senders = [_start(hosts[name], blast.__file__, arguments) for name, arguments in flows.items()]
    try:
        for sender in senders:
            _await_line(sender)
        yield
    finally:
        for sender in senders:
            sender.kill()
            sender.communicate()


def _start(host: Host, file: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    # Real-time priority: it sleeps most of the time, but must not come late on a busy machine.
    command = ["chrt", "--rr", "1", sys.executable, "-I", file, *arguments]
    return host.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _await_line(program: subprocess.Popen[str]) -> None:
    if program.stdout is None or not program.stdout.readline():
        raise LabError("calibration: a program that sends or receives UDP packets did not start", 1)


# --- delay and loss ---


def _measure_delivery(directions: Sequence[_Direction], hosts: Mapping[str, Host], longer: bool) -> list[Calibration]:
    count = _MORE_PROBES if longer else _PROBES
    slowest_bps = min((one.rate_bps for one in directions if one.rate_bps), default=_MAX_TOTAL_BPS)
    # A link that is busy for a quarter of the time only: the probes do not wait for each other.
    gap_us = max(_PROBE_GAP_US, 4 * probe.FRAME_BYTES * 8 * 1_000_000 // slowest_bps)
    arrived = _probe(directions, hosts, gap_us, count)
    return [
        replace(one.begin(), measured_bps=one.rate_bps, delivery=_delivery(one, count, arrived[_address(one)]))
        for one in directions
    ]


def _address(direction: _Direction) -> str:
    return str(direction.receiver.address.ip)


def _probe(
    directions: Sequence[_Direction], hosts: Mapping[str, Host], gap_us: int, count: int
) -> dict[str, list[tuple[int, int]]]:
    """By receiving address what arrived there: number of the probe and ns on the way."""
    to_receive, to_send = defaultdict(list), defaultdict(list)
    for one in directions:
        to_receive[one.receiver.host].append(_address(one))
        to_send[one.sender.host].append(_address(one))
    longest_s = max(one.asked.delay_ns + one.asked.jitter_ns + one.asked.reorder_extra_ns for one in directions) / 1e9
    arrived: dict[str, list[tuple[int, int]]] = {}
    with ExitStack() as programs:
        receivers = [_start(hosts[name], probe.__file__, ["receive", *ips]) for name, ips in to_receive.items()]
        for receiver in receivers:
            programs.callback(receiver.kill)
            _await_line(receiver)
        arguments = ["send", str(gap_us), str(count)]
        for sender in [_start(hosts[name], probe.__file__, [*arguments, *ips]) for name, ips in to_send.items()]:
            programs.callback(sender.kill)
            sender.communicate(timeout=30 + 2 * gap_us * count / 1e6)
        time.sleep(_SETTLE_S + longest_s)
        for receiver in receivers:
            arrived |= json.loads(receiver.communicate(timeout=10)[0] or "{}")
    return arrived


def _delivery(direction: _Direction, sent: int, arrived: Sequence[Any]) -> Delivery:
    asked = direction.asked
    serialisation_ns = probe.FRAME_BYTES * 8 * _SECOND // direction.rate_bps if direction.rate_bps else 0
    delays_ms = sorted((ns - serialisation_ns) / 1e6 for _, ns in arrived) or [0.0]
    asked_ns = asked.delay_ns + asked.reorder * asked.reorder_extra_ns
    return Delivery(
        asked_ms=asked_ns / 1e6,
        mean_ms=fmean(delays_ms),
        sd_ms=pstdev(delays_ms),
        p99_ms=delays_ms[len(delays_ms) * 99 // 100],
        sent=sent,
        lost=sent - len({number for number, _ in arrived}),
        asked_loss=asked.mean_loss,
        loss_spread=_loss_spread(asked, sent),
        # Of packets close together jitter delays some to keep their order.
        tolerance_ms=(direction.link.tolerance.delay_ns + asked.jitter_ns) / 1e6,
    )


def _loss_spread(asked: Impairments, sent: int) -> float:
    """The standard deviation of the number of lost packets: the binomial one, more when losses come in bursts."""
    memory = 1 - asked.burst_loss.enter - asked.burst_loss.leave if asked.burst_loss else 0.0
    clustering = (1 + memory) / (1 - memory) if memory < 1 else sent
    return sqrt(max(0.0, sent * asked.mean_loss * (1 - asked.mean_loss) * clustering))
