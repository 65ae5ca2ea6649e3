"""IP and TCP headers: vectors, what is refused and why, round trips, and decoding of arbitrary bytes."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mptcp_stack.wire import (
    ACK,
    PSH,
    SYN,
    Checksum,
    ChecksumError,
    Dss,
    Options,
    OtherProtocolError,
    Packet,
    Segment,
    WireError,
    checksum,
    complete,
    decode,
    encode,
)
from tests.unit.wire import kernel_packets as kernel
from tests.unit.wire.strategies import bits, segments

V4 = {"src": bytes((192, 0, 2, 1)), "dst": bytes((192, 0, 2, 2)), "sport": 4660, "dport": 80}
V6_SYN = bytes.fromhex(
    "60200000 0018 06 40 20010db8000000000000000000000001 20010db8000000000000000000000002"
    "1234 0050 01020304 00000000 6002 ffff 263c 0000 020405a0"
)


def patched(raw: bytes, at: int, value: str) -> bytes:
    """`raw` with other bytes from `at` on, its IPv4 header checksum right again."""
    out = bytearray(raw)
    new = bytes.fromhex(value)
    out[at : at + len(new)] = new
    if at < 20 and raw[0] >> 4 == 4:
        out[10:12] = bytes(2)
        out[10:12] = checksum((out[: (out[0] & 15) * 4],)).to_bytes(2, "big")
    return bytes(out)


def test_ipv6_vector():
    segment = decode(Packet([V6_SYN]))
    assert segment.src.hex() == "20010db8000000000000000000000001"
    assert (segment.sport, segment.dport, segment.seq, segment.flags) == (0x1234, 80, 0x01020304, SYN)
    assert segment.ecn == 2
    assert segment.options == Options(mss=1440)
    assert segment.flow == V6_SYN[8:44]
    assert complete(encode(segment)) == V6_SYN


def test_ipv4_header_of_ours():
    packet = encode(Segment(**V4, ecn=1), ident=0x12345)
    header = packet.parts[0]
    assert header[:10].hex() == "45010028234540004006"
    assert checksum((header[:20],)) == 0
    assert (packet.length, packet.header_length, packet.checksum) == (40, 40, Checksum.PARTIAL)


def test_encode_does_not_copy_payload():
    payload = memoryview(b"some bytes")
    packet = encode(Segment(**V4, payload=[payload], length=10, gso_size=10))
    assert packet.parts[1] is payload
    assert packet.gso_size == 0  # not more than one packet


def test_decode_does_not_copy_payload():
    buffer = bytearray(kernel.DATA_64)
    segment = decode(Packet([memoryview(buffer)]))
    assert [view.obj for view in segment.payload] == [buffer]


def test_bytes_beyond_the_ip_length_are_cut_off():
    padded = kernel.DATA_64 + bytes(6)
    assert decode(Packet([padded])) == decode(Packet([kernel.DATA_64]))


@pytest.mark.parametrize("cut", range(len(kernel.DATA_64)))
def test_truncated(cut):
    with pytest.raises(WireError):
        decode(Packet([kernel.DATA_64[:cut]]))


@pytest.mark.parametrize("cut", range(len(V6_SYN)))
def test_truncated_ipv6(cut):
    with pytest.raises(WireError):
        decode(Packet([V6_SYN[:cut]]))


def test_ip_options_are_skipped():
    raw = kernel.MP_CAPABLE_SYN
    longer = patched(raw[:20] + bytes((1, 1, 1, 0)) + raw[20:], 0, "4600" + f"{len(raw) + 4:04x}")
    assert decode(Packet([longer])) == decode(Packet([raw]))


REFUSED = {
    "version 5": (0, "55", WireError),
    "IP header length 16": (0, "44", WireError),
    "IP header longer than the packet": (0, "4f", WireError),
    "total length less than the header": (2, "0013", WireError),
    "total length less than the TCP header": (2, "0030", WireError),
    "total length more than the packet": (2, "0041", WireError),
    "more fragments": (6, "2000", WireError),
    "last fragment": (6, "0001", WireError),
    "UDP": (9, "11", OtherProtocolError),
    "TCP checksum": (36, "0000", ChecksumError),
    "payload of another packet": (40, "ff", ChecksumError),
    "data offset 16": (32, "40", WireError),
    "data offset beyond the packet": (32, "f0", WireError),
}


@pytest.mark.parametrize(("at", "value", "kind"), REFUSED.values(), ids=REFUSED)
def test_refused(at, value, kind):
    state = Checksum.NONE if kind is ChecksumError else Checksum.VALID
    with pytest.raises(kind):
        decode(Packet([patched(kernel.MP_CAPABLE_SYN, at, value)], checksum=state))


def test_ip_header_checksum():
    raw = bytearray(kernel.MP_CAPABLE_SYN)
    raw[8] -= 1
    with pytest.raises(ChecksumError):
        decode(Packet([raw], checksum=Checksum.VALID))


@pytest.mark.parametrize("state", [Checksum.PARTIAL, Checksum.VALID])
def test_tcp_checksum_is_left_to_the_device(state):
    raw = patched(kernel.MP_CAPABLE_SYN, 36, "0000")
    assert decode(Packet([raw], checksum=state)) == decode(Packet([kernel.MP_CAPABLE_SYN]))


@pytest.mark.parametrize(
    "fields",
    [
        {"seq": 2**32},
        {"window": -1},
        {"options": Options(mss=2**16)},
        {"options": Options(ts_val=2**32)},
        {"options": Options(dss=Dss(2**64))},
        {"length": 65535},
        {"options": Options(ts_val=1, sack=((1, 2),), dss=Dss(1, dsn=1), mss=1)},
    ],
)
def test_a_callers_mistake(fields):
    with pytest.raises(ValueError, match=r"range|longer|fit"):
        encode(Segment(**V4, **fields))


@given(segments(), bits(16))
def test_round_trip(segment, ident):
    packet = encode(segment, ident)
    assert packet.length == sum(map(len, packet.parts))
    again = decode(packet)
    assert b"".join(again.payload) == b"".join(segment.payload)
    again.payload, again.gso_size = segment.payload, segment.gso_size
    assert again == segment


@given(segments())
def test_round_trip_over_a_wire(segment):
    segment.gso_size = 0
    again = decode(Packet([complete(encode(segment))]))
    assert b"".join(again.payload) == b"".join(segment.payload)
    again.payload = segment.payload
    assert again == segment


@given(segments(300), st.lists(st.integers(0, 400), max_size=4))
def test_any_parts(segment, cuts):
    """However the bytes lie in buffers, with link padding behind."""
    segment.gso_size = 0
    raw = complete(encode(segment)) + bytes(3)
    bounds = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    parts = [raw[start:end] for start, end in pairwise(bounds)]
    again = decode(Packet(parts))
    assert b"".join(again.payload) == b"".join(segment.payload)
    assert again.length == segment.length


def test_padding_behind_known_headers():
    views = [memoryview(b"abc"), memoryview(b"def")]
    packet = encode(Segment(**V4, flags=ACK | PSH, payload=views, length=6))
    padded = Packet([*packet.parts, bytes(4)], packet.header_length, checksum=Checksum.PARTIAL)
    assert list(map(bytes, decode(padded).payload)) == [b"abc", b"def"]


STATES = st.sampled_from(Checksum)


@given(st.binary(max_size=120), STATES)
def test_any_bytes(raw, state):
    refuse_or_decode(Packet([raw], checksum=state))


@settings(max_examples=500)
@given(
    st.sampled_from([kernel.DATA_64, kernel.MP_CAPABLE_SYN, kernel.MP_JOIN_ACK, V6_SYN]),
    st.lists(st.tuples(st.integers(0, 79), bits(8)), max_size=5),
    STATES,
)
def test_damaged_packets(raw, damage, state):
    """The header checksum made right again, so that the damage is met further in."""
    for at, value in damage:
        if at < len(raw):
            raw = patched(raw, at, f"{value:02x}")
    refuse_or_decode(Packet([raw], checksum=state))


@settings(max_examples=500)
@given(st.binary(max_size=40).map(lambda b: b + bytes(-len(b) % 4)))
def test_any_options(options):
    refuse_or_decode_options(options)


@settings(max_examples=500)
@given(bits(8), st.binary(max_size=36))
def test_any_mptcp_option(first, body):
    options = bytes((30, len(body) + 3, first)) + body
    refuse_or_decode_options(options + b"\x01" * (-len(options) % 4))


def refuse_or_decode_options(options: bytes) -> None:
    header = bytearray(encode(Segment(**V4, options=Options())).parts[0]) + options
    header[2:4] = len(header).to_bytes(2, "big")
    header[32] = (20 + len(options)) << 2
    refuse_or_decode(Packet([patched(header, 0, "45")], checksum=Checksum.VALID))


def refuse_or_decode(packet: Packet) -> None:
    try:
        segment = decode(packet)
    except WireError:
        return
    assert segment.length == sum(map(len, segment.payload))
    assert all(len(view) for view in segment.payload)
