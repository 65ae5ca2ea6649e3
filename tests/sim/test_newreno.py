"""Loss recovery by cumulative acknowledgements alone (RFC 6582), and the timer of what they pass (RFC 6298)."""

from typing import Any

from mptcp_stack.congestion import CongestionControl, Cubic
from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, Packet, Segment, complete, encode
from tests.sim.scenes import PORT, SERVER, endpoint_of, idle_scene, impaired, make_scene, rewrite

DATA = pattern(2_000_000)


class Counting(Cubic):
    """How often the window was reduced."""

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self.reductions = 0

    def on_congestion(self, now: int) -> None:
        super().on_congestion(now)
        self.reductions += 1


def test_answers_to_needless_repetitions_are_no_loss() -> None:
    """RFC 6582 section 3.2 step 2: after a timeout the hole is repaired, and what follows it was there already."""
    specs, control = [impaired(queue_bytes=500_000)], "tests.sim.test_newreno:Counting"
    scene = make_scene(1, specs, mptcp=False, sack=False, timestamps=False, congestion=control)
    sink = Sink()
    scene.server.listen(Address(b"", PORT), lambda: sink)
    client = Source(DATA)
    scene.client.connect(SERVER, client)
    scene.network.run_for(200 * MILLISECOND)
    sent: dict[int, int] = {}

    def lose(segment: Segment) -> bool:
        """Every third of the next 60 segments, the first one twice."""
        if not segment.length:
            return True
        sent[segment.seq] = sent.get(segment.seq, 0) + 1
        first = next(iter(sent))
        number = (segment.seq - first) % 2**32 // 1460
        return number >= 60 or number % 3 > 0 or sent[segment.seq] > (2 if segment.seq == first else 1)

    scene.paths[0][0].middlebox = rewrite(lose)
    control: Any = endpoint_of(scene.client).control
    scene.network.run_until(lambda: client.closed, 10 * SECOND)
    assert bytes(sink.received) == DATA
    assert scene.client.stack.counters["TcpExtTCPTimeouts"] == 1
    assert control.reductions == 1  # the timeout interrupted the recovery that had reduced it


def test_no_timer_runs_for_what_was_selected_and_then_acknowledged() -> None:
    """A peer that selects what it should have acknowledged."""
    scene = idle_scene()
    (connection,) = scene.client.stack.connections
    endpoint = endpoint_of(scene.client)
    for link in scene.paths[0]:
        link.middlebox = lambda packet: []
    connection.send(bytes(2 * endpoint.sender.mss))
    scene.client.settle()
    first, end = endpoint.sender.scoreboard.una, endpoint.sender.scoreboard.next
    for ack, blocks in ((first, ((first % 2**32, end % 2**32),)), (end, ())):
        local, remote = endpoint.local, endpoint.remote
        segment = Segment(remote.ip, local.ip, remote.port, local.port, flags=ACK, window=1000)
        segment.seq, segment.ack = endpoint.receiver.next % 2**32, ack % 2**32
        segment.options.ts_val = endpoint.receiver.ts_recent
        segment.options.sack = blocks
        scene.client.stack.receive([Packet([complete(encode(segment))])], scene.network.clock.now_ns)
    scene.network.run_for(SECOND)
    assert endpoint.sender.scoreboard.una == end
    assert not scene.client.stack.counters["TcpExtTCPTimeouts"]
