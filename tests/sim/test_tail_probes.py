"""Tail loss probes over MPTCP (RFC 8985 section 7.3): what new data are, when a scheduler gives them out."""

import pytest

from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import MILLISECOND, SECOND, Application, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Segment
from tests.sim.scenes import PORT, SERVER, Scene, client_ip, impaired, make_scene

DATA = pattern(1_000_000)
PATH = impaired(queue_bytes=1_000_000)


def begin(paths: int, **settings: object) -> tuple[Scene, Source, Sink]:
    """A transfer whose every path has gone dark; each subflow waits for acknowledgements, its window full."""
    scene = make_scene(1, [PATH] * paths, send_buffer_bytes=2_000_000, **settings)
    sink = Sink()
    scene.server.listen(Address(b"", PORT), lambda: sink)
    client = Source(DATA)
    scene.client.connect(SERVER, client)
    scene.network.run_until(lambda: client.connected and len(client.connection.subflows) == paths, SECOND)
    scene.network.run_for(150 * MILLISECOND)
    return scene, client, sink


def darken(scene: Scene) -> int:
    """Every path loses all from now on; the time when the windows are full."""
    for link in (link for path in scene.paths for link in path):
        link.middlebox = lambda packet: []
    scene.network.run_for(15 * MILLISECOND)
    return scene.network.clock.now_ns


def probes(scene: Scene, since_ns: int, path: int) -> list[Segment]:
    """What the client sends with payload on a path until its first timeout."""
    sent = [one for time_ns, one in scene.segments("client") if time_ns >= since_ns and one.length]
    return [one for one in sent if one.src == client_ip(path)]


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("scheduler", ["lowest-rtt", "round-robin", "redundant"])
def test_each_subflow_probes_with_data_that_it_has_not_sent(scheduler: str, checksums: bool) -> None:
    scene, client, _ = begin(2, scheduler=scheduler, dss_checksum=checksums)
    dark_ns = darken(scene)
    subflows = list(client.connection.subflows)
    edges = [subflow.endpoint.sender.scoreboard.next for subflow in subflows]
    windows = [subflow.cwnd_bytes - subflow.in_flight_bytes for subflow in subflows]
    assert all(room < subflow.mss for room, subflow in zip(windows, subflows, strict=True))
    scene.network.run_until(lambda: scene.client.stack.counters["TcpExtTCPLossProbes"] == 2, dark_ns + SECOND)
    for subflow, edge in zip(subflows, edges, strict=True):
        assert subflow.endpoint.sender.scoreboard.next == edge + subflow.mss
        (probe,) = probes(scene, dark_ns, subflow.number + 1)
        assert probe.seq == edge % 2**32
        assert probe.options.dss.length == probe.length == subflow.mss
    assert not scene.client.stack.counters["TcpRetransSegs"]


@pytest.mark.parametrize("why", ["backup", "leaving", "distrusted", "connection window"])
def test_what_may_carry_nothing_new_repeats(why: str) -> None:
    """A backup beside a regular subflow, one that is to be closed or has lost data; or the peer takes nothing more."""
    scene, client, _ = begin(2)
    dark_ns = darken(scene)
    now = scene.network.clock.now_ns
    subflow: Subflow = client.connection.subflows[1]
    if why == "backup":
        subflow.backup = True
    elif why == "leaving":
        subflow.leaving = True
    elif why == "distrusted":
        subflow.distrust(now)
    else:
        client.connection.sending._edge = client.connection.sending.queue.next
    edge = subflow.endpoint.sender.scoreboard.next
    scene.network.run_until(lambda: scene.client.stack.counters["TcpExtTCPLossProbes"] == 2, dark_ns + SECOND)
    (probe,) = probes(scene, dark_ns, 2)
    assert (probe.seq + probe.length) % 2**32 == edge % 2**32


def test_a_probe_as_late_as_a_timeout_lets_the_others_take_over() -> None:
    """One segment under way on a dead path: the probe takes the timeout's time, and then others send the segment."""
    scene = make_scene(1, [impaired(delay_ns=5 * MILLISECOND), PATH])
    server, client = Application(), Application()
    scene.server.listen(Address(b"", PORT), lambda: server)
    scene.client.connect(SERVER, client)
    scene.network.run_for(SECOND)
    first = client.connection.subflows[0].endpoint.sender
    scene.paths[0][0].middlebox = lambda packet: []
    client.connection.send(DATA[:100])
    scene.client.settle()
    assert first.scoreboard.in_flight == 100
    since_ns = scene.network.clock.now_ns
    scene.network.run_until(lambda: len(server.received) == 100, 3 * SECOND)
    counters = scene.client.stack.counters
    assert scene.network.clock.now_ns - since_ns < first.rtt.rto_ns + 30 * MILLISECOND
    assert (counters["TcpExtTCPLossProbes"], counters["TcpExtTCPTimeouts"]) == (1, 0)
