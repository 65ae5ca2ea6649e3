"""IPv6 extension headers between IPv6 and TCP or ICMPv6 (RFC 8200 section 4), also in what ICMPv6 quotes."""

import pytest

from mptcp_stack.wire import (
    FragmentError,
    HeaderChainError,
    OtherProtocolError,
    Packet,
    Segment,
    WireError,
    complete,
    decode,
    decode_icmp,
    encode,
)
from mptcp_stack.wire.ipv6 import walk
from tests.icmp import icmp_quoting
from tests.ip import DESTINATION, FRAGMENT, HOP_BY_HOP, PADDING, ROUTING, with_extension, with_header

LOCAL, REMOTE = bytes.fromhex("fd00" + "00" * 13 + "65"), bytes.fromhex("fd00" + "00" * 13 + "66")
ATOMIC = bytes(6)
SEGMENT = Segment(REMOTE, LOCAL, 80, 40_000, 7, 8, 0x18, 9, payload=[memoryview(b"payload")], length=7, ecn=2)
SENT = complete(encode(SEGMENT))


def chain(*kinds: int, content: bytes = PADDING) -> bytes:
    """The packet with extension headers of these kinds, in this order."""
    packet = SENT
    for kind in reversed(kinds):
        packet = with_extension(packet, kind, {ROUTING: bytes(6), FRAGMENT: ATOMIC}.get(kind, content))
    return packet


CHAINS = [
    (HOP_BY_HOP,), (DESTINATION,), (ROUTING,), (FRAGMENT,), (DESTINATION, DESTINATION), (FRAGMENT, DESTINATION),
    (HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT, DESTINATION), (ROUTING, DESTINATION, ROUTING), (DESTINATION,) * 8,
]  # fmt: skip


@pytest.mark.parametrize("kinds", CHAINS)
def test_what_follows_is_found(kinds: tuple[int, ...]) -> None:
    """In any order and number (section 4), a Fragment header of a whole packet among them (RFC 6946)."""
    packet = chain(*kinds)
    segment = decode(Packet([packet]))
    assert segment == decode(Packet([SENT]))
    assert bytes(segment.payload[0]) == b"payload"
    for length in range(len(packet)):  # whatever is cut off is refused
        with pytest.raises(WireError):
            decode(Packet([packet[:length]]))
        shorter = packet[:4] + max(length - 40, 0).to_bytes(2, "big") + packet[6:length]
        with pytest.raises(WireError):
            decode(Packet([shorter]))


ACCEPTED = {
    "a byte of padding": bytes(5) + b"\0",
    "six": bytes((1, 4)) + bytes(4),
    "an option that may be skipped": bytes((0x05, 2, 0, 0, 1, 0)),
    "one that changes on the way": bytes((0x3E, 4, 1, 2, 3, 4)),
    "eight options": bytes((0x1E, 0)) * 8 + bytes(6),
    "padding of seven between options": bytes((0x1E, 0)) + bytes((1, 5)) + bytes(5) + bytes((0x1E, 3)) + bytes(3),
}
REFUSED = {
    "an option that must be known": bytes((0x43, 4)) + bytes(4),
    "and reported": bytes((0x83, 4)) + bytes(4),
    "a home address": bytes((0xC9, 18)) + bytes(18 + 2),
    "nine options": bytes((0x1E, 0)) * 9 + bytes(4),
    "padding of eight": bytes(14),
    "padding of eight in one": bytes((1, 12)) + bytes(12),
    "an option beyond the header": bytes((0x1E, 5)) + bytes(4),
    "a length beyond the header": bytes(5) + b"\x1e",
}


@pytest.mark.parametrize("kind", [HOP_BY_HOP, DESTINATION])
@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_options_that_may_be_skipped(kind: int, content: bytes) -> None:
    assert decode(Packet([with_extension(SENT, kind, content)])) == decode(Packet([SENT]))


@pytest.mark.parametrize("kind", [HOP_BY_HOP, DESTINATION])
@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_options_that_may_not(kind: int, content: bytes) -> None:
    """Section 4.2; RFC 8504 section 5.3 lets a host limit number and padding."""
    with pytest.raises(HeaderChainError):
        decode(Packet([with_extension(SENT, kind, content)]))


WRONG = {
    "segments left": with_extension(SENT, ROUTING, bytes((0, 1)) + bytes(20)),
    "segments left of an unknown kind": with_extension(SENT, ROUTING, bytes((253, 1)) + bytes(4)),
    "hop-by-hop not first": chain(DESTINATION, HOP_BY_HOP),
    "too many": chain(*(DESTINATION,) * 9),
    "fragment of a fragment": chain(FRAGMENT, FRAGMENT),
}


@pytest.mark.parametrize("packet", WRONG.values(), ids=WRONG)
def test_chains_that_cannot_be(packet: bytes) -> None:
    with pytest.raises(HeaderChainError):
        decode(Packet([packet]))


@pytest.mark.parametrize("field", [1, 8, 0xFFF8, 0xFFF9])
def test_parts_are_told_from_wholes(field: int) -> None:
    body = bytes((6, 0)) + field.to_bytes(2, "big") + bytes(4)
    packet = with_header(SENT, FRAGMENT, body)
    with pytest.raises(FragmentError):
        decode(Packet([packet]))
    with pytest.raises(FragmentError):
        decode_icmp(Packet([packet]))
    headers = walk(packet, len(packet))
    assert (headers.protocol, headers.start, headers.fragment_at, headers.named_at) == (6, 48, 40, 6)


@pytest.mark.parametrize("following", [17, 50, 51, 59, 135, 255])
def test_other_protocols_behind_headers(following: int) -> None:
    packet = bytearray(chain(HOP_BY_HOP, DESTINATION))
    packet[48] = following
    for read in (decode, decode_icmp):
        with pytest.raises(OtherProtocolError, match=str(following)):
            read(Packet([bytes(packet)]))


# --- ICMPv6


@pytest.mark.parametrize("kinds", CHAINS)
def test_errors_behind_headers_and_about_packets_with_them(kinds: tuple[int, ...]) -> None:
    sent = complete(encode(Segment(LOCAL, REMOTE, 40_000, 80, seq=99)))
    quoted = sent
    for kind in reversed(kinds):
        quoted = with_extension(quoted, kind, bytes(6) if kind in (ROUTING, FRAGMENT) else PADDING)
    router = bytes.fromhex("fd09" + "00" * 13 + "01")
    error = icmp_quoting(router, quoted, 2, 0, 1280, None, LOCAL)
    for kind in reversed(kinds):
        error = with_extension(error, kind, bytes(6) if kind in (ROUTING, FRAGMENT) else PADDING)
    read = decode_icmp(Packet([error]))
    assert read is not None
    assert (read.local, read.remote, read.local_port, read.remote_port, read.seq) == (LOCAL, REMOTE, 40_000, 80, 99)
    assert read.mtu == 1280


@pytest.mark.parametrize("version", [4, 6])
def test_quoted_parts_without_ports_are_refused(version: int) -> None:
    """What follows their IP header is not TCP's."""
    size = 4 if version == 4 else 16
    sent = bytearray(complete(encode(Segment(LOCAL[:size], REMOTE[:size], 40_000, 80, seq=99))))
    if version == 4:
        sent[6:8] = (3).to_bytes(2, "big")
        quoted = bytes(sent)
    else:
        quoted = with_header(bytes(sent), FRAGMENT, bytes((6, 0, 0, 8, 0, 0, 0, 1)))
    error = icmp_quoting(REMOTE[:size], quoted, 3 if version == 4 else 1, 4, 0, None, LOCAL[:size])
    with pytest.raises(WireError, match="quoted fragment"):
        decode_icmp(Packet([error]))
