"""A connection outlives its last subflow: every way in which that can die, who joins again, when, and how often."""

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Host, Middlebox, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import (
    ACK,
    RST,
    SYN,
    TRANSIENT,
    MpJoinAck,
    MpJoinSyn,
    MpTcpRst,
    Packet,
    ResetReason,
    Segment,
    decode,
)
from tests.icmp import icmp_error
from tests.sim.attacks.hostile import application_of, connected, forge, strike, victim_of
from tests.sim.resets import Nat, Resetter, refusing
from tests.sim.scenes import (
    PORT,
    SERVER,
    Scene,
    client_ip,
    come_to_rest,
    exchange,
    impaired,
    make_scene,
    rewrite,
)

FAST = impaired(rate_bps=20_000_000, delay_ns=5 * MILLISECOND)
UPLOAD, DOWNLOAD = pattern(150_000, 1), pattern(150_000, 2)
VERSION_0 = {"mptcp_version": 0, "mptcp_minimum_version": 0}
FOR_GOOD = MpTcpRst(0, ResetReason.PROHIBITED)
FOR_NOW = MpTcpRst(TRANSIENT, ResetReason.LACK_OF_RESOURCES)


def now_of(scene: Scene) -> int:
    return scene.network.clock.now_ns


def joins(scene: Scene, host: str = "client") -> list[int]:
    """When a host has sent its SYNs with MP_JOIN."""
    return [time_ns for time_ns, one in scene.segments(host) if find(one.options, MpJoinSyn) is not None]


def spoken(paths: int = 1, **settings: Any) -> Scene:
    """A connection on which both ends have said something: before that the peer may not know it (section 3.1)."""
    scene = connected(paths, **settings)
    talks(scene)
    scene.network.run_for(100 * MILLISECOND)
    return scene


def reset(scene: Scene, host: Host, *options: MpTcpRst) -> None:
    """A forged reset of each subflow of a host."""
    for subflow in list(victim_of(host).subflows):
        strike(scene, host, forge(subflow, b"", *options, flags=RST))


def talks(scene: Scene, limit_ns: int = 20 * SECOND) -> None:
    """Data go both ways."""
    end_ns = now_of(scene) + limit_ns
    for host, other in ((scene.client, scene.server), (scene.server, scene.client)):
        before = len(application_of(other).received)
        application_of(host).write(b"news")
        host.settle()
        scene.network.run_until(lambda other=other, before=before: len(application_of(other).received) > before, end_ns)


# --- resets on the way


@pytest.mark.parametrize(
    ("to", "settings"),
    [
        *((to, {}) for to in ("both", "client", "server")),
        ("both", VERSION_0),
        *((to, {"dss_checksum": True}) for to in ("both", "client")),
        ("both", {"scheduler": "redundant"}),
        *(("both", {"path_manager": name}) for name in ("handover", "default", "ndiffports")),
    ],
)
def test_every_subflow_is_reset_after_so_many_bytes(to: str, settings: dict[str, Any]) -> None:
    """All arrives, soon, and by MPTCP."""
    boxes = [Resetter(20_000, to), Resetter(20_000, to)]
    scene = make_scene(1, [FAST, FAST], middlebox=boxes, **settings)
    for box in boxes:
        box.scene = scene
    client, _ = exchange(scene, UPLOAD, DOWNLOAD)
    assert client.connection.is_mptcp
    assert boxes[0].injected > 5
    assert max(time_ns for time_ns, segment in scene.segments() if segment.length) < 2 * SECOND


def test_a_forgotten_flow_of_a_nat_is_joined_again_at_once() -> None:
    """The second path is idle until its mapping is gone; what comes then goes over both."""
    nat = Nat(client_ip(2), 300 * MILLISECOND)
    nat.scene = scene = make_scene(1, [FAST, FAST], middlebox=[None, nat])
    client, server = Application(), Application()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    scene.network.run_for(2 * SECOND)
    before = scene.carried()
    for application in (client, server):
        application.write(UPLOAD)
        application.host.settle()
    scene.network.run_until(lambda: len(client.received) == len(server.received) == len(UPLOAD), 20 * SECOND)
    assert nat.forgotten
    assert len(joins(scene)) == 2
    late = [carried - earlier for carried, earlier in zip(scene.carried(), before, strict=True)]
    assert late[1] > 0.2 * sum(late)


# --- from either end


def test_the_server_joins_when_it_alone_knows() -> None:
    """The client would never find out, as it has nothing to say."""
    scene = spoken(1)
    reset(scene, scene.server)
    application_of(scene.server).write(b" and more")
    scene.server.settle()
    scene.network.run_until(lambda: application_of(scene.client).received == b"news and more", 5 * SECOND)
    assert len(joins(scene, "server")) == 1
    assert joins(scene) == []
    talks(scene)


def test_the_server_leaves_it_to_the_client() -> None:
    scene = spoken(2)
    reset(scene, scene.server)
    reset(scene, scene.client)
    scene.network.run_for(10 * SECOND)
    assert joins(scene, "server") == []
    assert len(victim_of(scene.client).subflows) == 2


@pytest.mark.parametrize("path_manager", ["fullmesh", "handover", "default", "ndiffports"])
def test_the_server_waits_where_it_cannot_connect(path_manager: str) -> None:
    """The client is behind a firewall, and speaks after half a minute."""

    def from_inside(segment: Segment) -> bool:
        return segment.src == client_ip(1) or segment.flags & (SYN | ACK) != SYN

    scene = spoken(1, middlebox=rewrite(from_inside), path_manager=path_manager)
    reset(scene, scene.server)
    scene.network.run_for(30 * SECOND)
    assert 4 < len(joins(scene, "server")) < 10
    talks(scene)
    assert len(joins(scene)) > (path_manager == "ndiffports")


def test_userspace_is_told_and_decides() -> None:
    scene = spoken(1, path_manager="userspace")
    reset(scene, scene.server)
    reset(scene, scene.client)
    scene.network.run_for(30 * SECOND)
    assert joins(scene) == joins(scene, "server") == []
    client = victim_of(scene.client)
    client.path_manager.open_subflow(client_ip(1), 0, SERVER, now_of(scene))
    scene.client.settle()
    talks(scene)


@pytest.mark.parametrize("lost_on_the_way", [False, True])
def test_an_end_that_believes_in_its_subflow_has_room_for_the_next(lost_on_the_way: bool) -> None:
    """It asks those that are silent: they are reset by who has lost them, or not answered by a NAT."""
    dark = False

    def box(segment: Segment) -> bool:
        return not dark or port not in (segment.sport, segment.dport)

    scene = spoken(1, server={"max_subflows": 1}, middlebox=rewrite(box))
    port = victim_of(scene.client).local.port
    scene.network.run_for(SECOND)
    dark = lost_on_the_way
    reset(scene, scene.client)
    scene.network.run_for(5 * SECOND)
    assert len(victim_of(scene.server).subflows) == 1
    talks(scene)


def test_who_answers_keeps_its_subflow_when_others_knock() -> None:
    scene = spoken(2, server={"max_subflows": 2}, join_retry_ns=100 * MILLISECOND)
    scene.network.run_for(SECOND)
    before = list(victim_of(scene.server).subflows)
    client = victim_of(scene.client)
    for _ in range(5):
        client.open_subflow(scene.client.stack.addresses[0], 0, SERVER, now_of(scene))
        scene.client.settle()
        scene.network.run_for(SECOND)
    assert victim_of(scene.server).subflows == before
    assert scene.server.stack.counters["TcpExtTCPKeepAlive"] >= 2


# --- every way to die, and nobody ends before its time


def timed_out(scene: Scene) -> None:
    """Data are not acknowledged until the subflow is given up."""
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = lambda packet: []
    application_of(scene.client).write(b"lost")
    scene.client.settle()
    scene.network.run_until(lambda: not any(one.was_up for one in victim_of(scene.client).subflows), 100 * SECOND)


def asked_in_vain(scene: Scene) -> None:
    """Keep-alive probes are not answered."""
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = lambda packet: []
    victim_of(scene.client).keep_alive = True
    scene.client.settle()
    scene.network.run_until(lambda: not any(one.was_up for one in victim_of(scene.client).subflows), 100 * SECOND)


def closed_in_order(scene: Scene) -> None:
    """FINs without DATA_FIN (RFC 8684 section 3.3.3)."""
    scene.paths[0][0].middlebox = rewrite(lambda segment: not segment.flags & SYN)
    for subflow in victim_of(scene.server).subflows:
        victim_of(scene.server).close_subflow(subflow, now_of(scene))
    scene.server.settle()
    scene.network.run_for(100 * MILLISECOND)


def reset_at_both_ends(scene: Scene) -> None:
    reset(scene, scene.client)
    reset(scene, scene.server)


def reset_for_now(scene: Scene) -> None:
    reset(scene, scene.client, FOR_NOW)
    reset(scene, scene.server, FOR_NOW)


DEATHS = [reset_at_both_ends, reset_for_now, timed_out, asked_in_vain, closed_in_order]
IMPATIENT = {
    "data_retries": 3, "keep_alive_idle_ns": SECOND, "keep_alive_interval_ns": SECOND, "keep_alive_probes": 2,
    "syn_retries": 1,
}  # fmt: skip


def silence(packet: bytes) -> list[bytes]:
    return []


def unreachable(scene: Scene) -> Middlebox:
    """A router that has no route to the server."""

    def middlebox(packet: bytes) -> list[bytes]:
        segment = decode(Packet([packet]))
        if segment.src == client_ip(1):
            scene.client.deliver(icmp_error(bytes((10, 0, 9, 1)), segment, 3, 1))
        return []

    return middlebox


def refusal(scene: Scene) -> Middlebox:
    return refusing(lambda: scene, client_ip(1), 0, 1 << 62)


OBSTACLES: list[Callable[[Scene], Middlebox]] = [lambda scene: silence, unreachable, refusal]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=["silence", "icmp", "refusal"])
@pytest.mark.parametrize("death", DEATHS)
def test_nobody_ends_before_its_time(death: Callable[[Scene], None], obstacle: Any, version: int) -> None:
    """What the path does to joins for 40 s is not the end; then the connection goes on where it was."""
    scene = spoken(1, mptcp_version=version, mptcp_minimum_version=0, **IMPATIENT)
    scene.network.run_for(SECOND)
    death(scene)
    lost_ns = now_of(scene)
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = obstacle(scene)
    scene.network.run_for(40 * SECOND)
    assert not application_of(scene.client).closed
    assert len(joins(scene)) > 3
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = None
    scene.network.run_until(lambda: any(one.was_up for one in victim_of(scene.client).subflows), lost_ns + 60 * SECOND)
    scene.network.run_for(100 * SECOND)  # no timer of the wait is left over
    talks(scene)


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=["silence", "icmp", "refusal"])
@pytest.mark.parametrize("death", DEATHS)
def test_in_the_end_it_ends(death: Callable[[Scene], None], obstacle: Any) -> None:
    """After `close_timeout_ns` without a subflow, with the error that took the last one."""
    scene = spoken(1, **IMPATIENT)
    scene.network.run_for(SECOND)
    death(scene)
    lost_ns = now_of(scene)
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = obstacle(scene)
    client = application_of(scene.client)
    scene.network.run_until(lambda: client.closed, lost_ns + 61 * SECOND)
    assert now_of(scene) >= lost_ns + 59 * SECOND
    expected = TimeoutError if death in (timed_out, asked_in_vain) else ConnectionResetError
    assert isinstance(client.error, expected)
    for host in (scene.client, scene.server):
        for connection in host.stack.connections:
            connection.abort()
        host.settle()
    come_to_rest(scene)


@pytest.mark.parametrize("death", [reset_at_both_ends, timed_out, closed_in_order])
def test_without_a_time_to_wait_the_last_subflow_is_the_end(death: Callable[[Scene], None]) -> None:
    scene = spoken(1, close_timeout_ns=0, **IMPATIENT)
    client = application_of(scene.client)
    with suppress(ValueError):  # there is no connection to look at any more
        death(scene)
    assert client.closed
    assert joins(scene) == []


# --- what the peer says about it (section 3.6)


def test_refused_for_good_on_the_only_path_is_the_end() -> None:
    scene = spoken(1)
    clients, servers = application_of(scene.client), application_of(scene.server)
    reset(scene, scene.client, FOR_GOOD)
    reset(scene, scene.server, FOR_GOOD)
    assert clients.closed
    assert servers.closed
    assert joins(scene) == []


@pytest.mark.parametrize("good_first", [True, False])
def test_refused_for_good_on_one_path_leaves_the_other(good_first: bool) -> None:
    scene = spoken(2)
    for number in (0, 0):
        for host in (scene.client, scene.server):
            subflow = victim_of(host).subflows[number]
            first = subflow.local.ip[2] == 1
            options = (FOR_GOOD,) if first == good_first else ()
            strike(scene, host, forge(subflow, b"", *options, flags=RST))
    scene.network.run_for(40 * SECOND)
    expected = [2] if good_first else [1]
    assert [subflow.local.ip[2] for subflow in victim_of(scene.client).subflows] == expected
    talks(scene)


def test_a_host_that_has_forgotten_the_connection_says_so() -> None:
    """The reset that answers a join with an unknown token has its reason (section 3.2): who reads it need not wait."""
    scene = spoken(1, server={"close_timeout_ns": 0})
    client = application_of(scene.client)
    reset(scene, scene.server)
    assert scene.server.stack.connections == ()
    reset(scene, scene.client)
    scene.network.run_for(SECOND)
    assert isinstance(client.error, ConnectionResetError)
    assert scene.client.stack.counters["MPTcpExtMPRstRx"] == 1
    assert len(joins(scene)) == 1


# --- what was under way


@pytest.mark.parametrize("version", [0, 1])
def test_the_end_of_data_is_delivered_as_well(version: int) -> None:
    """Both applications have closed when the resets come, and one of the DATA_FINs is on its way."""
    scene = make_scene(1, [FAST], mptcp_version=version, mptcp_minimum_version=0)
    client, server = Source(UPLOAD[:100_000]), Sink()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    scene.network.run_until(lambda: client.connected and client.connection.sending.fin_sent, SECOND)
    reset_at_both_ends(scene)
    scene.network.run_until(lambda: client.closed and server.closed, 10 * SECOND)
    assert server.received == client.payload
    assert client.error is server.error is None
    come_to_rest(scene)


def test_only_the_last_acknowledgement_is_missing() -> None:
    """The peer has all and is gone: nothing was lost, so there is no error."""
    scene = spoken(1)
    client, server = application_of(scene.client), application_of(scene.server)
    victim_of(scene.server).shutdown()
    scene.server.settle()
    scene.network.run_for(5 * MILLISECOND)
    scene.paths[0][1].middlebox = rewrite(lambda segment: not segment.options.dss or not client.eof)
    scene.network.run_until(lambda: server.closed, 10 * SECOND)
    assert not client.closed
    scene.paths[0][1].middlebox = None
    reset(scene, scene.client)
    scene.network.run_until(lambda: client.closed, 10 * SECOND)
    assert client.error is None
    assert server.error is None


def test_joins_from_the_first_address_have_its_id() -> None:
    scene = spoken(1)
    reset_at_both_ends(scene)
    scene.network.run_for(SECOND)
    (option,) = [find(one.options, MpJoinSyn) for _, one in scene.segments("client") if find(one.options, MpJoinSyn)]
    assert option.address_id == 0


# --- not too often


def resets_what_joins(scene: Scene) -> Middlebox:
    """Joins come up, and are reset at both ends before any data."""

    def middlebox(packet: bytes) -> list[bytes]:
        if find(decode(Packet([packet])).options, MpJoinAck) is not None:
            scene.client.call_later(50 * MILLISECOND, lambda: reset_at_both_ends(scene))
        return [packet]

    return middlebox


def test_who_resets_all_at_once_is_not_answered_for_ever() -> None:
    """No data pass: each join comes after twice as long, up to a quarter of a minute."""
    scene = spoken()
    reset_at_both_ends(scene)
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = resets_what_joins(scene)
    scene.network.run_for(200 * SECOND)
    gaps = [round((b - a) / SECOND) for a, b in pairwise(joins(scene))]
    assert gaps[:4] == [1, 2, 4, 8]
    assert set(gaps[4:]) == {15}
    assert len(joins(scene, "server")) < 20
    assert not application_of(scene.client).closed


def test_who_resets_after_a_few_bytes_is_slow_not_costly() -> None:
    """Data pass, so that it goes on, with fifty joins a second at the most."""
    box = Resetter(5000, "server")
    box.scene = scene = spoken()
    scene.paths[0][0].middlebox = scene.paths[0][1].middlebox = box
    application_of(scene.client).write(bytes(500_000))
    scene.client.settle()
    scene.network.run_for(4 * SECOND)
    times = joins(scene)
    assert 20 < len(times) <= 200
    assert all(b - a >= 20 * MILLISECOND for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("path_manager", "path"), [("fullmesh", 2), ("fullmesh", 1), ("handover", 1), ("ndiffports", 1), ("default", 1)]
)
def test_joins_are_tried_for_as_long_as_the_connection_lives(path_manager: str, path: int) -> None:
    """A router refuses for ten minutes what comes from an address; a quarter of a minute later it is joined."""
    scene = spoken(path, path_manager=path_manager, close_timeout_ns=700 * SECOND)
    begin_ns = now_of(scene)
    end_ns = begin_ns + 597 * SECOND
    box = refusing(lambda: scene, client_ip(path), begin_ns, end_ns)
    for link in scene.paths[path - 1]:
        link.middlebox = box
    for subflow in list(victim_of(scene.client).subflows):
        if subflow.local.ip == client_ip(path):
            strike(scene, scene.client, forge(subflow, flags=RST))
    scene.network.run_for(616 * SECOND)
    times = [time_ns for time_ns in joins(scene) if time_ns >= begin_ns]
    assert times[0] - begin_ns < 1.1 * SECOND
    assert times[-1] > end_ns
    assert max(b - a for a, b in pairwise(times)) < 15.1 * SECOND
    assert any(one.local.ip == client_ip(path) and one.was_up for one in victim_of(scene.client).subflows)
    talks(scene)
