"""Measuring how long connections take to set up while others are open: at the client, and at the server's interface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from testbed.collectors.collection import NOTHING, Wanted
from testbed.errors import LabError
from testbed.host.process import announced_ready
from testbed.loadgen.options import Endpoint
from testbed.placement import ANYWHERE, Placement
from testbed.stacks.base import CLIENT, SERVER, StackUnderTest
from testbed.stacks.measure import ANY, Measurement, Progress, Trial, measure_trial, read_own

if TYPE_CHECKING:
    from testbed.lab import Lab

SETUP_PORT = 5004
_MODULE = "testbed.loadgen.setup"
HANDSHAKES = "pcap+filter=tcp[13] & 2 != 0"
"""The collector that records what :func:`answer_times` reads: segments with SYN, and no others."""


@dataclass(frozen=True)
class SetupLoad:
    """``samples`` connections, one after the other, while ``count_open`` others are open and idle."""

    count_open: int
    samples: int
    time_limit_s: float = 120.0


def setup(
    lab: Lab, stack: StackUnderTest, load: SetupLoad, directory: Path,
    *, placement: Placement = ANYWHERE, progress: Progress | None = None, collect: Wanted = NOTHING,
) -> Measurement:  # fmt: skip
    """Measure connections; the result has ``connect_ns``, a list. Raises as :func:`measure.http` does."""
    stack.require("bulk")
    count = ["--open", str(load.count_open)]
    trial = Trial(
        server=stack.command(lab, SERVER, _MODULE, "server", "--listen", f"{ANY}:{SETUP_PORT}", *count),
        client=stack.command(
            lab, CLIENT, _MODULE, "client", "--connect", str(Endpoint(stack.server_address(lab), SETUP_PORT)), *count,
            "--timed", str(load.samples), "--time-limit-s", str(load.time_limit_s),
        ),
        ready=announced_ready,
        limit_s=load.time_limit_s,
        connections=load.count_open + load.samples,
        long_lived=False,
        share=lambda _, elapsed_s: elapsed_s / load.time_limit_s,
        read=read_own,
    )  # fmt: skip
    return measure_trial(lab, stack, trial, directory, placement, progress, collect)


class Handshake(NamedTuple):
    """When a SYN and the first SYN/ACK for it were seen, in ns of the day; ``syns``: how often the SYN came."""

    syn_ns: int
    answer_ns: int | None
    syns: int


def handshakes(capture: Path) -> list[Handshake]:
    """Return every handshake in a capture of one interface, in the order of their SYNs.

    Raises :class:`LabError` for a file that is no capture.
    """
    # Only experiments that ask for a capture need what reads one.
    from analysis.capture import ACK, SYN, Address, segments
    from analysis.collected import UnreadableFile

    asked: dict[tuple[Address, Address], Handshake] = {}
    try:
        for segment in segments(capture):
            there = segment.source, segment.destination
            answered = asked.get(there[::-1])
            if segment.flags & (SYN | ACK) == SYN:
                handshake = asked.get(there, Handshake(segment.time_ns, None, 0))
                asked[there] = handshake._replace(syns=handshake.syns + 1)
            elif segment.flags & SYN and answered is not None and answered.answer_ns is None:
                asked[there[::-1]] = answered._replace(answer_ns=segment.time_ns)
    except UnreadableFile as error:
        raise LabError(str(error), 1) from None
    return list(asked.values())
