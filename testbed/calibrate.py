"""Measures every shaped link in both directions and compares with what was asked.

Rates are those of the wire: Ethernet frames without preamble and checksum (IP packet + 14 bytes), which is also what
the shaper counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.errors import LabError
from testbed.hosts import Host
from testbed.links import blast
from testbed.links.shaping import burst_bytes
from testbed.spec import End, Link
from testbed.units import format_rate

# Offered beyond the asked rate, in tolerances: keeps the queue full, and shows a link that is too fast.
_EXCESS = 3
# More than this at once would measure the machine, not its links.
_MAX_TOTAL_BPS = 1_000_000_000
_SETTLE_S = 0.05
_WINDOW_S, _LONG_WINDOW_S = 0.4, 1.2
_MORE_ATTEMPTS = 4
# A window should see this many packets, so that one more or less does not matter.
_MIN_PACKETS, _FRAME_BYTES = 200, 1514
_MAX_BURST = 16  # packets


@dataclass(frozen=True)
class Calibration:
    """One direction of one link: rates on the wire in bit/s."""

    link: str
    direction: str
    asked_bps: int
    measured_bps: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the measured rate is within the link's tolerance."""
        return abs(self.measured_bps - self.asked_bps) <= self.tolerance * self.asked_bps


@dataclass(frozen=True)
class _Direction:
    link: Link
    sender: End
    receiver: End

    @property
    def rate_bps(self) -> int:
        return self.link.rate_bps or 0


def calibrate(links: Sequence[Link], hosts: Mapping[str, Host]) -> list[Calibration]:
    """Measure the shaped ones of `links`; the result is for the record.

    As many as the machine can carry are measured at once, those that seem wrong again, alone and for longer: on a
    busy machine the measurement itself may be at fault. LabError that names link, asked and measured rate
    when one stays wrong.
    """
    directions = [_Direction(link, link.ends[i], link.ends[1 - i]) for link in links if link.rate_bps for i in (0, 1)]
    results = [result for batch in _batches(directions) for result in _measure(batch, hosts, _WINDOW_S)]
    for index, direction in enumerate(directions):
        for _ in range(_MORE_ATTEMPTS):
            if results[index].ok:
                break
            (results[index],) = _measure([direction], hosts, _LONG_WINDOW_S)
    for result in results:
        if not result.ok:
            raise LabError(
                f"link {result.link}, {result.direction}: asked for {format_rate(result.asked_bps)}, "
                f"measured {format_rate(result.measured_bps)} (more than {result.tolerance:.0%} off)",
                exit_code=1,
            )
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


def _measure(directions: Sequence[_Direction], hosts: Mapping[str, Host], least_s: float) -> list[Calibration]:
    window_s = max(least_s, *(_MIN_PACKETS * _FRAME_BYTES * 8 / one.rate_bps for one in directions))
    with _sending(directions, hosts):
        time.sleep(_SETTLE_S)
        before = [_received(one, hosts) for one in directions]
        time.sleep(window_s)
        after = [_received(one, hosts) for one in directions]
    # Let the queues run empty: what follows starts on an idle link.
    time.sleep(max((one.link.queue_bytes or 0) * 8 / one.rate_bps for one in directions))
    return [
        Calibration(
            link=one.link.name,
            direction=f"{one.sender.host}->{one.receiver.host}",
            asked_bps=one.rate_bps,
            measured_bps=(last_bytes - first_bytes) * 8e9 / (last_ns - first_ns),
            tolerance=one.link.tolerance,
        )
        for one, (first_ns, first_bytes), (last_ns, last_bytes) in zip(directions, before, after, strict=True)
    ]


def _received(direction: _Direction, hosts: Mapping[str, Host]) -> tuple[int, int]:
    """Time in ns and bytes received so far at the far end."""
    received = hosts[direction.receiver.host].byte_counts()[direction.receiver.interface][0]
    return time.monotonic_ns(), received


@contextmanager
def _sending(directions: Sequence[_Direction], hosts: Mapping[str, Host]) -> Iterator[None]:
    flows = defaultdict(list)
    for one in directions:
        queue_bytes = one.link.queue_bytes or 0
        offered_bps = round(one.rate_bps * (1 + _EXCESS * one.link.tolerance))
        burst = max(1, min(_MAX_BURST, queue_bytes // 2 // _FRAME_BYTES))
        first = (queue_bytes + burst_bytes(one.rate_bps)) // _FRAME_BYTES
        flows[one.sender.host].append(f"{one.receiver.address.ip}={offered_bps}={burst}={first}")
    # Real-time priority: the sender sleeps most of the time, but must not come late on a busy machine.
    command = ["chrt", "--rr", "1", sys.executable, "-I", blast.__file__]
    senders = [
        hosts[name].popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        for name, arguments in flows.items()
    ]
    try:
        for sender in senders:
            if sender.stdout is None or not sender.stdout.readline():
                raise LabError("calibration: a sender of UDP packets did not start", 1)
        yield
    finally:
        for sender in senders:
            sender.kill()
            sender.communicate()
