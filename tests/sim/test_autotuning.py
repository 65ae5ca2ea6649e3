"""Buffers that begin small and grow with what a path and a reader need."""

import pytest

from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.mptcp.receiving import INITIAL_WINDOW_BYTES
from mptcp_stack.mptcp.sending.send_buffer import INITIAL_BYTES
from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address
from tests.sim.scenes import DOWNLOAD, PATH, PORT, SERVER, UPLOAD, Scene, check_windows, exchange, make_scene

LONG = LinkSpec(rate_bps=1_000_000_000, delay_ns=20 * MILLISECOND, queue_bytes=5_000_000)
SHORT = LinkSpec(rate_bps=10_000_000, delay_ns=2 * MILLISECOND, queue_bytes=50_000)
PAYLOAD = pattern(20_000_000)
SWITCHES = ("send_buffer_autotuning", "receive_buffer_autotuning")


def switched(on: bool) -> dict[str, bool]:
    return dict.fromkeys(SWITCHES, on)


def begin(run: Scene, payload: bytes = PAYLOAD, **reader: int) -> tuple[Source, Sink]:
    """An upload; its client and its server."""
    client, server = Source(payload), Sink(**reader)
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    return client, server


def upload_ns(run: Scene, length: int) -> int:
    """When all of an upload was read."""
    _, server = begin(run, PAYLOAD[:length])
    run.network.run_until(lambda: len(server.received) == length, 20 * SECOND)
    assert len(server.received) == length
    return run.network.clock.now_ns


def sizes(sender: Connection, receiver: Connection) -> tuple[int, int]:
    return sender.sending.buffer.capacity_bytes, receiver.receiving.capacity_bytes


@pytest.mark.parametrize("paths", [1, 2])
def test_a_long_fast_path_is_as_fast_as_with_large_buffers(paths: int) -> None:
    fixed, tuned = (
        upload_ns(make_scene(1, [LONG] * paths, mptcp=paths > 1, **switched(on)), len(PAYLOAD)) for on in (False, True)
    )
    assert tuned < 1.03 * fixed


@pytest.mark.parametrize("length", [100_000, 1_000_000])
def test_slow_start_does_not_wait_for_growth(length: int) -> None:
    fixed, tuned = (upload_ns(make_scene(1, [LONG], mptcp=False, **switched(on)), length) for on in (False, True))
    assert tuned < fixed + MILLISECOND


def test_a_short_slow_path_needs_little() -> None:
    run = make_scene(1, [SHORT], mptcp=False, **switched(True))
    client, server = begin(run)
    run.network.run_for(5 * SECOND)
    sent, received = sizes(client.connection, server.connection)
    assert sent <= 2 * INITIAL_BYTES
    assert received <= 4 * INITIAL_WINDOW_BYTES


@pytest.mark.parametrize("paths", [1, 2])
def test_a_reader_that_does_not_read_is_offered_little(paths: int) -> None:
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, **switched(True))
    _, server = begin(run, read_limit_bytes=1000, read_interval_ns=50 * MILLISECOND)
    run.network.run_for(10 * SECOND)
    assert server.connection.receiving.capacity_bytes == INITIAL_WINDOW_BYTES
    assert server.connection.receive_ready > INITIAL_WINDOW_BYTES // 2
    check_windows(run, mptcp=paths > 1)


def test_a_reader_that_wakes_up_gets_a_window_that_grows() -> None:
    run = make_scene(1, [LONG], mptcp=False, **switched(True))
    _, server = begin(run, read_limit_bytes=INITIAL_WINDOW_BYTES, read_interval_ns=SECOND)
    run.network.run_for(SECOND // 2)
    assert server.connection.receiving.capacity_bytes <= 4 * INITIAL_WINDOW_BYTES
    server._read_interval_ns, server._read_limit_bytes = 0, 1 << 31
    run.network.run_for(2 * SECOND)
    assert server.connection.receiving.capacity_bytes == run.server.stack.config.receive_buffer_bytes


def test_without_timestamps_the_handshake_tells_the_round_trip() -> None:
    run = make_scene(1, [LONG], mptcp=False, timestamps=False, **switched(True))
    upload_ns(run, len(PAYLOAD))
    (connection,) = run.server.stack.connections
    assert connection.receiving.capacity_bytes == run.server.stack.config.receive_buffer_bytes


def test_a_pause_of_the_sender_is_not_taken_for_a_long_round_trip() -> None:
    run = make_scene(1, [PATH], mptcp=False, **switched(True))
    client, server = begin(run, UPLOAD)
    client.finish = lambda how: None  # type: ignore[method-assign]
    for _ in range(10):
        run.network.run_for(5 * SECOND)
        client.write(b"again")
    (subflow,) = server.connection.subflows
    assert subflow.receiver_rtt_ns < 200 * MILLISECOND


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_turns_its_own_buffer(switch: str) -> None:
    run = make_scene(1, [PATH], **{**switched(False), switch: True})
    client, server = exchange(run, UPLOAD[:1000], DOWNLOAD[:1000])
    config = run.client.stack.config
    fixed = config.send_buffer_bytes, config.receive_buffer_bytes
    initial = INITIAL_BYTES, INITIAL_WINDOW_BYTES
    tuned = [name == switch for name in SWITCHES]
    expected = tuple(small if on else large for on, small, large in zip(tuned, initial, fixed, strict=True))
    assert sizes(client.connection, server.connection) == expected


def test_a_smaller_buffer_takes_back_nothing_that_was_offered() -> None:
    """SO_RCVBUF on a live connection."""
    run = make_scene(1, [LONG], mptcp=False, **switched(True))
    _, server = begin(run)
    run.network.run_for(250 * MILLISECOND)
    receiving = server.connection.receiving
    edge = receiving.window() + receiving.next
    receiving.resize(20_000)
    assert receiving.window() + receiving.next == edge
    run.network.run_until(lambda: len(server.received) == len(PAYLOAD), 100 * SECOND)
    assert bytes(server.received) == PAYLOAD
    assert receiving.window() <= 20_000
    check_windows(run, mptcp=False)
