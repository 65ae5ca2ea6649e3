"""One direction of one link as it is measured, and the programs that do it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from testbed.calibrate.results import Calibration
from testbed.errors import LabError
from testbed.host.hosts import Host
from testbed.links.shaping import burst_bytes
from testbed.spec import End, Impairments, Link

SETTLE_S = 0.05
"""Chosen: for packets that are late beside what the link does to them."""


class Effort(IntEnum):
    """How long is measured: QUICK before every run, LONGER when that seems wrong, THOROUGH when a user asks."""

    QUICK = 0
    LONGER = 1
    THOROUGH = 2


@dataclass(frozen=True)
class Way:
    """A link's direction: what was asked, and between which interfaces."""

    link: Link
    asked: Impairments
    sender: End
    receiver: End

    @property
    def rate_bps(self) -> int:
        """The asked rate, 0 for none."""
        return self.asked.capacity_bps or 0

    @property
    def queue_bytes(self) -> int:
        """The asked queue, a number of packets as bytes of full ones."""
        return self.asked.queue_bytes or (self.asked.queue_packets or 0) * self.link.frame_bytes

    @property
    def burst_bytes(self) -> int:
        """What passes at once after a pause before the queue begins to fill: the token bucket of tc."""
        return burst_bytes(self.rate_bps, self.link.frame_bytes) if self.link.kind == "tc" else 0

    @property
    def longest_s(self) -> float:
        """The longest that a packet is on its way."""
        return (self.asked.delay_ns + self.asked.jitter_ns + self.asked.reorder_extra_ns) / 1e9

    @property
    def passed(self) -> float:
        """How many packets arrive for each that took its share of the rate."""
        # netem loses before the queue: what it loses takes no rate.
        lost = 0.0 if self.link.kind == "tc" else self.asked.mean_loss
        return (1 - lost) * (1 + self.asked.duplicate) or 1.0

    def begin(self) -> Calibration:
        """A result to be filled."""
        name = f"{self.sender.host}->{self.receiver.host}"
        return Calibration(self.link.name, name, self.rate_bps, 0.0, self.link.tolerance.rate, self.link.kind)


def start(host: Host, file: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start one of the lab's small programs in a host."""
    # Real-time priority: it sleeps most of the time, but must not come late on a busy machine.
    command = ["chrt", "--rr", "1", sys.executable, "-I", file, *arguments]
    return host.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def next_line(program: subprocess.Popen[str]) -> str:
    """What a program says next; LabError when it says nothing."""
    line = program.stdout.readline() if program.stdout is not None else ""
    if not line:
        raise LabError("calibration: a program that sends or receives UDP packets did not start", 1)
    return line
