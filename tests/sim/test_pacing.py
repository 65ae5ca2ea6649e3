"""Pacing: a window is spread over the round trip on slow paths, and sent at once on fast ones."""

import pytest

from mptcp_stack.sim import MILLISECOND, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, make_scene

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
