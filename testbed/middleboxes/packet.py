"""Packets as middleboxes see them: Ethernet frames on the wire to values, and back with every checksum made anew.

A packet is a named tuple and never changed in place. One that a middlebox hands on as it got it keeps the very bytes
it came in, checksums still to be completed included; `changed` gives one that is encoded again. That is what makes it
cheap to let a packet pass (some microseconds; a library of protocols takes a hundred times that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any, NamedTuple

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
"""Bits of `Segment.flags` (RFC 9293 section 3.1, RFC 3168); the reserved ones are above them."""

EOL, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS, MPTCP = 0, 1, 2, 3, 4, 5, 8, 30
"""Kinds of TCP options."""

SUBTYPES: Mapping[str, int] = {
    "mp-capable": 0, "mp-join": 1, "dss": 2, "add-addr": 3, "remove-addr": 4, "mp-prio": 5, "mp-fail": 6,
    "mp-fastclose": 7, "mp-tcprst": 8,
}  # fmt: skip
"""Subtypes of the MPTCP option (RFC 8684 section 8)."""

MOST_OPTION_BYTES = 40

VNET_BYTES = 10
"""Length of the kernel's offload header before each frame (linux/virtio_net.h); zeros: everything is in the packet."""

_PLAIN = bytes(VNET_BYTES)
_ETHERNET_BYTES = 14
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
TCP, ICMP, ICMPV6 = 6, 1, 58
"""Numbers of protocols in `Packet.protocol`."""

_PORTS_TO_URGENT = Struct("!HHIIHHHH")
_WORD = 1 << 32


class Option(NamedTuple):
    """A TCP option: its kind and what follows its length."""

    kind: int
    data: bytes = b""

    @property
    def subtype(self) -> int | None:
        """The subtype of an MPTCP option; None of any other."""
        return self.data[0] >> 4 if self.kind == MPTCP and self.data else None


class Packet(NamedTuple):
    """Anything on the wire but a plain TCP segment: `body` is what follows the IP header, or the Ethernet header.

    `protocol` is the number in the IP header, None when there is none. `frame` is what came off the wire, None once
    changed.
    """

    ethernet: bytes
    ip: bytes
    body: bytes
    protocol: int | None
    frame: bytes | None = None

    def changed(self, **changes: Any) -> Packet:
        """The packet with other values in some fields."""
        return self._replace(frame=None, **changes)

    @property
    def ip_bytes(self) -> int:
        """Length without the Ethernet header."""
        return len(self.ip) + len(self.body)

    def encode(self) -> bytes:
        """The frame with its offload header; lengths and checksums inside `body` are its maker's work."""
        return self.frame or _PLAIN + self.ethernet + _sealed(self.ip, len(self.body)) + self.body


class Segment(NamedTuple):
    """A TCP segment in one IPv4 or IPv6 packet without extension headers.

    `ip` is its IP header, whose lengths and checksum need not be right; `source` and `destination` are raw addresses.
    `frame` is what came off the wire, None once changed. Sequence numbers wrap at 2^32; use `add` and `distance`.
    """

    ethernet: bytes
    ip: bytes
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    window: int
    urgent: int
    options: tuple[Option, ...]
    payload: bytes
    frame: bytes | None = None

    def changed(self, **changes: Any) -> Segment:
        """The segment with other values in some fields."""
        return self._replace(frame=None, **changes)

    def answer(self, **fields: Any) -> Segment:
        """A bare ACK of all data of this segment, as from its receiver, with other values in some fields.

        Without SYN and options; the window is this segment's own for want of a better one.
        """
        ethernet = self.ethernet[6:12] + self.ethernet[:6] + self.ethernet[12:]
        back = self._replace(
            ethernet=ethernet, source=self.destination, destination=self.source,
            source_port=self.destination_port, destination_port=self.source_port,
            sequence=self.acknowledgement, acknowledgement=self.end, flags=ACK,
            urgent=0, options=(), payload=b"", frame=None,
        )  # fmt: skip
        return back._replace(**fields)

    @property
    def end(self) -> int:
        """The sequence number after the segment, SYN and FIN counted."""
        return add(self.sequence, len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN))

    @property
    def bare_ack(self) -> bool:
        """Whether it carries nothing but an acknowledgement and options."""
        return not self.payload and self.flags & (SYN | FIN | RST | ACK) == ACK

    @property
    def ip_bytes(self) -> int:
        """Length without the Ethernet header."""
        return len(self.ip) + 20 + len(_encode_options(self.options)) + len(self.payload)

    @property
    def endpoints(self) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
        """Address and port of sender and receiver."""
        return (self.source, self.source_port), (self.destination, self.destination_port)

    def encode(self) -> bytes:
        """The frame with its offload header."""
        if self.frame is not None:
            return self.frame
        options = _encode_options(self.options)
        if len(options) > MOST_OPTION_BYTES:
            raise ValueError(f"{len(options)} bytes of TCP options do not fit into a header")
        ip = _sealed(_addressed(self), 20 + len(options) + len(self.payload))
        offset_and_flags = (5 + len(options) // 4) << 12 | self.flags
        header = _PORTS_TO_URGENT.pack(
            self.source_port, self.destination_port, self.sequence, self.acknowledgement,
            offset_and_flags, self.window, 0, self.urgent,
        )  # fmt: skip
        body = bytearray(header + options + self.payload)
        body[16:18] = transport_checksum(self.source, self.destination, TCP, body)
        return _PLAIN + self.ethernet + ip + bytes(body)


Traffic = Packet | Segment
"""What a middlebox gets and gives."""


def parse(frame: bytes) -> Traffic:
    """The packet in a frame behind its offload header; a `Packet` whatever is no whole, plain TCP segment."""
    ethernet = frame[VNET_BYTES : VNET_BYTES + _ETHERNET_BYTES]
    rest = frame[VNET_BYTES + _ETHERNET_BYTES :]
    kind = ethernet[12:]
    if kind == _IPV4 and len(rest) >= 20 and rest[0] >> 4 == 4:
        header_bytes, length, protocol = (rest[0] & 15) * 4, int.from_bytes(rest[2:4]), rest[9]
        whole = not int.from_bytes(rest[6:8]) & 0x3FFF  # neither more fragments nor an offset
    elif kind == _IPV6 and len(rest) >= 40:
        header_bytes, length, protocol, whole = 40, 40 + int.from_bytes(rest[4:6]), rest[6], True
    else:
        return Packet(ethernet, b"", rest, None, frame)
    ip, body = rest[:header_bytes], rest[header_bytes:length]  # short frames are padded behind the packet
    if protocol == TCP and whole and (segment := _parse_segment(frame, ethernet, ip, body)) is not None:
        return segment
    return Packet(ethernet, ip, body, protocol, frame)


def _parse_segment(frame: bytes, ethernet: bytes, ip: bytes, body: bytes) -> Segment | None:
    if len(body) < 20:
        return None
    source_port, destination_port, sequence, acknowledgement, word, window, _, urgent = _PORTS_TO_URGENT.unpack_from(
        body
    )
    header_bytes = (word >> 12) * 4
    options = _parse_options(body[20:header_bytes])
    if header_bytes > len(body) or header_bytes < 20 or options is None:
        return None
    source, destination = (ip[12:16], ip[16:20]) if ip[0] >> 4 == 4 else (ip[8:24], ip[24:40])
    return Segment(
        ethernet, ip, source, destination, source_port, destination_port, sequence, acknowledgement,
        word & 0xFFF, window, urgent, options, body[header_bytes:], frame,
    )  # fmt: skip


def _parse_options(data: bytes) -> tuple[Option, ...] | None:
    """The options but for padding; None when they are malformed."""
    options = []
    at = 0
    while at < len(data) and data[at] != EOL:
        if data[at] == NOP:
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 0
        if length < 2 or at + length > len(data):
            return None
        options.append(Option(data[at], data[at + 2 : at + length]))
        at += length
    return tuple(options)


def _encode_options(options: tuple[Option, ...]) -> bytes:
    data = b"".join(
        bytes((option.kind,)) if option.kind == NOP else bytes((option.kind, len(option.data) + 2)) + option.data
        for option in options
    )
    return data + bytes((NOP,)) * (-len(data) % 4)


def _addressed(segment: Segment) -> bytes:
    """The IP header with the segment's own addresses."""
    if len(segment.source) == 4:
        return segment.ip[:12] + segment.source + segment.destination + segment.ip[20:]
    return segment.ip[:8] + segment.source + segment.destination


def _sealed(ip: bytes, body_bytes: int) -> bytes:
    """An IP header with the length, and for IPv4 the checksum, that it must have."""
    if not ip:
        return ip
    if ip[0] >> 4 == 6:
        return ip[:4] + body_bytes.to_bytes(2) + ip[6:]
    header = bytearray(ip)
    header[2:4] = (len(ip) + body_bytes).to_bytes(2)
    header[10:12] = b"\0\0"
    header[10:12] = checksum(bytes(header))
    return bytes(header)


def transport_checksum(source: bytes, destination: bytes, protocol: int, body: bytes | bytearray) -> bytes:
    """The checksum of TCP, UDP or ICMPv6 with its pseudo-header; the field itself must be zero in `body`."""
    # One layout for both families: the order of 16-bit words does not matter to the sum.
    return checksum(source + destination + protocol.to_bytes(4) + len(body).to_bytes(4) + body)


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    # The sum of 16-bit words with end-around carry is the number modulo 2^16 - 1, but for zero's two forms.
    rest = int.from_bytes(data + b"\0" * (len(data) % 2)) % 0xFFFF
    return (0xFFFF - rest).to_bytes(2)


def split(segment: Segment, most_bytes: int, copy_options: bool = True) -> list[Segment]:
    """The segment in parts of at most so much payload; itself when it is small enough.

    FIN and PSH are on the last part alone; options on all of them, as TCP segmentation does, or on the first.
    """
    if len(segment.payload) <= most_bytes:
        return [segment]
    parts = []
    for start in range(0, len(segment.payload), most_bytes):
        payload = segment.payload[start : start + most_bytes]
        last = start + most_bytes >= len(segment.payload)
        parts.append(
            segment.changed(
                sequence=add(segment.sequence, start),
                payload=payload,
                flags=segment.flags if last else segment.flags & ~(FIN | PSH),
                options=segment.options if copy_options or not start else (),
            )
        )
    return parts


def change_edges(option: Option, change: Callable[[int], int]) -> Option:
    """A SACK option with every edge of its blocks changed (RFC 2018)."""
    edges = (int.from_bytes(option.data[at : at + 4]) for at in range(0, len(option.data) // 4 * 4, 4))
    return option._replace(data=b"".join(change(edge).to_bytes(4) for edge in edges))


def ecn(ip: bytes) -> int:
    """The ECN field of an IP header (RFC 3168); 0 for no IP."""
    if not ip:
        return 0
    return ip[1] & 3 if ip[0] >> 4 == 4 else ip[1] >> 4 & 3


def with_ecn(ip: bytes, value: int) -> bytes:
    """An IP header with another ECN field; an IPv4 checksum is made anew when the packet is encoded."""
    shift = 0 if ip[0] >> 4 == 4 else 4
    return ip[:1] + bytes((ip[1] & ~(3 << shift) | value << shift,)) + ip[2:]


def add(sequence: int, count: int) -> int:
    """A sequence number `count` later (or earlier), modulo 2^32."""
    return (sequence + count) % _WORD


def distance(later: int, earlier: int) -> int:
    """How far `later` is beyond `earlier`, from -2^31 to 2^31 - 1."""
    return (later - earlier + (_WORD >> 1)) % _WORD - (_WORD >> 1)
