"""Explicit congestion notification (RFC 3168): agreed in the handshake, marks answered once for a window."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import CWR, ECE, SYN, Packet, Segment, virtio
from mptcp_stack.wire import encode as encode_segment
from tests.sim.scenes import PORT, SERVER, UPLOAD, Scene, exchange, losing, make_scene, rewrite

FAST = LinkSpec(rate_bps=100_000_000, delay_ns=10 * MILLISECOND, queue_bytes=1_000_000)
NOT_ECT, ECT_0, CE = 0, 2, 3


def marking(wanted: Callable[[int], bool]) -> Callable[[Segment], bool]:
    """Mark the data segments (counted from 0) for which `wanted` says so."""
    count = -1

    def change(segment: Segment) -> bool:
        nonlocal count
        if segment.ecn == ECT_0:
            count += 1
            if wanted(count):
                segment.ecn = CE
        return True

    return change


def flags_of_syns(run: Scene) -> list[int]:
    return [segment.flags & (ECE | CWR) for _, segment in run.segments() if segment.flags & SYN]


@pytest.mark.parametrize("client", ["off", "accept", "on"])
@pytest.mark.parametrize("server", ["off", "accept", "on"])
@pytest.mark.parametrize("mptcp", [False, True])
def test_negotiation(client: str, server: str, mptcp: bool) -> None:
    run = make_scene(1, [FAST], mptcp=mptcp, client={"ecn": client}, server={"ecn": server})
    exchange(run, UPLOAD, UPLOAD)
    asked, agreed = client == "on", client == "on" and server != "off"
    assert flags_of_syns(run) == [(ECE | CWR) * asked, ECE * agreed]
    for _, segment in run.segments():
        assert segment.ecn == (ECT_0 if agreed and segment.length else NOT_ECT)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_syn_that_was_lost_does_not_ask_again(lost: int) -> None:
    """Section 6.1.1.1: something on the path may drop it for that; both sides go without, whatever was lost."""
    run = make_scene(1, [FAST], mptcp=False, middlebox=losing(lost), ecn="on")
    exchange(run, UPLOAD, b"")
    assert {segment.ecn for _, segment in run.segments()} == {NOT_ECT}
    assert flags_of_syns(run)[0] == ECE | CWR


def test_a_peer_that_reflects_the_flags_does_not_agree() -> None:
    def reflect(segment: Segment) -> bool:
        if segment.flags & SYN:
            segment.flags |= ECE | CWR
        return True

    run = make_scene(1, [FAST], mptcp=False, middlebox=rewrite(reflect), client={"ecn": "on"}, server={"ecn": "off"})
    exchange(run, UPLOAD, b"")
    assert {segment.ecn for _, segment in run.segments()} == {NOT_ECT}


@pytest.mark.parametrize("coalesce_ns", [0, MILLISECOND])
@pytest.mark.parametrize("congestion", ["reno", "cubic"])
def test_one_mark_is_one_reduction(congestion: str, coalesce_ns: int) -> None:
    """The window shrinks as after a loss, once, nothing is sent again, and one segment says CWR."""
    run = make_scene(
        1, [FAST], mptcp=False, coalesce_ns=coalesce_ns, middlebox=rewrite(marking(lambda n: n == 40)), ecn="on",
        congestion=congestion,
    )  # fmt: skip
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(pattern(400_000))
    run.client.connect(SERVER, client)
    control = client.connection.subflows[0].endpoint.control
    run.network.run_until(lambda: client.connected, SECOND)
    windows = [control.cwnd]
    while not client.closed:
        run.network.step()
        if control.cwnd < windows[-1]:
            windows.append(control.cwnd)
        windows[-1] = max(windows[-1], control.cwnd)
    assert len(windows) == 2
    sent = [segment for _, segment in run.segments("client") if segment.length]
    assert sum(bool(segment.flags & CWR) for segment in sent) == 1
    assert len({segment.seq for segment in sent}) == len(sent)
    echoes = [bool(segment.flags & ECE) for _, segment in run.segments("server") if not segment.flags & SYN]
    first, last = echoes.index(True), len(echoes) - echoes[::-1].index(True)
    assert all(echoes[first:last])
    assert not any(echoes[last:])


def test_marks_all_the_time_keep_the_window_small() -> None:
    run = make_scene(1, [FAST], mptcp=False, middlebox=rewrite(marking(lambda n: True)), ecn="on")
    exchange(run, UPLOAD, b"")
    assert run.client.stack.counters["TcpRetransSegs"] == 0
    sent = [time_ns for time_ns, segment in run.segments("client") if segment.length]
    assert sent[-1] - sent[0] > SECOND // 2


def test_what_is_sent_again_is_not_capable_of_marks() -> None:
    """Section 6.1.5."""
    run = make_scene(1, [replace(FAST, loss=0.05)], mptcp=False, ecn="on")
    exchange(run, UPLOAD, b"")
    seen: dict[int, int] = {}
    repeated = 0
    for _, segment in run.segments("client"):
        if segment.length:
            again = segment.seq in seen
            repeated += again
            assert segment.ecn == (NOT_ECT if again else ECT_0)
            seen[segment.seq] = 1
    assert repeated


def test_device_is_told_that_cwr_is_for_the_first_packet_only() -> None:
    """Otherwise a TSO engine would repeat it on each."""
    payload = memoryview(bytes(5000))
    for flags, kind in ((0x10, virtio.GSO_TCPV4), (0x10 | CWR, virtio.GSO_TCPV4 | virtio.GSO_ECN)):
        segment = Segment(bytes(4), bytes(4), 1, 2, 0, 0, flags, 0, payload=[payload], length=5000, gso_size=1000)
        packet: Packet = encode_segment(segment)
        header = virtio.pack(packet)
        assert header[1] == kind
        assert virtio.parse(header)[1] == 1000
