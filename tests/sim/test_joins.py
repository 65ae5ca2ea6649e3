"""What the answer to a join says: the priority of an address, or why there is no subflow (RFC 8684, 3.2 and 3.6)."""

import pytest

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.mptcp.opening.handshake import find
from mptcp_stack.sim import SECOND, Application, Network, Sink, Source
from mptcp_stack.stack import StackConfig
from mptcp_stack.tcp import Address
from mptcp_stack.wire import RST, TRANSIENT, MpJoinAck, MpJoinSyn, MpJoinSynAck, MpTcpRst, ResetReason, Segment
from tests.sim.scenes import PATH, PORT, SERVER, UPLOAD, Scene, client_ip, make_scene, rewrite, server_ip


def begin(scene: Scene) -> tuple[Source, Sink]:
    client, server = Source(UPLOAD * 5), Sink()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    return client, server


@pytest.mark.parametrize("backup", [False, True])
def test_the_answer_says_that_our_address_is_a_backup(backup: bool) -> None:
    """The client has no word in it, and yet both sides spare the path."""
    network = Network(1)
    flags = frozenset({"backup"} if backup else ())
    addresses = (LocalAddress(server_ip(1), 24), LocalAddress(server_ip(2), 24, flags=flags))
    client = network.add_host("client", StackConfig(addresses=tuple(LocalAddress(client_ip(n), 24) for n in (1, 2))))
    server = network.add_host("server", StackConfig(addresses=addresses))
    paths = [network.add_path(client_ip(n), server_ip(n), PATH) for n in (1, 2)]
    scene = Scene(network, client, server, paths)
    source, sink = begin(scene)
    network.run_until(lambda: source.closed and sink.closed, 30 * SECOND)
    assert bytes(sink.received) == source.payload
    (answer,) = [
        option for _, segment in scene.segments("server") if (option := find(segment.options, MpJoinSynAck)) is not None
    ]
    assert answer.backup == backup
    assert client.stack.counters["MPTcpExtMPJoinSynAckBackupRx"] == backup
    assert (scene.carried()[1] < 5000) == backup


def resets(scene: Scene, host: str) -> list[MpTcpRst]:
    """The reasons on all RSTs that a host has sent."""
    sent = [segment for _, segment in scene.segments(host) if segment.flags & RST]
    return [option for segment in sent if (option := find(segment.options, MpTcpRst)) is not None]


def joins(scene: Scene) -> int:
    """SYNs with MP_JOIN that the client has sent."""
    return sum(find(segment.options, MpJoinSyn) is not None for _, segment in scene.segments("client"))


def idle(scene: Scene) -> None:
    """A connection on which nobody says anything."""
    scene.server.listen(Address(b"", PORT), Application)
    scene.client.connect(SERVER, Application())


def test_one_subflow_too_many_may_be_tried_again() -> None:
    scene = make_scene(1, [PATH, PATH], server={"max_subflows": 1})
    idle(scene)
    scene.network.run_for(6 * SECOND)
    assert joins(scene) > 1
    assert resets(scene, "server") == [MpTcpRst(TRANSIENT, ResetReason.MPTCP)] * joins(scene)


def test_a_join_to_an_address_that_is_not_to_be_used() -> None:
    """The client does not know flag C, and joins the initial address once."""

    def without_flag(segment: Segment) -> bool:
        for option in segment.options.mptcp:
            if hasattr(option, "flags"):
                option.flags &= ~0x20
        return True

    scene = make_scene(
        1, [PATH], middlebox=rewrite(without_flag), path_manager="ndiffports:2",
        server={"allow_join_initial_address": False},
    )  # fmt: skip
    begin(scene)
    scene.network.run_for(6 * SECOND)
    assert resets(scene, "server") == [MpTcpRst(0, ResetReason.MPTCP)]


def test_a_join_whose_end_is_not_heard_is_given_up_for_now() -> None:
    def lost(segment: Segment) -> bool:
        return find(segment.options, MpJoinAck) is None

    scene = make_scene(1, [PATH, PATH], middlebox=[None, rewrite(lost)])
    idle(scene)
    scene.network.run_for(120 * SECOND)
    assert MpTcpRst(TRANSIENT, ResetReason.MPTCP) in resets(scene, "client")
