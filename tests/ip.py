"""Parts of IP packets, and extension headers, as other hosts and routers make them."""

from itertools import pairwise

from mptcp_stack.wire import checksum

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
PADDING = bytes((1, 4, 0, 0, 0, 0))
"""Options of 6 bytes that say nothing (RFC 8200 section 4.2)."""


def part(packet: bytes, start: int, end: int, more: bool | None = None, ident: int = 1) -> bytes:
    """The bytes from `start` to `end` behind the IP header as a fragment; `more` is as it should be if None."""
    version = packet[0] >> 4
    at = 20 if version == 4 else 40
    data = packet[at + start : at + end]
    follows = at + end < len(packet) if more is None else more
    if version == 6:
        header = bytes((packet[6], 0)) + (start | follows).to_bytes(2, "big") + ident.to_bytes(4, "big")
        return with_header(packet[:40], FRAGMENT, header + data)
    header = bytearray(packet[:20])
    header[2:4] = (20 + len(data)).to_bytes(2, "big")
    header[4:6] = ident.to_bytes(2, "big")
    header[6:8] = (follows << 13 | start // 8).to_bytes(2, "big")
    header[10:12] = bytes(2)
    header[10:12] = checksum([header]).to_bytes(2, "big")
    return bytes(header) + data


def parts(packet: bytes, *cuts: int, ident: int = 1) -> list[bytes]:
    """The fragments of a packet that is cut so many bytes behind its IP header."""
    length = len(packet) - (20 if packet[0] >> 4 == 4 else 40)
    edges = (0, *cuts, length)
    return [part(packet, start, end, ident=ident) for start, end in pairwise(edges)]


def with_header(packet: bytes, kind: int, body: bytes) -> bytes:
    """An IPv6 packet with `body` right behind its IPv6 header, announced as `kind`."""
    length = len(packet) - 40 + len(body)
    return packet[:4] + length.to_bytes(2, "big") + bytes([kind]) + packet[7:40] + body + packet[40:]


def with_extension(packet: bytes, kind: int, content: bytes = PADDING) -> bytes:
    """An IPv6 packet with one more extension header, a multiple of 8 bytes with its first two."""
    return with_header(packet, kind, bytes((packet[6], (len(content) + 2) // 8 - 1)) + content)
