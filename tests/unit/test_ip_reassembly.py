"""Parts of IP packets: put together, or dropped within bounds."""

import tracemalloc
from collections import Counter
from itertools import permutations

import pytest

from mptcp_stack.ip_reassembly import MAX_HELD_BYTES, MAX_PARTS, IpReassembly
from mptcp_stack.storage import Timers
from mptcp_stack.wire import Checksum, ChecksumError, Packet, Segment, complete, decode, encode
from tests.ip import DESTINATION, HOP_BY_HOP, part, parts, with_extension

SECOND = 1_000_000_000
PAYLOAD = bytes(range(256)) * 4
PREFIX = {4: "Ip", 6: "Ip6"}
TIMEOUT_NS = {4: 30 * SECOND, 6: 60 * SECOND}


def packet(version: int, payload: bytes = PAYLOAD, ecn: int = 0) -> bytes:
    size = 4 if version == 4 else 16
    segment = Segment(b"\1" * size, b"\2" * size, 5, 6, 7, 8, 0x10, 9, ecn=ecn)
    segment.payload, segment.length = [memoryview(payload)], len(payload)
    return complete(encode(segment))


class Host:
    """A reassembly with its clock and counters."""

    def __init__(self, version: int, most_bytes: int = MAX_HELD_BYTES) -> None:
        self.timers = Timers()
        self.counters: Counter[str] = Counter()
        self.reassembly = IpReassembly(self.timers, self.counters, most_bytes)
        self.prefix = PREFIX[version]

    def give(self, *given: bytes, now: int = 0) -> list[bytes]:
        """Add parts; the wholes that come of them."""
        wholes = [self.reassembly.add(Packet([one]), now) for one in given]
        return [bytes(whole.parts[0]) for whole in wholes if whole is not None]

    def counts(self, **expected: int) -> bool:
        """Whether these are the counters, and all of them."""
        return self.counters == {self.prefix + name: count for name, count in expected.items()}


@pytest.fixture(params=[4, 6])
def version(request) -> int:
    return request.param


@pytest.fixture
def host(version: int) -> Host:
    return Host(version)


def same(whole: bytes, sent: bytes) -> bool:
    """Whether a packet is one that was sent, its identification and IPv4's Don't Fragment aside."""
    return (decode(Packet([whole])), len(whole)) == (decode(Packet([sent])), len(sent))


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_any_order(host: Host, version: int, order: tuple[int, ...]) -> None:
    sent = packet(version)
    pieces = parts(sent, 8, 512, 1016)
    (whole,) = host.give(*(pieces[number] for number in order))
    assert same(whole, sent)
    assert host.counts(ReasmReqds=4, ReasmOKs=1)
    assert host.timers.next_deadline() is None


def test_copies_are_ignored(host: Host, version: int) -> None:
    first, second = parts(packet(version), 512)
    assert len(host.give(first, first, first, second)) == 1
    assert host.counts(ReasmReqds=4, ReasmOKs=1)
    assert host.give(second, second) == []  # of what is complete, late


OVERLAPS = {
    "begins within": (504, 1040),
    "ends within": (0, 520),
    "surrounds": (0, 1040),
    "is within": (256, 504),
    "other bytes": (8, 512),
}


@pytest.mark.parametrize("start_end", OVERLAPS.values(), ids=OVERLAPS)
def test_overlaps_drop_all(host: Host, version: int, start_end: tuple[int, int]) -> None:
    """RFC 5722, RFC 8200 section 4.5; what comes after them can be the beginning of another packet only."""
    sent, other = packet(version), packet(version, bytes(1024))
    assert host.give(part(sent, 8, 512), part(other, *start_end, more=True)) == []
    assert host.counts(ReasmReqds=2, ReasmFails=1)
    assert host.timers.next_deadline() is None
    (whole,) = host.give(*parts(sent, 512))
    assert same(whole, sent)


def test_two_ends(host: Host, version: int) -> None:
    sent = packet(version)
    assert host.give(part(sent, 512, 1000, more=False), part(sent, 512, 1040)) == []
    assert host.give(part(sent, 256, 512, more=False), part(sent, 512, 1040)) == []
    assert host.give(part(sent, 512, 1040), part(sent, 256, 512, more=False)) == []
    assert host.counters[f"{host.prefix}ReasmFails"] == 3


WRONG = {
    "no multiple of 8": (0, 511, True),
    "a byte": (0, 1, True),
    "nothing": (16, 16, True),
    "an end of nothing": (16, 16, False),
}


@pytest.mark.parametrize("start_end_more", WRONG.values(), ids=WRONG)
def test_wrong_lengths(host: Host, version: int, start_end_more: tuple[int, int, bool]) -> None:
    """They are dropped by themselves."""
    sent = packet(version)
    pieces = parts(sent, 512)
    assert len(host.give(pieces[0], part(sent, *start_end_more), pieces[1])) == 1
    assert host.counts(ReasmReqds=3, ReasmFails=1, ReasmOKs=1)


def test_beyond_the_largest_packet(host: Host, version: int) -> None:
    """What was called the ping of death."""
    huge = packet(version, bytes(65_000))
    far = bytearray(part(huge, 64_000, 65_016, more=False))
    at = 6 if version == 4 else 42
    far[at : at + 2] = (65_528 // 8 if version == 4 else 65_528).to_bytes(2, "big")
    if version == 4:
        far[10:12] = bytes(2)
    assert host.give(bytes(far)) == []
    assert host.counts(ReasmReqds=1, ReasmFails=1)


def test_header_of_the_first_part_makes_it_too_long() -> None:
    host = Host(4)
    sent = packet(4, bytes(65_480))
    first, last = parts(sent, 65_000 // 8 * 8)
    options = bytes([1]) * 40
    longer = bytearray(first[:20] + options + first[20:])
    longer[0] = 0x4F
    longer[2:4] = len(longer).to_bytes(2, "big")
    assert host.give(bytes(longer), last) == []
    assert host.counts(ReasmReqds=2, ReasmFails=1)


def test_time(host: Host, version: int) -> None:
    """RFC 1122 section 3.3.2; RFC 8200 counts from the first part that came, whichever it is."""
    sent = packet(version)
    first, second, third = parts(sent, 512, 520)
    host.give(second)
    host.give(first, now=TIMEOUT_NS[version] - 1)
    assert host.timers.next_deadline() == TIMEOUT_NS[version]
    host.timers.fire(TIMEOUT_NS[version])
    assert host.counts(ReasmReqds=2, ReasmTimeout=1, ReasmFails=1)
    assert host.timers.next_deadline() is None
    assert host.give(third, now=TIMEOUT_NS[version]) == []
    assert host.timers.next_deadline() == 2 * TIMEOUT_NS[version]


def test_each_packet_has_its_own_time(host: Host, version: int) -> None:
    sent = packet(version)
    for number in range(3):
        host.give(part(sent, 0, 512, ident=number), now=number * SECOND)
    host.timers.fire(TIMEOUT_NS[version] + SECOND)
    assert host.counters[f"{host.prefix}ReasmTimeout"] == 2
    assert host.timers.next_deadline() == TIMEOUT_NS[version] + 2 * SECOND


def test_parts_of_different_packets(host: Host, version: int) -> None:
    """By identification and addresses."""
    sent, other = packet(version), bytearray(packet(version))
    other[15 if version == 4 else 23] ^= 1  # its source
    foreign = part(bytes(other), 512, 1040)
    first, second = parts(sent, 512)
    assert host.give(first, foreign, part(sent, 512, 1040, ident=2)) == []
    (whole,) = host.give(second)
    assert same(whole, sent)


def test_an_identification_is_used_again(host: Host, version: int) -> None:
    """While a part of the packet before waits, and fits: TCP's checksum tells."""
    before, after = packet(version, bytes(1024)), packet(version)
    host.give(part(before, 512, 1044))
    (mixed,) = host.give(part(after, 0, 512))
    with pytest.raises(ChecksumError, match="TCP checksum"):
        decode(Packet([mixed]))
    (whole,) = host.give(*parts(after, 512))
    assert same(whole, after)


def test_protocols_of_others_are_not_kept() -> None:
    for version, at in ((4, 9), (6, 6)):
        host = Host(version)
        udp = bytearray(packet(version))
        udp[at] = 17
        assert host.give(*parts(bytes(udp), 512)) == []
        assert host.counts(InUnknownProtos=2)
        assert host.timers.next_deadline() is None


@pytest.mark.parametrize(
    ("marks", "whole"),
    [((0, 0), 0), ((2, 2), 2), ((1, 2), 1), ((2, 3), 3), ((3, 1), 3), ((0, 3), None), ((2, 0), None)],
)
def test_congestion_marks(host: Host, version: int, marks: tuple[int, int], whole: int | None) -> None:
    """RFC 3168 section 5.3: a mark on one part is one on all; marked and not capable is no honest pair."""
    pieces = [parts(packet(version, ecn=ecn), 512)[number] for number, ecn in enumerate(marks)]
    wholes = host.give(*pieces)
    if whole is None:
        assert wholes == []
        assert host.counts(ReasmReqds=2, ReasmFails=1)
    else:
        assert decode(Packet([wholes[0]])).ecn == whole


def test_checksum_that_is_still_missing_is_so_in_the_whole(host: Host, version: int) -> None:
    first, second = parts(packet(version), 512)
    host.reassembly.add(Packet([first], checksum=Checksum.PARTIAL), 0)
    whole = host.reassembly.add(Packet([second], checksum=Checksum.VALID), 0)
    assert whole is not None
    assert whole.checksum is Checksum.PARTIAL
    host.reassembly.add(Packet([first], checksum=Checksum.VALID), 0)
    whole = host.reassembly.add(Packet([second], checksum=Checksum.VALID), 0)
    assert whole is not None
    assert whole.checksum is Checksum.NONE  # what was verified of a part says nothing of TCP's checksum


# --- extension headers


def test_headers_before_and_behind_the_fragment_header() -> None:
    host = Host(6)
    sent = packet(6)
    inner = with_extension(sent, DESTINATION)
    (whole,) = host.give(*(with_extension(one, HOP_BY_HOP) for one in parts(inner, 8, 512)))
    assert decode(Packet([whole])) == decode(Packet([sent]))


def test_fragments_of_fragments_are_refused() -> None:
    host = Host(6)
    inner = part(packet(6), 0, 512)
    assert host.give(*parts(inner, 256, ident=2)) == []
    assert host.counts(ReasmReqds=2, ReasmFails=1)


# --- bounds


def test_parts_of_a_packet_are_bounded(host: Host, version: int) -> None:
    sent = packet(version, bytes(MAX_PARTS * 8))
    for number in range(MAX_PARTS):
        host.give(part(sent, number * 8, number * 8 + 8))
    assert f"{host.prefix}ReasmFails" not in host.counters
    host.give(part(sent, MAX_PARTS * 8, MAX_PARTS * 8 + 8, more=True))
    assert host.counters[f"{host.prefix}ReasmFails"] == 1
    assert host.timers.next_deadline() is None


LIMIT = 1 << 18


def memory_of(host: Host, given: list[bytes]) -> int:
    """What a reassembly holds after it was given parts."""
    tracemalloc.start()
    for one in given:
        host.reassembly.add(Packet([one]), 0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


@pytest.mark.parametrize(("size", "count"), [(8, 1), (512, 1), (30_000, 1), (8, 120), (512, 120)])
def test_memory_is_bounded(version: int, size: int, count: int) -> None:
    """Whatever it consists of. What is complete gets through: what has waited longest makes room."""
    host = Host(version, LIMIT)
    whole = packet(version, bytes(min((2 * count + 1) * size, 65_000)))
    starts = range(0, min(2 * count * size, 60_000), 2 * size)
    flood = [
        part(whole, start, start + size, more=True, ident=ident)
        for ident in range(3 * LIMIT // (len(starts) * (size + 200)))
        for start in starts
    ]
    held = memory_of(host, flood)
    assert LIMIT / 4 < held <= LIMIT
    assert host.counters[f"{host.prefix}ReasmFails"] > 0
    sent = packet(version)
    first, second = parts(sent, 512, ident=60_000)
    (whole,) = host.give(first, *flood[:4], second)
    assert same(whole, sent)
