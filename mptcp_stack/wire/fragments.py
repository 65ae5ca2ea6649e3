"""Parts of IP packets (RFC 791 section 3.2, RFC 8200 section 4.5): what one says, the whole, and cutting as a router.

Which parts belong together, and how long to wait for them, is the state of `mptcp_stack.ip_reassembly`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from . import icmp, ipv4, ipv6
from .checksum import checksum
from .errors import FragmentError, HeaderChainError, OtherProtocolError, WireError
from .packet import Checksum, Packet

UNIT: Final = 8
"""All parts but the last are a multiple of so many bytes."""

_MAX_LENGTH: Final = {4: 65535, 6: 65535 + ipv6.HEADER_LENGTH}
"""Of a whole packet, as far as its header can say."""
# Of both versions: what carries nothing for us need not be put together.
_WANTED_4: Final = frozenset((ipv4.PROTOCOL_TCP, icmp.PROTOCOL_ICMP))
_WANTED_6: Final = ipv6.EXTENSIONS | {ipv6.NEXT_HEADER_TCP, icmp.NEXT_HEADER_ICMPV6}


class Fragment(NamedTuple):
    """A part: its `data` belong `offset` bytes behind the headers, and `more` follow or not.

    `packet`: what all parts of a packet have in common, and no other packet of its time; `header`: the headers that
    the whole has before the data if this is the first part, lengths and checksum aside; `ecn`: the two ECN bits;
    `trusted`: never left the machine, so that its checksum may be missing.
    """

    packet: bytes
    offset: int
    more: bool
    header: bytes
    data: bytes
    ecn: int
    trusted: bool

    @property
    def end(self) -> int:
        """Where its data end, in bytes behind the headers."""
        return self.offset + len(self.data)


def read_fragment(packet: Packet) -> Fragment:
    """What a packet says for which `decode` raised FragmentError, and whose header is right therefore.

    Raises WireError for a length that cannot be (RFC 8200 section 4.5), OtherProtocolError for neither TCP nor ICMP.
    """
    buffer = packet.parts[0] if len(packet.parts) == 1 else b"".join(packet.parts)
    version = buffer[0] >> 4
    read = _read_4 if version == 4 else _read_6
    fragment = read(bytes(buffer), packet.checksum is Checksum.PARTIAL)
    if not fragment.data or (fragment.more and len(fragment.data) % UNIT):
        raise WireError("fragment of a wrong length")
    if len(fragment.header) + fragment.end > _MAX_LENGTH[version]:
        raise WireError("fragment beyond the largest packet")
    return fragment


def _read_4(buffer: bytes, trusted: bool) -> Fragment:
    start = (buffer[0] & 15) * 4
    end, field = (int.from_bytes(buffer[at : at + 2], "big") for at in (2, 6))
    if buffer[9] not in _WANTED_4:
        raise OtherProtocolError(f"protocol {buffer[9]}")
    offset = (field & ipv4.FRAGMENT_OFFSET) * UNIT
    common = buffer[9:10] + buffer[4:6] + buffer[12:20]  # protocol, identification, addresses
    more = bool(field & ipv4.MORE_FRAGMENTS)
    return Fragment(common, offset, more, buffer[:start], buffer[start:end], buffer[1] & 3, trusted)


def _read_6(buffer: bytes, trusted: bool) -> Fragment:
    end = ipv6.HEADER_LENGTH + int.from_bytes(buffer[4:6], "big")
    _, start, at, named_at = ipv6.walk(buffer, end)
    following, _, field, _ = ipv6.FRAGMENT.unpack_from(buffer, at)
    if following not in _WANTED_6:
        raise OtherProtocolError(f"next header {following}")
    header = bytearray(buffer[:at])
    header[named_at] = following
    common = buffer[start - 4 : start] + buffer[8:40]  # identification, addresses
    more = bool(field & 1)
    return Fragment(common, field & -UNIT, more, bytes(header), buffer[start:end], buffer[1] >> 4 & 3, trusted)


def join(first: Fragment, data: Iterable[bytes], ecn: int) -> Packet:
    """The packet whose first part is `first`, with all its `data` and the ECN bits that result from all parts.

    Raises WireError where the whole is too long, or another part.
    """
    buffer = bytearray().join((first.header, *data))
    version = buffer[0] >> 4
    if len(buffer) > _MAX_LENGTH[version]:
        raise WireError("parts of more than a packet")
    if version == 4:
        buffer[1] = buffer[1] & 0xFC | ecn
        buffer[2:4] = len(buffer).to_bytes(2, "big")
        _set_fragment_field(buffer, len(first.header), 0)
    else:
        buffer[1] = buffer[1] & 0xCF | ecn << 4
        buffer[4:6] = (len(buffer) - ipv6.HEADER_LENGTH).to_bytes(2, "big")
        if ipv6.walk(buffer, len(buffer)).fragment_at:
            raise HeaderChainError("fragment of a fragment")
    return Packet([bytes(buffer)], checksum=Checksum.PARTIAL if first.trusted else Checksum.NONE)


def _set_fragment_field(packet: bytearray, header_length: int, field: int) -> None:
    packet[6:8] = field.to_bytes(2, "big")
    packet[10:12] = bytes(2)
    packet[10:12] = checksum((packet[:header_length],)).to_bytes(2, "big")


def fragment(packet: bytes, mtu: int) -> list[bytes]:
    """The parts as which a router sends an IPv4 packet over a link of `mtu`; the packet itself if it fits.

    Raises FragmentError where the packet may not be cut: Don't Fragment is set, or it is one of IPv6.
    """
    if len(packet) <= mtu:
        return [packet]
    field = int.from_bytes(packet[6:8], "big")
    if packet[0] >> 4 != 4 or field & ipv4.DONT_FRAGMENT:
        raise FragmentError(f"a packet of {len(packet)} bytes may not be cut for an MTU of {mtu}")
    start = (packet[0] & 15) * 4
    step = (mtu - start) // UNIT * UNIT
    parts = []
    for at in range(start, len(packet), step):
        part = bytearray(packet[:start] + packet[at : at + step])
        part[2:4] = len(part).to_bytes(2, "big")
        more = field & ipv4.MORE_FRAGMENTS if at + step >= len(packet) else ipv4.MORE_FRAGMENTS
        offset = (field & ipv4.FRAGMENT_OFFSET) + (at - start) // UNIT
        _set_fragment_field(part, start, more | offset)
        parts.append(bytes(part))
    return parts
