"""A timeout that was none (RFC 3522): the path only became slower."""

from dataclasses import replace

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, SERVER, losing, make_scene

PATH = LinkSpec(rate_bps=100_000_000, delay_ns=10 * MILLISECOND, queue_bytes=10_000_000)


@pytest.mark.parametrize(("timestamps", "sack"), [(True, True), (True, False), (False, True), (False, False)])
def test_delay_spike(timestamps: bool, sack: bool) -> None:
    """Packets that are held for 600 ms and then arrive cost a segment or two; without timestamps a window of them.

    The window is restored at once, or when the receiver has said that all of these came twice, if it can.
    """
    run = make_scene(1, [PATH], mptcp=False, timestamps=timestamps, sack=sack)
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(pattern(3_000_000))
    run.client.connect(SERVER, client)
    run.network.run_for(150 * MILLISECOND)
    control = client.connection.subflows[0].endpoint.control
    window_before = control.cwnd
    forward, _ = run.paths[0]
    forward.hold_until(run.network.clock.now_ns + 600 * MILLISECOND)
    run.network.run_until(lambda: client.closed, 10 * SECOND)
    counters = run.client.stack.counters
    assert counters["TcpExtTCPTimeouts"] >= 1
    assert counters["TcpExtTCPSpuriousRTOs"] == (1 if timestamps else 0)
    assert (counters["TcpRetransSegs"] <= 3) == timestamps
    assert counters["TcpExtTCPDSACKUndo"] == (sack and not timestamps)
    assert (control.cwnd >= window_before) == (timestamps or sack)


def test_cubic_goes_on_where_it_was() -> None:
    """RFC 9438 section 4.9.1: what the curve is drawn from comes back with the window."""
    run = make_scene(1, [PATH], middlebox=losing(200), mptcp=False, congestion="cubic")
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(pattern(30_000_000))
    run.client.connect(SERVER, client)
    control = client.connection.subflows[0].endpoint.control
    counters = run.client.stack.counters
    run.network.run_until(lambda: control._w_max > 0 and control._epoch_start_ns is not None, 10 * SECOND)
    run.network.run_for(100 * MILLISECOND)
    w_max, epoch = control._w_max, control._epoch_start_ns
    run.paths[0][0].hold_until(run.network.clock.now_ns + 600 * MILLISECOND)
    run.network.run_until(lambda: counters["TcpExtTCPSpuriousRTOs"] == 1, 10 * SECOND)
    assert control._w_max == w_max
    assert control._epoch_start_ns >= epoch


@pytest.mark.parametrize("later_us", range(0, 1000, 100))
def test_a_timeout_with_losses_is_one(later_us: int) -> None:
    """Whatever part of a millisecond passes, by which timestamps are rounded: else it repairs one segment of many."""
    there = replace(PATH, blackouts=((24 * MILLISECOND, 100 * MILLISECOND),))
    back = replace(PATH, delay_ns=10 * MILLISECOND + later_us * 1000)
    run = make_scene(1, [(there, back)], mptcp=False)
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(pattern(12_000))
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, 10 * SECOND)
    counters = run.client.stack.counters
    assert counters["TcpExtTCPTimeouts"] == 1
    assert counters["TcpExtTCPSpuriousRTOs"] == 0
