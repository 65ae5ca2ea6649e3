"""Who sees nothing of a connection guesses numbers (RFC 5961, 6056, 6528); beside it what test_states checks."""

from itertools import pairwise
from random import Random

import pytest

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import SECOND
from mptcp_stack.stack import Stack, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, FIN, RST, SYN, Options, Packet, Segment, complete, decode, encode
from tests.sim.attacks.hostile import Quiet, application_of, connected, forge, still_works, strike, victim_of
from tests.sim.scenes import PORT, Scene, client_ip, server_ip


@pytest.fixture(params=[True, False], ids=["mptcp", "tcp"])
def scene(request) -> Scene:
    return connected(mptcp=request.param)


@pytest.mark.parametrize("flags", [RST, RST | ACK, SYN, SYN | ACK, FIN | ACK, ACK, 0, FIN | RST | SYN])
def test_guesses_outside_of_the_window(scene: Scene, flags: int) -> None:
    random = Random(flags)
    (subflow, *_) = victim_of(scene.server).subflows
    guess = forge(subflow).seq
    for _ in range(300):
        seq = guess + random.randrange(1 << 24, (1 << 32) - (1 << 24))
        strike(scene, scene.server, forge(subflow, seq=seq, flags=flags, ack=random.randrange(1 << 32)))
    still_works(scene)


@pytest.mark.parametrize("payload", [b"", b"injected"])
def test_guessed_sequence_without_the_acknowledgement(scene: Scene, payload: bytes) -> None:
    """RFC 5961 section 5.2: who also has to guess the acknowledgement has 2**32 / window times less luck."""
    random = Random(1)
    (subflow, *_) = victim_of(scene.server).subflows
    for _ in range(300):
        ack = forge(subflow).ack + random.randrange(1 << 24, (1 << 32) - (1 << 24))
        strike(scene, scene.server, forge(subflow, payload, ack=ack))
    assert not application_of(scene.server).received
    still_works(scene)


def test_challenges_are_rare_and_each_connection_counts_its_own(scene: Scene) -> None:
    """A limit shared by all connections told others what was in a window (CVE-2016-5696)."""
    scene.client.connect(Address(server_ip(1), PORT), Quiet())
    scene.network.run_for(SECOND)
    first, second = (connection.subflows[0] for connection in scene.server.stack.connections)
    answers = [answer for _ in range(1000) for answer in strike(scene, scene.server, forge(first, flags=SYN))]
    assert len(answers) == 1
    assert len(strike(scene, scene.server, forge(second, flags=SYN))) == 1


@pytest.mark.parametrize("flags", [ACK, SYN, FIN, SYN | ACK, RST, RST | ACK])
@pytest.mark.parametrize("port", [PORT, PORT + 1])
def test_segments_of_no_connection(flags: int, port: int) -> None:
    """RFC 9293 section 3.10.7.1: a reset for anything but a reset. A listener answers SYNs, and ignores a bare FIN."""
    scene = connected()
    answered = not flags & RST and not (port == PORT and flags == FIN)
    stranger = Segment(client_ip(1), server_ip(1), 999, port, 5, 6, flags, 1000, Options())
    answers = strike(scene, scene.server, stranger)
    assert len(answers) == answered
    for answer in answers:
        assert bool(answer.flags & RST) == (port != PORT or flags != SYN)


def test_segments_to_addresses_of_others_open_nothing() -> None:
    scene = connected()
    stranger = Segment(client_ip(1), bytes((10, 9, 9, 9)), 999, PORT, 5, 0, SYN, 1000, Options())
    (answer,) = strike(scene, scene.server, stranger)
    assert answer.flags & RST


OTHERS = [number for number in range(1, 252) if number != client_ip(1)[-1]]
"""Ends of the addresses of 250 other hosts."""


def syns(count: int, **settings) -> list[Segment]:
    """The SYNs of so many connections opened at the same time."""
    stack = Stack(StackConfig(addresses=(LocalAddress(client_ip(1), 24),), **settings), Random(1))
    for number in range(count):
        stack.connect(Address(bytes((10, 0, 1, OTHERS[number % 250])), PORT), 0)
    return [decode(packet) for packet in stack.transmit(0)]


def looks_random(values: list[int], bits: int) -> bool:
    """No value twice, and each bit is set in about half of them, as is each bit of the steps from one to the next."""
    steps = [(later - earlier) % (1 << bits) for earlier, later in pairwise(values)]
    shares = [sum(value >> bit & 1 for value in some) / len(some) for some in (values, steps) for bit in range(bits)]
    return all(0.4 < share < 0.6 for share in shares)


def test_sequence_numbers_ports_and_timestamps_tell_nothing_of_the_next() -> None:
    """RFC 6528, RFC 6056 and RFC 7323 section 5.4, as far as statistics can tell."""
    opened = syns(1000)
    assert len({syn.seq for syn in opened}) == 1000
    assert looks_random([syn.seq for syn in opened], 32)
    assert looks_random([syn.sport for syn in opened], 13)
    stamps = [syn.options.ts_val for syn in opened[:250]]
    assert len(set(stamps)) == 250


def test_every_port_without_privilege_is_chosen_for_somebody() -> None:
    """RFC 6056 section 3.2; kernels of the lab have the same (testbed/stacks/kernel_tcp.py)."""
    stack = Stack(StackConfig(), Random(1))
    chosen = list(stack.ephemeral_ports())
    assert sorted(chosen) == list(range(1024, 65536))
    assert chosen[0] != next(iter(stack.ephemeral_ports()))


@pytest.mark.parametrize("cookies", ["off", "always"])
def test_sequence_numbers_of_a_server_tell_nothing_of_the_next(cookies: str) -> None:
    stack = Stack(StackConfig(addresses=(LocalAddress(server_ip(1), 24),), syn_cookies=cookies), Random(1))
    stack.listen(Address(b"", PORT), 0, backlog=1000)
    answers = []
    for port in range(1000):
        syn = Segment(client_ip(1), server_ip(1), 10_000 + port, PORT, 1, 0, SYN, 1000, Options(mss=1460))
        stack.receive([Packet([complete(encode(syn))])], 0)
        answers += [decode(packet) for packet in stack.transmit(0)]
    low_bits = [answer.seq % (1 << 29) for answer in answers]  # above is the MSS of a cookie
    assert len(set(low_bits)) == 1000
    assert looks_random(low_bits, 29)
