"""Packets as devices take and give them: buffers, a checksum state and a segmentation size, as in a Linux
sk_buff.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from struct import Struct
from typing import Final

from . import ipv4, ipv6
from .checksum import Buffer, checksum, ones_sum

_WORD: Final = Struct("!H")
_SEQ: Final = Struct("!I")
_FIN_PSH: Final = 0x09
CWR: Final = 0x80
# Offsets in the TCP header.
_SEQ_AT: Final = 4
_DATA_OFFSET_AT: Final = 12
FLAGS_AT: Final = 13
CHECKSUM_AT: Final = 16


class Checksum(IntEnum):
    """What the TCP checksum field of a packet means."""

    NONE = 0
    """Complete in the bytes, not yet verified."""
    PARTIAL = 1
    """Only the folded pseudo-header sum: a device completes it, a receiver trusts it (never left the
    machine).
    """
    VALID = 2
    """Already verified by the device."""


class Packet:
    """One IP packet of `length` bytes, perhaps a super-segment of up to 64 KB.

    `parts` are its buffers in order: headers, then payload views, when it goes out; one buffer with all
    when it came in. `header_length` counts the IP and TCP header bytes, 0 when not known; they are all in
    the first part. `gso_size` is the payload bytes of each packet it becomes on the wire, 0 when it is one
    packet already.
    """

    __slots__ = ("checksum", "gso_size", "header_length", "length", "parts")

    def __init__(
        self,
        parts: Sequence[Buffer],
        header_length: int = 0,
        length: int | None = None,
        gso_size: int = 0,
        checksum: Checksum = Checksum.NONE,
    ) -> None:
        self.parts = parts
        self.header_length = header_length
        self.length = sum(map(len, parts)) if length is None else length
        self.gso_size = gso_size
        self.checksum = checksum

    def joined(self) -> Packet:
        """The same packet in one buffer, as if it had come in."""
        return Packet([b"".join(self.parts)], 0, self.length, self.gso_size, self.checksum)

    def __repr__(self) -> str:
        return f"Packet(length={self.length}, gso_size={self.gso_size}, checksum={self.checksum.name})"


def ip_header_length(header: Buffer) -> int:
    """Bytes of the IP header that `header` begins with (without IPv6 extensions, which `decode` refuses)."""
    return (header[0] & 15) * 4 if header[0] >> 4 == 4 else ipv6.HEADER_LENGTH


def complete(packet: Packet) -> bytes:
    """The bytes of a packet as they go over a wire without offloads: one buffer, full TCP checksum.

    Raises ValueError for a super-segment: `split` it first.
    """
    if packet.gso_size:
        raise ValueError("a super-segment has no wire form before split()")
    data = bytearray().join(packet.parts)
    if packet.checksum is Checksum.PARTIAL:
        start = ip_header_length(data)
        # The pseudo-header's sum is in the field already.
        _WORD.pack_into(data, start + CHECKSUM_AT, checksum((memoryview(data)[start:],)))
    return bytes(data)


def split(packet: Packet) -> list[Packet]:
    """Software TSO: the packets that a super-segment is on the wire, as Linux's tcp_gso_segment makes them.

    Sequence number and IPv4 identification advance, FIN and PSH are on the last packet only, CWR on the
    first only, options are repeated. The checksums of the results are PARTIAL. A plain packet comes back as
    it is.
    """
    if not packet.gso_size:
        return [packet]
    header, payload = _cut(packet)
    start = ip_header_length(header)
    (seq,) = _SEQ.unpack_from(header, start + _SEQ_AT)
    flags = header[start + FLAGS_AT]
    gso_size = packet.gso_size
    length = sum(map(len, payload))
    packets = []
    for index, chunk in enumerate(_slices(payload, gso_size)):
        offset = index * gso_size
        size = min(gso_size, length - offset)
        own = bytearray(header)
        _SEQ.pack_into(own, start + _SEQ_AT, (seq + offset) & 0xFFFFFFFF)
        drop = (CWR if offset else 0) | (_FIN_PSH if offset + size < length else 0)
        own[start + FLAGS_AT] = flags & ~drop
        _set_length(own, start, size, index)
        packets.append(Packet([bytes(own), *chunk], len(own), len(own) + size, 0, Checksum.PARTIAL))
    return packets


def _cut(packet: Packet) -> tuple[Buffer, list[memoryview]]:
    """Header bytes and payload views; what lies beyond the IP length is left out by `decode`, not here."""
    first = memoryview(packet.parts[0])
    length = packet.header_length
    if not length:
        start = ip_header_length(first)
        length = start + (first[start + _DATA_OFFSET_AT] >> 4) * 4
    views = [first[length:], *(memoryview(part) for part in packet.parts[1:])]
    return first[:length], [view for view in views if len(view)]


def _slices(views: list[memoryview], size: int) -> Iterator[list[memoryview]]:
    """Views of `size` bytes in all, again and again, the last one shorter."""
    chunk: list[memoryview] = []
    room = size
    for view in views:
        while len(view) >= room:
            yield [*chunk, view[:room]]
            view, chunk, room = view[room:], [], size
        if len(view):
            chunk.append(view)
            room -= len(view)
    if chunk:
        yield chunk


def _set_length(header: bytearray, start: int, size: int, index: int) -> None:
    """Make IP length, identification and checksum, and the pseudo-header sum, right for `size` payload
    bytes.
    """
    tcp_length = len(header) - start + size
    if header[0] >> 4 == 4:
        _WORD.pack_into(header, 2, start + tcp_length)
        (ident,) = _WORD.unpack_from(header, 4)
        _WORD.pack_into(header, 4, (ident + index) & 0xFFFF)
        _WORD.pack_into(header, 10, 0)
        _WORD.pack_into(header, 10, checksum((header[:start],)))
        addresses = header[12:20]
    else:
        _WORD.pack_into(header, 4, tcp_length)
        addresses = header[8:40]
    pseudo_sum = (ones_sum((addresses,)) + ipv4.PROTOCOL_TCP + tcp_length) % 65535
    _WORD.pack_into(header, start + CHECKSUM_AT, pseudo_sum)
