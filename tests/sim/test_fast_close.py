"""MP_FASTCLOSE on an ACK (RFC 8684 section 3.5): who says it how often, and who answers."""

import pytest

from mptcp_stack.mptcp.containment import end_connection
from mptcp_stack.sim import SECOND, Application
from mptcp_stack.tcp import Address
from mptcp_stack.wire import RST, MpFastclose, Packet, Segment, complete, encode
from tests.sim.scenes import PATH, PORT, SERVER, Scene, come_to_rest, endpoint_of, make_scene, rewrite
from tests.sim.test_closed import Counting


def is_fast_close(segment: Segment) -> bool:
    return any(isinstance(option, MpFastclose) for option in segment.options.mptcp)


class Losses:
    """Drops as many MP_FASTCLOSEs on ACKs and RSTs of the server as are left in ``acks`` and ``resets``."""

    def __init__(self, acks: int = 0, resets: int = 0) -> None:
        self.acks = acks
        self.resets = resets

    def pass_on(self, segment: Segment) -> bool:
        if self.acks and is_fast_close(segment) and not segment.flags & RST:
            self.acks -= 1
            return False
        if self.resets and segment.flags & RST and segment.sport == PORT:
            self.resets -= 1
            return False
        return True


def connected(paths: int = 1, losses: Losses | None = None, **settings: object) -> tuple[Scene, Application]:
    scene = make_scene(1, [PATH] * paths, middlebox=rewrite((losses or Losses()).pass_on), **settings)
    server = Application()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, Application())
    scene.network.run_for(SECOND)
    assert len(scene.client.stack.connections[0].subflows) == paths
    return scene, server


def abort(scene: Scene, name: str = "client") -> list[Segment]:
    """Abort, come to rest; the segments that both have sent since, in order."""
    host = scene.network.hosts[name]
    before = len(scene.segments())
    host.stack.connections[0].abort()
    host.settle()
    assert not host.stack.connections, "the application is told at once"
    come_to_rest(scene)
    return [segment for _, segment in scene.segments()[before:]]


@pytest.mark.parametrize("settings", [{"fastclose": "ack"}, {"mptcp_version": 0, "mptcp_minimum_version": 0}])
@pytest.mark.parametrize("paths", [1, 3])
def test_ack_on_one_subflow_and_resets_on_the_others(paths: int, settings: dict[str, object]) -> None:
    scene, server = connected(paths, **settings)
    sent = [segment for segment in abort(scene) if segment.dport == PORT]
    assert [bool(segment.flags & RST) for segment in sent if is_fast_close(segment)] == [False]
    assert sum(bool(segment.flags & RST) and not is_fast_close(segment) for segment in sent) == paths - 1
    assert isinstance(server.error, ConnectionResetError)
    assert scene.client.stack.counters["MPTcpExtMPFastcloseTx"] == 1
    assert scene.server.stack.counters["MPTcpExtMPFastcloseRx"] == 1


@pytest.mark.parametrize("losses", [Losses(acks=2), Losses(resets=2)], ids=["ack", "rst"])
def test_what_is_lost_is_said_again(losses: Losses) -> None:
    scene, server = connected(1, losses, fastclose="ack")
    sent = [segment for segment in abort(scene) if is_fast_close(segment)]
    assert len(sent) == 3
    assert not any(segment.flags & RST for segment in sent)
    assert isinstance(server.error, ConnectionResetError)


@pytest.mark.parametrize("version", [0, 1])
def test_silent_peer_is_reset_in_the_end(version: int) -> None:
    settings = {"mptcp_version": version, "mptcp_minimum_version": 0, "fastclose": "ack"}
    scene, server = connected(1, Losses(acks=99), **settings)
    # The server has said nothing yet that would show that it has the third ACK.
    _third_ack, *acks, reset = [segment for segment in abort(scene) if segment.dport == PORT]
    assert len(acks) == 4
    assert all(is_fast_close(segment) and not segment.flags & RST for segment in acks)
    assert reset.flags & RST
    assert is_fast_close(reset) == bool(version)  # what says nothing has the server try a join, which is refused
    assert isinstance(server.error, ConnectionResetError)


def test_both_abort_at_once() -> None:
    scene, _ = connected(1, fastclose="ack")
    scene.server.stack.connections[0].abort()
    scene.server.settle()
    assert sum(is_fast_close(segment) for segment in abort(scene)) == 1
    for host in (scene.client, scene.server):
        assert host.stack.counters["MPTcpExtMPFastcloseTx"] == host.stack.counters["MPTcpExtMPFastcloseRx"] == 1


def test_data_under_way_do_not_hold_up_the_end() -> None:
    """The answer's sequence number is behind data that nobody takes any more."""
    scene, server = connected(1, fastclose="ack")
    server.write(bytes(5000))
    scene.server.settle()
    sent = abort(scene)
    assert sum(is_fast_close(segment) for segment in sent) == 1


def test_resets_carry_it_unless_told_otherwise() -> None:
    scene, server = connected(2)
    sent = abort(scene)
    assert [bool(segment.flags & RST) for segment in sent if is_fast_close(segment)] == [True, True]
    assert isinstance(server.error, ConnectionResetError)
    assert scene.client.stack.counters["MPTcpExtMPFastcloseTx"] == 2


def test_a_connection_with_settings_of_its_own() -> None:
    scene, _ = connected(1, fastclose="ack")
    ours = Application()
    connection = scene.client.stack.connect(SERVER, scene.network.clock.now_ns, nodelay=True)
    scene.client._attach(ours, connection)
    scene.client.settle()
    scene.network.run_for(SECOND)
    connection.abort()
    scene.client.settle()
    scene.network.run_for(SECOND)
    assert ours.closed
    assert scene.client.stack.counters["MPTcpExtMPFastcloseTx"] >= 1


def reset_for(scene: Scene) -> Packet:
    """A reset of the client's only subflow as its peer would send it."""
    endpoint = endpoint_of(scene.client)
    local, remote = endpoint.local, endpoint.remote
    reset = Segment(remote.ip, local.ip, remote.port, local.port, endpoint.receiver.next % 2**32, 0, RST)
    return Packet([complete(encode(reset))])


@pytest.mark.parametrize("cause", ["a mistake", "the fin timeout"])
def test_what_begins_and_ends_in_one_turn(cause: str) -> None:
    """The peer resets the subflow before anything was sent: its end is brought about once, not twice."""
    scene = make_scene(1, [PATH], fastclose="ack", fin_timeout_ns=5 * SECOND)
    scene.server.listen(Address(b"", PORT), Counting)  # which does not close when its peer does
    scene.client.connect(SERVER, Counting())
    scene.network.run_for(SECOND)
    for host in (scene.client, scene.server):
        host.stack.connections[0].send(b"so that both know of MPTCP")
        host.settle()
    scene.network.run_for(SECOND)
    stack, reset = scene.client.stack, reset_for(scene)
    (connection,) = stack.connections
    now = scene.network.clock.now_ns
    if cause == "a mistake":
        end_connection(connection, RuntimeError(), now)
    else:
        connection.receive()
        connection.close()
        scene.client.settle()
        scene.network.run_for(SECOND)
        now += 7 * SECOND
        stack.handle_timers(now)
    assert stack.flow_states() == {"FASTCLOSE-WAIT": 1}
    stack.receive([reset], now)
    while stack.next_event() is not None:
        pass
    stack.transmit(now)
    assert not stack.flow_states()
    assert not stack.connections
