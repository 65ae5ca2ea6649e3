"""Signals of MPTCP slipped into a connection (RFC 8684 section 5 and RFC 7430).

Who can do that knows sequence numbers, so is on the path; what it must not get is the connection on other paths.
"""

import pytest

from mptcp_stack.mptcp.keys import add_addr_hmac
from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.sim import SECOND
from mptcp_stack.wire import ACK, RST, SYN, AddAddr, MpFail, MpFastclose, MpPrio, RemoveAddr
from tests.sim.attacks.hostile import QUIET_NS, Quiet, application_of, connected, forge, still_works, strike, victim_of
from tests.sim.scenes import SERVER, Scene, server_ip

ELSEWHERE = bytes((10, 0, 1, 66))


@pytest.fixture
def scene() -> Scene:
    return connected(2)


def syns_of(scene: Scene) -> int:
    return sum(bool(segment.flags & SYN) for _, segment in scene.segments("client"))


def signed(scene: Scene, address_id: int, ip: bytes, port: int | None = None) -> AddAddr:
    """An ADD_ADDR as the server's."""
    server = victim_of(scene.server)
    return AddAddr(address_id, ip, port, add_addr_hmac(server.local_key, server.remote_key, address_id, ip, port))


@pytest.mark.parametrize("hmac", [bytes(8), None])
def test_address_without_a_signature_is_not_joined(scene: Scene, hmac: bytes | None) -> None:
    """ADD_ADDR hijack (RFC 7430 section 2): who has no keys cannot lead subflows to itself."""
    before = syns_of(scene)
    (subflow, *_) = victim_of(scene.client).subflows
    strike(scene, scene.client, forge(subflow, b"", AddAddr(7, ELSEWHERE, None, hmac)))
    scene.network.run_for(SECOND)
    assert syns_of(scene) == before
    assert scene.client.stack.counters["MPTcpExtAddAddrHMacFailure"] == 1
    still_works(scene)


@pytest.mark.parametrize("change", ["id", "address", "port"])
def test_signature_covers_all_of_an_address(scene: Scene, change: str) -> None:
    good = signed(scene, 7, ELSEWHERE, 81)
    forged = {
        "id": AddAddr(8, good.address, good.port, good.hmac),
        "address": AddAddr(7, bytes((10, 0, 1, 67)), good.port, good.hmac),
        "port": AddAddr(7, good.address, 82, good.hmac),
    }[change]
    (subflow, *_) = victim_of(scene.client).subflows
    strike(scene, scene.client, forge(subflow, b"", forged))
    assert scene.client.stack.counters["MPTcpExtAddAddrHMacFailure"] == 1


def test_replayed_address_is_joined_once(scene: Scene) -> None:
    before = syns_of(scene)
    (subflow, *_) = victim_of(scene.client).subflows
    replayed = signed(scene, 2, server_ip(2))
    for _ in range(20):
        strike(scene, scene.client, forge(subflow, b"", replayed))
    scene.network.run_for(SECOND)
    assert syns_of(scene) == before
    assert len(victim_of(scene.client).subflows) == 2


def test_address_of_one_connection_is_nothing_to_another(scene: Scene) -> None:
    scene.client.connect(SERVER, Quiet())
    scene.network.run_for(QUIET_NS)
    first, second = scene.client.stack.connections
    replayed = add_addr_hmac(first.remote_key, first.local_key, 7, ELSEWHERE, None)
    strike(scene, scene.client, forge(second.subflows[0], b"", AddAddr(7, ELSEWHERE, None, replayed)))
    assert scene.client.stack.counters["MPTcpExtAddAddrHMacFailure"] == 1


def test_many_signed_addresses_are_bounded(scene: Scene) -> None:
    """A peer may have many addresses; we remember a few and join fewer."""
    (subflow, *_) = victim_of(scene.client).subflows
    for number in range(200):
        option = signed(scene, 10 + number, bytes((10, 0, 1, number)))
        strike(scene, scene.client, forge(subflow, b"", option))
    client = victim_of(scene.client)
    assert len(client.announcements.received) <= scene.client.stack.config.max_addresses_accepted
    assert len(client.subflows) <= scene.client.stack.config.max_subflows
    scene.network.run_for(200 * SECOND)
    still_works(scene)


def test_removal_of_addresses_leaves_a_subflow(scene: Scene) -> None:
    """REMOVE_ADDR is not signed: who is on a path may close subflows, as with a reset, but never the last one."""
    (subflow, *_) = victim_of(scene.client).subflows
    option = RemoveAddr(tuple(range(256))[:10])
    strike(scene, scene.client, forge(subflow, b"", option))
    scene.network.run_for(SECOND)
    assert 1 <= len(victim_of(scene.client).subflows) <= 2
    still_works(scene)


def test_priority_is_a_wish_not_a_command(scene: Scene) -> None:
    """MP_PRIO is not signed either: with all subflows made backups the connection goes on."""
    for host in (scene.client, scene.server):
        for subflow in victim_of(host).subflows:
            strike(scene, host, forge(subflow, b"", MpPrio(True)))
    assert all(subflow.backup for subflow in victim_of(scene.client).subflows)
    still_works(scene)


@pytest.mark.parametrize("flags", [ACK, RST, RST | ACK])
def test_fast_close_with_a_wrong_key_closes_a_subflow_at_the_most(scene: Scene, flags: int) -> None:
    subflow = victim_of(scene.server).subflows[1]
    strike(scene, scene.server, forge(subflow, b"", MpFastclose(bytes(8)), flags=flags))
    scene.network.run_for(SECOND)
    assert not application_of(scene.server).closed
    assert len(victim_of(scene.server).subflows) == 2 - bool(flags & RST)
    still_works(scene)


def test_reset_of_a_subflow_is_not_one_of_the_connection(scene: Scene) -> None:
    """What was under way on it arrives over the other."""
    payload = bytes(range(256)) * 1000
    application_of(scene.client).write(payload)
    scene.client.settle()
    for _ in range(10):
        scene.network.step()
    subflow = victim_of(scene.client).subflows[0]
    strike(scene, scene.client, forge(subflow, flags=RST))
    scene.network.run_for(20 * SECOND)
    assert bytes(application_of(scene.server).received) == payload


def test_failure_is_not_believed_while_there_are_other_subflows(scene: Scene) -> None:
    """MP_FAIL (section 3.7) of a forger: one subflow at the most, never the connection, never its bytes."""
    subflow = victim_of(scene.server).subflows[1]
    dsn = subflow.connection.local_key.dsn(subflow.connection.sending.queue.base)
    strike(scene, scene.server, forge(subflow, b"", MpFail(dsn)))
    scene.network.run_for(SECOND)
    assert victim_of(scene.server).is_mptcp
    still_works(scene)


def test_failures_are_not_answered_for_ever() -> None:
    """Each end thinks that the other one asks, and answers: an answer must not bring an answer."""
    scene = connected(1)
    for host in (scene.client, scene.server):
        (subflow,) = victim_of(host).subflows
        strike(scene, host, forge(subflow, b"", MpFail(1)))
    scene.network.run_for(10 * SECOND)
    failures = [segment for _, segment in scene.segments() if find(segment.options, MpFail) is not None]
    assert 2 <= len(failures) < 30
    still_works(scene)
