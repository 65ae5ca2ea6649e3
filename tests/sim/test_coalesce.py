"""Merging of received packets is the inverse of software segmentation."""

from random import Random

from mptcp_stack.sim import pattern
from mptcp_stack.sim.coalesce import coalesce
from mptcp_stack.wire import ACK, PSH, Checksum, Options, Segment, complete, decode, encode, split
from tests.sim.scenes import client_ip, server_ip

SIZE = 1000


def packets(length: int, seq: int = 5, sport: int = 1, ts_val: int = 7, flags: int = ACK) -> list[bytes]:
    """The wire packets of one super-segment."""
    segment = Segment(client_ip(1), server_ip(1), sport, 80, seq=seq, ack=9, flags=flags, window=500)
    segment.options = Options(ts_val=ts_val, ts_ecr=1)
    segment.payload, segment.length = [memoryview(pattern(length))], length
    segment.gso_size = SIZE if length > SIZE else 0
    return [complete(one) for one in split(encode(segment))]


def test_what_was_split_becomes_one_again() -> None:
    parts = packets(4500, seq=2**32 - 1500, flags=ACK | PSH)
    [merged] = coalesce(parts)
    assert (merged.gso_size, merged.checksum) == (SIZE, Checksum.PARTIAL)
    segment = decode(merged)
    assert b"".join(segment.payload) == pattern(4500)
    assert (segment.seq, segment.ack, segment.flags) == (2**32 - 1500, 9, ACK | PSH)


def test_flows_are_kept_apart() -> None:
    one, other = packets(3000, sport=1), packets(3000, sport=2)
    mixed = [packet for pair in zip(one, other, strict=True) for packet in pair]
    assert [decode(packet).length for packet in coalesce(mixed)] == [3000, 3000]


def test_not_merged() -> None:
    first, second, third = packets(3000)
    damaged = bytearray(second)
    damaged[-1] ^= 1
    cases = {
        "a gap": [first, third],
        "out of order": [second, first],
        "other options": [first, *packets(SIZE, seq=5 + SIZE, ts_val=8)],
        "after a short one": [first, *packets(300, seq=5 + SIZE), *packets(300, seq=305 + SIZE)],
        "after PSH": [*packets(SIZE, flags=ACK | PSH), second],
        "malformed": [first, bytes(damaged), third],
        "no payload": [*packets(0), *packets(0)],
    }
    for name, arrived in cases.items():
        merged = coalesce(arrived)
        expected = 2 if name == "after a short one" else len(arrived)
        assert len(merged) == expected, name


def test_never_longer_than_an_ip_packet() -> None:
    merged = coalesce([*packets(60_000), *packets(60_000, seq=60_005)])
    assert len(merged) == 2
    assert max(packet.length for packet in merged) <= 65535


def test_every_byte_survives_any_shuffle() -> None:
    parts = packets(20_000)
    Random(1).shuffle(parts)
    assert sum(decode(packet).length for packet in coalesce(parts)) == 20_000
