"""Reduce captures to what tells when something began, small enough to be kept with the project."""

from __future__ import annotations

import struct
from pathlib import Path

from analysis import capture

SILENCE_NS = 100_000_000
_MAGIC_NS, _VERSION, _SNAPLEN = 0xA1B23C4D, (2, 4), 65535
"""Of a pcap file whose times are in nanoseconds."""


def thinned(path: Path) -> bytes:
    """Return a capture as pcap with those of its segments alone that signal or end a silence, as they are.

    They have SYN, FIN, RST or an option of MPTCP other than DSS; or are the first with payload, or without, of a
    subflow's direction for SILENCE_NS. Raises UnreadableFile.
    """
    kept, link_type = [], 1
    last_ns: dict[tuple[capture.Address, capture.Address, bool], int] = {}
    for packet in capture.packets(path):
        link_type, segment = packet.link_type, capture.segment(packet)
        if segment is None:
            continue
        stream = segment.source, segment.destination, segment.payload_bytes > 0
        silent_ns = packet.time_ns - last_ns.get(stream, packet.time_ns - SILENCE_NS)
        last_ns[stream] = packet.time_ns
        if silent_ns >= SILENCE_NS or _signals(segment):
            kept.append(struct.pack("<IIII", *divmod(packet.time_ns, 10**9), len(packet.frame), packet.wire_bytes))
            kept.append(packet.frame)
    return struct.pack("<IHHiIII", _MAGIC_NS, *_VERSION, 0, 0, _SNAPLEN, link_type) + b"".join(kept)


def _signals(segment: capture.Segment) -> bool:
    if segment.flags & (capture.SYN | capture.FIN | capture.RST):
        return True
    bodies = [body for kind, body in capture.options(segment.options) if kind == capture.OPTION_MPTCP and body]
    return any(body[0] >> 4 != capture.DSS for body in bodies)
