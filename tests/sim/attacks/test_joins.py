"""Joins by who does not know the keys, or knew an earlier exchange (RFC 8684 sections 3.2 and 5)."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from mptcp_stack.mptcp.keys import Key, join_hmac
from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.sim import SECOND
from mptcp_stack.storage import MASK_32
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, RST, SYN, MpCapable, MpJoinAck, MpJoinSyn, MpJoinSynAck, Options, Segment
from tests.sim.attacks.hostile import QUIET_NS, Quiet, connected, still_works, strike, victim_of
from tests.sim.scenes import PATH, PORT, SERVER, Scene, client_ip, make_scene, rewrite, server_ip

NONCE = b"once"


@pytest.fixture
def scene() -> Scene:
    """A connection over the first of two paths; the client does not join by itself."""
    return connected(1)


def join_syn(token: int, sport: int = 1025) -> Segment:
    """A SYN with MP_JOIN from an address of the attacker."""
    options = Options(mss=1460, mptcp=(MpJoinSyn(False, 9, token, NONCE),))
    return Segment(client_ip(66), server_ip(1), sport, PORT, 1000, 0, SYN, 1000, options)


def token_of(scene: Scene) -> int:
    return victim_of(scene.server).local_key.token


def third_ack(syn: Segment, syn_ack: Segment, hmac: bytes) -> Segment:
    return replace(
        syn, seq=syn.seq + 1, ack=(syn_ack.seq + 1) & MASK_32, flags=ACK, options=Options(mptcp=(MpJoinAck(hmac),))
    )


def test_guessed_tokens_are_reset_and_counted(scene: Scene) -> None:
    random = Random(1)
    guesses = [join_syn(random.randrange(1 << 32)) for _ in range(500)]
    answers = strike(scene, scene.server, *guesses)
    assert len(answers) == 500
    assert all(answer.flags & RST for answer in answers)
    assert scene.server.stack.counters["MPTcpExtMPJoinNoTokenFound"] == 500
    assert len(victim_of(scene.server).subflows) == 1


def test_token_of_a_connection_that_is_over(scene: Scene) -> None:
    token = token_of(scene)
    for host in (scene.client, scene.server):
        for connection in host.stack.connections:
            connection.abort()
        host.settle()
    (answer,) = strike(scene, scene.server, join_syn(token))
    assert answer.flags & RST


@pytest.mark.parametrize("hmac", [bytes(20), b"\xff" * 20])
def test_known_token_but_no_keys(scene: Scene, hmac: bytes) -> None:
    """Who has seen a token gets a SYN/ACK, and a reset for a third ACK without the right HMAC."""
    (syn_ack,) = strike(scene, scene.server, syn := join_syn(token_of(scene)))
    assert find(syn_ack.options, MpJoinSynAck) is not None
    (answer,) = strike(scene, scene.server, third_ack(syn, syn_ack, hmac))
    assert answer.flags & RST
    assert scene.server.stack.counters["MPTcpExtMPJoinAckHMacFailure"] == 1
    assert len(victim_of(scene.server).subflows) == 1
    still_works(scene)


def test_data_before_the_third_ack_are_no_proof(scene: Scene) -> None:
    (syn_ack,) = strike(scene, scene.server, syn := join_syn(token_of(scene)))
    data = third_ack(syn, syn_ack, bytes(20))
    data.options, data.payload, data.length = Options(), [memoryview(b"data")], 4
    (answer,) = strike(scene, scene.server, data)
    assert answer.flags & RST
    assert victim_of(scene.server).receive_ready == 0
    still_works(scene)


def test_server_without_our_key_is_not_joined() -> None:
    """The HMAC of the SYN/ACK is checked by who connects."""

    def falsify(segment: Segment) -> bool:
        if (option := find(segment.options, MpJoinSynAck)) is not None:
            segment.options.mptcp = (replace(option, hmac=bytes(8)),)
        return True

    scene = make_scene(1, [PATH, PATH], middlebox=rewrite(falsify))
    scene.server.listen(Address(b"", PORT), Quiet)
    scene.client.connect(SERVER, Quiet())
    scene.network.run_for(QUIET_NS)
    assert scene.client.stack.counters["MPTcpExtMPJoinSynAckHMacFailure"] >= 1
    assert len(victim_of(scene.client).subflows) == 1
    still_works(scene)


def recorded(scene: Scene, wanted: Callable[[Segment], bool]) -> list[Segment]:
    return [segment for _, segment in scene.segments("client") if wanted(segment)]


def test_recorded_join_cannot_be_played_again() -> None:
    """Our nonce is another one each time: the HMAC of then is wrong now (RFC 8684 section 3.2)."""
    scene = connected(2)
    server = victim_of(scene.server)
    (syn,) = recorded(scene, lambda segment: find(segment.options, MpJoinSyn) is not None)
    ack, *_ = recorded(scene, lambda segment: find(segment.options, MpJoinAck) is not None)
    server.subflows[1].endpoint.abort(scene.network.clock.now_ns)
    scene.server.settle()
    scene.network.run_for(SECOND)
    assert len(server.subflows) == 1
    (syn_ack,) = strike(scene, scene.server, syn)
    (answer,) = strike(scene, scene.server, replace(ack, ack=(syn_ack.seq + 1) & MASK_32))
    assert answer.flags & RST
    assert scene.server.stack.counters["MPTcpExtMPJoinAckHMacFailure"] == 1
    assert len(server.subflows) == 1


def test_joins_cannot_fill_the_memory(scene: Scene) -> None:
    """Half-open subflows count against the limit, and end by themselves."""
    token = token_of(scene)
    answers = strike(scene, scene.server, *[join_syn(token, 2000 + number) for number in range(500)])
    limit = scene.server.stack.config.max_subflows
    assert len(victim_of(scene.server).subflows) == limit
    assert sum(bool(answer.flags & RST) for answer in answers) == 500 - limit + 1
    scene.network.run_for(300 * SECOND)
    assert len(victim_of(scene.server).subflows) == 1
    still_works(scene)


def test_keys_of_one_connection_are_nothing_to_another(scene: Scene) -> None:
    scene.client.connect(SERVER, Quiet())
    scene.network.run_for(SECOND)
    first, second = scene.server.stack.connections
    (syn_ack,) = strike(scene, scene.server, syn := join_syn(second.local_key.token))
    option = find(syn_ack.options, MpJoinSynAck)
    hmac = join_hmac(first.remote_key, first.local_key, NONCE, option.nonce)[:20]
    (answer,) = strike(scene, scene.server, third_ack(syn, syn_ack, hmac))
    assert answer.flags & RST


# --- the first handshake


@pytest.mark.parametrize("cookies", ["off", "always"])
def test_third_ack_with_a_wrong_key(cookies: str) -> None:
    def falsify(segment: Segment) -> bool:
        option = find(segment.options, MpCapable)
        if option is not None and option.receiver_key is not None:
            segment.options.mptcp = (replace(option, receiver_key=bytes(8)),)
        return True

    scene = make_scene(1, [PATH], middlebox=rewrite(falsify), syn_cookies=cookies)
    scene.server.listen(Address(b"", PORT), Quiet)
    client = Quiet()
    scene.client.connect(SERVER, client)
    scene.network.run_for(SECOND)
    assert isinstance(client.error, ConnectionResetError)
    assert not scene.server.stack.connections
    assert not scene.server._applications


@pytest.mark.parametrize("cookies", ["off", "always"])
def test_replayed_third_ack_opens_no_second_connection(cookies: str) -> None:
    scene = connected(1, syn_cookies=cookies)
    (ack,) = recorded(scene, lambda one: one.flags == ACK and find(one.options, MpCapable) is not None)
    strike(scene, scene.server, ack)
    assert len(scene.server.stack.connections) == 1
    for host in (scene.client, scene.server):
        victim_of(host).abort()
        host.settle()
    (answer,) = strike(scene, scene.server, ack)
    assert answer.flags & RST
    assert not scene.server.stack.connections


def test_keys_are_not_on_the_wire_after_the_handshake() -> None:
    """Only the first handshake shows them, and MP_FASTCLOSE: who comes later can make no HMAC (section 5)."""
    scene = connected(2)
    still_works(scene)
    keys = [victim_of(host).local_key for host in (scene.client, scene.server)]
    assert all(isinstance(key, Key) for key in keys)
    shown = [
        time_ns
        for record in scene.network.trace
        for time_ns in [record.time_ns]
        if any(key.value in record.packet for key in keys)
    ]
    first_data = next(time_ns for time_ns, segment in scene.segments() if segment.length)
    assert max(shown) <= first_data + SECOND
