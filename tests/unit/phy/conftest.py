import pytest

from mptcp_stack.wire import ACK, PSH, Options, Packet, Segment, encode


@pytest.fixture
def super_segment() -> Packet:
    """3500 bytes of payload that become three packets."""
    payload = bytes(range(250)) * 14
    return encode(
        Segment(
            b"\x0a\0\0\1", b"\x0a\0\0\2", 1000, 2000, 4294967000, 9, ACK | PSH, 500, Options(ts_val=1, ts_ecr=2),
            [memoryview(payload)[:1000], memoryview(payload)[1000:]], len(payload), 1448,
        ),
        7,
    )  # fmt: skip
