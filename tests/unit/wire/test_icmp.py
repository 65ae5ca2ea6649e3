"""ICMP errors: what routers quote, and everything that is cut short or lies."""

import pytest

from mptcp_stack.wire import Checksum, IcmpError, OtherProtocolError, Packet, Segment, Trouble, WireError, decode_icmp
from tests.icmp import icmp_error

LOCAL = {4: bytes((10, 0, 1, 101)), 6: bytes.fromhex("fd00" + "00" * 13 + "65")}
REMOTE = {4: bytes((10, 0, 1, 102)), 6: bytes.fromhex("fd00" + "00" * 13 + "66")}
ROUTER = {4: bytes((10, 0, 9, 1)), 6: bytes.fromhex("fd09" + "00" * 13 + "01")}


def about(version: int, kind: int, code: int, rest: int = 0, quoted: int | None = None) -> bytes:
    segment = Segment(LOCAL[version], REMOTE[version], 40_000, 80, seq=0xFFFF_FFF0, ack=7, flags=0x10)
    return icmp_error(ROUTER[version], segment, kind, code, rest, quoted)


@pytest.mark.parametrize(
    ("version", "kind", "code", "rest", "trouble", "mtu"),
    [
        (4, 3, 0, 0, Trouble.NO_ROUTE, 0),
        (4, 3, 1, 0, Trouble.HOST_UNREACHABLE, 0),
        (4, 3, 2, 0, Trouble.PROTOCOL_UNREACHABLE, 0),
        (4, 3, 3, 0, Trouble.PORT_UNREACHABLE, 0),
        (4, 3, 4, 1400, Trouble.TOO_BIG, 1400),
        (4, 3, 4, 0x1234_0000 | 1400, Trouble.TOO_BIG, 1400),
        (4, 11, 0, 0, Trouble.EXPIRED, 0),
        (6, 1, 0, 0, Trouble.NO_ROUTE, 0),
        (6, 1, 1, 0, Trouble.PROHIBITED, 0),
        (6, 1, 3, 0, Trouble.HOST_UNREACHABLE, 0),
        (6, 1, 4, 0, Trouble.PORT_UNREACHABLE, 0),
        (6, 2, 0, 70_000, Trouble.TOO_BIG, 70_000),
    ],
)
@pytest.mark.parametrize("quoted", [8, 20])
def test_errors(version: int, kind: int, code: int, rest: int, trouble: Trouble, mtu: int, quoted: int) -> None:
    error = decode_icmp(Packet([about(version, kind, code, rest, quoted)]))
    addresses = ROUTER[version], trouble, LOCAL[version], REMOTE[version]
    assert error == IcmpError(*addresses, 40_000, 80, 0xFFFF_FFF0, mtu or rest)
    answer = Segment(REMOTE[version], LOCAL[version], 80, 40_000)
    assert error.flow == answer.flow


@pytest.mark.parametrize(("version", "kind"), [(4, 8), (4, 4), (4, 255), (6, 128), (6, 135)])
def test_other_messages_are_none(version: int, kind: int) -> None:
    assert decode_icmp(Packet([about(version, kind, 0)])) is None


@pytest.mark.parametrize("version", [4, 6])
def test_whatever_is_cut_off_is_refused(version: int) -> None:
    whole = about(version, *((3, 4) if version == 4 else (2, 0)), 1280, 8)
    for length in range(len(whole)):
        for verified in (Checksum.NONE, Checksum.VALID):
            with pytest.raises(WireError):
                decode_icmp(Packet([whole[:length]], checksum=verified))
    for quoted in range(8):
        with pytest.raises(WireError):
            decode_icmp(Packet([about(version, 3 if version == 4 else 1, 1, 0, quoted)]))


@pytest.mark.parametrize("version", [4, 6])
def test_each_flipped_bit_is_noticed(version: int) -> None:
    whole = about(version, *((3, 4) if version == 4 else (2, 0)), 1280, 8)
    start = 20 if version == 4 else 40
    for bit in range(start * 8, len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            decode_icmp(Packet([bytes(damaged)]))


def test_a_segment_is_not_ours() -> None:
    segment = Segment(REMOTE[4], LOCAL[4], 80, 40_000)
    with pytest.raises(WireError, match="somebody else"):
        decode_icmp(Packet([icmp_error(ROUTER[4], segment, 3, 1, 0, 8, to=LOCAL[4])]))


def test_another_protocol() -> None:
    packet = bytearray(about(4, 3, 1))
    packet[9] = 17
    packet[10:12] = bytes(2)
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, 20, 2))
    packet[10:12] = (-total % 65535).to_bytes(2, "big")
    with pytest.raises(OtherProtocolError):
        decode_icmp(Packet([bytes(packet)]))
