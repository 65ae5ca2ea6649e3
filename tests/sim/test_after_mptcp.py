"""What has ended, or has become TCP, has no further subflows, and speaks of no addresses (RFC 8684 section 3.7)."""

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source
from mptcp_stack.tcp import Address
from mptcp_stack.wire import SYN, Segment
from tests.sim.scenes import PORT, SERVER, Scene, client_ip, come_to_rest, make_scene, rewrite, without_mptcp


def strip(segment: Segment) -> bool:
    if not segment.flags & SYN:
        without_mptcp(segment)
    return True


def begin(path_manager: str) -> tuple[Scene, Source, Sink]:
    """An MPTCP connection whose second path is dark."""
    scene = make_scene(1, client={"path_manager": path_manager}, syn_retries=1)
    sink, client = Sink(), Source(b"")
    client.finish = lambda how: None  # type: ignore[method-assign]
    scene.server.listen(Address(b"", PORT), lambda: sink)
    for link in scene.paths[1]:
        link.middlebox = lambda packet: []
    scene.client.connect(SERVER, client)
    scene.network.run_for(100 * MILLISECOND)
    write(scene, client)
    return scene, client, sink


def write(scene: Scene, client: Source) -> None:
    client.write(bytes(1000))
    scene.client.settle()
    scene.network.run_for(100 * MILLISECOND)


def fall_back(scene: Scene, client: Source) -> int:
    """MPTCP gets lost on the way; how many segments were sent until then."""
    for link in scene.paths[0]:
        link.middlebox = rewrite(strip)
    write(scene, client)
    scene.network.run_for(400 * MILLISECOND)
    assert client.connection.is_plain
    return len(scene.segments())


def test_a_join_that_waits_for_its_next_attempt_is_given_up_with_mptcp() -> None:
    scene, client, sink = begin("fullmesh")
    scene.network.run_until(lambda: len(client.connection.subflows) == 1, 30 * SECOND)
    timer = client.connection.path_manager._timer
    assert timer is not None
    assert timer.armed
    before = fall_back(scene, client)
    scene.network.run_for(60 * SECOND)
    assert not any(one.flags & SYN for _, one in scene.segments()[before:])
    assert len(sink.received) == 2000


def test_orders_to_what_has_become_tcp_do_nothing() -> None:
    scene, client, sink = begin("userspace")
    before = fall_back(scene, client)
    manager, now = client.connection.path_manager, scene.network.clock.now_ns
    assert manager.open_subflow(client_ip(2), 0, SERVER, now) is None
    manager.announce(client_ip(2), now)
    manager.withdraw(client_ip(1), now)
    write(scene, client)
    assert not any(one.options.mptcp or one.flags & SYN for _, one in scene.segments()[before:])
    assert len(sink.received) == 3000


def test_orders_to_a_connection_that_is_over_leave_nothing_behind() -> None:
    scene, client, _ = begin("userspace")
    manager = client.connection.path_manager
    client.connection.abort()
    scene.client.settle()
    scene.network.run_for(SECOND)
    now = scene.network.clock.now_ns
    assert manager.open_subflow(client_ip(2), 0, SERVER, now) is None
    manager.announce(client_ip(2), now)
    come_to_rest(scene, 0)
