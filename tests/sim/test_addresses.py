"""Addresses announced, taken back and given priority by hand (RFC 8684 sections 3.3.8 and 3.4)."""

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.keys import add_addr_hmac
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Sink
from mptcp_stack.tcp import Address
from mptcp_stack.wire import AddAddr, MpJoinSyn, MpPrio, MptcpOption, RemoveAddr, Segment
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene, rewrite, server_ip

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


def sent_in(segment: Segment, kind: type[MptcpOption]) -> bool:
    return any(isinstance(option, kind) for option in segment.options.mptcp)


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


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("version", [4, 6])
def test_the_longest_announcement_fits(version: int, timestamps: bool) -> None:
    """An IPv6 address with a port takes 30 bytes, timestamps 10: together all that there is, without padding."""
    run = make_scene(1, [PATH, PATH], versions=(4, version), timestamps=timestamps, path_manager="userspace")
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Application())
    run.network.run_for(300 * MILLISECOND)
    client, server = ends(run)
    address = run.server.stack.addresses[1]
    server.path_manager.announce(address.ip, run.network.clock.now_ns, OTHER_PORT)
    go_on(run)
    assert client.announcements.received == {2: Address(address.ip, OTHER_PORT)}
    assert run.server.stack.counters["MPTcpExtAddAddrTx"] == run.server.stack.counters["MPTcpExtEchoAdd"] == 1
    announced = [segment for _, segment in run.segments("server") if sent_in(segment, AddAddr)]
    assert [segment.options.ts_val is not None for segment in announced] == [timestamps]


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
    run.server.settle()
    run.network.run_for(SECOND)
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


# --- one at a time


def when(run: Scene, host: str, echo: bool) -> list[tuple[int, int]]:
    """(time in ns, address ID) of each ADD_ADDR that `host` sent, or of each echo."""
    return [
        (time_ns, option.address_id)
        for time_ns, segment in run.segments(host)
        for option in segment.options.mptcp
        if isinstance(option, AddAddr) and option.echo == echo
    ]


def announce(run: Scene, *numbers: int) -> None:
    _, server = ends(run)
    for number in numbers:
        address = LocalAddress(bytes((10, 9, 9, number)), address_id=number)
        server.announcements.announce(address, run.network.clock.now_ns)
    run.server.settle()


def test_the_next_address_follows_the_echo_of_the_last(run: Scene) -> None:
    """A peer may keep one ADD_ADDR at a time, and lose those that come before it has looked (Linux does)."""
    announce(run, 20, 21, 22)
    run.network.run_for(300 * MILLISECOND)
    said, echoed = when(run, "server", False)[1:], when(run, "client", True)[1:]
    assert [number for _, number in said] == [number for _, number in echoed] == [20, 21, 22]
    assert all(echo < following for (echo, _), (following, _) in zip(echoed, said[1:], strict=False))


def test_an_echo_that_stays_out_does_not_hold_up_the_others() -> None:
    """Each takes its turn, and is said four times at the most."""

    def lost(segment: Segment) -> bool:
        return not any(isinstance(option, AddAddr) and option.echo for option in segment.options.mptcp)

    run = idle_scene(middlebox=rewrite(lost), path_manager="userspace")
    begin_ns = run.network.clock.now_ns
    announce(run, 20, 21)
    run.network.run_for(60 * SECOND)
    said = [(round((time_ns - begin_ns) / SECOND), number) for time_ns, number in when(run, "server", False)]
    assert said == [(0, 20), (1, 21), (2, 20), (4, 21), (6, 20), (10, 21), (14, 20), (22, 21)]


def test_what_is_taken_back_holds_up_nothing_and_is_not_said_after() -> None:
    run = idle_scene(path_manager="userspace")
    _, server = ends(run)
    announce(run, 20, 21, 22)
    server.announcements.withdraw([20])
    server.announcements.withdraw([22, 20])
    announce(run, 23)
    run.network.run_for(300 * MILLISECOND)
    assert [number for _, number in when(run, "server", False)] == [20, 21, 23]
    assert sent(run, "server", RemoveAddr) == [RemoveAddr((20, 22))]


def test_what_was_not_even_sent_is_taken_back_with_nothing_else_said() -> None:
    """In one turn: the announcement that waits to go out is void."""
    run = idle_scene(path_manager="userspace")
    _, server = ends(run)
    server.announcements.announce(LocalAddress(b"\x0a\x09\x09\x14", address_id=20), run.network.clock.now_ns)
    server.announcements.withdraw([20])
    server.announcements.announce(LocalAddress(b"\x0a\x09\x09\x15", address_id=21), run.network.clock.now_ns)
    run.server.settle()
    run.network.run_for(300 * MILLISECOND)
    assert [number for _, number in when(run, "server", False)] == [21]
    assert sent(run, "server", RemoveAddr) == [RemoveAddr((20,))]


def test_more_addresses_than_fit_one_option(run: Scene) -> None:
    _, server = ends(run)
    server.announcements.withdraw(range(10, 70))
    go_on(run)
    ids = [option.address_ids for option in sent(run, "server", RemoveAddr)]
    assert [len(some) for some in ids] == [25, 25, 10]
    assert run.client.stack.counters["MPTcpExtRmAddr"] == 60


def test_version_0_has_no_echo_to_wait_for() -> None:
    run = idle_scene(path_manager="userspace", mptcp_version=0, mptcp_minimum_version=0)
    announce(run, 20, 21, 22)
    run.network.run_for(300 * MILLISECOND)
    client, _ = ends(run)
    assert client.announcements.received.keys() == {20, 21, 22}
