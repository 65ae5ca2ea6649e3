"""Addresses announced, taken back and given priority by hand (RFC 8684 sections 3.3.8 and 3.4)."""

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.host import LocalAddress
from mptcp_stack.mptcp.keys import add_addr_hmac
from mptcp_stack.sim import MILLISECOND, Application, Sink
from mptcp_stack.tcp import Address
from mptcp_stack.wire import AddAddr, MpJoinSyn, MpPrio, MptcpOption, RemoveAddr
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene, server_ip

OTHER_PORT = 8080


@pytest.fixture
def run() -> Scene:
    """A connection with a subflow on each of two paths."""
    return idle_scene()


def idle_scene(**fields: object) -> Scene:
    run = make_scene(1, [PATH, PATH], **fields)
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Application())
    run.network.run_for(300 * MILLISECOND)
    return run


def ends(run: Scene) -> tuple[Connection, Connection]:
    (client,), (server,) = run.client.stack.connections, run.server.stack.connections
    return client, server


def go_on(run: Scene) -> None:
    run.client.settle()
    run.server.settle()
    run.network.run_for(300 * MILLISECOND)


def sent(run: Scene, host: str, kind: type[MptcpOption]) -> list[MptcpOption]:
    return [option for _, segment in run.segments(host) for option in segment.options.mptcp if isinstance(option, kind)]


def test_set_backup_is_told_to_the_peer(run: Scene) -> None:
    client, server = ends(run)
    chosen = next(subflow for subflow in client.subflows if subflow.remote.ip == server_ip(2))
    for backup in (True, False, True):
        client.set_backup(chosen, backup)
    go_on(run)
    assert {subflow.local.ip: subflow.backup for subflow in server.subflows} == {
        server_ip(1): False,
        server_ip(2): True,
    }
    assert sent(run, "client", MpPrio)[-1] == MpPrio(True)
    assert run.server.stack.counters["MPTcpExtMPPrioRx"] == len(sent(run, "client", MpPrio))


def test_withdrawn_address_loses_its_subflows(run: Scene) -> None:
    client, server = ends(run)
    server.announcements.withdraw([2])
    go_on(run)
    assert [subflow.remote.ip for subflow in client.subflows] == [server_ip(1)]
    assert client.announcements.received == {}
    carried = [segment.src for _, segment in run.segments("server") if RemoveAddr((2,)) in segment.options.mptcp]
    assert carried == [server_ip(1)]
    assert run.client.stack.counters["MPTcpExtRmAddr"] == run.server.stack.counters["MPTcpExtRmAddrTx"] == 1


def test_several_addresses_in_one_option(run: Scene) -> None:
    _, server = ends(run)
    server.announcements.withdraw([2, 7, 9])
    go_on(run)
    assert sent(run, "server", RemoveAddr) == [RemoveAddr((2, 7, 9))]
    assert run.client.stack.counters["MPTcpExtRmAddr"] == 3


def test_port_of_its_own_is_joined(run: Scene) -> None:
    client, server = ends(run)
    server.announcements.announce(LocalAddress(server_ip(2), 24, address_id=5), run.network.clock.now_ns, OTHER_PORT)
    go_on(run)
    joined = next(subflow for subflow in server.subflows if subflow.local.port == OTHER_PORT)
    assert joined.confirmed
    assert joined.local_id == 5
    assert [subflow.remote_id for subflow in client.subflows if subflow.remote.port == OTHER_PORT] == [5]
    assert run.client.stack.counters["MPTcpExtPortAdd"] == 1
    assert run.server.stack.counters["MPTcpExtMPJoinPortSynRx"] == 1
    assert run.client.stack.counters["MPTcpExtMPJoinPortSynAckRx"] == 1
    assert run.server.stack.counters["MPTcpExtMPJoinPortAckRx"] == 1


def test_port_that_was_not_announced_is_refused(run: Scene) -> None:
    client, server = ends(run)
    client.open_subflow(run.client.stack.addresses[1], 5, Address(server_ip(2), 9), run.network.clock.now_ns)
    go_on(run)
    assert len(client.subflows) == len(server.subflows) == 2
    assert run.server.stack.counters["MPTcpExtMismatchPortSynRx"] == 1


def test_an_id_names_one_address_until_it_is_taken_back(run: Scene) -> None:
    client, server = ends(run)
    for address_id in (0, 2):
        digest = add_addr_hmac(server.local_key, server.remote_key, address_id, b"\x0a\0\x09\x09", None)
        client.announcements.receive(AddAddr(address_id, b"\x0a\0\x09\x09", None, digest), 0)
    assert client.announcements.received == {2: Address(server_ip(2), PORT)}
    assert run.client.stack.counters["MPTcpExtAddAddrDrop"] == 2
    server.announcements.withdraw([2])
    go_on(run)
    server.announcements.announce(LocalAddress(b"\x0a\0\x09\x09", address_id=2), run.network.clock.now_ns)
    go_on(run)
    assert client.announcements.received == {2: Address(b"\x0a\0\x09\x09", PORT)}


def test_a_peer_cannot_fill_our_memory_with_addresses() -> None:
    run = idle_scene(max_addresses_accepted=3)
    client, server = ends(run)
    for number in range(20, 40):
        server.announcements.announce(LocalAddress(bytes((10, 9, 9, number)), address_id=number), 0)
    go_on(run)
    assert len(client.announcements.received) == 3
    assert len([option for option in sent(run, "client", AddAddr) if option.echo]) == 21
    assert server.announcements.sent.keys() == {2, *range(20, 40)}


def test_join_says_that_it_is_a_backup(run: Scene) -> None:
    client, server = ends(run)
    remote = Address(server_ip(2), PORT)
    client.open_subflow(run.client.stack.addresses[1], 2, remote, run.network.clock.now_ns, backup=True)
    go_on(run)
    assert sent(run, "client", MpJoinSyn)[-1].backup
    assert server.subflows[-1].backup
