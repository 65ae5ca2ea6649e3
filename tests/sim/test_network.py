"""The simulator itself: determinism, speed of links, many connections, diagnoses."""

from pathlib import Path

import pytest

from mptcp_stack.phy.pcap import PcapWriter
from mptcp_stack.sim import (
    MILLISECOND,
    SECOND,
    Application,
    Echo,
    RequestClient,
    RequestServer,
    SimulationError,
    Sink,
    Source,
    TraceRecord,
    describe_packet,
    pattern,
)
from mptcp_stack.tcp import Address
from mptcp_stack.wire import Packet
from tests.sim.scenes import DOWNLOAD, PATH, PORT, SERVER, UPLOAD, Scene, come_to_rest, exchange, impaired, make_scene

ROUGH = impaired(loss=0.02, reorder=0.05, reorder_extra_ns=5 * MILLISECOND, duplicate=0.02, corrupt=0.01)


def trace_of(seed: int) -> list[TraceRecord]:
    run = make_scene(seed, [ROUGH, ROUGH])
    exchange(run, UPLOAD, DOWNLOAD)
    return run.network.trace


def test_same_seed_same_packets() -> None:
    first = trace_of(1)
    assert first == trace_of(1)
    assert first != trace_of(2)


def test_same_seed_same_capture_file(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.pcap", "two.pcap")]
    for file in files:
        with PcapWriter(file) as capture:
            for record in trace_of(3):
                capture.write(record.time_ns, record.packet)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("size", [1, 30_000, 300_000])
def test_echo(size: int) -> None:
    run = make_scene(1)
    run.server.listen(Address(b"", PORT), Echo)
    client = Source(pattern(size))
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, 20 * SECOND)
    assert bytes(client.received) == client.payload
    come_to_rest(run)


@pytest.mark.parametrize("loss", [0.0, 0.02])
@pytest.mark.parametrize("paths", [1, 2])
def test_many_connections_at_once(paths: int, loss: float) -> None:
    run = make_scene(1, [impaired(loss=loss)] * paths, mptcp=paths > 1)
    run.server.listen(Address(b"", PORT), RequestServer)
    clients = [RequestClient(size) for size in range(0, 20_000, 700)]
    for client in clients:
        run.client.connect(SERVER, client)
    run.network.run_until(lambda: all(client.closed for client in clients), 60 * SECOND)
    for client in clients:
        assert client.error is None
        assert bytes(client.received) == pattern(client.length)
    come_to_rest(run)


def test_many_connections_at_once_repeat_nothing() -> None:
    """Where all fit into the queue, and wait there for less than two round trips, no timer takes that for a loss."""
    run = make_scene(1, [impaired(rate_bps=100_000_000, queue_bytes=200_000)], mptcp=False)
    run.server.listen(Address(b"", PORT), RequestServer)
    clients = [RequestClient(2000) for _ in range(60)]
    for client in clients:
        run.client.connect(SERVER, client)
    run.network.run_until(lambda: all(client.closed for client in clients), 60 * SECOND)
    assert [client.error for client in clients] == [None] * 60
    assert run.client.stack.counters["TcpRetransSegs"] == run.server.stack.counters["TcpRetransSegs"] == 0


def seconds_to_send(run: Scene, length: int) -> float:
    """From connect until the server has read everything, to the last byte."""
    server = Sink()
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, Source(pattern(length)))
    run.network.run_until(lambda: len(server.received) == length, 60 * SECOND)
    return run.network.clock.now_ns / SECOND


@pytest.mark.parametrize(("paths", "congestion"), [(1, "cubic"), (1, "reno"), (2, "cubic"), (2, "reno"), (2, "lia")])
def test_goodput_without_loss(paths: int, congestion: str) -> None:
    """2 MB over n x 10 Mbit/s, 20 ms round trip: 85 % of the sum, handshakes and slow start included."""
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, congestion=congestion)
    length = 2_000_000
    took_s = seconds_to_send(run, length)
    ideal_s = length * 8 / (paths * 10_000_000)
    assert ideal_s / took_s >= 0.85, f"{ideal_s / took_s:.3f} of ideal"
    if paths == 2:
        assert min(run.carried()) / sum(run.carried()) > 0.35


def test_deadlock_is_found_and_explained() -> None:
    run = make_scene(1, [PATH], mptcp=False)
    run.server.listen(Address(b"", PORT), Application)
    client = Application()
    run.client.connect(SERVER, client)
    with pytest.raises(SimulationError, match="deadlock") as caught:
        run.network.run_until(lambda: client.closed, 10**15)
    assert "10.0.1.101" in str(caught.value)


def test_limit_of_time_is_kept() -> None:
    run = make_scene(1, [impaired(loss=1.0)], mptcp=False)
    client = Source(b"x")
    run.client.connect(SERVER, client)
    with pytest.raises(SimulationError, match="not done"):
        run.network.run_until(lambda: client.closed, 2 * SECOND)


def test_acknowledging_at_once_is_no_stuck_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """More timers that are due at once than may be in a row, each in a time of its own."""
    monkeypatch.setattr("mptcp_stack.sim.network.MAX_IDLE_WAKES", 20)
    exchange(make_scene(1, delayed_ack_ns=0), pattern(100_000), b"")


@pytest.mark.pure("replaces a method of an object")
def test_a_timer_that_is_due_for_ever_is_found() -> None:
    run = make_scene(1, [PATH])
    stack = run.client.stack
    transmit, timer = stack.transmit, stack.context.timers.timer(lambda _: None)

    def transmit_and_arm(now: int) -> list[Packet]:
        timer.set(now)
        return transmit(now)

    stack.transmit = transmit_and_arm  # type: ignore[method-assign]
    run.client.settle()
    with pytest.raises(SimulationError, match="client: timer due again and again"):
        run.network.run_for(2 * SECOND)


def test_packets_without_a_route_are_counted() -> None:
    run = make_scene(1, [PATH], mptcp=False)
    run.client.connect(Address(bytes((10, 0, 1, 200)), PORT), Source(b""))
    run.network.run_for(SECOND // 2)
    assert run.network.unroutable == 1


def test_describe_packet_never_fails() -> None:
    run = make_scene(1)
    exchange(run, b"x", b"y")
    lines = [describe_packet(record.packet) for record in run.network.trace]
    assert "[S]" in lines[0]
    assert "MpCapable" in lines[0]
    assert describe_packet(b"\x45\x00").startswith("malformed")
