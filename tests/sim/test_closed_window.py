"""What a segment says is heard though its payload has no room (RFC 9293 sections 3.4 and 3.10.7.4, MUST-66)."""

from dataclasses import replace
from typing import Any

import pytest

from mptcp_stack.sim import SECOND, Application, pattern
from mptcp_stack.tcp import Address, State
from mptcp_stack.wire import ACK, FIN, PSH, RST, SYN, Dss, MpTcpRst, ResetReason, Segment
from tests.sim.attacks.hostile import application_of, connected, forge, mapped, strike, victim_of
from tests.sim.scenes import PATH, PORT, SERVER, Scene, make_scene, rewrite

URG = 32
WINDOW = 4000


def full(mptcp: bool, unread: int = WINDOW, paths: int = 1, **settings: Any) -> Scene:
    """A connection whose server has not read so many bytes; it wants to send 2000 and may not yet."""
    run = connected(paths, mptcp=mptcp, receive_buffer_bytes=WINDOW, **settings)
    application_of(run.server).handle_readable = lambda: None  # type: ignore[method-assign]
    subflow = victim_of(run.server).subflows[0]
    fill = mapped(subflow, pattern(unread)) if mptcp else forge(subflow, pattern(unread))
    strike(run, run.server, replace(fill, window=WINDOW))
    return run


def probe(run: Scene, payload: bytes = b"?", **fields: Any) -> Segment:
    """The next bytes of the client, as a probe brings them."""
    subflow = victim_of(run.server).subflows[0]
    fields.setdefault("window", WINDOW)
    if victim_of(run.server).is_mptcp:
        return replace(mapped(subflow, payload), **fields)
    return forge(subflow, payload, **fields)


def board(run: Scene) -> Any:
    return victim_of(run.server).subflows[0].endpoint.sender.scoreboard


@pytest.mark.parametrize("flags", [ACK, ACK | PSH, ACK | URG])
@pytest.mark.parametrize("mptcp", [False, True])
def test_acknowledgement_on_a_probe(mptcp: bool, flags: int) -> None:
    """The payload is dropped and acknowledged, nothing else of the segment is lost."""
    run = full(mptcp)
    before = probe(run)
    victim_of(run.server).send(pattern(2000))
    run.server.stack.transmit(run.network.clock.now_ns)
    assert board(run).una < board(run).next
    segment = replace(before, ack=board(run).next % 2**32, flags=flags)
    if mptcp:
        server = victim_of(run.server)
        segment.options.dss.data_ack = server.local_key.dsn(server.sending.queue.next)
    (answer,) = strike(run, run.server, segment)
    assert (answer.ack, answer.window, answer.length) == (segment.seq, 0, 0)
    assert board(run).una == board(run).next
    assert victim_of(run.server).sending.queue.queued_bytes == 0
    assert victim_of(run.server).receive_ready == WINDOW
    assert run.server.stack.counters["TcpExtBeyondWindow"] == 1


@pytest.mark.parametrize("mptcp", [False, True])
def test_window_update_on_a_probe(mptcp: bool) -> None:
    run = full(mptcp)
    strike(run, run.server, probe(run, window=0))
    victim_of(run.server).send(pattern(3000))
    run.server.settle()
    assert board(run).una == board(run).next
    sent = strike(run, run.server, probe(run))
    assert sum(segment.length for segment in sent) > 2500


def test_selective_acknowledgement_on_a_probe() -> None:
    run = full(mptcp=False)
    victim_of(run.server).send(pattern(2000))
    run.server.stack.transmit(run.network.clock.now_ns)
    una, following = board(run).una, board(run).next
    segment = probe(run, ack=una, sack=(((una + 1000) % 2**32, following % 2**32),))
    strike(run, run.server, segment)
    assert list(board(run).sacked) == [(una + 1000, following)]


@pytest.mark.parametrize("payload", [b"", b"?", bytes(1000)])
@pytest.mark.parametrize("mptcp", [False, True])
def test_reset_with_payload(mptcp: bool, payload: bytes) -> None:
    run = full(mptcp, close_timeout_ns=0)
    segment = probe(run, payload)
    segment.flags = RST | ACK
    segment.options.dss = None
    segment.options.mptcp = (MpTcpRst(0, ResetReason.PERFORMANCE),) if mptcp else ()
    server = application_of(run.server)
    assert strike(run, run.server, segment) == []
    assert not run.server.stack.connections
    assert isinstance(server.connection.error, ConnectionResetError)


def test_reset_beyond_a_closed_window_is_a_guess() -> None:
    """Only an exact one counts (RFC 5961 section 3.2), with payload or without."""
    run = full(mptcp=False)
    for payload, later in ((b"?", 1), (b"", 1), (b"", 2), (b"?", 1000)):
        segment = probe(run, payload)
        strike(run, run.server, replace(segment, seq=(segment.seq + later) % 2**32, flags=RST | ACK))
    assert endpoint_state(run) is State.ESTABLISHED


def endpoint_state(run: Scene) -> State:
    return victim_of(run.server).subflows[0].endpoint.state


@pytest.mark.parametrize("mptcp", [False, True])
def test_end_of_the_stream_waits_for_the_payload_before_it(mptcp: bool) -> None:
    run = full(mptcp)
    segment = probe(run)
    strike(run, run.server, replace(segment, flags=ACK | FIN))
    assert endpoint_state(run) is State.ESTABLISHED
    victim_of(run.server).receive()
    run.server.settle()
    strike(run, run.server, replace(segment, flags=ACK | FIN))
    assert endpoint_state(run) is not State.ESTABLISHED


@pytest.mark.parametrize("mptcp", [False, True])
def test_what_fits_an_open_window_is_kept(mptcp: bool) -> None:
    """Of a segment that begins in the window; one that begins beyond is not heard at all, as the table has it."""
    run = full(mptcp, unread=WINDOW - 300)
    victim_of(run.server).send(pattern(2000))
    run.server.stack.transmit(run.network.clock.now_ns)
    una, following = board(run).una, board(run).next
    beyond = probe(run, bytes(1000))
    beyond.seq, beyond.ack = (beyond.seq + 300) % 2**32, following % 2**32
    (answer,) = strike(run, run.server, beyond)
    assert (board(run).una, answer.window) == (una, 300)
    across = replace(probe(run, bytes(1000)), ack=following % 2**32, flags=ACK | FIN)
    (answer,) = strike(run, run.server, across)
    assert (board(run).una, answer.window) == (following, 0)
    assert answer.ack == (across.seq + 300) % 2**32
    assert victim_of(run.server).receive_ready == WINDOW
    assert endpoint_state(run) is State.ESTABLISHED


def test_probe_of_a_mapping_that_was_announced_before() -> None:
    """It has no DSS of its own, and none is missing: no reason to fall back (RFC 8684 section 3.7)."""
    run = full(mptcp=True, unread=1000)
    subflow = victim_of(run.server).subflows[0]
    strike(run, run.server, mapped(subflow, pattern(WINDOW - 1000), length=WINDOW))
    strike(run, run.server, forge(subflow, b"?"))
    assert victim_of(run.server).is_mptcp
    assert victim_of(run.server).receive_ready == WINDOW
    victim_of(run.server).receive()
    run.server.settle()
    strike(run, run.server, forge(subflow, b"?", dss=Dss(data_ack=0)))
    assert victim_of(run.server).receive_ready == 1


def test_peer_that_acknowledges_only_on_probes() -> None:
    """As found: all that we send arrives, and the only word of it comes on bytes that have no room."""

    def probing(segment: Segment) -> bool:
        if run.server.stack.connections and not segment.length and not segment.flags & (SYN | RST):
            (connection,) = run.server.stack.connections
            segment.payload, segment.length = [memoryview(b"z")], 1
            segment.seq = connection.subflows[0].endpoint.receiver.next % 2**32
        return True

    class Silent(Application):
        def handle_readable(self) -> None:
            pass

    run = make_scene(1, [PATH], mptcp=False, receive_buffer_bytes=3000)
    run.server.listen(Address(b"", PORT), Silent)
    client = Application()
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    client.write(bytes(20_000))
    run.client.settle()
    run.network.run_for(SECOND)
    run.paths[0][0].middlebox = rewrite(probing)
    (connection,) = run.server.stack.connections
    connection.send(pattern(2000))
    run.server.settle()
    run.network.run_for(20 * SECOND)
    assert bytes(client.received) == pattern(2000)
    assert connection.sending.queue.queued_bytes == 0
