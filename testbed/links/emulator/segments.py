"""Super-segments cut into the packets that they stand for: frames of TCP or UDP behind a virtio header.

A bottleneck in a network sees packets of the MTU, so that losses and queues have to count those. What a host's edge
has not cut is cut here, as the kernel's software segmentation does: headers repeated, sequence number, length and
identification counted on, FIN and PSH on the last, CWR on the first. Checksums of the packets are left to be
completed by who sends them, as they were. Sources: linux/virtio_net.h, RFC 9293, RFC 3168 section 6.1.2.
"""

from __future__ import annotations

from struct import Struct

HEADER_BYTES = 10

_VIRTIO = Struct("<BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
_NEEDS_CSUM = 1
_GSO_NONE, _GSO_TCPV4, _GSO_TCPV6, _GSO_UDP_L4, _GSO_ECN = 0, 1, 4, 5, 0x80
_ETHERNET_BYTES = 14
_U16, _U32 = Struct("!H"), Struct("!I")
_FIN_PSH, _CWR = 0x09, 0x80


class MalformedSegment(ValueError):
    """A super-segment that does not hold together."""


def is_super_segment(frame: bytes) -> bool:
    """Whether a frame behind its virtio header is more than one packet."""
    return frame[1] != _GSO_NONE


def split(frame: bytes) -> list[bytes]:
    """The packets of a super-segment, each behind a virtio header. MalformedSegment when there are none."""
    flags, gso_type, _, gso_bytes, start, offset = _VIRTIO.unpack_from(frame)
    kind = gso_type & ~_GSO_ECN
    if kind not in (_GSO_TCPV4, _GSO_TCPV6, _GSO_UDP_L4) or not gso_bytes or not flags & _NEEDS_CSUM:
        raise MalformedSegment(f"segmentation of kind {gso_type} with {gso_bytes} bytes and flags {flags}")
    transport = HEADER_BYTES + start
    is_udp = kind == _GSO_UDP_L4
    if transport + 20 > len(frame) or start < _ETHERNET_BYTES + 20:
        raise MalformedSegment(f"a header at {start} of {len(frame) - HEADER_BYTES} bytes")
    payload = transport + (8 if is_udp else (frame[transport + 12] >> 4) * 4)
    if payload >= len(frame):
        raise MalformedSegment("no payload")
    cut = _cut_udp if is_udp else _cut_tcp
    header = _VIRTIO.pack(_NEEDS_CSUM, _GSO_NONE, 0, 0, start, offset) + frame[HEADER_BYTES:payload]
    pieces = range(payload, len(frame), gso_bytes)
    return [
        bytes(cut(bytearray(header), transport, index, index == len(pieces) - 1, gso_bytes, frame[at : at + gso_bytes]))
        for index, at in enumerate(pieces)
    ]


def _cut_tcp(packet: bytearray, transport: int, index: int, is_last: bool, gso_bytes: int, payload: bytes) -> bytearray:
    sequence = _U32.unpack_from(packet, transport + 4)[0]
    _U32.pack_into(packet, transport + 4, (sequence + index * gso_bytes) & 0xFFFF_FFFF)
    if not is_last:
        packet[transport + 13] &= ~_FIN_PSH & 0xFF
    if index:
        packet[transport + 13] &= ~_CWR & 0xFF
    return _finish(packet, transport, 6, index, payload)


def _cut_udp(packet: bytearray, transport: int, index: int, is_last: bool, gso_bytes: int, payload: bytes) -> bytearray:
    _U16.pack_into(packet, transport + 4, 8 + len(payload))
    return _finish(packet, transport, 17, index, payload)


def _finish(packet: bytearray, transport: int, protocol: int, index: int, payload: bytes) -> bytearray:
    """Lengths, identification, and the part of the checksum that covers the addresses."""
    network = HEADER_BYTES + _ETHERNET_BYTES
    transport_bytes = len(packet) - transport + len(payload)
    if packet[network] >> 4 == 4:
        _U16.pack_into(packet, network + 2, len(packet) - network + len(payload))
        identification = _U16.unpack_from(packet, network + 4)[0]
        _U16.pack_into(packet, network + 4, (identification + index) & 0xFFFF)
        _U16.pack_into(packet, network + 10, 0)
        _U16.pack_into(packet, network + 10, _sum(packet[network : network + (packet[network] & 15) * 4]) ^ 0xFFFF)
        addresses = packet[network + 12 : network + 20]
    else:
        _U16.pack_into(packet, network + 4, len(packet) - network - 40 + len(payload))
        addresses = packet[network + 8 : network + 40]
    checksum = transport + (16 if protocol == 6 else 6)
    _U16.pack_into(packet, checksum, _sum(addresses + _U16.pack(protocol) + _U16.pack(transport_bytes)))
    return packet + payload


def _sum(data: bytearray) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071), not inverted; `data` is of even length and not all zero."""
    return int.from_bytes(data, "big") % 0xFFFF or 0xFFFF
