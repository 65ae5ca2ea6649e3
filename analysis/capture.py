"""TCP segments of capture files, pcap and pcapng, as `tcpdump`, `dumpcap` and our stack write them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from analysis.errors import UnreadableFile

FIN, SYN, RST, ACK = 1, 2, 4, 16
OPTION_WINDOW_SCALE, OPTION_MPTCP = 3, 30
MP_CAPABLE, MP_JOIN, DSS = 0, 1, 2
"""Subtypes of the MPTCP option (RFC 8684 section 8)."""

_IPV4, _IPV6, _VLANS, _TCP = 0x0800, 0x86DD, (0x8100, 0x88A8), 6
_NO_TYPE = -1
_LINKS = {
    1: (14, 12), 113: (16, 14), 276: (20, 0),  # Ethernet, and the two of tcpdump -i any
    0: (4, _NO_TYPE), 108: (4, _NO_TYPE),  # loopback
    12: (0, _NO_TYPE), 14: (0, _NO_TYPE), 101: (0, _NO_TYPE), 228: (0, _NO_TYPE), 229: (0, _NO_TYPE),  # IP as it is
}  # fmt: skip
"""Length of the header of a link type (LINKTYPE_*), and where in it the EtherType is."""


class Address(NamedTuple):
    """One end of a subflow; as text `10.0.1.1:80` or `[fd00::1]:80`."""

    ip: bytes
    port: int

    def __str__(self) -> str:
        text = str(ip_address(self.ip))
        return f"[{text}]:{self.port}" if len(self.ip) == 16 else f"{text}:{self.port}"


class Packet(NamedTuple):
    """A packet: time since 1970, length on the wire, the link's type, and its bytes as far as they were captured."""

    time_ns: int
    wire_bytes: int
    link_type: int
    frame: bytes


class Segment(NamedTuple):
    """A TCP segment, or super-segment. `wire_bytes` has the link's header; `options` are the TCP header's, as bytes."""

    time_ns: int
    wire_bytes: int
    source: Address
    destination: Address
    seq: int
    ack: int
    flags: int
    window: int
    payload_bytes: int
    options: bytes


def segments(path: Path) -> Iterator[Segment]:
    """Return the TCP segments of a file in its order; times since 1970. What is torn, cut short or no TCP is left out.

    Raises UnreadableFile for what is no capture, and for one of a link type that is not known.
    """
    yield from filter(None, map(segment, packets(path)))


def segment(packet: Packet) -> Segment | None:
    """Return the TCP segment in a packet; None when it is torn, cut short or no TCP."""
    try:
        return _segment(packet.time_ns, packet.wire_bytes, packet.frame, *_LINKS[packet.link_type])
    except (struct.error, IndexError):  # cut short
        return None


def options(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Return kind and body of each option; what is malformed or cut off ends the list."""
    place, end = 0, len(text)
    while place < end and text[place] != 0:
        if text[place] == 1:
            place += 1
            continue
        if place + 2 > end or not 2 <= text[place + 1] <= end - place:
            return
        yield text[place], text[place + 2 : place + text[place + 1]]
        place += text[place + 1]


def packets(path: Path) -> Iterator[Packet]:
    """Return the packets of a file in its order. Raises UnreadableFile as `segments` does."""
    for packet in _records(path):
        if packet.link_type not in _LINKS:
            known = ", ".join(map(str, _LINKS))
            raise UnreadableFile(f"{path}: packets of link type {packet.link_type}; those that can be read: {known}")
        yield packet


def _records(path: Path) -> Iterator[Packet]:
    from scapy.error import Scapy_Exception
    from scapy.utils import RawPcapReader

    if path.exists() and not path.is_file():
        raise UnreadableFile(f"{path}: not a capture file (not a regular file)")
    try:
        reader: Any = RawPcapReader(str(path))
    except (OSError, EOFError, Scapy_Exception) as error:
        why = error.strerror if isinstance(error, OSError) else "neither pcap nor pcapng"
        raise UnreadableFile(f"{path}: not a capture file ({why})") from error
    with reader:
        if not hasattr(reader, "interfaces"):  # pcap
            scale, link_type = (1 if reader.nano else 1000), reader.linktype
            for frame, (sec, fraction, wire_bytes, _) in reader:
                yield Packet(sec * 1_000_000_000 + fraction * scale, wire_bytes, link_type, frame)
            return
        _number_interfaces_by_section(reader)
        for frame, packet in reader:
            if packet.tshigh is not None:  # a packet without a time is of no use here
                ticks = packet.tshigh << 32 | packet.tslow
                yield Packet(ticks * 1_000_000_000 // packet.tsresol, packet.wirelen, packet.linktype, frame)


def _number_interfaces_by_section(reader: Any) -> None:
    """Let interfaces be numbered anew in each section of a pcapng file (draft-ietf-opsawg-pcapng section 4.2).

    Scapy 2.8 goes on where the section before ended; of a file that was joined out of others it would take the link
    types and the resolutions of time for those of the first.
    """
    begin = reader._read_block_shb

    def begin_section() -> None:
        reader.interfaces.clear()
        begin()

    reader._read_block_shb = begin_section


def _segment(time_ns: int, wire_bytes: int, frame: bytes, start: int, type_at: int) -> Segment | None:
    """Return the TCP segment in a frame; None for other packets. Raises struct.error, IndexError when it is cut."""
    if type_at != _NO_TYPE:
        kind = frame[type_at] << 8 | frame[type_at + 1]
        while kind in _VLANS:
            kind = frame[start + 2] << 8 | frame[start + 3]
            start += 4
        if kind not in (_IPV4, _IPV6):
            return None
    version = frame[start] >> 4
    # A length of 0 is that of a super-segment too long for the field.
    if version == 4 and frame[start + 9] == _TCP and not (frame[start + 6] & 0x1F or frame[start + 7]):
        size = (frame[start] & 15) * 4
        total = struct.unpack_from("!H", frame, start + 2)[0] or wire_bytes - start
        source, destination = frame[start + 12 : start + 16], frame[start + 16 : start + 20]
    elif version == 6 and frame[start + 6] == _TCP:
        size = 40
        total = (struct.unpack_from("!H", frame, start + 4)[0] or wire_bytes - start - size) + size
        source, destination = frame[start + 8 : start + 24], frame[start + 24 : start + 40]
    else:
        return None
    tcp = start + size
    source_port, destination_port, seq, ack, offset_flags, window = struct.unpack_from("!HHIIHH", frame, tcp)
    header = (offset_flags >> 12) * 4
    if size < 20 or header < 20 or total < size + header:  # impossible
        return None
    return Segment(
        time_ns, wire_bytes, Address(source, source_port), Address(destination, destination_port),
        seq, ack, offset_flags & 0xFF, window, total - size - header, frame[tcp + 20 : tcp + header],
    )  # fmt: skip
