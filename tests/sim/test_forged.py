"""Segments that somebody else slipped into a connection: no answer to an answer to an answer."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, Host, Sink
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, Packet, Segment, complete, encode
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene


@pytest.fixture
def idle() -> Scene:
    """A connection over which nothing is under way."""
    run = make_scene(1, [PATH], mptcp=False)
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Application())
    run.network.run_for(200 * MILLISECOND)
    return run


def forge(run: Scene, host: Host, **fields: int) -> None:
    """Give `host` a segment as its peer would send it, but for some `fields`."""
    peer = run.server if host is run.client else run.client
    (connection,) = peer.stack.connections
    endpoint = connection.subflows[0].endpoint
    local, remote = endpoint.local, endpoint.remote
    forged = Segment(local.ip, remote.ip, local.port, remote.port, flags=ACK, window=1000)
    forged.seq, forged.ack = endpoint.sender.scoreboard.next % 2**32, endpoint.receiver.next % 2**32
    forged.options.ts_val = run.segments(peer.name)[-1][1].options.ts_val + fields.pop("later", 0)
    forged.payload = [memoryview(bytes(fields.pop("length", 0)))]
    forged.length = len(forged.payload[0])
    for name, value in fields.items():
        setattr(forged, name, value)
    host.stack.receive([Packet([complete(encode(forged))])], run.network.clock.now_ns)
    host.settle()


def packets_until_quiet(run: Scene) -> int:
    before = len(run.network.trace)
    run.network.run_for(2 * SECOND)
    return len(run.network.trace) - before


def test_time_stamps_from_the_future(idle: Scene) -> None:
    """RFC 7323 section 5.3 answers what PAWS refuses; two ends that refuse each other must come to rest."""
    for host in (idle.client, idle.server):
        forge(idle, host, later=1 << 30)
    for host in (idle.client, idle.server):
        forge(idle, host)
    assert packets_until_quiet(idle) < 100


def test_data_that_the_peer_never_sent(idle: Scene) -> None:
    """Its acknowledgement is of something not yet sent: answered (RFC 9293 3.10.7.4), but throttled (RFC 5961 5.2)."""
    for host in (idle.client, idle.server):
        forge(idle, host, length=100)
    assert packets_until_quiet(idle) < 100
