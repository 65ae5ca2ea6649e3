"""A subflow asks for a window that keeps data waiting, whatever the others do (RFC 9293 section 3.8.6)."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from mptcp_stack.sim import MILLISECOND, SECOND, Sink, Source, pattern
from mptcp_stack.tcp import Address
from mptcp_stack.wire import SYN, Segment
from tests.sim.scenes import (
    DOWNLOAD,
    PORT,
    SERVER,
    UPLOAD,
    Scene,
    check_received,
    client_ip,
    exchange,
    impaired,
    make_scene,
    rewrite,
    server_ip,
)

NEVER_NS = 10**15

Change = Callable[[Segment], bool]
"""What becomes of a segment; False: it is lost."""


class Rests(Sink):
    """Reads nothing for so long after the connection was established."""

    def __init__(self, rest_ns: int) -> None:
        super().__init__()
        self._rest_ns = rest_ns

    def on_connected(self) -> None:
        self._resting = True
        self.host.call_later(self._rest_ns, self._rested)


def lost(_: Segment) -> bool:
    return False


def small(segment: Segment) -> bool:
    segment.window = 500
    return True


def shut(segment: Segment) -> bool:
    segment.window = 0
    return True


DISTURBED = [
    ("lowest-rtt", lost, 2.0),
    ("lowest-rtt", small, 0.5),  # before a first probe, from which on little room is used anyway
    ("round-robin", lost, 2.0),
    ("redundant", lost, 2.0),
]


def upload(
    size: int,
    update: Change | None,
    rest_s: float,
    dark_after_s: float = 0,
    **settings: Any,
) -> tuple[Scene, float]:
    """Send `size` bytes to a reader that rests for so long first; the scene, and how long it took (s).

    `update`: what becomes of the first window update on path 2. Path 1 carries nothing from so long after the rest on.
    """
    updates = 0
    wakes_ns = int(rest_s * SECOND)
    dark_ns = wakes_ns + int(dark_after_s * SECOND) if dark_after_s else NEVER_NS

    def change(segment: Segment) -> bool:
        nonlocal updates
        if segment.src == server_ip(2) and segment.window and run.network.clock.now_ns >= wakes_ns:
            updates += 1
            return update is None or updates > 1 or update(segment)
        return True

    path = impaired(rate_bps=1_000_000, queue_bytes=20_000)
    specs = [replace(path, blackouts=((dark_ns, 2 * NEVER_NS),)), path]
    run = make_scene(1, specs, middlebox=[None, rewrite(change)], receive_buffer_bytes=60_000, **settings)
    server, client = Rests(wakes_ns), Source(pattern(size))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: client.closed and server.closed, 900 * SECOND)
    assert client.error is server.error is None
    assert bytes(server.received) == client.payload
    last_ns = max(time_ns for time_ns, segment in run.segments("client") if segment.length)
    return run, last_ns / SECOND


@cache
def undisturbed_s(size: int, rest_s: float, dark_after_s: float, scheduler: str) -> float:
    return upload(size, None, rest_s, dark_after_s, scheduler=scheduler)[1]


@pytest.mark.parametrize(("scheduler", "update", "rest_s"), DISTURBED)
def test_subflow_whose_window_update_was_lost(scheduler: str, update: Change, rest_s: float) -> None:
    """It has nothing under way that would bring another one, and the other subflow has all the time."""
    run, took_s = upload(400_000, update, rest_s, scheduler=scheduler)
    assert took_s < undisturbed_s(400_000, rest_s, 0, scheduler) + 0.7
    assert min(run.carried()) > sum(run.carried()) / 4


@pytest.mark.parametrize(("scheduler", "update", "rest_s"), DISTURBED)
def test_the_same_subflow_takes_over(scheduler: str, update: Change, rest_s: float) -> None:
    """What the other one held waits for that window, too: reinjections, and the copies of a redundant scheduler."""
    _, took_s = upload(250_000, update, rest_s, 0.25, scheduler=scheduler)
    assert took_s < undisturbed_s(250_000, rest_s, 0.25, scheduler) + 2


def test_takes_over_what_was_all_sent() -> None:
    """Nothing new waits, only what the first subflow has under way."""
    run, took_s = upload(90_000, lost, 2, 0.06)
    assert run.client.stack.counters["TcpExtTCPWinProbe"] > 0
    assert took_s < 5


@pytest.mark.parametrize("dark_ns", [3 * SECOND, NEVER_NS])
def test_backup_with_a_shut_window(dark_ns: int) -> None:
    """It asks when it is needed, and not before."""
    silenced = 0

    def change(segment: Segment) -> bool:
        nonlocal silenced
        if segment.src == server_ip(2) and not segment.flags & SYN and silenced < 2:
            silenced += 1
            segment.window = 0
        return True

    path = impaired(rate_bps=1_000_000, queue_bytes=20_000)
    specs = [replace(path, blackouts=((dark_ns, 2 * NEVER_NS),)), path]
    run = make_scene(1, specs, middlebox=[None, rewrite(change)])
    server, client = Sink(), Source(pattern(600_000))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_for(100 * MILLISECOND)
    client.connection.set_backup(client.connection.subflows[1], True)
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    check_received(run, server, client.payload)
    asked = [time_ns for time_ns, segment in run.segments("client") if segment.src == client_ip(2) and time_ns > SECOND]
    if dark_ns < NEVER_NS:
        assert run.network.clock.now_ns < 8 * SECOND
    else:
        assert run.client.stack.counters["TcpExtTCPWinProbe"] == 0
        assert len(asked) < 10  # of the end


def test_path_whose_window_never_opens() -> None:
    """The transfer goes over the other one; probes back off."""

    def change(segment: Segment) -> bool:
        if segment.src == server_ip(2) and not segment.flags & SYN:
            segment.window = 0
        return True

    run = make_scene(1, [impaired(rate_bps=1_000_000), impaired()], middlebox=[None, rewrite(change)])
    exchange(run, pattern(1_000_000), b"")
    assert run.carried()[1] < 400_000
    assert 3 < run.client.stack.counters["TcpExtTCPWinProbe"] < 8


def test_shut_subflow_that_does_not_answer_is_given_up() -> None:
    """As by retransmissions: the connection goes on, the data wait no longer for it."""
    run = make_scene(1, [impaired(rate_bps=300_000, queue_bytes=10_000), impaired()], data_retries=3)
    server, client = Sink(), Source(pattern(800_000))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)

    def change(segment: Segment) -> bool:
        if segment.src == server_ip(2) and not segment.flags & SYN:
            segment.window = 0
        return run.network.clock.now_ns < SECOND

    for link in run.paths[1]:
        link.middlebox = rewrite(change)
    run.network.run_for(900 * MILLISECOND)
    assert len(client.connection.subflows) == 2
    run.network.run_for(18 * SECOND)
    assert 1 not in [subflow.number for subflow in client.connection.subflows]
    run.network.run_until(lambda: client.closed and server.closed, 60 * SECOND)
    check_received(run, server, client.payload)


def test_nobody_asks_for_windows_that_are_open() -> None:
    run = make_scene(1)
    exchange(run, UPLOAD, DOWNLOAD)
    for host in (run.client, run.server):
        assert host.stack.counters["TcpExtTCPWinProbe"] == 0
    run = make_scene(1, receive_buffer_bytes=60_000)  # the window is shut again and again, and not for long
    exchange(run, b"", pattern(500_000), read_limit_bytes=30_000, read_interval_ns=100 * MILLISECOND)
    assert run.server.stack.counters["TcpExtTCPWinProbe"] == 0


def test_nobody_waits_for_a_peer_whose_window_stays_shut_on_what_is_left() -> None:
    """The application has closed, one path is dark, on the other the peer answers that it has no room (RFC 6429)."""

    def change(segment: Segment) -> bool:
        if segment.src == server_ip(2) and not segment.flags & SYN:
            segment.window = 0
        return True

    dark = impaired(rate_bps=1_000_000, blackouts=((SECOND, 2 * NEVER_NS),))
    run = make_scene(1, [dark, impaired()], middlebox=[None, rewrite(change)])
    run.server.listen(Address(b"", PORT), Sink)
    client = Source(pattern(1_000_000))
    run.client.connect(SERVER, client)
    run.network.run_for(SECOND)
    client.connection.close()
    run.client.settle()
    run.network.run_for(1800 * SECOND)
    assert isinstance(client.error, TimeoutError)
    assert not run.client.stack.connections


@pytest.mark.parametrize("paths", [2, 3])
def test_data_that_tcp_delivered_and_the_peer_has_not(paths: int) -> None:
    """RFC 8684 section 3.3.6: a DATA_ACK that stays out is not waited for until all subflows are idle."""
    broken: list[int] = []

    def change(segment: Segment) -> bool:  # one mapping of path 2 leads far away, where nothing is kept
        dss, now_ns = segment.options.dss, run.network.clock.now_ns
        if now_ns > SECOND and not broken and segment.src == client_ip(2) and segment.length and dss and dss.dsn:
            broken.append(now_ns)
            dss.dsn += 1 << 30
        return True

    specs = [impaired(rate_bps=500_000, queue_bytes=10_000)] * paths
    run = make_scene(1, specs, middlebox=[None, rewrite(change), None][:paths], gso_max_bytes=1)
    server, client = Sink(), Source(pattern(600_000))
    run.server.listen(Address(b"", PORT), lambda: server)
    run.client.connect(SERVER, client)
    run.network.run_until(lambda: bool(broken), 10 * SECOND)
    stuck = len(server.received)
    run.network.run_for(2 * SECOND)
    assert len(server.received) > stuck + 100_000
    run.network.run_until(lambda: client.closed and server.closed, 100 * SECOND)
    check_received(run, server, client.payload)
