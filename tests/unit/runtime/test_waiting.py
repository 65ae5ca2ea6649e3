"""What the loop waits with: descriptors of any number, closed ones among them, and times below a millisecond."""

import asyncio
import errno
import os
import select
import selectors
import socket
import time

import pytest

from mptcp_stack.runtime.waiting import FineSelector

from .conftest import SERVER


@pytest.fixture
def selector():
    with FineSelector() as selector:
        yield selector


async def echo(reader, writer):
    writer.write(await reader.read(100))
    writer.close()


async def exchange(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"hello")
    answer = await reader.read()
    writer.close()
    return answer


async def both_answer(pair):
    """The kernel's sockets and the stack's."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    assert await exchange(*server.sockets[0].getsockname()) == b"hello"
    assert await exchange(SERVER, 80) == b"hello"
    server.close()


def test_descriptors_beyond_those_of_select(pair, beyond_select):
    pair.serve_streams(echo)
    pair.run(both_answer(pair))


def test_a_loop_whose_own_descriptor_is_beyond_those_of_select(beyond_select, make_pair):
    pair = make_pair()
    assert pair.loop._selector.fileno() > 1023
    pair.serve_streams(echo)
    pair.run(both_answer(pair))


@pytest.mark.parametrize("copied", [False, True], ids=["closed", "closed, but a copy is open"])
def test_a_descriptor_that_is_closed_while_somebody_waits(pair, copied):
    pair.serve_streams(echo)

    async def main():
        ours, other = socket.socketpair()
        ours.setblocking(False)
        copy = ours.dup() if copied else None
        waiting = asyncio.ensure_future(pair.loop.sock_recv(ours, 1))
        await asyncio.sleep(0)
        ours.close()
        await both_answer(pair)
        if copied:
            other.send(b"x")
        assert await turns_while_idle(pair.loop) < 100
        waiting.cancel()
        await both_answer(pair)
        assert await turns_while_idle(pair.loop) < 100
        other.close()
        if copy is not None:
            copy.close()

    pair.run(main())


async def turns_while_idle(loop):
    """How often the loop asks in 50 ms: some times for the stack's timers, and thousands of times if it spins."""
    return await turns_while(loop, asyncio.sleep(0.05))


async def turns_while(loop, what):
    """How often the loop waits while `what` is awaited."""
    turns = 0
    ask = loop._selector.select

    def count(timeout=None):
        nonlocal turns
        turns += 1
        return ask(timeout)

    loop._selector.select = count
    await what
    del loop._selector.select
    return turns


class PingPong(asyncio.Protocol):
    """Sends back what comes, as often as is `left`; then `over` is done."""

    def __init__(self, left, over):
        self.left = left
        self.over = over

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.left -= 1
        if self.left > 0:
            self.transport.write(data)
        else:
            self.over.set_result(None)


def test_a_packet_costs_one_turn_of_the_loop(pair):
    """Received, told, answered and sent, then one wait. Both ends are on this loop."""
    rounds = 100

    async def main():
        over = pair.loop.create_future()
        pair.serve(lambda: PingPong(rounds + 1, over))
        transport, _ = await pair.loop.create_connection(lambda: PingPong(rounds, over), SERVER, 80)
        transport.write(b"x")
        assert 2 * rounds <= await turns_while(pair.loop, over) < 2.2 * rounds

    pair.run(main())


def test_a_busy_loop_sends_receives_and_heeds_timers(pair):
    """Callbacks that never let it wait hold up nobody."""

    async def spin():
        while True:
            await asyncio.sleep(0)

    async def main():
        spinning = asyncio.ensure_future(spin())
        pair.serve_streams(echo)
        assert await exchange(SERVER, 80) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(SERVER, 81)
        pair.remote_driver.close()  # nobody answers: only the timer for it tells
        before = pair.loop.counters["TcpRetransSegs"]
        opening = asyncio.ensure_future(asyncio.open_connection(SERVER, 80))
        while pair.loop.counters["TcpRetransSegs"] == before:
            await asyncio.sleep(0)
        opening.cancel()
        spinning.cancel()

    pair.run(main())


@pytest.mark.parametrize("copied", [False, True])
def test_a_number_that_is_used_again(selector, copied):
    """Who registers it anew is told, and what it stood for before tells nothing."""
    old, old_peer = socket.socketpair()
    number = old.fileno()
    selector.register(number, selectors.EVENT_READ, "old")
    copy = old.dup() if copied else None
    old.close()
    new, new_peer = socket.socketpair()
    if new.fileno() != number:
        os.dup2(new.fileno(), number)
    if copied:
        old_peer.send(b"x")
    selector.modify(number, selectors.EVENT_READ, "new")
    assert selector.select(0) == []
    new_peer.send(b"x")
    ((key, events),) = selector.select(1)
    assert (key.fd, key.data, events) == (number, "new", selectors.EVENT_READ)
    selector.unregister(number)
    for one in (old_peer, new_peer, new, copy):
        if one is not None:
            one.close()


def test_closed_descriptors_leave_the_others_alone(selector):
    pairs = [socket.socketpair() for _ in range(3)]
    for number, (ours, _) in enumerate(pairs):
        selector.register(ours, selectors.EVENT_READ | selectors.EVENT_WRITE, number)
    copy = pairs[0][0].dup()
    first = pairs[0][0].fileno()
    pairs[0][0].close()
    pairs[1][0].close()
    selector.unregister(first)
    for _ in range(3):
        assert {key.data for key, _ in selector.select(0)} == {2}
    pairs[2][1].send(b"x")
    assert selector.select(0)[0][1] == selectors.EVENT_READ | selectors.EVENT_WRITE
    for one in (copy, pairs[0][1], pairs[1][1], *pairs[2]):
        one.close()


def test_short_waits_are_not_rounded_up(selector):
    """Of twenty: the machine may be busy."""
    waits = []
    for _ in range(20):
        begin = time.perf_counter()
        assert selector.select(0.0002) == []
        waits.append(time.perf_counter() - begin)
    assert 0.0002 <= min(waits) < 0.0009


def test_longer_waits_end_at_the_millisecond_before(selector):
    waits = []
    for _ in range(10):
        begin = time.perf_counter()
        assert selector.select(0.0039) == []
        waits.append(time.perf_counter() - begin)
    assert 0.003 <= min(waits) < 0.0039


def test_waiting_without_end_is_ended_by_an_event(selector):
    one, other = socket.socketpair()
    selector.register(one, selectors.EVENT_READ)
    other.close()
    assert [events for _, events in selector.select(None)] == [selectors.EVENT_READ]
    one.close()


def test_without_a_descriptor_for_a_new_epoll_the_old_one_goes_on(selector, monkeypatch):
    def none_left():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    ours, other = socket.socketpair()
    closed = socket.socket()
    selector.register(ours, selectors.EVENT_READ)
    selector.register(closed, selectors.EVENT_READ)
    number = closed.detach()
    os.close(number)
    selector.unregister(number)
    with ours, other:
        other.send(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(select, "epoll", none_left)
            assert [key.fd for key, _ in selector.select(1)] == [ours.fileno()]
        assert [key.fd for key, _ in selector.select(1)] == [ours.fileno()]
