"""The legacy virtio_net_hdr (10 bytes, host byte order) that TUN, TAP and packet sockets put before a packet.

Source: virtio 1.1 section 5.1.6, linux/virtio_net.h.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .checksum import Buffer
from .errors import WireError
from .packet import CHECKSUM_AT, CWR, FLAGS_AT, Checksum, Packet, ip_header_length

HEADER_LENGTH: Final = 10

NEEDS_CSUM: Final = 1
DATA_VALID: Final = 2
GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_TCPV6: Final = 4
GSO_ECN: Final = 0x80  # with GSO_TCPV4 or GSO_TCPV6: CWR is set

_HEADER: Final = Struct("=BBHHHH")
_STATES: Final = (Checksum.NONE, Checksum.PARTIAL, Checksum.VALID, Checksum.PARTIAL)
_PLAIN: Final = bytes(HEADER_LENGTH)


def pack(packet: Packet) -> bytes:
    """The header to write before an outgoing packet: what the device still has to do."""
    if packet.checksum is not Checksum.PARTIAL:
        if packet.gso_size:
            raise ValueError("a device cuts a super-segment only when it computes the checksums")
        return _PLAIN
    start = ip_header_length(packet.parts[0])
    if not packet.gso_size:
        return _HEADER.pack(NEEDS_CSUM, GSO_NONE, 0, 0, start, CHECKSUM_AT)
    kind = GSO_TCPV4 if packet.parts[0][0] >> 4 == 4 else GSO_TCPV6
    if packet.parts[0][start + FLAGS_AT] & CWR:
        kind |= GSO_ECN
    return _HEADER.pack(NEEDS_CSUM, kind, packet.header_length, packet.gso_size, start, CHECKSUM_AT)


def parse(header: Buffer) -> tuple[Checksum, int]:
    """Checksum state and `gso_size` (0: a plain packet) of the packet that follows an incoming header.

    Raises WireError when it is too short or the packet is a super-packet of something else than TCP.
    """
    if len(header) < HEADER_LENGTH:
        raise WireError("virtio header truncated")
    flags, kind, _, gso_size, _, _ = _HEADER.unpack_from(header)
    kind &= ~GSO_ECN
    if kind == GSO_NONE:
        gso_size = 0
    elif kind not in (GSO_TCPV4, GSO_TCPV6):
        raise WireError("super-packet of an unknown kind")
    return _STATES[flags & (NEEDS_CSUM | DATA_VALID)], gso_size
