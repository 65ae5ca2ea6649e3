"""Which subflows and announcements each path manager makes, and when it tries again."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from mptcp_stack.events import (
    AddressAnnounced,
    AddressWithdrawn,
    PathEvent,
    PathsWanted,
    SubflowClosed,
    SubflowOpened,
)
from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.path_manager.userspace import Userspace
from mptcp_stack.sim import MILLISECOND, SECOND, Network, Sink, Source, pattern
from mptcp_stack.stack import Stack, StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import TRANSIENT, MpJoinSyn, MpTcpRst, ResetReason, Segment
from tests.sim.scenes import PORT, SYN, UPLOAD, Scene, client_ip, exchange, impaired, make_scene, rewrite, server_ip
from tests.sim.test_routed import ACCESS, routed

LONG = pattern(1_000_000, 7)
SLOW = impaired(rate_bps=1_000_000)


def begin(network: Network, payload: bytes = LONG) -> tuple[Source, Sink]:
    """A client that sends, and a server that reads."""
    client, server = Source(payload), Sink()
    network.hosts["server"].listen(Address(b"", PORT), lambda: server)
    network.hosts["client"].connect(Address(server_ip(1), PORT), client)
    return client, server


def end(network: Network, client: Source, server: Sink, limit_ns: int = 60 * SECOND) -> None:
    network.run_until(lambda: client.closed and server.closed, limit_ns)
    assert client.error is None
    assert server.error is None
    assert bytes(server.received) == client.payload


def joins(scene: Scene) -> list[tuple[int, Segment]]:
    """(time, segment) of every SYN with MP_JOIN."""
    return [
        (time_ns, segment)
        for time_ns, segment in scene.segments("client")
        if segment.flags & SYN and any(isinstance(option, MpJoinSyn) for option in segment.options.mptcp)
    ]


# --- parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndiffports:0", "path manager ndiffports:0: the number of subflows must be 1 or more"),
        ("ndiffports:x", "ndiffports:x: the number"),
        ("fullmesh:3", "path manager 'fullmesh' takes no parameter, but got '3'"),
        (
            "mesh",
            "path manager 'mesh': not one of default, fullmesh, handover, ndiffports, userspace, nor module:Class",
        ),
        ("mptcp_stack.mptcp.path_manager:FullMesh:3", "takes no parameter"),
    ],
)
def test_wrong_parameters(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_scene(1, path_manager=text)


def test_a_class_of_the_users_own_takes_a_parameter() -> None:
    scene = make_scene(1, path_manager="mptcp_stack.mptcp.path_manager:NDiffPorts:3")
    exchange(scene, UPLOAD, b"")
    assert scene.client.stack.counters["MPTcpExtMPJoinSynTx"] == 2


# --- ndiffports


@pytest.mark.parametrize(("text", "count"), [("ndiffports", 2), ("ndiffports:1", 1), ("ndiffports:5", 5)])
def test_ndiffports(text: str, count: int) -> None:
    scene = make_scene(1, path_manager=text)
    client, server = begin(scene.network)
    scene.network.run_for(300 * MILLISECOND)
    subflows = client.connection.subflows
    assert {(subflow.local.ip, *subflow.remote) for subflow in subflows} == {(client_ip(1), server_ip(1), PORT)}
    assert len({subflow.local.port for subflow in subflows}) == count
    end(scene.network, client, server)
    assert scene.carried()[1] == 0


# --- handover


def alive(source: Source) -> list[bytes]:
    return [subflow.local.ip for subflow in source.connection.subflows if not subflow.failing]


def test_handover_uses_one_path_at_a_time() -> None:
    """Path 1 is dark from 1 s on, path 2 from 5 s on, when path 1 is back."""
    first = impaired(rate_bps=2_000_000, blackouts=((1 * SECOND, 5 * SECOND),))
    second = impaired(rate_bps=2_000_000, blackouts=((5 * SECOND, 60 * SECOND),))
    scene = make_scene(1, [first, second], path_manager="handover")
    client, server = begin(scene.network, pattern(2_000_000, 3))
    scene.network.run_for(900 * MILLISECOND)
    assert scene.carried()[1] == 0
    scene.network.run_for(3100 * MILLISECOND)
    assert alive(client) == [client_ip(2)]
    assert [subflow.remote.ip for subflow in server.connection.subflows] == [client_ip(2)]
    scene.network.run_for(5 * SECOND)
    assert alive(client) == [client_ip(1)]
    end(scene.network, client, server)


# --- default


def flagged(ip: bytes, *flags: str, port: int | None = None) -> LocalAddress:
    return LocalAddress(ip, 24, gateway=True, flags=frozenset(flags), port=port)


@contextmanager
def default_pair(
    client: list[LocalAddress], server: list[LocalAddress], **both: object
) -> Iterator[tuple[Source, Sink]]:
    """Client and server through a router with the path manager `default`, 300 ms after the connection began."""
    network = routed(1, ACCESS, path_manager="default", client=tuple(client), server=tuple(server), **both)
    source, sink = begin(network, UPLOAD)
    network.run_for(150 * MILLISECOND)
    yield source, sink
    end(network, source, sink)


PLAIN_1, PLAIN_2 = flagged(client_ip(1)), flagged(client_ip(2))
SERVER_1, SERVER_2 = flagged(server_ip(1)), flagged(server_ip(2))


def pairs(source: Source) -> set[tuple[int, int]]:
    """Last but one byte of both addresses: the path's number."""
    return {(subflow.local.ip[2], subflow.remote.ip[2]) for subflow in source.connection.subflows}


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ([PLAIN_1, PLAIN_2], [SERVER_1, SERVER_2], {(1, 1)}),
        ([PLAIN_1, flagged(client_ip(2), "subflow")], [SERVER_1, SERVER_2], {(1, 1), (2, 1)}),
        ([PLAIN_1, PLAIN_2], [SERVER_1, flagged(server_ip(2), "signal")], {(1, 1), (2, 2)}),
        (
            [PLAIN_1, flagged(client_ip(2), "fullmesh")],
            [SERVER_1, flagged(server_ip(2), "signal")],
            {(1, 1), (2, 1), (2, 2)},
        ),
        (
            [flagged(client_ip(1), "fullmesh"), flagged(client_ip(2), "fullmesh")],
            [SERVER_1, flagged(server_ip(2), "signal")],
            {(1, 1), (2, 1), (1, 2), (2, 2)},
        ),
        # The server's own endpoints join, too.
        ([PLAIN_1, PLAIN_2], [SERVER_1, flagged(server_ip(2), "subflow")], {(1, 1), (1, 2)}),
    ],
)
def test_default_heeds_flags(
    client: list[LocalAddress], server: list[LocalAddress], expected: set[tuple[int, int]]
) -> None:
    with default_pair(client, server) as (source, _):
        assert pairs(source) == expected


def test_default_makes_backups_and_keeps_limits() -> None:
    own = [PLAIN_1, flagged(client_ip(2), "subflow", "backup")]
    with default_pair(own, [SERVER_1, SERVER_2]) as (source, sink):
        assert [subflow.backup for subflow in source.connection.subflows] == [False, True]
        assert [subflow.backup for subflow in sink.connection.subflows] == [False, True]
    with default_pair(own, [SERVER_1, SERVER_2], max_subflows=1) as (source, _):
        assert pairs(source) == {(1, 1)}


def test_default_announces_a_port() -> None:
    with default_pair([PLAIN_1, PLAIN_2], [SERVER_1, flagged(server_ip(2), "signal", port=8080)]) as (source, _):
        assert source.connection.subflows[1].remote == Address(server_ip(2), 8080)


# --- userspace


def test_userspace_decides_nothing_and_obeys() -> None:
    scene = make_scene(1, path_manager="userspace")
    told: list[PathEvent] = []
    scene.client.on_path_event = scene.server.on_path_event = told.append
    client, server = begin(scene.network, pattern(3_000_000))

    def kinds() -> list[type[PathEvent]]:
        scene.client.settle()
        scene.server.settle()
        scene.network.run_for(250 * MILLISECOND)
        took, told[:] = [type(event) for event in told], []
        return took

    assert kinds() == [PathsWanted, PathsWanted]
    now = scene.network.clock.now_ns
    theirs, ours = server.connection.path_manager, client.connection.path_manager
    assert isinstance(theirs, Userspace)
    assert isinstance(ours, Userspace)
    for ip, port in ((server_ip(2), 0), (server_ip(2), 65_536), (bytes((0xFE, 0x80, *bytes(13), 1)), None)):
        with pytest.raises(OSError, match=r"port must be|link-local"):
            theirs.announce(ip, now, port)
    theirs.announce(server_ip(2), now)
    assert kinds() == [AddressAnnounced]
    assert client.connection.announcements.received == {2: Address(server_ip(2), PORT)}
    assert len(client.connection.subflows) == 1

    subflow = ours.open_subflow(client_ip(2), 2, Address(server_ip(2), PORT), scene.network.clock.now_ns, backup=True)
    assert subflow is not None
    assert kinds() == [SubflowOpened, SubflowOpened]
    assert server.connection.subflows[1].backup
    ours.set_backup(subflow, False)
    assert kinds() == []
    assert not server.connection.subflows[1].backup
    ours.close_subflow(subflow, scene.network.clock.now_ns)
    assert kinds() == [SubflowClosed, SubflowClosed]
    theirs.withdraw(server_ip(2), scene.network.clock.now_ns)
    assert kinds() == [AddressWithdrawn]
    with pytest.raises(OSError, match="Cannot assign"):
        ours.open_subflow(b"\x0a\0\0\1", 0, Address(server_ip(2), PORT), 0)
    end(scene.network, client, server)


# --- trying again


def test_a_join_that_fails_is_tried_again_with_back_off() -> None:
    """Path 2 refuses the first three joins."""
    refused = 0

    def refuse(segment: Segment) -> bool:
        nonlocal refused
        if segment.flags & SYN and segment.src == client_ip(2) and refused < 3:
            refused += 1
            segment.options.mptcp = ()
            segment.dport = 9  # nobody listens there
        elif segment.sport == 9:
            segment.sport = PORT
        return True

    scene = make_scene(1, [SLOW, SLOW], middlebox=rewrite(refuse))
    client, server = begin(scene.network, pattern(1_300_000, 1))
    scene.network.run_for(8 * SECOND)
    times = [time_ns for time_ns, _ in joins(scene)]
    assert [round((b - a) / SECOND) for a, b in pairwise(times)] == [1, 2, 4]
    assert len(client.connection.subflows) == 2
    end(scene.network, client, server)


def test_a_join_that_always_fails_is_given_up() -> None:
    def refuse(segment: Segment) -> bool:
        if segment.src == client_ip(2):
            segment.options.mptcp = ()
            segment.dport = 9
        elif segment.sport == 9:
            segment.sport = PORT
        return True

    scene = make_scene(1, [SLOW, SLOW], middlebox=rewrite(refuse), join_retries=2)
    client, server = begin(scene.network, pattern(1_300_000, 1))
    end(scene.network, client, server)
    assert len(joins(scene)) == 3


def test_address_ids() -> None:
    def ids(*addresses: LocalAddress) -> list[int]:
        stack = Stack(StackConfig(addresses=addresses), Network(1).add_host("x", StackConfig()).stack.random)
        return [address.address_id for address in stack.addresses]

    assert ids(*(LocalAddress(client_ip(path)) for path in (1, 2))) == [1, 2]
    assert ids(LocalAddress(client_ip(1)), LocalAddress(client_ip(2), address_id=1)) == [2, 1]


@pytest.mark.parametrize(("flags", "attempts"), [(0, 1), (TRANSIENT, 2)])
def test_what_the_peer_refuses_for_good_is_not_tried_again(flags: int, attempts: int) -> None:
    """RFC 8684 section 3.6: only a transient error may be gone later."""
    scene = make_scene(1, [SLOW, SLOW])
    client, server = begin(scene.network, pattern(800_000, 1))
    scene.network.run_for(SECOND)
    server.connection.subflows[1].endpoint.abort(scene.network.clock.now_ns, MpTcpRst(flags, ResetReason.PERFORMANCE))
    scene.server.settle()
    end(scene.network, client, server)
    assert len(joins(scene)) == attempts


# --- announced again


def announce_again(scene: Scene, server: Sink) -> None:
    (address,) = (one for one in scene.server.stack.addresses if one.ip == server_ip(2))
    server.connection.announcements.announce(address, scene.network.clock.now_ns)
    scene.server.settle()


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("path_manager", ["fullmesh", "default"])
def test_an_address_that_is_announced_again_is_a_new_chance(path_manager: str, version: int) -> None:
    """RFC 8684 section 3.4.1: who has given up an address tries again when the peer refreshes it."""
    down = impaired(rate_bps=200_000, blackouts=((0, 60 * SECOND),))
    settings = {"syn_retries": 1, "join_retries": 1, "mptcp_version": version, "mptcp_minimum_version": 0}
    scene = make_scene(1, [impaired(rate_bps=200_000), down], path_manager=path_manager, **settings)
    client, server = begin(scene.network, pattern(3_000_000))
    scene.network.run_for(100 * MILLISECOND)
    announce_again(scene, server)  # for `default`, whose addresses have no flags here
    scene.network.run_for(61 * SECOND)
    before = len(joins(scene))
    announce_again(scene, server)
    scene.network.run_for(2 * SECOND)
    assert len(joins(scene)) > before
    assert any(one.remote.ip == server_ip(2) and one.was_up for one in client.connection.subflows)


def test_an_address_that_is_announced_all_the_time_is_tried_once_a_second() -> None:
    """As many ADD_ADDRs as there may be: they do not shorten the shortest wait."""
    scene = make_scene(
        1, [SLOW, SLOW], middlebox=[None, rewrite(lambda segment: not segment.flags & SYN)], syn_retries=0
    )
    _, server = begin(scene.network, pattern(2_000_000))
    scene.network.run_for(SECOND)
    for _ in range(100):
        announce_again(scene, server)
        scene.network.run_for(100 * MILLISECOND)
    times = [time_ns for time_ns, _ in joins(scene)]
    assert 5 <= len(times) <= 11
    assert min(b - a for a, b in pairwise(times)) > SECOND


def test_userspace_hears_of_an_address_that_is_announced_again() -> None:
    scene = make_scene(1, path_manager="userspace")
    told: list[PathEvent] = []
    scene.client.on_path_event = told.append
    client, server = begin(scene.network)
    scene.network.run_for(200 * MILLISECOND)
    for _ in range(2):
        announce_again(scene, server)
        scene.network.run_for(200 * MILLISECOND)
    assert [type(event) for event in told] == [PathsWanted, AddressAnnounced, AddressAnnounced]
    end(scene.network, client, server)
