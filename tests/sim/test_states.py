"""The state machine of RFC 9293 at its corners, with the rules of RFC 5961, 6191 and 7323 for what does not fit."""

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Application, Host, RequestClient, RequestServer, Source
from mptcp_stack.tcp import Address, State, TimeWait
from mptcp_stack.wire import ACK, FIN, RST, SYN, Options, Packet, Segment, complete, encode
from tests.sim.attacks.hostile import application_of, connected, strike, victim_of
from tests.sim.attacks.hostile import forge as forge_on
from tests.sim.scenes import (
    DOWNLOAD,
    PATH,
    PORT,
    SERVER,
    UPLOAD,
    Scene,
    check_received,
    client_ip,
    come_to_rest,
    endpoint_of,
    forge,
    idle_scene,
    make_scene,
    server_ip,
)

HERE, THERE = Address(client_ip(1), 5000), Address(server_ip(1), 6000)


@pytest.fixture
def idle() -> Scene:
    return idle_scene()


# --- opening


@pytest.mark.parametrize("mptcp", [False, True])
@pytest.mark.parametrize("later_ms", [0, 9])
def test_simultaneous_open(mptcp: bool, later_ms: int) -> None:
    """Two connects that meet are one connection (RFC 9293 section 3.5, figure 7), without MPTCP as in Linux."""
    run = make_scene(1, [PATH] * 2, mptcp=mptcp)
    one, other = Source(UPLOAD), Source(DOWNLOAD)
    run.client.connect(THERE, one, local=HERE)
    run.network.run_for(later_ms * MILLISECOND)
    run.server.connect(HERE, other, local=THERE)
    run.network.run_until(lambda: one.closed and other.closed, 60 * SECOND)
    assert one.error is other.error is None
    check_received(run, one, DOWNLOAD)
    check_received(run, other, UPLOAD)
    assert one.connection.is_plain
    come_to_rest(run)


def test_reset_in_a_simultaneous_open_refuses() -> None:
    """RFC 9293 section 3.10.7.4: in SYN-RECEIVED after an active open "connection refused"."""
    run = make_scene(1, [PATH], mptcp=False)
    client = Application()
    run.client.connect(THERE, client, local=HERE)
    syn = run.segments("client")[0][1]
    answers = [
        Segment(THERE.ip, HERE.ip, THERE.port, HERE.port, 100, 0, SYN),
        Segment(THERE.ip, HERE.ip, THERE.port, HERE.port, 101, (syn.seq + 1) % 2**32, RST | ACK),
    ]
    give(run, run.client, *answers)
    assert client.closed
    assert isinstance(client.error, ConnectionRefusedError)


@pytest.mark.parametrize(("flags", "ack_offset"), [(ACK, 5), (RST, 1), (RST | ACK, 5), (FIN, 1), (SYN | ACK, 0)])
def test_what_does_not_open_a_connection(flags: int, ack_offset: int) -> None:
    """In SYN-SENT (RFC 9293 section 3.10.7.3): a wrong acknowledgement is reset, a wrong reset is nothing."""
    run = make_scene(1, [PATH], mptcp=False)
    client = Application()
    run.client.connect(THERE, client, local=HERE)
    syn = run.segments("client")[0][1]
    ack = (syn.seq + ack_offset) % 2**32
    give(run, run.client, Segment(THERE.ip, HERE.ip, THERE.port, HERE.port, 100, ack, flags))
    assert not client.closed
    answers = [segment for _, segment in run.segments("client")[1:]]
    expected = [] if flags & RST or not flags & ACK else [(RST, ack)]
    assert [(answer.flags, answer.seq) for answer in answers] == expected


def give(run: Scene, host: Host, *segments: Segment) -> None:
    host.stack.receive([Packet([complete(encode(one))]) for one in segments], run.network.clock.now_ns)
    host.settle()


# --- closing


@pytest.mark.parametrize("paths", [1, 2])
def test_simultaneous_close(paths: int) -> None:
    """FINs that cross (RFC 9293 section 3.6, figure 13): both sides are in CLOSING, then in TIME-WAIT."""
    run = make_scene(1, [PATH] * paths, mptcp=paths > 1)
    server = Application()
    run.server.listen(Address(b"", PORT), lambda: server)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(300 * MILLISECOND)
    endpoints = [subflow.endpoint for side in (client, server) for subflow in side.connection.subflows]
    for side, host in ((client, run.client), (server, run.server)):
        side.connection.close()
        host.settle()
    seen = set()
    while run.network.clock.next_ns() is not None and not (client.closed and server.closed):
        run.network.step()
        seen |= {endpoint.state for endpoint in endpoints}
    run.network.run_for(SECOND)
    assert client.error is server.error is None
    if paths == 1:
        assert State.CLOSING in seen
    assert {endpoint.state for endpoint in endpoints} == {State.TIME_WAIT}
    assert set(run.client.stack.flow_states()) == {"TIME-WAIT"}
    come_to_rest(run)


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_close(first: str) -> None:
    """Who has ended its direction goes on reading; who has read the end goes on writing (RFC 9293 section 3.6)."""
    run = make_scene(1, [PATH], mptcp=False)
    sides = {"client": Application(), "server": Application()}
    run.server.listen(Address(b"", PORT), lambda: sides["server"])
    run.client.connect(SERVER, sides["client"])
    run.network.run_for(100 * MILLISECOND)
    one = sides.pop(first)
    (other,) = sides.values()
    other.on_eof = lambda: None  # type: ignore[method-assign]
    one.finish(one.connection.shutdown)
    one.host.settle()
    run.network.run_for(100 * MILLISECOND)
    states = [side.connection.subflows[0].endpoint.state for side in (one, other)]
    assert states == [State.FIN_WAIT_2, State.CLOSE_WAIT]
    other.write(DOWNLOAD)
    other.finish(other.connection.close)
    other.host.settle()
    run.network.run_until(lambda: one.closed and other.closed, 10 * SECOND)
    check_received(run, one, DOWNLOAD)
    assert one.error is other.error is None
    come_to_rest(run)


# --- segments that do not fit


@pytest.mark.parametrize(
    ("offset", "closes", "answers"), [(0, True, 0), (1, False, 1), (-1, False, 0), (1 << 28, False, 0)]
)
def test_reset(idle: Scene, offset: int, closes: bool, answers: int) -> None:
    """RFC 5961 section 3.2: exactly RCV.NXT resets, elsewhere in the window is challenged, outside it is nothing."""
    endpoint = endpoint_of(idle.client)
    sent = forge(idle, idle.client, flags=RST, seq=endpoint.receiver.next + offset)
    assert (endpoint.state is State.CLOSED) == closes
    assert [segment.flags for segment in sent] == [ACK] * answers


@pytest.mark.parametrize(("offset", "closes"), [(0, True), (-1, True), (-2, False), (1, False)])
@pytest.mark.parametrize(
    ("mptcp", "our_fin", "state"),
    [
        (False, "none", State.CLOSE_WAIT),
        (False, "later", State.LAST_ACK),
        (False, "first", State.CLOSING),
        (True, "later", State.LAST_ACK),
        (True, "first", State.CLOSING),
    ],
)
def test_reset_after_a_fin(mptcp: bool, our_fin: str, state: State, offset: int, closes: bool) -> None:
    """The number of the FIN is right as well: a host that ends abruptly may repeat it, and Linux takes it, too."""
    run = connected(2, mptcp=mptcp)
    application_of(run.server).handle_readable = lambda: None  # type: ignore[method-assign]
    subflow = victim_of(run.server).subflows[-1]
    endpoint = subflow.endpoint
    run.paths[-1][1].middlebox = lambda _: []  # nothing of ours arrives, so that nothing is answered
    una = endpoint.sender.scoreboard.una
    if our_fin == "first":
        endpoint.finish(run.network.clock.now_ns)
    strike(run, run.server, forge_on(subflow, flags=FIN | ACK, ack=una))
    if our_fin == "later":
        endpoint.finish(run.network.clock.now_ns)
    assert endpoint.state is state
    strike(run, run.server, forge_on(subflow, flags=RST, seq=endpoint.receiver.next + offset))
    assert (endpoint.state is State.CLOSED) == closes
    if mptcp:
        assert [one.number for one in victim_of(run.server).subflows] == ([0] if closes else [0, 1])


def test_reset_before_a_fin_that_lies_behind_a_gap(idle: Scene) -> None:
    endpoint = endpoint_of(idle.client)
    forge(idle, idle.client, flags=FIN | ACK, seq=endpoint.receiver.next + 100)
    for seq in (endpoint.receiver.next - 1, endpoint.receiver.next + 100):
        forge(idle, idle.client, flags=RST, seq=seq)
    assert endpoint.state is State.ESTABLISHED


@pytest.mark.parametrize("offset", [0, 1, -1, -100, 1 << 28])
@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
def test_syn_in_a_connection(idle: Scene, offset: int, flags: int) -> None:
    """RFC 5961 section 4.2: a challenge, wherever it lies, but not for each of a flood (section 7)."""
    endpoint = endpoint_of(idle.client)
    seq = endpoint.receiver.next + offset
    sent = [segment for _ in range(5) for segment in forge(idle, idle.client, flags=flags, seq=seq)]
    assert endpoint.state is State.ESTABLISHED
    assert [(segment.flags, segment.ack) for segment in sent] == [(ACK, endpoint.receiver.next % 2**32)]


@pytest.mark.parametrize("offset", [1, 1 << 30, -(1 << 20)])
def test_acknowledgement_that_cannot_be(idle: Scene, offset: int) -> None:
    """RFC 5961 section 5.2: neither of what was not sent nor older than a window; its data are not taken."""
    endpoint = endpoint_of(idle.client)
    sent = forge(idle, idle.client, ack=endpoint.sender.scoreboard.next + offset, length=10)
    assert [(segment.flags, segment.ack) for segment in sent] == [(ACK, endpoint.receiver.next % 2**32)]
    assert endpoint.receiver.next == endpoint.receiver.irs + 1


def test_old_acknowledgement_with_new_data(idle: Scene) -> None:
    """Reordered, it is not refused: within the largest window its data count."""
    endpoint = endpoint_of(idle.client)
    forge(idle, idle.client, ack=endpoint.sender.scoreboard.next - 100, length=10)
    assert endpoint.receiver.next == endpoint.receiver.irs + 11


def test_timestamp_of_a_segment_outside_the_window_is_not_remembered(idle: Scene) -> None:
    """RFC 7323 section 5.3: else one forged segment made all that follow look old."""
    endpoint = endpoint_of(idle.client)
    before = endpoint.receiver.ts_recent
    forge(idle, idle.client, seq=endpoint.receiver.next - 1000, later=1 << 30)
    assert endpoint.receiver.ts_recent == before


@pytest.mark.parametrize(("idle_days", "refused"), [(1, True), (25, False)])
def test_timestamps_of_a_connection_that_was_silent_for_long(idle: Scene, idle_days: int, refused: bool) -> None:
    """RFC 7323 section 5.5: after 24 days the peer's clock may have wrapped."""
    idle.network.run_for(idle_days * 86400 * SECOND)
    forge(idle, idle.client, length=10, later=-1000)
    assert bool(idle.client.stack.counters["TcpExtPAWSEstab"]) == refused


def test_data_beyond_the_window_are_not_taken() -> None:
    """What an application does not read is bounded by the window, whatever the peer sends."""
    run = idle_scene(receive_buffer_bytes=4000)
    endpoint = endpoint_of(run.server)
    (connection,) = run.server.stack.connections
    run.server._applications[connection].handle_readable = lambda: None  # type: ignore[method-assign]
    for _ in range(10):
        forge(run, run.server, seq=endpoint.receiver.next, length=1000)
    assert connection.receive_ready == 4000
    assert run.server.stack.counters["TcpExtBeyondWindow"] == 6


@pytest.mark.parametrize("window", [0, 1000])
def test_window_from_the_future(idle: Scene, window: int) -> None:
    """A segment beyond a hole says what the window is, but what comes before it is not older for that."""
    client = endpoint_of(idle.client)
    forge(idle, idle.client, seq=client.receiver.next + 5000, window=window, length=10)
    (connection,) = idle.client.stack.connections
    connection.send(UPLOAD)
    idle.client.settle()
    idle.network.run_for(5 * SECOND)
    assert client.sender.scoreboard.una == client.sender.scoreboard.next
    assert connection.sending.queue.queued_bytes == 0


# --- TIME-WAIT


def in_time_wait(timestamps: bool = True) -> Scene:
    """A scene in which the server has closed first."""
    run = idle_scene(timestamps=timestamps)
    (connection,) = run.server.stack.connections
    connection.close()
    run.server.settle()
    run.network.run_for(SECOND)
    assert run.server.stack.flow_states() == {"TIME-WAIT": 1}
    return run


def packed_in(run: Scene) -> bytes:
    """The server's only TIME-WAIT."""
    (packed,) = run.server.stack._flows.values()
    assert type(packed) is bytes
    return packed


def last_from_client(run: Scene) -> Segment:
    return [segment for _, segment in run.segments("client")][-1]


@pytest.mark.parametrize(
    ("timestamps", "seq_step", "ts_step", "opens"),
    [
        (True, 1, 1, True),
        (True, -100, 1, True),
        (True, 100, 0, True),
        (True, -100, 0, False),
        (True, 100, -1, False),
        (True, 100, None, True),
        (True, -100, None, False),
        (False, 100, None, True),
        (False, -100, None, False),
        (False, -100, 7, True),
    ],
)
def test_syn_in_time_wait(timestamps: bool, seq_step: int, ts_step: int | None, opens: bool) -> None:
    """RFC 6191 section 2: timestamps decide where both connections have them, sequence numbers else."""
    run = in_time_wait(timestamps=timestamps)
    last = last_from_client(run)
    options = Options() if ts_step is None else Options(ts_val=((last.options.ts_val or 0) + ts_step) % 2**32)
    seq = (last.seq + seq_step) % 2**32
    syn = Segment(last.src, last.dst, last.sport, last.dport, seq, 0, SYN, 1000, options)
    stack = run.server.stack
    assert stack._time_waits.receive(packed_in(run), syn, run.network.clock.now_ns) == opens
    assert len(stack._flows) == (not opens)


def test_late_segments_in_time_wait() -> None:
    """A FIN is acknowledged and the wait begins anew; a reset does not end it (RFC 1337)."""
    run = in_time_wait()
    now, last = run.network.clock.now_ns, last_from_client(run)
    deadline = TimeWait(packed_in(run)).until_ns
    assert run.server.stack.next_deadline() == deadline
    assert deadline < now + run.server.stack.config.time_wait_ns
    for flags, answered in ((RST, False), (RST | ACK, False), (ACK, False), (FIN | ACK, True)):
        before = len(run.segments("server"))
        give(run, run.server, Segment(last.src, last.dst, last.sport, last.dport, last.seq, last.ack, flags))
        sent = [segment for _, segment in run.segments("server")[before:]]
        assert len(sent) == answered
        assert all(segment.flags == ACK and segment.options.ts_val is not None for segment in sent)
    assert TimeWait(packed_in(run)).until_ns == now + run.server.stack.config.time_wait_ns
    run.network.run_for(SECOND)
    forged = Segment(last.src, last.dst, last.sport, last.dport, (last.seq + 7) % 2**32, last.ack, FIN | ACK)
    give(run, run.server, forged)
    assert TimeWait(packed_in(run)).until_ns == now + run.server.stack.config.time_wait_ns
    come_to_rest(run)


def test_a_port_that_is_used_again_and_again_costs_no_memory() -> None:
    """Each connection has its TIME-WAIT, and the one before it an end that nobody waits for any more."""
    run = make_scene(1, [PATH], mptcp=False)
    run.network.tracing = False
    run.server.listen(Address(b"", PORT), RequestServer)  # it closes first
    for _ in range(150):
        client = RequestClient(10)
        run.client.connect(SERVER, client, local=Address(b"", 5000))
        run.network.run_for(1_130 * MILLISECOND)
        assert client.closed
        assert client.error is None
    stack = run.server.stack
    assert sum(stack.flow_states().values()) == 1
    assert len(stack._time_waits._ends) <= stack.config.time_wait_ns // (1_130 * MILLISECOND) + 1
