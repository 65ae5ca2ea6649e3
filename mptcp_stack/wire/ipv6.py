"""The IPv6 header (RFC 8200) as TCP needs it: TCP follows directly, packets with extension headers are
refused.
"""

from __future__ import annotations

from struct import Struct

from .checksum import Buffer
from .errors import ProtocolError, WireError

HEADER_LENGTH = 40
HOP_LIMIT = 64
NEXT_HEADER_TCP = 6

_HEADER = Struct("!IHBB16s16s")


def encode(src: bytes, dst: bytes, ecn: int, length: int) -> bytes:
    """The 40 header bytes of a packet of `length` bytes in total."""
    return _HEADER.pack(6 << 28 | ecn << 20, length - HEADER_LENGTH, NEXT_HEADER_TCP, HOP_LIMIT, src, dst)


def decode(buffer: Buffer, available: int, expected: int = NEXT_HEADER_TCP) -> tuple[bytes, bytes, int, int, int]:
    """Check a header; gives source, destination, ECN bits, header length and total length, as `ipv4.decode`
    does.
    """
    if len(buffer) < HEADER_LENGTH:
        raise WireError("IPv6 header truncated")
    first, payload_length, next_header, _, src, dst = _HEADER.unpack_from(buffer)
    if payload_length + HEADER_LENGTH > available:
        raise WireError("IPv6 payload length out of range")
    if next_header != expected:
        raise ProtocolError(f"next header {next_header}")
    return src, dst, first >> 20 & 3, HEADER_LENGTH, payload_length + HEADER_LENGTH
