"""The TCP segment (RFC 9293 section 3.1) in its IP packet: `decode` and `encode`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from . import ipv4, ipv6
from .checksum import Buffer, ones_sum
from .errors import ChecksumError, WireError
from .options import Options, decode_options, encode_options
from .packet import Checksum, Packet

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80

HEADER_LENGTH: Final = 20
MAX_PACKET_LENGTH: Final = 65535
"""Largest IPv4 total length, and the largest IPv6 packet that we make."""

_HEADER: Final = Struct("!HHIIHHHH")
_PORTS: Final = Struct("!HH")


@dataclass(slots=True, init=False)
class Segment:
    """A TCP segment with its addresses; a super-segment when `gso_size` is not 0.

    Addresses are packed (4 or 16 bytes), `seq` and `ack` 32 bits, `window` the unscaled 16-bit field,
    `length` the bytes of `payload` in all, `gso_size` the payload bytes of each of its wire packets, `ecn`
    the two ECN bits of the IP header. `whole`: over IPv4 no router may cut it (Don't Fragment; only when it goes out).
    """

    src: bytes
    dst: bytes
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    options: Options
    payload: list[memoryview]
    length: int
    gso_size: int
    ecn: int
    whole: bool

    # Written out, as in `Options` and `Dss`: a generated one is not compiled, and they are made for each segment.
    def __init__(
        self,
        src: bytes,
        dst: bytes,
        sport: int,
        dport: int,
        seq: int = 0,
        ack: int = 0,
        flags: int = 0,
        window: int = 0,
        options: Options | None = None,
        payload: list[memoryview] | None = None,
        length: int = 0,
        gso_size: int = 0,
        ecn: int = 0,
        whole: bool = True,
    ) -> None:
        self.src = src
        self.dst = dst
        self.sport = sport
        self.dport = dport
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.options = Options() if options is None else options
        self.payload = [] if payload is None else payload
        self.length = length
        self.gso_size = gso_size
        self.ecn = ecn
        self.whole = whole

    @classmethod
    def answering(cls, segment: Segment, *, seq: int, ack: int, flags: int, options: Options) -> Segment:
        """One that goes back to where `segment` came from, without payload and without a window."""
        return cls(segment.dst, segment.src, segment.dport, segment.sport, seq, ack, flags, 0, options)

    @property
    def flow(self) -> bytes:
        """Source and destination address, source and destination port as on the wire: 12 bytes, 36 for IPv6.

        For a received segment that is the key of its flow in the direction from remote to local.
        """
        return self.src + self.dst + _PORTS.pack(self.sport, self.dport)

    @property
    def reverse_flow(self) -> bytes:
        """As `flow`, of what is sent in the other direction."""
        return self.dst + self.src + _PORTS.pack(self.dport, self.sport)


def decode(packet: Packet) -> Segment:
    """The segment that an IP packet carries; its payload are views of the packet's buffers.

    The TCP checksum is verified when the packet's checksum state is NONE. Raises WireError, and nothing
    else, for any bytes: truncated or lying lengths, wrong checksum, IP version; FragmentError for a part of a packet,
    OtherProtocolError for another protocol (see `errors`).
    """
    parts = packet.parts
    if len(parts) != 1 and not packet.header_length:
        parts = (b"".join(parts),)
    first = parts[0]
    available = len(first) if len(parts) == 1 else packet.length
    version = first[0] >> 4 if first else 0
    if version == 4:
        src, dst, ecn, start, end = ipv4.decode(first, available)
    elif version == 6:
        src, dst, ecn, start, end = ipv6.decode(first, available)
    else:
        raise WireError("IP version")
    header_limit = min(end, len(first))
    if header_limit - start < HEADER_LENGTH:
        raise WireError("TCP header truncated")
    sport, dport, seq, ack, offset_flags, window, _, _ = _HEADER.unpack_from(first, start)
    payload_start = start + (offset_flags >> 12) * 4
    if not start + HEADER_LENGTH <= payload_start <= header_limit:
        raise WireError("TCP data offset out of range")
    payload = _payload(parts, payload_start, end)
    if packet.checksum is Checksum.NONE:
        _verify(src + dst, [memoryview(first)[start:payload_start], *payload], end - start)
    return Segment(
        src, dst, sport, dport, seq, ack, offset_flags & 0xFF, window,
        decode_options(first, start + HEADER_LENGTH, payload_start),
        payload, end - payload_start, packet.gso_size, ecn,
    )  # fmt: skip


def _payload(parts: Sequence[Buffer], start: int, end: int) -> list[memoryview]:
    """Views of the bytes from `start` to `end` of `parts`, none of them empty."""
    if len(parts) == 1:
        return [memoryview(parts[0])[start:end]] if start < end else []
    views = []
    for part in parts:
        view = memoryview(part)[start:end]
        if len(view):
            views.append(view)
        start = max(0, start - len(part))
        end = max(0, end - len(part))
    return views


def _verify(addresses: bytes, views: list[memoryview], length: int) -> None:
    pseudo_sum = ones_sum((addresses,)) + ipv4.PROTOCOL_TCP + length
    if (pseudo_sum + ones_sum(views)) % 65535:
        raise ChecksumError("TCP checksum")


def encode(segment: Segment, ident: int = 0) -> Packet:
    """The packet for a segment: one buffer of headers, then the payload as it is; TCP checksum in PARTIAL
    form.

    `ident` is the IPv4 identification. Raises ValueError for a field out of range, options that do not fit
    in 40 bytes, or a packet over 65535 bytes.
    """
    try:
        return _encode(segment, ident & 0xFFFF)
    except (error, OverflowError) as problem:
        raise ValueError(f"a field is out of range: {problem}") from None


def _encode(segment: Segment, ident: int) -> Packet:
    src, dst = segment.src, segment.dst
    if len(src) != len(dst):
        raise ValueError("addresses of two families")
    options = encode_options(segment.options)
    header_length = HEADER_LENGTH + len(options)
    length = header_length + segment.length
    address_sum = int.from_bytes(src + dst, "big") % 65535
    total = length + (ipv4.HEADER_LENGTH if len(src) == 4 else ipv6.HEADER_LENGTH)
    if total > MAX_PACKET_LENGTH:
        raise ValueError(f"a packet of {total} bytes is longer than {MAX_PACKET_LENGTH}")
    tcp = _HEADER.pack(
        segment.sport, segment.dport, segment.seq, segment.ack, header_length << 10 | segment.flags,
        segment.window, (address_sum + ipv4.PROTOCOL_TCP + length) % 65535, 0,
    )  # fmt: skip
    if len(src) == 4:
        flags = ipv4.DONT_FRAGMENT if segment.whole else 0
        ip = ipv4.encode(src, dst, segment.ecn, ident, flags, total, address_sum)
    else:
        ip = ipv6.encode(src, dst, segment.ecn, total)
    gso_size = segment.gso_size if segment.length > segment.gso_size else 0
    headers = ip + tcp + options
    return Packet([headers, *segment.payload], len(headers), total, gso_size, Checksum.PARTIAL)
