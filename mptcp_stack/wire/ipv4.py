"""The IPv4 header (RFC 791) as TCP needs it: no options sent, fragments left to `fragments`."""

from __future__ import annotations

from struct import Struct
from typing import Final

from .checksum import Buffer
from .errors import ChecksumError, FragmentError, OtherProtocolError, WireError

HEADER_LENGTH: Final = 20
TTL: Final = 64
"""RFC 1700's default, and Linux's (``ip_default_ttl``)."""
PROTOCOL_TCP: Final = 6
DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
FRAGMENT_OFFSET: Final = 0x1FFF
"""In units of 8 bytes."""

_HEADER: Final = Struct("!BBHHHBBH4s4s")
# The words of a header of ours that never change, summed.
_CONSTANT_SUM: Final = 0x4500 + (TTL << 8 | PROTOCOL_TCP)


def encode(src: bytes, dst: bytes, ecn: int, ident: int, flags: int, length: int, address_sum: int) -> bytes:
    """The 20 header bytes of a packet of `length` bytes in total. `flags`: DONT_FRAGMENT, or 0 where a router may.

    `address_sum` is the sum of both addresses.
    """
    check = -(_CONSTANT_SUM + ecn + length + ident + flags + address_sum) % 65535
    return _HEADER.pack(0x45, ecn, length, ident, flags, TTL, PROTOCOL_TCP, check, src, dst)


def decode(buffer: Buffer, available: int, expected: int = PROTOCOL_TCP) -> tuple[bytes, bytes, int, int, int]:
    """Check a header of protocol `expected`; gives source, destination, ECN bits, header length and total length.

    `available` is how many bytes the whole packet has; those beyond its total length are link padding.
    """
    if len(buffer) < HEADER_LENGTH:
        raise WireError("IPv4 header truncated")
    first, tos, length, _, fragment, _, protocol, _, src, dst = _HEADER.unpack_from(buffer)
    header_length = (first & 15) * 4
    if not HEADER_LENGTH <= header_length <= len(buffer):
        raise WireError("IPv4 header length out of range")
    if not header_length <= length <= available:
        raise WireError("IPv4 total length out of range")
    if int.from_bytes(buffer[:header_length], "big") % 65535:
        raise ChecksumError("IPv4 header checksum")
    if fragment & (MORE_FRAGMENTS | FRAGMENT_OFFSET):
        raise FragmentError("IPv4 fragment")
    if protocol != expected:
        raise OtherProtocolError(f"protocol {protocol}")
    return src, dst, tos & 3, header_length, length
