"""Backups: which subflows are, who wishes it, and how the peer hears of it (RFC 8684 section 3.3.8)."""

from dataclasses import replace

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Host, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import MpPrio, RemoveAddr
from tests.sim.attacks.hostile import forge, strike
from tests.sim.scenes import PATH, PORT, SERVER, Scene, client_ip, make_scene, rewrite, server_ip, without_mptcp
from tests.sim.test_versions import V0

MUCH = pattern(300_000)
VERSIONS = pytest.mark.parametrize("settings", [{}, V0], ids=["version 1", "version 0"])


def make_backup(host: Host, ip: bytes) -> None:
    """One of a host's addresses is for backups."""
    flags = frozenset({"backup"})
    host.stack._own.present = tuple(
        replace(address, flags=flags) if address.ip == ip else address for address in host.stack.addresses
    )


def begin(run: Scene) -> tuple[Connection, Connection]:
    """A connection on which some bytes have arrived: without any a client does not know that MPTCP is spoken."""
    run.server.listen(Address(b"", PORT), Sink)
    client = Application()
    run.client.connect(SERVER, client)
    client.write(bytes(100))
    run.network.run_for(300 * MILLISECOND)
    (client,), (server,) = run.client.stack.connections, run.server.stack.connections
    return client, server


def priorities(run: Scene, host: str) -> list[tuple[bytes, MpPrio]]:
    """What a host says of backups, and from which address."""
    return [
        (segment.src, option)
        for _, segment in run.segments(host)
        for option in segment.options.mptcp
        if isinstance(option, MpPrio)
    ]


def backups(connection: Connection) -> list[bytes]:
    """The peer's addresses of the subflows that are backups."""
    return [subflow.remote.ip for subflow in connection.subflows if subflow.backup]


@VERSIONS
@pytest.mark.parametrize("path_manager", ["fullmesh", "default", "ndiffports", "userspace"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_the_first_subflow_of_a_backup_address(role: str, path_manager: str, settings: dict[str, int]) -> None:
    """MP_CAPABLE has no flag for it: it is said once MPTCP is agreed on."""
    run = make_scene(1, [PATH, PATH], path_manager=path_manager, **settings)
    host, ip = (run.client, client_ip(1)) if role == "client" else (run.server, server_ip(1))
    make_backup(host, ip)
    client, server = begin(run)
    assert priorities(run, role) == [(ip, MpPrio(True))]
    assert not priorities(run, "server" if role == "client" else "client")
    assert client.subflows[0].backup
    assert server.subflows[0].backup
    assert host.stack.counters["MPTcpExtMPPrioTx"] == 1
    assert sum(one.stack.counters["MPTcpExtMPPrioRx"] for one in (run.client, run.server)) == 1


@VERSIONS
@pytest.mark.parametrize("role", ["client", "server"])
def test_both_sides_heed_it(role: str, settings: dict[str, int]) -> None:
    run = make_scene(1, [PATH, PATH], **settings)
    make_backup(*((run.client, client_ip(1)) if role == "client" else (run.server, server_ip(1))))
    server = Source(MUCH)
    run.server.listen(Address(b"", PORT), lambda: server)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(300 * MILLISECOND)
    client.write(MUCH)
    run.client.settle()
    run.network.run_for(5 * SECOND)
    assert bytes(server.received) == bytes(client.received) == MUCH
    first, second = run.carried()
    assert first < second / 4  # what the server sends before the join is there


def test_both_ends_of_one_subflow() -> None:
    run = make_scene(1, [PATH, PATH])
    make_backup(run.client, client_ip(1))
    make_backup(run.server, server_ip(1))
    client, server = begin(run)
    assert len(priorities(run, "client")) == len(priorities(run, "server")) == 1
    client.set_backup(client.subflows[0], False)
    run.client.settle()
    run.network.run_for(100 * MILLISECOND)
    assert priorities(run, "client")[-1] == (client_ip(1), MpPrio(False))
    assert client.subflows[0].backup, "the server still wishes it"
    assert server.subflows[0].backup
    server.set_backup(server.subflows[0], False)
    run.server.settle()
    run.network.run_for(100 * MILLISECOND)
    assert not client.subflows[0].backup
    assert not server.subflows[0].backup


def test_a_peers_wish_taken_back_leaves_ours_for_a_join() -> None:
    run = make_scene(1, [PATH, PATH])
    make_backup(run.client, client_ip(2))
    client, server = begin(run)
    joined = server.subflows[1]
    for wish in (True, False):
        server.set_backup(joined, wish)
        run.server.settle()
        run.network.run_for(100 * MILLISECOND)
    assert run.client.stack.counters["MPTcpExtMPPrioRx"] == 2
    assert [subflow.backup for subflow in client.subflows] == [False, True]
    assert [subflow.backup for subflow in server.subflows] == [False, True]


def test_tcp_has_no_backups() -> None:
    run = make_scene(1, [PATH], middlebox=rewrite(lambda segment: without_mptcp(segment) is None))
    make_backup(run.client, client_ip(1))
    make_backup(run.server, server_ip(1))
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(MUCH[:50_000])
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, 5 * SECOND)
    assert client.connection.is_plain
    assert not priorities(run, "client") + priorities(run, "server")
    assert run.client.stack.counters["MPTcpExtMPPrioTx"] == 0


# --- forms


def test_an_address_is_none_of_version_1() -> None:
    """Linux does not hear it either."""
    run = make_scene(1, [PATH, PATH])
    client, _ = begin(run)
    for address_id in (0, 2):
        strike(run, run.client, forge(client.subflows[1], b"", MpPrio(True, address_id)))
    assert backups(client) == []
    assert run.client.stack.counters["MPTcpExtMPPrioRx"] == run.client.stack.counters["TcpInErrs"] == 0


@pytest.mark.parametrize(("address_id", "expected"), [(None, 3), (2, 2), (0, 1), (9, None)])
def test_an_address_of_version_0(address_id: int | None, expected: int | None) -> None:
    """All subflows of the sender's address, and not the one that it comes on; without it that one alone."""
    run = make_scene(1, [PATH, PATH, PATH], **V0)
    client, _ = begin(run)
    strike(run, run.client, forge(client.subflows[2], b"", MpPrio(True, address_id)))
    assert backups(client) == ([] if expected is None else [server_ip(expected)])
    assert run.client.stack.counters["MPTcpExtMPPrioRx"] == 1


def test_what_cannot_be_said_is_not_counted() -> None:
    """Nothing goes out on a subflow that has gone."""
    run = make_scene(1, [PATH, PATH])
    client, _ = begin(run)
    subflow = client.subflows[1]
    client.set_backup(subflow, True)
    subflow.endpoint.abort(run.network.clock.now_ns)
    run.client.settle()
    assert run.client.stack.counters["MPTcpExtMPPrioTx"] == 0
    assert not priorities(run, "client")


@pytest.mark.parametrize("ids", [1, 13, 14, 25])
def test_signals_come_with_a_data_ack_where_it_has_room(ids: int) -> None:
    """For Linux who says anything else before the first one has gone back to TCP. With timestamps, 40 bytes at most."""
    run = make_scene(1, [PATH, PATH])
    _, server = begin(run)
    server.announcements.withdraw(range(10, 10 + ids))
    server.set_backup(server.subflows[1], True)
    run.server.settle()
    said = [segment.options for _, segment in run.segments("server") if segment.options.mptcp][-2:]
    assert [type(one) for options in said for one in options.mptcp] == [RemoveAddr, MpPrio]
    assert [options.dss is not None for options in said] == [ids <= 13, True]
    assert run.server.stack.counters["TcpOutErrs"] == 0
