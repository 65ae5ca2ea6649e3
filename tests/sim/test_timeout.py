"""The retransmission timer: what a lost handshake does, and does not do, to the data after it."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source
from mptcp_stack.tcp import Address
from tests.sim.scenes import PATH, PORT, SERVER, SYN, UPLOAD, Scene, losing, make_scene

FIRST_FLIGHT = range(3, 14)
"""After the lost SYN, its repetition and the SYN/ACK: ten segments, perhaps an acknowledgement."""


def begin(run: Scene, payload: bytes = UPLOAD) -> Source:
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(payload)
    run.client.connect(SERVER, client)
    return client


@pytest.mark.parametrize(("timestamps", "after_ms"), [(True, (40, 90)), (False, (3000, 3100))])
def test_first_flight_lost_after_a_lost_syn(timestamps: bool, after_ms: tuple[int, int]) -> None:
    """The echoed timestamp is a sample all the same (new data follow as a probe); else 3 s (RFC 6298, 5.7)."""
    run = make_scene(1, [PATH], middlebox=losing(0, *FIRST_FLIGHT), mptcp=False, timestamps=timestamps)
    begin(run)
    run.network.run_for(6 * SECOND)
    data = [(time_ns, segment.seq) for time_ns, segment in run.segments("client") if segment.length]
    (began_ns, _), (again_ns, seq) = data[0], data[10]
    assert (seq == data[0][1]) == (not timestamps)
    low, high = after_ms
    assert low * MILLISECOND <= again_ns - began_ns <= high * MILLISECOND


@pytest.mark.parametrize(("lost", "segments"), [((), 10), ((0,), 10), ((0, 1), 1)])
def test_initial_window_after_lost_syns(lost: tuple[int, ...], segments: int) -> None:
    """RFC 6928 section 2: one segment, but only if more than one SYN was lost; slow start is not over."""
    run = make_scene(1, [PATH], middlebox=losing(*lost), mptcp=False)
    client = begin(run)
    run.network.run_until(lambda: client.connected, 20 * SECOND)
    assert client.connection.subflows[0].endpoint.control.in_slow_start
    run.network.run_for(18 * MILLISECOND)
    sent = [segment for _, segment in run.segments("client") if segment.length]
    assert len(sent) == segments
    assert sum(bool(segment.flags & SYN) for _, segment in run.segments("client")) == len(lost) + 1


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("sack", [True, False])
def test_waiting_behind_a_hole_is_no_round_trip(sack: bool, timestamps: bool) -> None:
    """What arrived in time is acknowledged only when the hole before it is filled: no sample (Karn's rule)."""
    run = make_scene(1, [PATH], middlebox=losing(2, 5), mptcp=False, sack=sack, timestamps=timestamps)
    client = begin(run, UPLOAD[:4000])
    sender = client.connection.subflows[0].endpoint.sender
    run.network.run_until(lambda: client.closed, 20 * SECOND)
    sent = [segment.seq for _, segment in run.segments("client") if segment.length]
    assert len(sent) > len(set(sent)), "something was repeated"
    assert 20 * MILLISECOND <= sender.rtt.srtt_ns <= 35 * MILLISECOND
