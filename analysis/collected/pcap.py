"""Captures of the hosts' interfaces: one row a TCP segment."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.collected.files import Collected

_ETHERNET_BYTES = 14
_IPV4, _IPV6, _TCP = 0x0800, 0x86DD, 6
_FLAGS = "FSRPAUEC"
_MPTCP = 30
_SUBTYPES = {
    0: "MP_CAPABLE", 1: "MP_JOIN", 2: "DSS", 3: "ADD_ADDR", 4: "REMOVE_ADDR", 5: "MP_PRIO", 6: "MP_FAIL",
    7: "MP_FASTCLOSE", 8: "MP_TCPRST",
}  # fmt: skip


def parse(collected: Collected) -> pd.DataFrame:
    """Return one row a TCP segment and interface that saw it.

    `time_s`, `host`, `interface`, `source` and `destination` as "10.0.1.1:80", `length_bytes` with Ethernet's header,
    `payload_bytes`, `seq`, `ack`, `window` (not scaled), `flags` such as "PA", `mptcp` (names of the MPTCP options,
    joined by a space; RFC 8684 section 8). With super-segments a row is what the interface was given at once.
    """
    rows = []
    for path in collected.paths:
        _, host, interface = path.name.partition(".pcap")[0].split("-", 2)
        for wall_ns, length_bytes, frame in _records(path):
            segment = _segment(frame)
            if segment is not None:
                time_s = collected.wall_seconds(wall_ns)
                at = {"time_s": time_s, "host": host, "interface": interface, "length_bytes": length_bytes}
                rows.append(at | segment)
    return collected.frame(rows).sort_values("time_s", kind="stable", ignore_index=True)


def _records(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Return time of day in ns, length on the wire and bytes of each packet; a torn last one is left out."""
    from scapy.utils import RawPcapReader

    with RawPcapReader(str(path)) as reader:
        scale = 1 if reader.nano else 1000
        for frame, packet in reader:
            yield packet.sec * 1_000_000_000 + packet.usec * scale, packet.wirelen, frame


def _segment(frame: bytes) -> dict[str, Any] | None:
    """Return what a row says of a segment; None for other packets."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    start = _ETHERNET_BYTES
    if kind == _IPV4 and frame[start + 9] == _TCP:
        size = (frame[start] & 15) * 4
        total = struct.unpack_from("!H", frame, start + 2)[0] or len(frame) - start
        source, destination = frame[start + 12 : start + 16], frame[start + 16 : start + 20]
    elif kind == _IPV6 and frame[start + 6] == _TCP:
        size = 40
        total = struct.unpack_from("!H", frame, start + 4)[0] + size
        source, destination = frame[start + 8 : start + 24], frame[start + 24 : start + 40]
    else:
        return None
    tcp = frame[start + size :]
    source_port, destination_port, seq, ack, offset_flags, window = struct.unpack_from("!HHIIHH", tcp)
    header = (offset_flags >> 12) * 4
    return {
        "source": _address(source, source_port),
        "destination": _address(destination, destination_port),
        "payload_bytes": total - size - header,
        "seq": seq,
        "ack": ack,
        "window": window,
        "flags": "".join(name for bit, name in enumerate(_FLAGS) if offset_flags >> bit & 1),
        "mptcp": " ".join(_subtypes(tcp[20:header])),
    }


def _subtypes(options: bytes) -> Iterator[str]:
    """Return the names of the MPTCP options; what is malformed or cut off ends the list."""
    place = 0
    while place + 2 < len(options) and options[place] != 0:
        if options[place] == 1:
            place += 1
            continue
        if options[place] == _MPTCP:
            yield _SUBTYPES.get(options[place + 2] >> 4, "?")
        place += max(options[place + 1], 2)


def _address(ip: bytes, port: int) -> str:
    text = str(ip_address(ip))
    return f"[{text}]:{port}" if len(ip) == 16 else f"{text}:{port}"
