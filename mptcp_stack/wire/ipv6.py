"""The IPv6 header (RFC 8200), and the extension headers that may stand between it and TCP. We send none."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from .checksum import Buffer
from .errors import FragmentError, HeaderChainError, OtherProtocolError, WireError

HEADER_LENGTH: Final = 40
HOP_LIMIT: Final = 64
"""As for IPv4."""
NEXT_HEADER_AT: Final = 6
NEXT_HEADER_TCP: Final = 6
FRAGMENT_LENGTH: Final = 8
"""Bytes of the Fragment header (section 4.5)."""
FRAGMENT: Final = Struct("!BBHI")
"""Next header, reserved, offset with the flag M, identification."""

_HEADER: Final = Struct("!IHBB16s16s")
_HOP_BY_HOP: Final = 0
_ROUTING: Final = 43
_FRAGMENT: Final = 44
_DESTINATION: Final = 60
EXTENSIONS: Final = frozenset((_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION))
_MAX_EXTENSIONS: Final = 8
"""One more than a packet has that uses all of RFC 8200 section 4.1 in its order."""
_UNFRAGMENTED: Final = 0xFFF9  # an offset, or M; the two bits between are reserved
_PAD_1: Final = 0
_PAD_N: Final = 1
_MAX_OPTIONS: Final = 8
_MAX_PADDING: Final = 7
"""Both as in Linux; RFC 8504 section 5.3 lets a host have these limits, as more only costs time."""
_MUST_BE_KNOWN: Final = 0xC0  # bits of an option's type: what to do who does not know it, 0 being to skip it


class Headers(NamedTuple):
    """What follows a packet's IPv6 header: the `protocol` that begins at `start`.

    `fragment_at`: where the Fragment header begins if the packet is a part, and what follows is part of something;
    `named_at`: of the byte that says that it follows. Both are 0 in a whole packet.
    """

    protocol: int
    start: int
    fragment_at: int = 0
    named_at: int = 0


def encode(src: bytes, dst: bytes, ecn: int, length: int) -> bytes:
    """The 40 header bytes of a packet of `length` bytes in total."""
    return _HEADER.pack(6 << 28 | ecn << 20, length - HEADER_LENGTH, NEXT_HEADER_TCP, HOP_LIMIT, src, dst)


def decode(buffer: Buffer, available: int, expected: int = NEXT_HEADER_TCP) -> tuple[bytes, bytes, int, int, int]:
    """Check a header; gives source, destination, ECN bits, where `expected` begins and the total length, as
    `ipv4.decode` does.
    """
    if len(buffer) < HEADER_LENGTH:
        raise WireError("IPv6 header truncated")
    first, payload_length, next_header, _, src, dst = _HEADER.unpack_from(buffer)
    end = payload_length + HEADER_LENGTH
    if end > available:
        raise WireError("IPv6 payload length out of range")
    start = HEADER_LENGTH
    if next_header != expected:
        next_header, start, fragment_at, _ = walk(buffer, end)
        if fragment_at:
            raise FragmentError("IPv6 fragment")
        if next_header != expected:
            raise OtherProtocolError(f"next header {next_header}")
    return src, dst, first >> 20 & 3, start, end


def walk(buffer: Buffer, end: int) -> Headers:
    """Follow the extension headers of a packet, or of as much of it as is there, that ends at `end`.

    A whole packet with a Fragment header (RFC 6946) is no part, and is not put together with others. Raises
    HeaderChainError.
    """
    end = min(end, len(buffer))
    named_at, at = NEXT_HEADER_AT, HEADER_LENGTH
    fragmented = False
    for count in range(_MAX_EXTENSIONS + 1):
        kind = buffer[named_at]
        if kind not in EXTENSIONS:
            return Headers(kind, at)
        length = FRAGMENT_LENGTH if kind == _FRAGMENT else _length(buffer, at, end)
        if at + length > end:
            raise HeaderChainError("extension header truncated")
        if kind == _FRAGMENT:
            if fragmented:
                raise HeaderChainError("fragment of a fragment")
            fragmented = True
            if int.from_bytes(buffer[at + 2 : at + 4], "big") & _UNFRAGMENTED:
                return Headers(buffer[at], at + length, at, named_at)
        elif kind == _ROUTING:
            if buffer[at + 3]:
                raise HeaderChainError("routing header with segments left")  # RFC 5095 for type 0; we are no router
        elif kind == _HOP_BY_HOP and count:
            raise HeaderChainError("hop-by-hop options out of place")
        else:
            _check_options(bytes(buffer[at + 2 : at + length]))
        named_at, at = at, at + length
    raise HeaderChainError("too many extension headers")


def _length(buffer: Buffer, at: int, end: int) -> int:
    if at + 2 > end:
        raise HeaderChainError("extension header truncated")
    return 8 + buffer[at + 1] * 8


def _check_options(options: bytes) -> None:
    """Skip options that may be skipped, as none is of use to us (RFC 8200 section 4.2). Raises HeaderChainError."""
    at = known = padding = 0
    while at < len(options):
        kind = options[at]
        length = 1 if kind == _PAD_1 else 2 + int.from_bytes(options[at + 1 : at + 2], "big")
        at += length
        if kind in (_PAD_1, _PAD_N):
            padding += length
        else:
            padding = 0
            known += 1
        if at > len(options) or padding > _MAX_PADDING or known > _MAX_OPTIONS or kind & _MUST_BE_KNOWN:
            raise HeaderChainError("option that may not be skipped")
