"""A stack on the way to others answers for them when it is told to (the setting `transparent`)."""

from random import Random

import pytest

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import SECOND, Sink, Source, pattern
from mptcp_stack.stack import Address, Stack, StackConfig
from mptcp_stack.wire import ACK, RST, SYN, Options, Segment, decode, encode
from tests.sim.scenes import PORT, server_ip
from tests.sim.test_routed import ACCESS, everywhere, routed

CLIENT, PROXY, SERVER = (bytes((10, 0, 0, number)) for number in (1, 2, 3))


def answer_to_syn(destination: bytes, **settings: bool) -> Segment:
    stack = Stack(StackConfig(addresses=(LocalAddress(PROXY, 24),), **settings), Random(1))
    stack.listen(Address(b"", 80), 0)
    syn = Segment(CLIENT, destination, 40000, 80, 1000, 0, SYN, 65535, Options(mss=1460))
    stack.receive([encode(syn, 1)], 0)
    (packet,) = stack.transmit(0)
    return decode(packet)


@pytest.mark.parametrize("destination", [PROXY, SERVER])
def test_a_transparent_stack_answers_for_every_address(destination: bytes) -> None:
    answer = answer_to_syn(destination, transparent=True)
    assert answer.flags == SYN | ACK
    assert (answer.src, answer.dst) == (destination, CLIENT)


def test_others_reset_what_is_not_for_them() -> None:
    assert answer_to_syn(SERVER).flags & RST


def test_a_transparent_stack_is_joined_where_the_connection_began() -> None:
    network = routed(1, ACCESS, server=everywhere(server_ip(1)), transparent=True)
    client, server = Source(pattern(300_000)), Sink()
    network.hosts["server"].listen(Address(b"", PORT), lambda: server)
    network.hosts["client"].connect(Address(server_ip(1), PORT), client)
    # As if the server's address were another host's, which the stack is on the way to.
    network.hosts["server"].stack._own.present = (LocalAddress(PROXY, 24),)
    network.run_until(lambda: client.closed and server.closed, 20 * SECOND)
    assert bytes(server.received) == client.payload
    assert network.hosts["server"].stack.counters["MPTcpExtMPJoinAckRx"] == 1
