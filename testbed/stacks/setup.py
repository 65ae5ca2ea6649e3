"""Measuring how long connections take to set up while others are open: at the client, and at the server's interface."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from testbed.collectors.collection import NOTHING, Wanted
from testbed.errors import LabError
from testbed.loadgen.options import Endpoint
from testbed.placement import ANYWHERE, Placement
from testbed.stacks.base import CLIENT, SERVER, StackUnderTest
from testbed.stacks.measure import ANY, Measurement, Progress, Trial, measure_trial, read_own
from testbed.stacks.process import announced_ready

if TYPE_CHECKING:
    from testbed.lab import Lab

SETUP_PORT = 5004
_MODULE = "testbed.loadgen.setup"
_ETHERNET_BYTES, _IPV4, _TCP = 14, 0x0800, 6
_SYN, _ACK = 0x02, 0x10
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
    """Return every handshake in a capture of one interface, in the order of their SYNs (IPv4).

    Raises :class:`LabError` for a file that is no capture.
    """
    asked: dict[tuple[bytes, bytes], Handshake] = {}
    for time_ns, frame in _frames(capture):
        segment = _segment(frame)
        if segment is None:
            continue
        source, destination, flags = segment
        if not flags & _ACK:
            handshake = asked.get((source, destination), Handshake(time_ns, None, 0))
            asked[source, destination] = handshake._replace(syns=handshake.syns + 1)
            continue
        answered = asked.get((destination, source))
        if answered is not None and answered.answer_ns is None:
            asked[destination, source] = answered._replace(answer_ns=time_ns)
    return list(asked.values())


def _frames(capture: Path) -> Iterator[tuple[int, bytes]]:
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapReader

    try:
        with RawPcapReader(str(capture)) as reader:
            for frame, packet in reader:
                yield packet.sec * 1_000_000_000 + packet.usec * (1 if reader.nano else 1000), frame
    except (Scapy_Exception, OSError) as error:
        raise LabError(f"{capture}: not a capture ({error})", 1) from None


def _segment(frame: bytes) -> tuple[bytes, bytes, int] | None:
    """Return source and destination, address and port together, and the flags of a TCP segment with SYN."""
    kind, start = struct.unpack_from("!H", frame, 12)[0], _ETHERNET_BYTES
    if kind != _IPV4 or frame[start + 9] != _TCP:
        return None
    tcp = start + (frame[start] & 15) * 4
    flags = frame[tcp + 13]
    if not flags & _SYN:
        return None
    source = frame[start + 12 : start + 16] + frame[tcp : tcp + 2]
    destination = frame[start + 16 : start + 20] + frame[tcp + 2 : tcp + 4]
    return source, destination, flags
