"""Opportunistic retransmission and penalisation (NSDI 2012 section 4.2): a slow path must not harm a small window."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, UPLOAD, exchange, impaired, make_scene
from tests.sim.test_schedulers import MOBILE, NEITHER, WIFI, goodput_bps


@pytest.mark.parametrize(("buffer_bytes", "gain"), [(80_000, 0.99), (200_000, 1.25), (400_000, 1.0)])
def test_wifi_with_mobile(buffer_bytes: int, gain: float) -> None:
    """WiFi alone has 7.57 Mbit/s: never less, and with 200 kB both together come near 9.5."""
    with_both = goodput_bps(buffer_bytes)
    assert with_both >= gain * goodput_bps(buffer_bytes, **NEITHER)
    assert with_both > (7_550_000 if buffer_bytes == 80_000 else 9_000_000)


def both_buffers_bps(buffer_bytes: int, **config: object) -> float:
    return goodput_bps(buffer_bytes, send_buffer_bytes=buffer_bytes, **config)


@pytest.mark.parametrize("buffer_bytes", [25_000, 50_000, 100_000])
def test_small_buffers_at_both_ends_cost_nothing_beside_wifi(buffer_bytes: int) -> None:
    """The longer options cost two per cent. Neither window nor pace makes data take the slow path."""
    assert both_buffers_bps(buffer_bytes) > 0.97 * both_buffers_bps(buffer_bytes, mptcp=False)


def test_a_full_send_buffer_blocks_as_a_full_window_does() -> None:
    """The receiver would take more, but the application cannot write before the oldest byte has arrived."""
    with_both, without = (goodput_bps(6 << 20, send_buffer_bytes=200_000, **how) for how in ({}, NEITHER))
    assert with_both > 9_000_000
    assert with_both > 1.3 * without


def test_a_cap_on_windows_keeps_a_deep_queue_short() -> None:
    """3G with 2 s of queue: what slow start has put there stays (three shortest round trips), at the same rate."""
    capped_ns, uncapped_ns = (settled_rtt_ns(cwnd_capping=capped) for capped in (True, False))
    assert capped_ns < 500 * MILLISECOND
    assert uncapped_ns > 1.3 * capped_ns


def settled_rtt_ns(**config: object) -> int:
    """The smoothed round trip of TCP over 3G after 17 s, at its full rate."""
    run = make_scene(1, [MOBILE], mptcp=False, **config)
    server, source = Sink(), Source(pattern(10_000_000))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, source)
    run.network.run_for(12 * SECOND)
    before = len(server.received)
    run.network.run_for(5 * SECOND)
    assert (len(server.received) - before) * 8 / 5 > 1_850_000
    return source.connection.subflows[0].srtt_ns


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
