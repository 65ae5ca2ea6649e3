"""ICMP and ICMPv6 errors about TCP segments that we sent (RFC 792, 1191, 4443). Nothing is ever sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from struct import Struct
from typing import Final

from . import ipv4, ipv6
from .checksum import ones_sum
from .errors import ChecksumError, WireError
from .packet import Checksum, Packet

PROTOCOL_ICMP: Final = 1
NEXT_HEADER_ICMPV6: Final = 58

_HEADER_LENGTH: Final = 8
_HEADER: Final = Struct("!BBHI")
_QUOTED_TCP: Final = Struct("!HHI")
"""Ports and sequence number: all that every router quotes of a segment."""


class Trouble(Enum):
    """What became of our segment."""

    NO_ROUTE = auto()
    HOST_UNREACHABLE = auto()
    PROTOCOL_UNREACHABLE = auto()
    PORT_UNREACHABLE = auto()
    PROHIBITED = auto()
    TOO_BIG = auto()
    EXPIRED = auto()
    MALFORMED = auto()


_TROUBLES_4: Final = {
    (3, 0): Trouble.NO_ROUTE,
    (3, 1): Trouble.HOST_UNREACHABLE,
    (3, 2): Trouble.PROTOCOL_UNREACHABLE,
    (3, 3): Trouble.PORT_UNREACHABLE,
    (3, 4): Trouble.TOO_BIG,
    (3, 6): Trouble.NO_ROUTE,
    (3, 7): Trouble.HOST_UNREACHABLE,
    (3, 9): Trouble.NO_ROUTE,
    (3, 10): Trouble.HOST_UNREACHABLE,
    (3, 11): Trouble.NO_ROUTE,
    (3, 12): Trouble.HOST_UNREACHABLE,
    (3, 13): Trouble.HOST_UNREACHABLE,
    (11, 0): Trouble.EXPIRED,
    (12, 0): Trouble.MALFORMED,
}
_TROUBLES_6: Final = {
    (1, 0): Trouble.NO_ROUTE,
    (1, 1): Trouble.PROHIBITED,
    (1, 2): Trouble.HOST_UNREACHABLE,
    (1, 3): Trouble.HOST_UNREACHABLE,
    (1, 4): Trouble.PORT_UNREACHABLE,
    (1, 5): Trouble.PROHIBITED,
    (1, 6): Trouble.PROHIBITED,
    (2, 0): Trouble.TOO_BIG,
    (3, 0): Trouble.EXPIRED,
    (4, 0): Trouble.MALFORMED,
    (4, 1): Trouble.MALFORMED,
    (4, 2): Trouble.MALFORMED,
}


@dataclass(frozen=True, slots=True)
class IcmpError:
    """What ``reporter`` says about a segment of ours: its addresses, ports and sequence number.

    ``mtu`` counts with TOO_BIG.
    """

    reporter: bytes
    trouble: Trouble
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    seq: int
    mtu: int = 0

    @property
    def flow(self) -> bytes:
        """The key of the flow, as `Segment.flow` of what the peer sends."""
        ports = self.remote_port.to_bytes(2, "big") + self.local_port.to_bytes(2, "big")
        return self.remote + self.local + ports


def decode_icmp(packet: Packet) -> IcmpError | None:
    """The error that an IP packet reports; None: an ICMP message that is none, or not about TCP.

    Raises WireError for what is malformed, OtherProtocolError (one of them) for another protocol than ICMP.
    """
    data = packet.parts[0] if len(packet.parts) == 1 else b"".join(packet.parts)
    version = data[0] >> 4 if data else 0
    if version == 4:
        reporter, local, _, start, end = ipv4.decode(data, packet.length, PROTOCOL_ICMP)
        troubles, quoted, pseudo_sum = _TROUBLES_4, _quoted_4, 0
    elif version == 6:
        reporter, local, _, start, end = ipv6.decode(data, packet.length, NEXT_HEADER_ICMPV6)
        troubles, quoted = _TROUBLES_6, _quoted_6
        pseudo_sum = ones_sum((reporter, local)) + NEXT_HEADER_ICMPV6 + end - start
    else:
        raise WireError("IP version")
    message = memoryview(data)[start:end]
    if packet.checksum is Checksum.NONE and (pseudo_sum + ones_sum((message,))) % 65535:
        raise ChecksumError("ICMP checksum")
    if len(message) < _HEADER_LENGTH:
        raise WireError("ICMP header truncated")
    kind, code, _, rest = _HEADER.unpack_from(message)
    trouble = troubles.get((kind, code))
    if trouble is None:
        return None
    source, remote, protocol, tcp = quoted(message[_HEADER_LENGTH:])
    if protocol != ipv4.PROTOCOL_TCP:
        return None
    if source != local:
        raise WireError("ICMP error about a packet of somebody else")
    if len(tcp) < _QUOTED_TCP.size:
        raise WireError("quoted segment truncated")
    local_port, remote_port, seq = _QUOTED_TCP.unpack_from(tcp)
    mtu = rest & 0xFFFF if version == 4 else rest
    return IcmpError(reporter, trouble, local, remote, local_port, remote_port, seq, mtu)


def _quoted_4(quote: memoryview) -> tuple[bytes, bytes, int, memoryview]:
    """Source, destination, protocol and payload of the packet that an error quotes, as far as it does."""
    if len(quote) < ipv4.HEADER_LENGTH:
        raise WireError("quoted IPv4 header truncated")
    start = (quote[0] & 15) * 4
    if quote[0] >> 4 != 4 or start < ipv4.HEADER_LENGTH:
        raise WireError("quoted IPv4 header out of range")
    if int.from_bytes(quote[6:8], "big") & ipv4.FRAGMENT_OFFSET:
        raise WireError("quoted fragment without a TCP header")
    return bytes(quote[12:16]), bytes(quote[16:20]), quote[9], quote[start:]


def _quoted_6(quote: memoryview) -> tuple[bytes, bytes, int, memoryview]:
    if len(quote) < ipv6.HEADER_LENGTH or quote[0] >> 4 != 6:
        raise WireError("quoted IPv6 header truncated")
    protocol, start, fragment_at, _ = ipv6.walk(quote, len(quote))
    if fragment_at:
        raise WireError("quoted fragment, which we did not send")
    return bytes(quote[8:24]), bytes(quote[24:40]), protocol, quote[start:]
