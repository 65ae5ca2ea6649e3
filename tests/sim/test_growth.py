"""Goodput of Reno where packets are lost at random, against the bound of Mathis et al. (1997)."""

from math import sqrt

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, impaired, make_scene

MSS, RTT_S, SECONDS = 1448, 0.020, 15


def goodput_bps(seed: int, loss: float) -> float:
    link = impaired(rate_bps=50_000_000, delay_ns=10 * MILLISECOND, queue_bytes=125_000, loss=loss)
    scene = make_scene(seed, [link], mptcp=False, congestion="reno", nodelay=True, coalesce_ns=100_000)
    sink = Sink()
    scene.server.listen(Address(b"", PORT), lambda: sink)
    scene.client.connect(SERVER, Source(bytes(50_000_000)))
    scene.network.run_for(SECONDS * SECOND)
    return len(sink.received) * 8 / SECONDS


@pytest.mark.parametrize(("loss", "share"), [(0.01, 0.9), (0.03, 0.75)])
def test_small_windows_grow_as_they_may(loss, share):
    """A window of a few segments is often full with less than itself in flight, and grows all the same."""
    bound_bps = sqrt(3 / 2) * MSS * 8 / (RTT_S * sqrt(loss))
    mean_bps = sum(goodput_bps(seed, loss) for seed in range(3)) / 3
    assert share < mean_bps / bound_bps < 1.2
