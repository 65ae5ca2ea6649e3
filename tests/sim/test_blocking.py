"""Opportunistic retransmission and penalisation (NSDI 2012 section 4.2): a slow path must not harm a small window."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, UPLOAD, exchange, impaired, make_scene
from tests.sim.test_schedulers import MOBILE, NEITHER, WIFI, goodput_bps


@pytest.mark.parametrize(("buffer_bytes", "gain"), [(80_000, 1.15), (200_000, 1.2), (400_000, 1.1)])
def test_wifi_with_mobile(buffer_bytes: int, gain: float) -> None:
    """WiFi alone has 7.57 Mbit/s; both together come near 9.5 with less than half of what it takes without."""
    with_both = goodput_bps(buffer_bytes)
    assert with_both > gain * goodput_bps(buffer_bytes, **NEITHER)
    assert with_both > (7_200_000 if buffer_bytes == 80_000 else 9_000_000)


@pytest.mark.parametrize("opportunistic", [False, True])
def test_a_path_that_falls_silent_stops_nobody(opportunistic: bool) -> None:
    """Before the first timeout of the slow path the fast one has repeated what the window waited for."""
    silent_ns = 1300 * MILLISECOND
    dark = impaired(delay_ns=100 * MILLISECOND, blackouts=((silent_ns, 10**15),))
    run = make_scene(
        1, [impaired(), dark], receive_buffer_bytes=100_000, opportunistic_retransmission=opportunistic
    )  # fmt: skip
    server = Sink()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, Source(pattern(3_000_000)))
    run.network.run_for(silent_ns)
    before = len(server.received)
    run.network.run_for(SECOND // 4)
    assert (len(server.received) - before > 200_000) == opportunistic


@pytest.mark.parametrize("buffer_bytes", [5000, 30_000])
def test_what_arrives_twice_is_read_once(buffer_bytes: int) -> None:
    run = make_scene(2, [WIFI, MOBILE], receive_buffer_bytes=buffer_bytes)
    exchange(run, UPLOAD, b"")


def test_a_slow_reader_is_no_reason_to_penalise() -> None:
    """The window is full because nobody reads: nothing waits on any path."""
    run = make_scene(1, [WIFI, MOBILE], receive_buffer_bytes=30_000)
    exchange(run, b"", UPLOAD, read_limit_bytes=10_000, read_interval_ns=100 * MILLISECOND)
    assert run.server.stack.counters["MPTcpExtReinjections"] < 20
