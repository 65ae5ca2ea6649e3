"""complete() and split(): software checksum and segmentation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mptcp_stack.wire import (
    ACK,
    CWR,
    FIN,
    PSH,
    Checksum,
    Dss,
    Options,
    Packet,
    Segment,
    checksum,
    complete,
    decode,
    encode,
    split,
)
from tests.unit.wire import kernel_packets as kernel
from tests.unit.wire.strategies import bits, segments

OPTIONS = Options(ts_val=1, ts_ecr=2, dss=Dss(3, dsn=4, ssn=5, length=3500))


def super_segment(**fields: object) -> Segment:
    payload = bytes(n % 251 for n in range(3500))
    views = [memoryview(payload)[:2100], memoryview(payload)[2100:]]
    base = {"src": bytes(4), "dst": b"\1\2\3\4", "sport": 1, "dport": 2, "seq": 2**32 - 1400, "flags": ACK}
    rest = {"options": OPTIONS, "payload": views, "length": 3500, "gso_size": 1400}
    return Segment(**{**base, **rest, **fields})


def test_complete_fills_the_checksum():
    segment = decode(Packet([kernel.DATA_64]))
    partial = encode(segment, int.from_bytes(kernel.DATA_64[4:6], "big"))
    assert partial.parts[0][36:38] != kernel.DATA_64[36:38]
    assert complete(partial) == kernel.DATA_64


@pytest.mark.parametrize("state", [Checksum.NONE, Checksum.VALID])
def test_complete_leaves_complete_packets_alone(state):
    assert complete(Packet([kernel.DATA_64[:50], kernel.DATA_64[50:]], checksum=state)) == kernel.DATA_64


def test_complete_refuses_super_segments():
    with pytest.raises(ValueError, match="split"):
        complete(encode(super_segment()))


def test_plain_packet_is_not_split():
    packet = Packet([kernel.DATA_64])
    assert split(packet) == [packet]


def test_split_as_linux_does():
    whole = encode(super_segment(flags=ACK | PSH | FIN | CWR), ident=0xFFFF)
    packets = [complete(packet) for packet in split(whole)]
    decoded = [decode(Packet([raw])) for raw in packets]
    assert [len(raw) for raw in packets] == [80 + 1400, 80 + 1400, 80 + 700]
    assert [segment.seq for segment in decoded] == [2**32 - 1400, 0, 1400]
    assert [segment.flags for segment in decoded] == [ACK | CWR, ACK, ACK | PSH | FIN]
    assert [raw[4:6].hex() for raw in packets] == ["ffff", "0000", "0001"]
    assert all(checksum((raw[:20],)) == 0 for raw in packets)
    assert all(segment.options == OPTIONS for segment in decoded)


@given(segments(), st.booleans())
def test_split_and_put_together(segment, flat):
    """Whether it comes with known headers or as one buffer, IPv4 or IPv6."""
    packet = encode(segment, 7)
    whole = b"".join(segment.payload)
    if flat:
        packet = Packet([b"".join(packet.parts)], gso_size=packet.gso_size, checksum=packet.checksum)
    pieces = [decode(Packet([complete(piece)])) for piece in split(packet)]
    assert b"".join(b"".join(piece.payload) for piece in pieces) == whole
    offset = 0
    for piece in pieces:
        assert piece.seq == (segment.seq + offset) % 2**32
        assert piece.options == segment.options
        assert piece.length == min(segment.gso_size, len(whole) - offset)
        offset += piece.length


@given(segments(), bits(16))
def test_split_payload_is_not_copied(segment, ident):
    buffers = [view.obj for view in segment.payload]
    for piece in split(encode(segment, ident)):
        assert all(any(view.obj is buffer for buffer in buffers) for view in map(memoryview, piece.parts[1:]))


def test_length_is_counted_when_not_given():
    assert Packet([b"abc", b"de"]).length == 5
    assert repr(Packet([b"abc"])) == "Packet(length=3, gso_size=0, checksum=NONE)"
