"""Addresses that come and go while data flows: nothing is lost, the peer is told, paths are used again."""

import pytest

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import MILLISECOND, SECOND, Middlebox, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, FIN, AddAddr, Packet, RemoveAddr, Segment, complete, decode, encode
from tests.sim.scenes import (
    PORT,
    RST,
    SERVER,
    Scene,
    client_ip,
    come_to_rest,
    impaired,
    make_scene,
    rewrite,
    server_ip,
)

PATH = impaired(rate_bps=4_000_000)
SLOW = impaired(rate_bps=1_000_000)
DATA = pattern(2_500_000, 5)


def begin(scene: Scene) -> tuple[Source, Source]:
    """Both sides send, and are connected."""
    client, server = Source(DATA), Source(DATA)
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    scene.network.run_until(lambda: client.connected and server.connected, SECOND)
    return client, server


def end(scene: Scene, *sides: Source, limit_ns: int = 120 * SECOND) -> None:
    """Every byte has arrived, and both stacks come to rest."""
    scene.network.run_until(lambda: all(side.closed for side in sides), limit_ns)
    for side in sides:
        assert side.error is None
        assert bytes(side.received) == DATA
    come_to_rest(scene)


def removed(scene: Scene, host: str) -> list[tuple[int, ...]]:
    """The address IDs of each REMOVE_ADDR that `host` sent."""
    options = [option for _, segment in scene.segments(host) for option in segment.options.mptcp]
    return [option.address_ids for option in options if isinstance(option, RemoveAddr)]


def announced(scene: Scene, host: str) -> list[int]:
    """The address IDs that `host` announced, repetitions left out."""
    options = [option for _, segment in scene.segments(host) for option in segment.options.mptcp]
    return list(dict.fromkeys(one.address_id for one in options if isinstance(one, AddAddr) and not one.echo))


def paths(side: Source) -> list[int]:
    """The number of each subflow's path."""
    return sorted(subflow.local.ip[2] for subflow in side.connection.subflows)


def address(ip: bytes) -> LocalAddress:
    return LocalAddress(ip, 24)


@pytest.mark.parametrize("path", [1, 2])
@pytest.mark.parametrize("seed", [1, 2])
def test_client_loses_one_of_two_addresses_and_gets_it_back(path: int, seed: int) -> None:
    scene = make_scene(seed, [PATH, PATH])
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    assert paths(client) == paths(server) == [1, 2]
    scene.client.remove_address(client_ip(path))
    scene.network.run_for(SECOND)
    assert paths(client) == paths(server) == [3 - path]
    assert removed(scene, "client") == [(0,) if path == 1 else (2,)]
    before = scene.carried()[path - 1]
    scene.network.run_for(500 * MILLISECOND)
    assert scene.carried()[path - 1] == before
    scene.client.add_address(address(client_ip(path)))
    scene.network.run_for(SECOND)
    assert paths(client) == paths(server) == [1, 2]
    assert scene.carried()[path - 1] > before + 100_000
    end(scene, client, server)


@pytest.mark.parametrize("path", [1, 2])
def test_server_loses_one_of_two_addresses_and_gets_it_back(path: int) -> None:
    """It announces the address again; the client joins it again."""
    scene = make_scene(1, [PATH, PATH])
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    scene.server.remove_address(server_ip(path))
    scene.network.run_for(SECOND)
    assert paths(client) == paths(server) == [3 - path]
    address_id = 0 if path == 1 else 2
    assert removed(scene, "server") == [(address_id,)]
    scene.server.add_address(address(server_ip(path)))
    scene.network.run_for(SECOND)
    assert paths(client) == paths(server) == [1, 2]
    assert announced(scene, "server")[-1] == address_id
    end(scene, client, server)


@pytest.mark.parametrize("mptcp", [True, False])
def test_the_only_address_goes_for_a_while(mptcp: bool) -> None:
    """Nobody could be told, and nobody needs to be: the subflow goes on, as plain TCP would."""
    scene = make_scene(1, [PATH], mptcp=mptcp)
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    scene.client.remove_address(client_ip(1))
    scene.network.run_for(4 * SECOND)
    scene.client.add_address(address(client_ip(1)))
    end(scene, client, server)
    assert removed(scene, "client") == []
    assert scene.client.stack.counters["MPTcpExtMPJoinSynTx"] == 0


@pytest.mark.parametrize("path_manager", ["fullmesh", "handover"])
def test_break_before_make(path_manager: str) -> None:
    """The only address is gone for a second before there is another; then the first one is withdrawn."""
    scene = make_scene(1, [PATH, PATH], path_manager=path_manager)
    scene.client.remove_address(client_ip(2))
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    scene.client.remove_address(client_ip(1))
    scene.network.run_for(SECOND)
    assert removed(scene, "client") == []
    scene.client.add_address(address(client_ip(2)))
    scene.network.run_for(2 * SECOND)
    assert paths(client) == paths(server) == [2]
    assert removed(scene, "client") == [(0,)]
    end(scene, client, server)


def test_handover_moves_when_its_address_goes() -> None:
    scene = make_scene(1, [PATH, PATH], path_manager="handover")
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    assert paths(client) == [1]
    scene.client.remove_address(client_ip(1))
    scene.network.run_for(500 * MILLISECOND)
    assert paths(client) == paths(server) == [2]
    end(scene, client, server)


def forgetful() -> Middlebox:
    """A middlebox that forgets the first flow after some packets: from then on it makes resets of all its packets."""
    seen: list[int] = []

    def middlebox(packet: bytes) -> list[bytes]:
        segment = decode(Packet([packet]))
        ports = segment.sport + segment.dport
        seen.append(ports)
        if ports != seen[0] or len(seen) < 300:
            return [packet]
        reset = Segment(segment.src, segment.dst, segment.sport, segment.dport, segment.seq, segment.ack, RST | ACK)
        return [complete(encode(reset))]

    return middlebox


def test_the_last_subflow_is_reset_on_the_way() -> None:
    """A middlebox forgets its state; the client joins again at once."""
    scene = make_scene(1, [PATH], middlebox=forgetful())
    client, server = begin(scene)
    scene.network.run_until(lambda: server.connection.subflows_opened == 2, SECOND)
    scene.network.run_for(100 * MILLISECOND)
    assert paths(client) == paths(server) == [1]
    end(scene, client, server)


def test_without_a_time_to_wait_the_last_reset_ends_it() -> None:
    scene = make_scene(1, [PATH], middlebox=forgetful(), close_timeout_ns=0)
    client, server = begin(scene)
    scene.network.run_until(lambda: client.closed and server.closed, 3 * SECOND)
    assert isinstance(client.error, ConnectionResetError)
    assert isinstance(server.error, ConnectionResetError)


def test_a_peer_that_has_forgotten_the_connection() -> None:
    """A refused join shows it; the client does not wait any longer."""
    scene = make_scene(1, [PATH], middlebox=forgetful(), server={"close_timeout_ns": 0})
    client, _ = begin(scene)
    scene.network.run_until(lambda: client.closed, 5 * SECOND)
    assert isinstance(client.error, ConnectionResetError)


def test_no_subflow_comes() -> None:
    """Both sides wait for the other one: for `close_timeout_ns`."""
    scene = make_scene(1, [PATH], middlebox=forgetful(), join_retries=0, close_timeout_ns=10 * SECOND)
    client, server = begin(scene)
    scene.network.run_until(lambda: client.closed and server.closed, 30 * SECOND)
    assert isinstance(server.error, ConnectionResetError)
    assert 10 * SECOND < scene.network.clock.now_ns < 15 * SECOND


# --- how an address is taken back


def of_path(scene: Scene, host: str, path: int, since_ns: int) -> list[tuple[int, Segment]]:
    """(time, segment) of what a host has sent on a path."""
    return [(time_ns, one) for time_ns, one in scene.segments(host) if time_ns >= since_ns and one.src[2] == path]


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_withdrawn_address_is_left_in_order(side: str) -> None:
    """Its subflow is there when the peer hears of it, as Linux counts only what it finds, and ends by FIN."""

    def unheard(segment: Segment) -> bool:
        return not any(isinstance(option, RemoveAddr) for option in segment.options.mptcp)

    scene = make_scene(1, [SLOW, SLOW], middlebox=rewrite(unheard))
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    host, application = (scene.client, client) if side == "client" else (scene.server, server)
    application.connection.withdraw(host.stack.addresses[1].ip, scene.network.clock.now_ns)
    host.settle()
    since_ns = scene.network.clock.now_ns
    scene.network.run_for(2 * SECOND)
    sent = of_path(scene, side, 2, since_ns)
    assert not any(one.flags & RST for _, one in sent)
    (fin_ns,) = [time_ns for time_ns, one in sent if one.flags & FIN]
    assert fin_ns >= since_ns + 200 * MILLISECOND
    assert not any(one.length for time_ns, one in sent if time_ns > since_ns + 200 * MILLISECOND)
    assert removed(scene, side) == [(2,)]
    assert paths(client) == paths(server) == [1]


@pytest.mark.parametrize(("gone", "limit_ns"), [(True, 2 * SECOND), (False, 12 * SECOND)])
def test_a_reset_where_no_fin_arrives(gone: bool, limit_ns: int) -> None:
    """The address has gone, or its path has: what was under way takes the other one, and the subflow does not stay."""
    scene = make_scene(1, [SLOW, SLOW])
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    since_ns = scene.network.clock.now_ns
    for link in scene.paths[1]:
        link.middlebox = lambda packet: []
    if gone:
        scene.client.remove_address(client_ip(2))
    else:
        client.connection.withdraw(client_ip(2), since_ns)
        scene.client.settle()
    scene.network.run_for(limit_ns)
    assert paths(client) == [1]
    assert any(one.flags & RST for _, one in of_path(scene, "client", 2, since_ns))
    end(scene, client, server)


@pytest.mark.parametrize("away_ns", [0, 5 * MILLISECOND, 50 * MILLISECOND])
@pytest.mark.parametrize(
    ("side", "path_manager"), [("client", "fullmesh"), ("server", "fullmesh"), ("server", "default")]
)
def test_an_address_that_flaps_is_used_again(side: str, path_manager: str, away_ns: int) -> None:
    """It is back before its subflow is closed, or before the peer knows that it was gone."""
    scene = make_scene(1, [SLOW, SLOW], path_manager=path_manager)
    host, ip = (scene.client, client_ip(2)) if side == "client" else (scene.server, server_ip(2))
    host.remove_address(ip)
    client, server = begin(scene)
    host.add_address(LocalAddress(ip, 24, flags=frozenset({"signal"})))
    scene.network.run_for(SECOND)
    assert paths(client) == paths(server) == [1, 2]
    host.remove_address(ip)
    scene.network.run_for(away_ns)
    host.add_address(LocalAddress(ip, 24, flags=frozenset({"signal"})))
    scene.network.run_for(3 * SECOND)
    assert paths(client) == paths(server) == [1, 2]


@pytest.mark.parametrize(("gone", "ids"), [((2, 3), (2, 3)), ((1, 2), (0, 2)), ((2, 3, 4), (2, 3, 4))])
@pytest.mark.parametrize("side", ["client", "server"])
def test_addresses_that_go_in_one_turn_are_taken_back_in_one_option(
    side: str, gone: tuple[int, ...], ids: tuple[int, ...]
) -> None:
    """As an interface with several does; a peer may keep one REMOVE_ADDR at a time (Linux does)."""
    scene = make_scene(1, [SLOW] * 5)
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    host, ip = (scene.client, client_ip) if side == "client" else (scene.server, server_ip)
    for path in gone:
        scene.network.own(ip(path), None)
        host.stack.remove_address(ip(path), scene.network.clock.now_ns)
    host.settle()
    scene.network.run_for(2 * SECOND)
    assert removed(scene, side) == [ids]
    assert paths(client) == paths(server) == [path for path in range(1, 6) if path not in gone]


def test_addresses_of_one_turn_wait_together_for_a_successor() -> None:
    """None of them could have said of the others that they go."""
    scene = make_scene(1, [PATH] * 3)
    scene.client.remove_address(client_ip(3))
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    for path in (1, 2):
        scene.network.own(client_ip(path), None)
        scene.client.stack.remove_address(client_ip(path), scene.network.clock.now_ns)
    scene.client.settle()
    scene.network.run_for(SECOND)
    assert removed(scene, "client") == []
    scene.client.add_address(address(client_ip(3)))
    scene.network.run_for(2 * SECOND)
    assert removed(scene, "client") == [(0, 2)]
    assert paths(client) == paths(server) == [3]
    end(scene, client, server)


@pytest.mark.parametrize("path_manager", ["fullmesh", "default", "userspace"])
def test_the_first_address_is_announced_again(path_manager: str) -> None:
    """After it was withdrawn: with ID 0, by every path manager of a server (RFC 8684 section 3.4.2)."""
    scene = make_scene(1, [SLOW, SLOW], path_manager=path_manager)
    client, server = begin(scene)
    scene.network.run_for(SECOND)
    theirs = LocalAddress(server_ip(1), 24, flags=frozenset({"signal"}))
    if path_manager != "fullmesh":
        client.connection.open_subflow(
            scene.client.stack.addresses[1], 2, Address(server_ip(2), PORT), scene.network.clock.now_ns
        )
        scene.client.settle()
        scene.network.run_for(500 * MILLISECOND)
    scene.server.remove_address(server_ip(1))
    scene.network.run_for(2 * SECOND)
    assert removed(scene, "server") == [(0,)]
    assert paths(client) == [2]
    scene.server.add_address(theirs)
    if path_manager == "userspace":
        server.connection.path_manager.announce(server_ip(1), scene.network.clock.now_ns)
        scene.server.settle()
    scene.network.run_for(500 * MILLISECOND)
    assert announced(scene, "server")[-1] == 0
    assert 0 in client.connection.announcements.remotes()
    if path_manager != "userspace":
        scene.network.run_for(SECOND)
        assert paths(client) == paths(server) == [1, 2]


# --- scopes and families


LINK_LOCAL = b"\xfe\x80" + bytes(13)


def six(number: int, prefix: bytes = b"\xfd" + bytes(14)) -> bytes:
    return prefix + bytes([number])


def mixed(first: int) -> tuple[Scene, Source, Source]:
    """Paths of IPv4 (1), IPv6 (2) and link-local IPv6 (3); the connection begins on path `first`."""
    scene = make_scene(1, [PATH])
    for ours, theirs, device in ((six(1), six(2), ""), (six(1, LINK_LOCAL), six(2, LINK_LOCAL), "eth3")):
        scene.paths.append(scene.network.add_path(ours, theirs, PATH))
        scene.client.add_address(LocalAddress(ours, 64, device=device))
        scene.server.add_address(LocalAddress(theirs, 64, device=device))
    client, server = Source(DATA), Source(DATA)
    scene.server.listen(Address(b"", PORT), lambda: server)
    remote = [server_ip(1), six(2), six(2, LINK_LOCAL)][first]
    scene.client.connect(Address(remote, PORT), client)
    scene.network.run_for(SECOND)
    return scene, client, server


@pytest.mark.parametrize("first", [0, 1])
def test_both_families_in_one_connection_and_nothing_link_local(first: int) -> None:
    scene, client, server = mixed(first)
    assert {len(subflow.local.ip) for subflow in client.connection.subflows} == {4, 16}
    assert announced(scene, "server") == [2 - first]
    assert [carried > 0 for carried in scene.carried()] == [True, True, False]
    assert [subflow.mss for subflow in sorted(client.connection.subflows, key=lambda one: len(one.local.ip))] == [
        1500 - 40 - 12 - 28, 1500 - 60 - 12 - 28,
    ]  # fmt: skip
    end(scene, client, server)


def test_a_connection_on_a_link_joins_other_paths_from_it_but_not_with_its_address() -> None:
    scene, client, server = mixed(2)
    pairs = {(subflow.local.ip, subflow.remote.ip) for subflow in client.connection.subflows}
    assert pairs == {(six(1, LINK_LOCAL), six(2, LINK_LOCAL)), (client_ip(1), server_ip(1)), (six(1), six(2))}
    assert announced(scene, "server") == [1, 2]
    end(scene, client, server)


def test_link_local_means_the_link_that_the_connection_began_on() -> None:
    near = LocalAddress(six(1, LINK_LOCAL), 64, device="eth0")
    assert near.reaches(six(2, LINK_LOCAL))
    assert near.reaches(six(2, LINK_LOCAL), "eth0")
    assert not near.reaches(six(2, LINK_LOCAL), "eth1")
    assert not near.reaches(six(2))
    assert not LocalAddress(six(1), 64, gateway=True).reaches(six(2, LINK_LOCAL))
    assert not LocalAddress(b"\xa9\xfe\0\1", 16, gateway=True).reaches(b"\x0a\0\0\1")


def test_addresses_that_are_there_or_not() -> None:
    scene = make_scene(1, [PATH])
    with pytest.raises(OSError, match="in use"):
        scene.client.stack.add_address(address(client_ip(1)), 0)
    with pytest.raises(OSError, match="Cannot assign"):
        scene.client.stack.remove_address(client_ip(2), 0)
    assert scene.client.stack.add_address(address(client_ip(2)), 0).address_id == 2
    scene.client.stack.remove_address(client_ip(2), 0)
    assert scene.client.stack.add_address(address(client_ip(3)), 0).address_id == 3
    assert scene.client.stack.add_address(address(client_ip(2)), 0).address_id == 2


def test_a_join_under_way_ends_with_the_wait_for_it() -> None:
    scene = make_scene(1, [PATH], middlebox=forgetful(), close_timeout_ns=3 * SECOND)
    client, server = begin(scene)
    scene.network.run_until(lambda: client.connection.subflows_opened == 2, SECOND)
    scene.paths[0][0].middlebox = lambda _: []
    scene.network.run_until(lambda: client.closed and server.closed, 10 * SECOND)
    assert isinstance(client.error, ConnectionResetError)
    come_to_rest(scene)
