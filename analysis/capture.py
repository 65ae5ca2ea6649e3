"""TCP segments of capture files (`capture_file`), as `tcpdump`, `dumpcap` and our stack write them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from analysis.capture_file import Packet, Unread, records
from analysis.errors import UnreadableFile

FIN, SYN, RST, ACK = 1, 2, 4, 16
OPTION_WINDOW_SCALE, OPTION_MPTCP = 3, 30
MP_CAPABLE, MP_JOIN, DSS = 0, 1, 2
"""Subtypes of the MPTCP option (RFC 8684 section 8)."""

_IPV4, _IPV6, _VLANS, _TCP, _UDP = 0x0800, 0x86DD, (0x8100, 0x88A8), 6, 17
_CARRIERS_BY_TYPE = {0x8847: "MPLS", 0x8848: "MPLS", 0x8864: "PPPoE", 0x88E7: "provider backbone bridging"}
_CARRIERS_BY_PROTOCOL = {
    4: "IPv4 in IP", 41: "IPv6 in IP", 47: "GRE", 50: "ESP", 51: "AH",
}  # fmt: skip
_EXTENSIONS = {0: "an IPv6 extension header", 43: "an IPv6 extension header", 44: "IPv6 fragments",
               60: "an IPv6 extension header"}  # fmt: skip
"""In front of TCP; others of IPv6 have them, too."""
_CARRIERS_BY_PORT = {2152: "GTP-U", 4789: "VXLAN", 6081: "Geneve", 8472: "VXLAN"}
"""What else may carry TCP: by EtherType, IP protocol, UDP port (IANA's, and the one of Linux's VXLAN)."""
_CUT = "cut too short by the capture: take more of each (tcpdump -s 160)"
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
        return f"[{self.ip_text}]:{self.port}" if len(self.ip) == 16 else f"{self.ip_text}:{self.port}"

    @property
    def ip_text(self) -> str:
        """Return the address without its port."""
        return str(ip_address(self.ip))


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
    cut: bool
    """Whether the capture lacks a part of the options."""


def segments(path: Path, unread: Unread | None = None) -> Iterator[Segment]:
    """Return the TCP segments of a file in its order; times since 1970. What is torn, cut short or no TCP is left out.

    `unread` hears of it, where MPTCP may be in it. Raises UnreadableFile for what is no capture, and for one of a link
    type that is not known.
    """
    unread = Unread() if unread is None else unread
    for packet in packets(path, unread):
        found = segment(packet)
        if found is not None:
            yield found
        if (found is None or found.cut) and (why := _why_not(packet, found)):
            unread.packets[why] += 1


def segment(packet: Packet) -> Segment | None:
    """Return the TCP segment in a packet; None when it is torn, cut short or no TCP."""
    try:
        return _segment(packet.time_ns, packet.wire_bytes, packet.frame, *_LINKS[packet.link_type])
    except (struct.error, IndexError):  # cut short
        return None


def hops(packet: Packet) -> int:
    """Return the time to live, or hop limit, of a packet that has a TCP segment."""
    start, kind, _ = _network(packet.frame, *_LINKS[packet.link_type])
    return packet.frame[start + (8 if kind == _IPV4 else 7)]


def _why_not(packet: Packet, found: Segment | None) -> str | None:
    """Why MPTCP that may be in a packet is not seen; None where there is none to be seen."""
    if found is None:
        try:
            start, kind, protocol = _network(packet.frame, *_LINKS[packet.link_type])
        except IndexError:
            return _CUT
        if inside := _inside(packet.frame, start, kind, protocol):
            return f"in {inside} left out: only IP that the link itself carries is looked into"
        if protocol != _TCP:
            return None
        if _is_later_fragment(packet.frame, start):
            return "left out: fragments of IP packets but the first"
    return _CUT if len(packet.frame) < packet.wire_bytes else None


def _network(frame: bytes, start: int, type_at: int) -> tuple[int, int, int]:
    """Return where the network's header begins, its EtherType, its protocol (-1: no IP). Raises IndexError."""
    kind = (_IPV4 if frame[start] >> 4 == 4 else _IPV6) if type_at == _NO_TYPE else _ether_type(frame, type_at)
    while kind in _VLANS:
        kind = _ether_type(frame, start + 2)
        start += 4
    return start, kind, frame[start + {_IPV4: 9, _IPV6: 6}[kind]] if kind in (_IPV4, _IPV6) else -1


def _ether_type(frame: bytes, place: int) -> int:
    return frame[place] << 8 | frame[place + 1]


def _is_later_fragment(frame: bytes, start: int) -> bool:
    return frame[start] >> 4 == 4 and bool(frame[start + 6] & 0x1F or frame[start + 7])


def _inside(frame: bytes, start: int, kind: int, protocol: int) -> str | None:
    """Return the name of what else may carry TCP within a packet."""
    if kind == _IPV6 and protocol in _EXTENSIONS:
        return _EXTENSIONS[protocol] if frame[start + 40 : start + 41] == bytes((_TCP,)) else None
    if protocol != _UDP:
        return _CARRIERS_BY_TYPE.get(kind) or _CARRIERS_BY_PROTOCOL.get(protocol)
    ports = start + (40 if kind == _IPV6 else (frame[start] & 15) * 4)
    return _CARRIERS_BY_PORT.get(int.from_bytes(frame[ports + 2 : ports + 4], "big"))


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


def packets(path: Path, unread: Unread | None = None) -> Iterator[Packet]:
    """Return the packets of a file in its order. Raises UnreadableFile as `segments` does."""
    for packet in records(path, Unread() if unread is None else unread):
        if packet.link_type not in _LINKS:
            known = ", ".join(map(str, _LINKS))
            raise UnreadableFile(f"{path}: packets of link type {packet.link_type}; those that can be read: {known}")
        yield packet


def _segment(time_ns: int, wire_bytes: int, frame: bytes, start: int, type_at: int) -> Segment | None:
    """Return the TCP segment in a frame; None for other packets. Raises struct.error, IndexError when it is cut."""
    start, _, protocol = _network(frame, start, type_at)
    version = frame[start] >> 4
    if protocol != _TCP or _is_later_fragment(frame, start):
        return None
    # A length of 0 is that of a super-segment too long for the field.
    if version == 4:
        size = (frame[start] & 15) * 4
        total = struct.unpack_from("!H", frame, start + 2)[0] or wire_bytes - start
        source, destination = frame[start + 12 : start + 16], frame[start + 16 : start + 20]
    elif version == 6:
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
        len(frame) < tcp + header,
    )  # fmt: skip
