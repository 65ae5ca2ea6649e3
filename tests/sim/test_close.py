"""Ways to end a connection, and ways in which it never begins."""

from collections.abc import Callable

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, LinkSpec, Sink, Source, pattern
from mptcp_stack.tcp import Address, State
from mptcp_stack.wire import ACK, FIN, Packet, Segment, complete, decode, encode
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    RST,
    SERVER,
    SYN,
    UPLOAD,
    Scene,
    check_received,
    client_ip,
    come_to_rest,
    endpoint_of,
    idle_scene,
    impaired,
    make_scene,
    server_ip,
)

SEEDS = [1, 2, 3]
PATHS = [1, 2]


class Silent(Application):
    """Never reads, never closes by itself."""

    def handle_readable(self) -> None:
        pass


class Closer(Application):
    """Writes `payload` and calls `how` (a method of the connection) at once; reads what comes."""

    def __init__(self, payload: bytes, how: str) -> None:
        super().__init__()
        self.payload = payload
        self.how = how

    def on_connected(self) -> None:
        self.write(self.payload)
        self.finish(getattr(self.connection, self.how))


class HalfCloseResponder(Application):
    """Answers only after the peer has ended its direction."""

    def on_eof(self) -> None:
        self.write(DOWNLOAD)
        self.finish(self.connection.close)


def scene(paths: int, seed: int = 1, loss: float = 0.0) -> Scene:
    return make_scene(seed, [impaired(loss=loss)] * paths, mptcp=paths > 1)


def start(run: Scene, client: Application, factory: Callable[[], Application]) -> list[Application]:
    """Connect `client`; the list gets the applications of accepted connections."""
    accepted: list[Application] = []

    def accept() -> Application:
        accepted.append(factory())
        return accepted[-1]

    run.server.listen(Address(b"", PORT), accept)
    run.client.connect(SERVER, client)
    return accepted


def run_until_closed(run: Scene, *applications: Application, limit_ns: int = 200 * SECOND) -> None:
    end_ns = run.network.clock.now_ns + limit_ns
    run.network.run_until(lambda: all(app.closed for app in applications), end_ns)


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("paths", PATHS)
def test_half_close(paths: int, seed: int, loss: float) -> None:
    run = scene(paths, seed, loss)
    client = Source(UPLOAD)
    accepted = start(run, client, HalfCloseResponder)
    run.network.run_until(lambda: bool(accepted), SECOND * 20)
    run_until_closed(run, client, accepted[0])
    check_received(run, client, DOWNLOAD)
    check_received(run, accepted[0], UPLOAD)
    assert client.error is accepted[0].error is None
    come_to_rest(run)


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("orders", [("close", "wait"), ("wait", "close"), ("close", "close")])
def test_orders_of_closing(paths: int, orders: tuple[str, str], seed: int, loss: float) -> None:
    run = scene(paths, seed, loss)
    client, server = (Closer(b"", "close") if order == "close" else Sink() for order in orders)
    accepted = start(run, client, lambda: server)
    run.network.run_until(lambda: bool(accepted), 20 * SECOND)
    run_until_closed(run, client, server)
    assert client.error is server.error is None
    come_to_rest(run)


@pytest.mark.parametrize("mptcp", [True, False])
def test_who_ended_first_sees_the_end_before_it_is_over(mptcp: bool) -> None:
    run = make_scene(1, [PATH], mptcp=mptcp)
    client, server = Source(pattern(20_000)), Source(b"")
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    assert server.eof
    assert client.eof


@pytest.mark.parametrize("paths", PATHS)
def test_close_delivers_what_was_written_before(paths: int) -> None:
    run = scene(paths)
    client, server = Closer(UPLOAD, "close"), Sink()
    start(run, client, lambda: server)
    run_until_closed(run, client, server)
    check_received(run, server, UPLOAD)
    assert client.error is server.error is None
    come_to_rest(run)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("paths", PATHS)
def test_close_before_it_is_established(paths: int, how: str) -> None:
    run = scene(paths)
    client, server = Application(), Sink()
    accepted = start(run, client, lambda: server)
    getattr(client.connection, how)()
    run.client.settle()
    run.network.run_for(2 * SECOND)
    assert client.closed
    assert not accepted or server.closed
    come_to_rest(run)


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize("seed", SEEDS)
def test_abort_reaches_the_peer(paths: int, seed: int) -> None:
    run = scene(paths, seed)
    client, server = Source(UPLOAD), Sink()
    start(run, client, lambda: server)
    run.network.run_for(150 * MILLISECOND)
    assert server.received
    client.connection.abort()
    run.client.settle()
    run_until_closed(run, client, server, limit_ns=2 * SECOND)
    assert isinstance(server.error, ConnectionResetError)
    come_to_rest(run)


@pytest.mark.parametrize("paths", PATHS)
def test_close_with_unread_data_resets(paths: int) -> None:
    run = scene(paths)
    client, server = Silent(), Source(DOWNLOAD)
    start(run, client, lambda: server)
    run.network.run_for(300 * MILLISECOND)
    assert client.connection.receive_ready
    client.connection.close()
    run.client.settle()
    run_until_closed(run, client, server, limit_ns=5 * SECOND)
    assert isinstance(server.error, ConnectionResetError)
    come_to_rest(run)


@pytest.mark.parametrize("paths", PATHS)
def test_connection_refused(paths: int) -> None:
    run = scene(paths)
    client = Source(UPLOAD)
    run.client.connect(SERVER, client)
    run_until_closed(run, client, limit_ns=SECOND)
    assert isinstance(client.error, ConnectionRefusedError)
    assert not client.connected
    assert [bool(segment.flags & RST) for _, segment in run.segments("server")] == [True]
    come_to_rest(run)


@pytest.mark.parametrize("paths", PATHS)
def test_nobody_answers(paths: int) -> None:
    run = make_scene(1, [impaired(loss=1.0)] * paths, mptcp=paths > 1, syn_retries=3)
    client = Source(UPLOAD)
    run.client.connect(SERVER, client)
    run_until_closed(run, client, limit_ns=60 * SECOND)
    assert isinstance(client.error, TimeoutError)
    times = [time_ns for time_ns, segment in run.segments("client") if segment.flags & SYN]
    assert [round((time_ns - times[0]) / SECOND) for time_ns in times] == [0, 1, 3, 7]


class Lingering(Application):
    """Reads, but does not close after its peer."""

    def on_eof(self) -> None:
        pass


@pytest.mark.parametrize("paths", PATHS)
def test_close_after_shutdown_does_not_wait_for_ever(paths: int) -> None:
    """The peer has acknowledged our end and is never heard again."""
    run = make_scene(1, [impaired(blackouts=((SECOND, 10**15),))] * paths, mptcp=paths > 1)
    client = Source(UPLOAD)
    start(run, client, Lingering)
    run.network.run_for(2 * SECOND)
    assert not client.closed
    client.connection.close()
    run.client.settle()
    run_until_closed(run, client, limit_ns=100 * SECOND)
    assert not run.client.stack.connections


@pytest.mark.parametrize("paths", PATHS)
def test_peer_vanishes(paths: int) -> None:
    dark = impaired(blackouts=((200 * MILLISECOND, 10**15),))
    run = make_scene(1, [dark] * paths, mptcp=paths > 1, data_retries=5)
    client, server = Source(UPLOAD * 5), Sink()
    start(run, client, lambda: server)
    run_until_closed(run, client, limit_ns=600 * SECOND)
    assert isinstance(client.error, TimeoutError)


def test_backlog_limits_half_open_connections() -> None:
    """Connections beyond the backlog are not answered now, and succeed when their SYN comes again."""
    run = make_scene(1, [PATH], mptcp=False, syn_cookies="off")
    servers: list[Application] = []

    def accept() -> Application:
        servers.append(Sink())
        return servers[-1]

    run.server.listen(Address(b"", PORT), accept, backlog=4)
    clients = [Source(b"hello") for _ in range(12)]
    for client in clients:
        run.client.connect(SERVER, client)
    run.network.run_for(50 * MILLISECOND)
    assert 4 <= len(servers) < 12
    run_until_closed(run, *clients)
    assert [client.error for client in clients] == [None] * 12
    come_to_rest(run)


def test_closed_listener_refuses() -> None:
    run = make_scene(1, [PATH], mptcp=False)
    listener = run.server.listen(Address(b"", PORT), Sink)
    listener.close()
    client = Source(b"")
    run.client.connect(SERVER, client)
    run_until_closed(run, client, limit_ns=SECOND)
    assert isinstance(client.error, ConnectionRefusedError)


def test_port_of_a_connection_in_time_wait_can_be_used_again() -> None:
    """RFC 6191: a newer SYN opens the connection anew."""
    run = make_scene(1, [PATH], mptcp=False)
    run.server.listen(Address(b"", PORT), lambda: Closer(b"bye", "close"))
    local = Address(client_ip(1), 40_000)
    for _ in range(3):
        client = Sink()
        run.client.connect(SERVER, client, local=local)
        run_until_closed(run, client, limit_ns=5 * SECOND)
        check_received(run, client, b"bye")
        assert client.error is None
        run.network.run_for(50 * MILLISECOND)
    come_to_rest(run)


def test_simultaneous_open() -> None:
    """Both sides connect to each other's port at the same moment (RFC 9293 section 3.5, figure 7)."""
    run = make_scene(1, [PATH], mptcp=False)
    one, other = Source(UPLOAD), Source(DOWNLOAD)
    here, there = Address(client_ip(1), 5000), Address(server_ip(1), 6000)
    run.client.connect(there, one, local=here)
    run.server.connect(here, other, local=there)
    run_until_closed(run, one, other)
    check_received(run, one, DOWNLOAD)
    check_received(run, other, UPLOAD)
    come_to_rest(run)


def test_ends_of_data_beyond_a_hole_are_not_answered_for_ever() -> None:
    """Both sides have sent a DATA_FIN that the other cannot reach yet: an ACK with one must not ask for another."""
    lossy = LinkSpec(rate_bps=10_000_000, delay_ns=5 * MILLISECOND, loss=0.3)
    quick = LinkSpec(delay_ns=20_000)
    for seed in range(20):
        run = make_scene(seed, [lossy, quick])
        accepted: list[Application] = []

        def accept(accepted: list[Application] = accepted) -> Application:
            accepted.append(Source(DOWNLOAD[:60_000]))
            return accepted[-1]

        run.server.listen(Address(b"", PORT), accept)
        client = Source(UPLOAD[:60_000])
        run.client.connect(SERVER, client)
        run.network.run_until(lambda a=accepted, c=client: c.closed and a[0].closed, 3000 * SECOND)
        bare = [segment for _, segment in run.segments() if segment.options.dss and not segment.length]
        assert sum(segment.options.dss.data_fin for segment in bare) < 100, seed


def test_a_fin_and_the_acknowledgement_of_ours_in_one_batch():
    """The acknowledgement that the peer's FIN needs is not forgotten on the way through CLOSING to TIME-WAIT."""
    scene = idle_scene()
    endpoint = endpoint_of(scene.client)
    scene.client.stack.connections[0].shutdown()
    scene.client.settle()
    local, remote = endpoint.local, endpoint.remote
    seq, ack = endpoint.receiver.next, endpoint.sender.scoreboard.next
    batch = []
    for flags, number, acknowledged in ((ACK | FIN, seq, ack - 1), (ACK, seq + 1, ack)):
        segment = Segment(remote.ip, local.ip, remote.port, local.port, number % 2**32, acknowledged % 2**32, flags)
        segment.options.ts_val = endpoint.receiver.ts_recent
        batch.append(Packet([complete(encode(segment))]))
    scene.client.stack.receive(batch, scene.network.clock.now_ns)
    (answer,) = [decode(packet) for packet in scene.client.stack.transmit(scene.network.clock.now_ns)]
    assert answer.ack == (seq + 1) % 2**32
    assert endpoint.state is State.TIME_WAIT


@pytest.mark.parametrize("paths", PATHS)
@pytest.mark.parametrize(("closing", "least_s", "most_s"), [(False, 500, 1500), (True, 50, 250)])
def test_what_was_left_is_not_sent_for_ever(closing: bool, least_s: int, most_s: int, paths: int) -> None:
    """Who has closed is given up after fewer timeouts than who waits (Linux's tcp_orphan_retries)."""
    scene = make_scene(1, [PATH] * paths, mptcp=paths > 1)
    client = Application()
    scene.server.listen(Address(b"", PORT), Application)
    scene.client.connect(SERVER, client)
    scene.network.run_for(SECOND)
    for link in (link for path in scene.paths for link in path):
        link.middlebox = lambda packet: []
    client.write(UPLOAD)
    if closing:
        client.connection.close()
    scene.client.settle()
    scene.network.run_until(lambda: not scene.client.stack.connections, 3600 * SECOND)
    assert least_s * SECOND < scene.network.clock.now_ns < most_s * SECOND
