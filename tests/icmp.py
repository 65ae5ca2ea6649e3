"""ICMP errors as a router makes them."""

from mptcp_stack.wire import Segment, checksum, complete, encode, ones_sum

_IP_BYTES = {4: 20, 16: 40}


def icmp_error(
    router: bytes, segment: Segment, kind: int, code: int, rest: int = 0, quoted: int | None = None, to: bytes = b""
) -> bytes:
    """The packet in which `router` says something about `segment`, to its source or `to` somebody else.

    It quotes the IP header and `quoted` bytes after it (None: all); `rest` is the second word of the message.
    """
    packet = complete(encode(segment))
    return icmp_quoting(router, packet, kind, code, rest, quoted, to or segment.src)


def icmp_quoting(router: bytes, packet: bytes, kind: int, code: int, rest: int, quoted: int | None, to: bytes) -> bytes:
    """The same about the bytes of a packet."""
    ip_bytes = _IP_BYTES[len(to)]
    quote = packet if quoted is None else packet[: ip_bytes + quoted]
    message = bytearray((kind, code, 0, 0)) + rest.to_bytes(4, "big") + quote
    protocol, initial = (1, 0) if len(to) == 4 else (58, ones_sum((router, to)) + 58 + len(message))
    message[2:4] = checksum([message], initial).to_bytes(2, "big")
    header = bytearray(encode(Segment(router, to, 0, 0)).parts[0][:ip_bytes])
    if len(to) == 4:
        header[2:4] = (ip_bytes + len(message)).to_bytes(2, "big")
        header[9] = protocol
        header[10:12] = bytes(2)
        header[10:12] = checksum([header]).to_bytes(2, "big")
    else:
        header[4:6] = len(message).to_bytes(2, "big")
        header[6] = protocol
    return bytes(header + message)


def too_big(router: bytes, packet: bytes, mtu: int) -> bytes:
    """What a router answers that cannot forward `packet`: Fragmentation Needed, Packet Too Big."""
    if packet[0] >> 4 == 4:
        return icmp_quoting(router, packet, 3, 4, mtu, 8, packet[12:16])
    return icmp_quoting(router, packet, 2, 0, mtu, None, packet[8:24])
