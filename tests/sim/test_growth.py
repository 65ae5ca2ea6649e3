"""Goodput where packets are lost at random, against the bound of Mathis et al. (1997) for Reno.

`python -m tests.sim.test_growth 10` prints a table: every share of lost packets, reno and cubic, ten seeds each.
"""

import sys
from math import sqrt
from statistics import mean, stdev

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, impaired, make_scene

MSS, RTT_S, SECONDS = 1448, 0.020, 15
RATE_BPS = 50_000_000


def bound_bps(loss: float) -> float:
    link_bps = RATE_BPS * MSS / 1500
    return min(link_bps, sqrt(3 / 2) * MSS * 8 / (RTT_S * sqrt(loss))) if loss else link_bps


def goodput_bps(seed: int, loss: float, congestion: str = "reno") -> float:
    link = impaired(rate_bps=RATE_BPS, delay_ns=10 * MILLISECOND, queue_bytes=125_000, loss=loss)
    scene = make_scene(seed, [link], mptcp=False, congestion=congestion, nodelay=True, coalesce_ns=100_000)
    sink = Sink()
    scene.server.listen(Address(b"", PORT), lambda: sink)
    scene.client.connect(SERVER, Source(bytes(100_000_000)))
    scene.network.run_for(SECONDS * SECOND)
    return len(sink.received) * 8 / SECONDS


@pytest.mark.parametrize(("loss", "share"), [(0.01, 0.9), (0.03, 0.75)])
def test_small_windows_grow_as_they_may(loss, share):
    """A window of a few segments is often full with less than itself in flight, and grows all the same."""
    assert share < mean(goodput_bps(seed, loss) for seed in range(3)) / bound_bps(loss) < 1.2


def main() -> None:
    seeds = range(int(sys.argv[1]))
    for loss in (0, 0.001, 0.01, 0.03):
        print(f"{loss:.1%}: bound {bound_bps(loss) / 1e6:.2f} Mbit/s", end="")
        for congestion in ("reno", "cubic"):
            found = [goodput_bps(seed, loss, congestion) / 1e6 for seed in seeds]
            print(f", {congestion} {mean(found):.2f} ± {stdev(found):.2f}", end="", flush=True)
        print()


if __name__ == "__main__":
    main()
