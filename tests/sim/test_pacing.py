"""Pacing: a window is spread over the round trip on slow paths, and sent at once on fast ones."""

from collections import Counter
from typing import Any

import pytest

from mptcp_stack.congestion import CongestionControl
from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Middlebox, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Segment
from tests.sim.scenes import PORT, SERVER, SYN, Scene, endpoint_of, make_scene, rewrite

FAST = LinkSpec(rate_bps=10_000_000_000, delay_ns=100_000, queue_bytes=10_000_000)
SLOW = LinkSpec(rate_bps=10_000_000, delay_ns=10 * MILLISECOND, queue_bytes=10_000_000)


def first_flight_ns(spec: LinkSpec, pacing: bool) -> int:
    """Between the first and the tenth segment of the initial window."""
    run = make_scene(1, [spec], mptcp=False, pacing=pacing)
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Source(pattern(100_000)))
    run.network.run_for(100 * MILLISECOND)
    times = [time_ns for time_ns, segment in run.segments("client") if segment.length]
    return times[9] - times[0]


@pytest.mark.parametrize(("pacing", "low_ms", "high_ms"), [(True, 7, 12), (False, 0, 0)])
def test_initial_window(pacing: bool, low_ms: int, high_ms: int) -> None:
    """Slow start sends at twice the window a round trip (20 ms), so the initial window takes half of it."""
    assert low_ms * MILLISECOND <= first_flight_ns(SLOW, pacing) <= high_ms * MILLISECOND


def test_fast_path_is_not_paced() -> None:
    assert first_flight_ns(FAST, True) == 0


class EightSegments(CongestionControl):
    """A window that never changes, in congestion avoidance."""

    name = "eight segments"

    def __init__(self, mss: int, group: list[CongestionControl]) -> None:
        super().__init__(mss, group)
        self.ssthresh = 0.0

    def increase(self, acked_bytes: float, now: int) -> float:
        return 8 * self.mss - self.cwnd


def every_other_acknowledgement_is_lost() -> Middlebox:
    count = 0

    def passes(segment: Segment) -> bool:
        nonlocal count
        if segment.length or segment.flags & SYN:
            return True
        count += 1
        return count % 2 > 0

    return rewrite(passes)


def test_a_small_window_follows_acknowledgements() -> None:
    """A window leaves each round trip although an acknowledgement releases half of it at once."""
    link = LinkSpec(rate_bps=1_000_000_000, delay_ns=10 * MILLISECOND, queue_bytes=125_000)
    congestion = f"{__name__}:EightSegments"
    run = make_scene(1, [link], mptcp=False, congestion=congestion, middlebox=every_other_acknowledgement_is_lost())
    sink = Sink()
    run.server.listen(Address(b"", PORT), lambda: sink)
    run.client.connect(SERVER, Source(pattern(2_000_000)))
    run.network.run_for(2 * SECOND)
    windows = len(sink.received) / (8 * 1448)
    assert windows > 95, f"{windows:.1f} of the 100 for which there were round trips"


def test_bursts_are_longer_while_packets_wait_for_us() -> None:
    """The round trip then is long because of us, and two segments at a time would make it longer still."""
    run = make_scene(1, [SLOW], mptcp=False)
    run.server.listen(Address(b"", PORT), Sink)
    run.client.connect(SERVER, Source(pattern(100_000)))
    run.network.run_for(30 * MILLISECOND)
    sender = endpoint_of(run.client).sender
    assert sender.burst_limit() == 2 * sender.mss
    run.client.stack.receive([], run.network.clock.now_ns, backlogged=True)
    assert sender.burst_limit() == 8 * sender.mss
    run.client.stack.receive([], run.network.clock.now_ns)
    assert sender.burst_limit() == 2 * sender.mss


def many(count: int, **settings: Any) -> Scene:
    """So many clients that send at once over a path of 20 Mbit/s."""
    link = LinkSpec(rate_bps=20_000_000, delay_ns=10 * MILLISECOND, queue_bytes=10_000_000)
    run = make_scene(1, [link], mptcp=False, **settings)
    run.server.listen(Address(b"", PORT), Sink)
    for _ in range(count):
        run.client.connect(SERVER, Source(pattern(100_000)))
    return run


def longest_burst(run: Scene) -> int:
    """In segments, of the first flight: what leaves at the same time with the same port."""
    run.network.run_for(38 * MILLISECOND)
    bursts = Counter((time_ns, segment.sport) for time_ns, segment in run.segments("client") if segment.length)
    return max(bursts.values())


@pytest.mark.parametrize(("count", "least", "most"), [(1, 2, 2), (6, 3, 5), (12, 8, 10)])
def test_bursts_are_what_all_that_wait_send_together(count: int, least: int, most: int) -> None:
    """Each sends 2 x 10 segments a round trip of 20 ms, one a millisecond; two may always go, and the first alone."""
    assert least <= longest_burst(many(count)) <= most


@pytest.mark.parametrize("end", ["delivered", "aborted", "restarted"])
def test_nobody_waits_for_a_pace_when_all_is_over(end: str) -> None:
    run = many(9)
    run.network.run_for(22 * MILLISECOND)
    shared = run.client.stack.context.shared
    assert shared.paced == 9
    if end == "aborted":
        for connection in run.client.stack.connections:
            connection.abort()
    elif end == "restarted":
        for connection in run.client.stack.connections:
            for subflow in connection.subflows:
                subflow.endpoint.abort(run.network.clock.now_ns)
    run.network.run_for(20 * SECOND)
    assert shared.paced == 0
