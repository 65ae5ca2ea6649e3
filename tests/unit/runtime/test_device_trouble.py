"""A device that fails for a while, and one that is gone: neither ends, spins or silences the loop."""

import asyncio
import errno
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import pytest

from mptcp_stack.phy import Device, memory_pair
from mptcp_stack.runtime import EventLoop, Network, retrying_reader
from mptcp_stack.runtime.errors import NetworkDownError
from mptcp_stack.runtime.host.address_monitor import AddressChange, AddressMonitor
from mptcp_stack.wire import decode

from .conftest import CLIENT, SERVER, stack_config
from .test_waiting import echo, exchange, turns_while_idle


class Failing(Device):
    """A device that raises what is in `receive_errors` and `send_errors` first."""

    def __init__(self, device):
        self._device = device
        self.capabilities = device.capabilities
        self.receive_errors, self.send_errors = deque(), deque()

    def fileno(self):
        return self._device.fileno()

    def close(self):
        self._device.close()

    def receive(self, limit):
        if self.receive_errors:
            raise self.receive_errors.popleft()
        return self._device.receive(limit)

    def send(self, packets):
        if self.send_errors:
            raise self.send_errors.popleft()
        return self._device.send(packets)


class For(deque):
    """Always the same error."""

    def popleft(self):
        return self[0]


@pytest.fixture
def failing(make_pair, monkeypatch):
    """A pair whose client has a device that can fail."""
    monkeypatch.setattr(retrying_reader, "_PAUSES_S", (0.001, 0.001, 0.001, 0.001))
    pair = make_pair()
    pair.device = pair.loop.driver._device = Failing(pair.loop.network.device)
    return pair


def system_error(number):
    return OSError(number, os.strerror(number))


PASSING = [system_error(number) for number in (errno.ENETDOWN, errno.EIO, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL)]
PASSING += [ValueError("a mistake in the device"), MemoryError(), RecursionError()]
GONE = [system_error(number) for number in (errno.EBADFD, errno.EBADF, errno.ENODEV, errno.ENXIO)]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_trouble_with_receiving_that_passes(failing, error, caplog):
    failing.serve_streams(echo)
    failing.device.receive_errors.extend([error] * 4)
    assert failing.run(exchange(SERVER, 80)) == b"hello"
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == ("WARNING", f"the network's device receives nothing: {error}")
    assert failing.loop.counters["IpOutDiscards"] == 0


@pytest.mark.parametrize("error", PASSING[:1] + PASSING[-3:], ids=repr)
def test_trouble_with_sending_costs_packets(failing, error, caplog):
    """Said once, and once more when it has worked meanwhile."""
    accepted = asyncio.Queue()
    failing.serve_streams(lambda *streams: accepted.put_nowait(streams))

    async def main():
        _, writer = await asyncio.open_connection(SERVER, 80)
        reader, _ = await accepted.get()
        for _ in range(2):
            failing.device.send_errors.append(error)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"

    failing.run(main())
    assert [line.getMessage() for line in caplog.records] == [f"the network's device sends nothing: {error}"] * 2
    assert failing.loop.counters["IpOutDiscards"] == 2
    assert not failing.loop.driver.failed.done()


SILENT = "10.0.0.77"


class Deaf(Failing):
    """A device that hears nothing of what is for SILENT."""

    def receive(self, limit):
        silent = ip_address(SILENT).packed
        return [packet for packet in super().receive(limit) if decode(packet).dst != silent]


def keep_silent(driver):
    """Let nobody answer at SILENT."""
    driver._device = Deaf(driver._device)


class Told(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error):
        self.lost.set_result(error)


async def everything_fails(pair, break_it):
    """Every kind of call and handler that waits hears of it, and each that comes later."""
    loop = pair.loop
    accepted = []
    keep_silent(pair.remote_driver)
    pair.serve_streams(lambda *streams: accepted.append(streams))
    reader, idle = await asyncio.open_connection(SERVER, 80)
    _, writer = await asyncio.open_connection(SERVER, 80)
    _, protocol = await loop.create_connection(Told, SERVER, 80)
    writer.write(bytes(20_000_000))
    server = await asyncio.start_server(echo, None, 81)
    waiting = [
        asyncio.ensure_future(one)
        for one in (
            reader.read(),
            writer.drain(),
            server.serve_forever(),
            loop.create_connection(asyncio.Protocol, SILENT, 80),
        )
    ]
    await asyncio.sleep(0.02)
    break_it()
    for problem in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(problem, OSError), problem
    assert isinstance(await protocol.lost, NetworkDownError)
    assert protocol.lost.result().errno == errno.ENETDOWN
    assert loop.driver.failed.done()
    assert not server.is_serving()
    for late in (
        loop.create_connection(asyncio.Protocol, SERVER, 80),
        loop.create_server(asyncio.Protocol, CLIENT, 82),
        server.start_serving(),
        server.serve_forever(),
        reader.read(),
        writer.drain(),
    ):
        with pytest.raises(OSError, match=r"down|lost"):
            await late
    assert loop.network.stack.connections == ()
    pair.remote_driver.close()
    assert idle.is_closing()
    assert await turns_while_idle(loop) < 5


@pytest.mark.parametrize("error", GONE, ids=repr)
@pytest.mark.parametrize("direction", ["receive_errors", "send_errors"])
def test_a_device_that_is_gone_ends_everything_once(failing, error, direction, caplog):
    failing.run(everything_fails(failing, lambda: setattr(failing.device, direction, For([error]))))
    (line,) = caplog.records
    assert line.levelname == "ERROR"
    assert line.name == "mptcp_stack"
    assert str(error) in line.getMessage()


@pytest.mark.parametrize("error", PASSING[:2] + PASSING[-1:], ids=repr)
def test_a_device_that_never_receives_again_is_gone(failing, error, caplog):
    failing.run(everything_fails(failing, lambda: setattr(failing.device, "receive_errors", For([error]))))
    assert [line.levelname for line in caplog.records] == ["WARNING", "ERROR"]


def test_blocking_calls_hear_that_the_device_is_gone(networks, caplog):
    client, server = networks
    keep_silent(server.loop.driver)
    with server.create_server(("", 80)), client.create_server(("", 81)) as listener, client.socket() as far:
        near, writer = (client.create_connection((SERVER, 80)) for _ in range(2))
        calls = [
            lambda: near.recv(1),
            lambda: writer.sendall(bytes(10_000_000)),
            listener.accept,
            lambda: far.connect((SILENT, 80)),
        ]
        with ThreadPoolExecutor(len(calls)) as threads:
            waiting = [threads.submit(call) for call in calls]
            time.sleep(0.05)
            driver = client.loop.driver
            client.loop.call_soon_threadsafe(driver._fail, GONE[0])
            for call in waiting:
                with pytest.raises(OSError) as caught:  # noqa: PT011
                    call.result(10)
                assert caught.value.errno in (errno.ENETDOWN, errno.EPIPE, errno.ECONNRESET)
        for call in (lambda: client.create_connection((SERVER, 80)), lambda: near.recv(1), listener.accept):
            with pytest.raises(OSError, match="down"):
                call()
        near.close()
        writer.close()
    assert len(caplog.records) == 1


def test_a_descriptor_that_is_closed_behind_our_back(pair, caplog):
    """Nothing is readable any more; what is sent finds out."""
    device = pair.loop.driver._device = Failing(pair.loop.network.device)

    def close():
        # The number stays taken: it must not become somebody else's.
        other = os.eventfd(0, os.EFD_NONBLOCK)
        os.dup2(other, device.fileno())
        os.close(other)
        device.receive = lambda limit: []
        device.send_errors = For(GONE[1:2])

    pair.run(everything_fails(pair, close))
    assert len(caplog.records) == 1


def test_the_host_is_watched_again_when_that_can_be(make_pair, caplog, monkeypatch):
    monkeypatch.setattr(retrying_reader, "_PAUSES_S", (0.001, 0.001))

    class Trying(AddressMonitor):
        """One whose netlink socket fails, a few times or for ever."""

        def __init__(self):
            self.descriptor = os.eventfd(0)
            self.errors = deque()
            self.looked = 0

        def fileno(self):
            return self.descriptor

        def refresh(self):
            if self.errors:
                raise self.errors.popleft()
            os.eventfd_read(self.descriptor)
            self.looked += 1
            return AddressChange([], [])

    near, _ = memory_pair()
    network = Network(stack_config(CLIENT), near)
    network.address_monitor = monitor = Trying()
    loop = EventLoop(network)

    async def until(condition):
        while not condition():
            await asyncio.sleep(0.001)

    for round in range(1, 3):
        monitor.errors.extend([system_error(errno.ENOBUFS), KeyError("pyroute2"), system_error(errno.EBADF)] * 3)
        os.eventfd_write(monitor.descriptor, 1)
        loop.run_until_complete(asyncio.wait_for(until(lambda round=round: monitor.looked == round), 5))
        assert len(caplog.records) == round
    assert "cannot be looked at: [Errno 105]" in caplog.records[0].getMessage()
    assert not loop.driver.failed.done()
    loop.close()
    os.close(monitor.descriptor)
