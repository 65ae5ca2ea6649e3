import select

import pytest

from mptcp_stack.phy import NO_OFFLOADS, memory_pair
from mptcp_stack.wire import Packet


def readable(device) -> bool:
    return bool(select.select([device], [], [], 0)[0])


def test_packets_arrive_in_order_as_one_buffer_each():
    near, far = memory_pair()
    assert near.send([Packet([b"a", b"b"], gso_size=7), Packet([b"c"])]) == 2
    first, second = far.receive(10)
    assert (bytes(first.parts[0]), first.gso_size, first.length) == (b"ab", 7, 2)
    assert bytes(second.parts[0]) == b"c"


def test_descriptor_is_readable_exactly_while_packets_wait():
    near, far = memory_pair()
    assert not readable(far)
    near.send([Packet([b"a"]), Packet([b"b"])])
    assert readable(far)
    far.receive(1)
    assert readable(far)
    far.receive(1)
    assert not readable(far)
    assert far.receive(1) == []


def test_a_full_queue_takes_no_more():
    near, far = memory_pair(queue_packets=3)
    assert near.send([Packet([b"a"])] * 2) == 2
    assert near.send([Packet([b"b"])] * 2) == 1
    assert len(far.receive(10)) == 3


def test_a_packet_beyond_the_capabilities_is_refused():
    near, _ = memory_pair(NO_OFFLOADS)
    with pytest.raises(ValueError, match="1501 bytes is too large"):
        near.send([Packet([bytes(1501)])])


def test_sending_into_a_closed_end_loses_packets_silently():
    near, far = memory_pair()
    far.close()
    far.close()
    assert near.send([Packet([b"a"])]) == 1
