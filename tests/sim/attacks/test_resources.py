"""Peers that take what they can get: memory, segments, patience."""

import tracemalloc

import pytest

from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.sim import SECOND, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import ACK, SYN, Packet, Segment, complete, data_checksum, encode
from tests.sim.attacks.hostile import Quiet, application_of, connected, forge, mapped, still_works, strike, victim_of
from tests.sim.scenes import DOWNLOAD, PATH, PORT, SERVER, exchange, make_scene, rewrite
from tests.sim.test_syn_cookies import forged_syn, third_ack


@pytest.mark.parametrize("offered", [0, 1, 40])
def test_tiny_mss(offered: int) -> None:
    """An offer below 88 bytes is not taken at its word: headers would outweigh the data."""

    def offer(segment: Segment) -> bool:
        if segment.flags & (SYN | ACK) == SYN:
            segment.options.mss = offered
        return True

    run = make_scene(1, [PATH], middlebox=rewrite(offer), mptcp=False)
    exchange(run, b"?", DOWNLOAD[:10_000])
    assert len(run.segments("server")) < 250


def memory_of(count: int, establish: bool) -> float:
    """Bytes a server keeps for each of so many peers that send a SYN, or also a third ACK, and then nothing."""
    run = make_scene(1, [PATH])
    stack = run.server.stack
    stack.listen(Address(b"", PORT), 0, backlog=count)
    tracemalloc.start()
    for number in range(count):
        syn = forged_syn(number, mptcp=False)
        stack.receive([Packet([complete(encode(syn))])], 0)
        (answer,) = stack.context.egress
        stack.context.egress.clear()
        if establish:
            stack.receive([Packet([complete(encode(third_ack(syn, answer)))])], 0)
            while stack.next_event() is not None:
                pass
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(stack.connections) == (count if establish else 0)
    return held / count


def test_half_open_connections_are_light() -> None:
    assert memory_of(1000, False) < 2000


def test_idle_connections_are_bounded() -> None:
    """As those that sockstress opens: no buffers are set aside for what does not come."""
    assert memory_of(300, True) < 20_000


def test_peer_that_takes_all_and_acknowledges_in_crumbs() -> None:
    """ACK division (RFC 3465): acknowledging bytes one by one opens the window as far as acknowledging them at once."""
    windows = []
    for crumbs in (1, 100):
        run = connected(1, mptcp=False, pacing=False)
        application_of(run.server).write(pattern(100_000))
        run.server.settle()
        (subflow,) = victim_of(run.server).subflows
        una = subflow.endpoint.sender.scoreboard.una
        for crumb in range(crumbs):
            strike(run, run.server, forge(subflow, ack=una + 1000 * (crumb + 1) // crumbs, window=60_000))
        windows.append(subflow.cwnd_bytes)
    assert windows[0] == windows[1]


@pytest.mark.parametrize("mptcp", [True, False])
def test_acknowledgement_of_what_was_never_sent(mptcp: bool) -> None:
    """Optimistic acknowledgements: the window does not move, the sender goes on."""
    run = connected(1, mptcp=mptcp)
    (subflow,) = victim_of(run.server).subflows
    before = subflow.cwnd_bytes, subflow.endpoint.sender.scoreboard.una
    for beyond in (1, 1000, 60_000):
        strike(run, run.server, forge(subflow, ack=subflow.endpoint.sender.scoreboard.next + beyond))
    assert (subflow.cwnd_bytes, subflow.endpoint.sender.scoreboard.una) == before
    still_works(run)


def test_selective_acknowledgement_of_nothing_that_was_sent() -> None:
    run = connected(1, mptcp=False)
    application_of(run.server).write(pattern(200_000))
    run.server.settle()
    (subflow,) = victim_of(run.server).subflows
    scoreboard = subflow.endpoint.sender.scoreboard
    una, following = scoreboard.una, scoreboard.next
    flight, window = scoreboard.in_flight, subflow.cwnd_bytes
    lies = [
        (following, following + 1000), (una + 1000, una + 500), (una - 5000, una), (una, una), (0, 0),
        (una, una + 2**31), (una + 1000, following + 1),
    ]  # fmt: skip
    for left, right in lies:
        block = (left % 2**32, right % 2**32)
        strike(run, run.server, forge(subflow, ack=una, sack=(block,)))
    assert (scoreboard.una, len(scoreboard.sacked), subflow.cwnd_bytes) == (una, 0, window)
    assert scoreboard.in_flight == flight
    run.network.run_for(10 * SECOND)
    assert bytes(application_of(run.client).received) == pattern(200_000)


def test_selectively_acknowledged_data_are_held_until_acknowledged() -> None:
    """RFC 2018 section 8: a receiver may let go of them again; after a timeout they are sent again."""
    run = connected(1, mptcp=False)
    application_of(run.server).write(pattern(10_000))
    (subflow,) = victim_of(run.server).subflows
    scoreboard = subflow.endpoint.sender.scoreboard
    una = scoreboard.una
    run.server.stack.transmit(run.network.clock.now_ns)  # lost, all of it
    strike(run, run.server, forge(subflow, ack=una, sack=((una % 2**32, scoreboard.next % 2**32),)))
    run.network.run_for(10 * SECOND)
    assert bytes(application_of(run.client).received) == pattern(10_000)


@pytest.mark.parametrize("checksums", [False, True])
def test_unread_data_of_all_subflows_fit_one_window(checksums: bool) -> None:
    """The window is the connection's (RFC 8684 section 3.3.1), though TCP's of each subflow ends somewhere else."""
    run = connected(4, receive_buffer_bytes=20_000, dss_checksum=checksums)
    application_of(run.server).handle_readable = lambda: None  # type: ignore[method-assign]
    connection = victim_of(run.server)
    for number in range(80):
        strike(run, run.server, mapped_whole(connection.subflows[number % 4], pattern(1000, number), checksums))
    assert connection.receive_ready == 20_000
    assert connection.receiving.window() == 0
    assert run.server.stack.counters["TcpExtBeyondWindow"] == 0
    for number in range(8):  # nor is what comes before a gap, beyond
        subflow = connection.subflows[number % 4]
        strike(run, run.server, mapped_whole(subflow, pattern(500, number), checksums, offset=1))
    assert connection.receiving._reassembly.held_bytes == 0


def mapped_whole(subflow: Subflow, payload: bytes, checksums: bool, offset: int = 0) -> Segment:
    """`mapped`, with a checksum if the connection has them."""
    segment = mapped(subflow, payload, offset)
    dss = segment.options.dss
    if checksums and dss is not None and dss.dsn is not None:
        dss.checksum = data_checksum(dss.dsn, dss.ssn, dss.length, [memoryview(payload)])
    return segment


@pytest.mark.parametrize("mptcp", [True, False])
def test_window_of_nothing_outlives_the_application_but_not_for_ever(mptcp: bool) -> None:
    """RFC 6429: persisting is for the application to end; once it has closed, the stack ends it."""

    def close_window(segment: Segment) -> bool:
        if segment.dport == PORT and not segment.flags & SYN:
            segment.window = 0
        return True

    run = make_scene(1, [PATH], mptcp=mptcp, middlebox=rewrite(close_window))
    server = Source(pattern(300_000))
    run.server.listen(Address(b"", PORT), lambda: server)
    client = Quiet()
    run.client.connect(SERVER, client)
    run.network.run_for(3600 * SECOND)
    assert not server.closed
    server.connection.close()
    run.server.settle()
    run.network.run_for(1800 * SECOND)
    assert not run.server.stack.connections
