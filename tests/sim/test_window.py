"""Flow control: small buffers, slow and resting readers, zero-window probes."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, LinkSpec, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import PSH, Segment
from tests.sim.attacks.hostile import application_of, connected, victim_of
from tests.sim.scenes import DOWNLOAD, PATH, PORT, SERVER, SYN, UPLOAD, exchange, impaired, make_scene, rewrite

SEEDS = [1, 2, 3]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("buffer_bytes", [3000, 10_000, 40_000])
def test_small_receive_buffer(buffer_bytes: int, paths: int, seed: int) -> None:
    specs = [impaired(loss=0.01)] * paths
    run = make_scene(seed, specs, mptcp=paths > 1, receive_buffer_bytes=buffer_bytes)
    exchange(run, pattern(40_000, 1), pattern(20_000, 2))


@pytest.mark.parametrize("paths", [1, 2])
def test_small_send_buffer(paths: int) -> None:
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, send_buffer_bytes=4000)
    exchange(run, pattern(40_000, 1), pattern(20_000, 2))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_slow_reader(loss: float, paths: int, seed: int) -> None:
    """The window closes again and again; it opens although window updates are lost."""
    run = make_scene(seed, [impaired(loss=loss)] * paths, mptcp=paths > 1, receive_buffer_bytes=8000)
    reader = {"read_limit_bytes": 4000, "read_interval_ns": 100 * MILLISECOND}
    exchange(run, b"", pattern(60_000, 2), limit_ns=300 * SECOND, **reader)


@pytest.mark.parametrize("paths", [1, 2])
def test_reader_that_rests_longer_than_probes_take(paths: int) -> None:
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, receive_buffer_bytes=20_000)
    reader = {"read_limit_bytes": 30_000, "read_interval_ns": 200 * SECOND}
    exchange(run, b"", DOWNLOAD, limit_ns=3000 * SECOND, **reader)
    probing = [time_ns for time_ns, _ in run.segments("server")]
    assert len(probing) < 1500, "probes back off"


def test_window_of_a_join_does_not_count_from_the_data_acknowledged_since() -> None:
    """A join's SYN/ACK has no DATA_ACK for its window to count from; taking it overran this receiver."""
    slow = LinkSpec(rate_bps=2_000_000, queue_bytes=50_000, duplicate=0.3, corrupt=0.02)
    quick = LinkSpec(delay_ns=10 * MILLISECOND, loss=0.05, duplicate=0.3)
    reader = {"read_limit_bytes": 5000, "read_interval_ns": 300 * MILLISECOND}
    for seed in range(5):
        run = make_scene(seed, [slow, quick], receive_buffer_bytes=20_000, send_buffer_bytes=3000)
        exchange(run, b"", DOWNLOAD, limit_ns=100 * SECOND, **reader)


@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("mss", [0, 1, 39, 40, 41, 100, 65535])
def test_any_maximum_segment_size(mss: int, paths: int) -> None:
    def offer(segment: Segment) -> bool:
        if segment.flags & SYN:
            segment.options.mss = mss
        return True

    run = make_scene(1, [PATH] * paths, middlebox=rewrite(offer), mptcp=paths > 1)
    exchange(run, pattern(5000, 1), pattern(3000, 2))


@pytest.mark.parametrize("seed", range(8))
def test_window_on_a_repetition_goes_with_its_acknowledgement(seed: int) -> None:
    """Data both ways, out of order: an older sequence number may carry the newer acknowledgement and window."""
    spec = LinkSpec(delay_ns=MILLISECOND, loss=0.03, reorder=0.3, reorder_extra_ns=10 * MILLISECOND)
    run = make_scene(seed, [spec], mptcp=False, gso_max_bytes=1, receive_buffer_bytes=18_200)
    reader = {"read_limit_bytes": 5000, "read_interval_ns": 20 * MILLISECOND}
    exchange(run, UPLOAD, DOWNLOAD, **reader)


@pytest.mark.parametrize(
    ("mtu", "buffer_bytes"), [(1500, 1000), (1500, 2000), (9000, 4096), (9000, 16_384), (65_535, 64_000)]
)
@pytest.mark.parametrize("paths", [0, 1, 2])
def test_room_for_one_segment_does_not_wait_for_another(paths: int, buffer_bytes: int, mtu: int) -> None:
    """A delayed ACK waits for a second full segment (RFC 9293 section 3.8.6.3); it cannot come, as it has no room."""
    spec = impaired(mtu=mtu, rate_bps=100_000_000, queue_bytes=500_000)
    run = make_scene(1, [spec] * max(paths, 1), mptcp=paths > 0, receive_buffer_bytes=buffer_bytes, mtu=mtu)
    exchange(run, pattern(50 * min(buffer_bytes, mtu)), b"")  # the first 16 ACKs never wait
    assert run.server.stack.counters["TcpExtDelayedACKs"] <= 3


def test_subflows_that_fill_one_window_together_wait_for_nothing() -> None:
    """Each has taken one segment, and the connection has no room for a third."""
    specs = [impaired(mtu=9000, rate_bps=100_000_000)] * 2
    run = make_scene(1, specs, mtu=9000, scheduler="round-robin", gso_max_bytes=1, receive_buffer_bytes=18_200)
    exchange(run, pattern(1_000_000), b"")
    assert run.server.stack.counters["TcpExtDelayedACKs"] <= 3


def test_what_fills_the_window_of_the_connection_is_pushed() -> None:
    """Though each subflow has room for more: a peer that waits for it would acknowledge late, as Linux does."""
    run = connected(2, scheduler="round-robin", gso_max_bytes=1, client={"receive_buffer_bytes": 4000})
    application_of(run.client).handle_readable = lambda: None  # type: ignore[method-assign]
    began = len(run.segments("server"))
    victim_of(run.server).send(pattern(10_000))
    run.server.settle()
    sent = [segment for _, segment in run.segments("server")[began:]]
    assert len({segment.src for segment in sent}) == 2
    assert [bool(segment.flags & PSH) for segment in sent] == [False, True]


class Silent(Application):
    """Reads nothing."""

    def handle_readable(self) -> None:
        pass


class Unread(Application):
    """Writes more than its peer's buffer takes, and may close at once."""

    def __init__(self, closes: bool) -> None:
        super().__init__()
        self.closes = closes

    def on_connected(self) -> None:
        self.write(pattern(100_000))
        if self.closes:
            self.finish(self.connection.close)


@pytest.mark.parametrize("paths", [1, 2])
@pytest.mark.parametrize("closes", [True, False])
def test_window_that_stays_closed(closes: bool, paths: int) -> None:
    """It may for ever while the application waits (RFC 9293 section 3.8.6.1), but not after it has closed."""
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1, receive_buffer_bytes=20_000)
    run.server.listen(Address(b"", PORT), Silent)
    client = Unread(closes)
    run.client.connect(SERVER, client)
    run.network.run_for(500 * SECOND)
    assert not client.closed
    run.network.run_for(300 * SECOND)
    assert isinstance(client.error, TimeoutError) == closes
    assert bool(run.client.stack.connections) != closes
    if not closes:
        run.network.run_for(3600 * SECOND)
        assert not client.closed


@pytest.mark.parametrize("paths", [1, 2])
def test_peer_vanishes_behind_a_closed_window(paths: int) -> None:
    """Probes that nothing answers end as retransmissions do; with MPTCP another subflow is waited for."""
    specs = [impaired(blackouts=((5 * SECOND, 10**15),))] * paths
    run = make_scene(1, specs, mptcp=paths > 1, receive_buffer_bytes=20_000, data_retries=5)
    run.server.listen(Address(b"", PORT), Silent)
    client = Unread(closes=False)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed, (200 if paths == 1 else 260) * SECOND)
    assert isinstance(client.error, TimeoutError)
