"""What the loop waits with: descriptors of any number, closed ones among them, and times below a millisecond."""

import asyncio
import errno
import os
import re
import select
import selectors
import socket
import threading
import time

import pytest

from mptcp_stack.phy import Device
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
    try:
        await what
    finally:
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
    """Received, told, answered and sent, then one wait; so for the far end, which answers a little later."""
    rounds = 100

    class Late(PingPong):
        def data_received(self, data):
            pair.loop.call_later(0.001, self.transport.write, data)

    async def main():
        over = pair.loop.create_future()
        pair.serve(lambda: Late(rounds, over))
        transport, _ = await pair.loop.create_connection(lambda: PingPong(rounds, over), SERVER, 80)
        transport.write(b"x")
        taken = await turns_while(pair.loop, over)  # a packet each way, and the timer of asyncio's
        assert 3 * rounds <= taken < 4.5 * rounds

    pair.run(main())


def test_a_packet_is_told_of_in_the_wait_and_answered_before_others_have_their_turn(pair):
    waiting = False
    order = []
    ask, send = pair.loop._selector.select, pair.loop.network.device.send

    def select(timeout=None):
        nonlocal waiting
        waiting = True
        try:
            return ask(timeout)
        finally:
            waiting = False

    def note_and_send(packets):
        order.append("sent")
        return send(packets)

    class Answering(PingPong):
        def data_received(self, data):
            assert waiting
            order.append("told")
            self.transport.write(data)
            pair.loop.call_soon(order.append, "others")
            self.over.set_result(None)

    async def main():
        over, answered = pair.loop.create_future(), pair.loop.create_future()
        pair.serve(lambda: PingPong(2, answered))
        transport, _ = await pair.loop.create_connection(lambda: Answering(0, over), SERVER, 80)
        pair.loop._selector.select = select
        pair.loop.driver._device = Replaced(pair.loop.network.device, send=note_and_send)
        transport.write(b"x")
        await over
        await answered
        assert order[:4] == ["sent", "told", "sent", "others"]
        del pair.loop._selector.select

    pair.run(main())


class Replaced(Device):
    """A device with another way to send."""

    def __init__(self, device, send):
        self._device = device
        self._send = send
        self.capabilities = device.capabilities

    def receive(self, limit):
        return self._device.receive(limit)

    def fileno(self):
        return self._device.fileno()

    def close(self):
        self._device.close()

    def send(self, packets):
        return self._send(packets)


def test_a_reader_that_is_replaced_in_the_wait_is_told(pair):
    """By what is told of a packet, when the old reader was ready as well: the loop must not take the new one out."""
    ours, other = socket.socketpair()
    ours.setblocking(False)
    told = []

    class Replacing(PingPong):
        def data_received(self, data):
            pair.loop.remove_reader(ours)
            pair.loop.add_reader(ours, lambda: told.append(ours.recv(9)))

    async def main():
        pair.serve(lambda: Replacing(0, None))
        transport, _ = await pair.loop.create_connection(lambda: PingPong(0, None), SERVER, 80)
        await asyncio.sleep(0.05)
        pair.loop.add_reader(ours, lambda: told.append("old"))
        other.send(b"y")
        transport.write(b"x")
        while b"z" not in told:
            await asyncio.sleep(0.001)
            if b"y" in told:
                other.send(b"z")

    with ours, other:
        pair.run(main())


@pytest.mark.parametrize("where", ["connection_made", "data_received", "eof_received", "the factory"])
def test_no_exception_of_a_protocol_ends_the_loop(pair, where):
    """Nor one that is not an Exception: the result of a cancelled future is such a one."""

    def cancelled(*_):
        raise asyncio.CancelledError

    async def main():
        if where == "the factory":
            pair.serve(cancelled)
        else:
            pair.serve(type("Raising", (asyncio.Protocol,), {where: cancelled}))
        _, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(b"x")
        writer.write_eof()
        while not pair.problems:
            await asyncio.sleep(0.001)
        writer.close()
        pair.serve_streams(echo, 81)
        assert await exchange(SERVER, 81) == b"hello"

    pair.run(main())
    assert all(isinstance(problem["exception"], asyncio.CancelledError) for problem in pair.problems)
    pair.problems.clear()


def test_a_protocol_that_cannot_be_made_ends_its_own_opening_alone(pair):
    def cancelled():
        raise asyncio.CancelledError

    async def main():
        pair.serve_streams(echo)
        with pytest.raises(asyncio.CancelledError):
            await pair.loop.create_connection(cancelled, SERVER, 80)
        await both_answer(pair)

    pair.run(main())


def test_a_timer_of_more_days_than_epoll_takes(make_pair):
    pair = make_pair(keep_alive=True, keep_alive_idle_ns=30 * 86400 * 10**9)

    async def main():
        pair.serve_streams(echo)
        _, writer = await asyncio.open_connection(SERVER, 80)
        over = pair.loop.create_future()
        # From another thread: no timer of the loop's is set meanwhile.
        threading.Timer(0.3, pair.loop.call_soon_threadsafe, (over.set_result, None)).start()
        await over
        writer.close()

    pair.loop.run_until_complete(main())


def test_a_driver_that_is_closed_takes_part_no_longer(pair):
    selector = pair.loop._selector
    assert len(selector.participants) == len(selector.readers) == 2
    pair.remote_driver.close()
    assert selector.participants == (pair.loop.driver,)
    assert list(selector.readers) == [pair.loop.network.device.fileno()]


def test_a_closed_driver_takes_the_reader_off_nobody(pair):
    """Its device's number may be that of another file."""
    number = pair.remote.device.fileno()
    ours, other = socket.socketpair()
    pair.remote_driver.close()
    pair.remote.close()
    os.dup2(ours.fileno(), number)
    told = []
    pair.loop.add_reader(number, lambda: told.append(os.read(number, 9)))
    pair.remote_driver._stop()
    other.send(b"x")

    async def main():
        while not told:
            await asyncio.sleep(0.001)

    pair.run(main())
    pair.loop.remove_reader(number)
    os.close(number)
    ours.close()
    other.close()


def test_who_is_told_before_a_wait_is_called_at_once(pair):
    """The device goes while nothing else happens: who waits for that is not left until the next timer."""
    gone = OSError(errno.EBADFD, os.strerror(errno.EBADFD))

    def fail(packets):
        raise gone

    async def main():
        pair.serve_streams(echo)
        _, writer = await asyncio.open_connection(SERVER, 80)
        await asyncio.sleep(0.05)
        pair.loop.driver._device = Replaced(pair.loop.network.device, send=fail)
        writer.write(b"x")
        assert await turns_while(pair.loop, pair.loop.driver.failed) <= 3

    pair.run(main())


def test_slow_handlers_are_told_of_in_debug_mode(pair, caplog):
    pair.loop.set_debug(True)
    pair.loop.slow_callback_duration = 0.01

    class Slow(PingPong):
        def data_received(self, data):
            time.sleep(0.02)
            self.over.set_result(None)

    async def main():
        over = pair.loop.create_future()
        pair.serve(lambda: Slow(0, over))
        transport, _ = await pair.loop.create_connection(lambda: PingPong(0, None), SERVER, 80)
        transport.write(b"x")
        await over

    pair.run(main())
    assert re.search(r"Telling of \w+ took 0\.0[2-9]", caplog.text)


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


def test_what_a_reader_takes_out_and_closes_costs_no_new_epoll(selector):
    """Though it was ready in the same wait: epoll had it taken out by its number, and does not tell of it again."""
    first, second = socket.socketpair(), socket.socketpair()

    def close_second():
        first[0].recv(1)
        selector.unregister(second[0])
        second[0].close()

    for pair in (first, second):
        selector.register(pair[0], selectors.EVENT_READ)
        pair[1].send(b"x")
    selector.readers[first[0].fileno()] = close_second
    epoll = selector._selector
    assert selector.select(1) == []
    assert selector.select(0) == []
    assert selector._selector is epoll
    for one in (*first, second[1]):
        one.close()
