import pytest

from mptcp_stack.phy import Tap, describe, memory_pair, tracer
from mptcp_stack.wire import ACK, SYN, AddAddr, Dss, MpCapable, Options, Packet, Segment, encode

ENDS = (bytes([10, 0, 1, 101]), bytes([10, 0, 1, 102]), 4000, 80)


@pytest.mark.parametrize(
    ("segment", "line"),
    [
        (
            Segment(*ENDS, 7, 0, SYN, 65535, Options(1460, 7, True, 1, 2, mptcp=(MpCapable(1, 1),))),
            "10.0.1.101:4000 > 10.0.1.102:80 [S] seq 7 ack 0 win 65535 length 0 mss=1460 wscale=7 sackOK"
            " MpCapable(version=1 flags=1)",
        ),
        (
            Segment(*ENDS, 8, 9, ACK, 5, Options(dss=Dss(3, dsn=4, ssn=1, length=2)), [memoryview(b"ab")], 2),
            "10.0.1.101:4000 > 10.0.1.102:80 [.] seq 8 ack 9 win 5 length 2"
            " Dss(data_ack=3 data_ack_64=True dsn=4 dsn_64=True ssn=1 length=2)",
        ),
        (
            Segment(*ENDS, 8, 9, ACK, 5, Options(sack=((20, 30),), mptcp=(AddAddr(2, bytes([10, 0, 2, 1])),))),
            "10.0.1.101:4000 > 10.0.1.102:80 [.] seq 8 ack 9 win 5 length 0 sack=20:30"
            " AddAddr(address_id=2 address=0a000201)",
        ),
    ],
)
def test_segments(segment, line):
    assert describe(encode(segment)) == line


def test_super_segments(super_segment):
    assert "length 3500 in packets of 1448" in describe(super_segment)


def test_what_is_not_a_segment():
    assert describe(Packet([b"\x45\0"])).startswith("2 bytes, not a TCP segment: ")


def test_both_directions(super_segment):
    near, far = memory_pair()
    lines: list[str] = []
    device = Tap(near, tracer(lines.append), lambda: 1_500_000_000)
    device.send([super_segment])
    far.send(far.receive(1))
    device.receive(1)
    assert [line[:11] for line in lines] == ["1.500000 ->", "1.500000 <-"]
