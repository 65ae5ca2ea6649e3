"""An exception of a plug-in, a callback or a mistake of ours: it ends one connection, is reported, and nothing else."""

import asyncio
from collections import deque
from contextlib import suppress

import pytest

from mptcp_stack.events import PathsWanted
from mptcp_stack.mptcp.subflow.subflow import Subflow
from mptcp_stack.runtime import connection_settings
from mptcp_stack.runtime.network import _while_it_works
from mptcp_stack.stack import Address

from .broken_plugins import Broken
from .conftest import SERVER
from .test_device_trouble import PASSING, Failing
from .test_waiting import echo, exchange

PLUGINS = "tests.unit.runtime.broken_plugins:"


def plugin(name):
    """The setting that has it used."""
    kind = next((kind for kind in ("scheduler", "congestion", "path_manager") if name.startswith(kind)), "path_manager")
    return {kind: PLUGINS + name}


def reported(pair):
    """The exceptions in the stack that the loop's handler was told."""
    found = [problem["exception"] for problem in pair.problems if "in the stack" in problem["message"]]
    pair.problems.clear()
    return found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("scheduler_select", Broken),
        ("congestion_on_ack", Broken),
        ("path_manager_on_established", Broken),
        ("WakesAtOnce", Broken),
        ("NeverLetsGo", Broken),
        ("AsksForTooMuch", RecursionError),
        ("scheduler_above", NotImplementedError),
    ],
)
def test_a_plug_in_that_raises_ends_its_connection(pair, name, kind):
    pair.serve_streams(echo)
    pair.serve_streams(greet_and_listen, 81)

    async def main():
        with connection_settings(**plugin(name)):
            reader, writer = await asyncio.open_connection(SERVER, 81)
        writer.write(bytes(1_000_000))
        with pytest.raises(ConnectionAbortedError) as caught:
            await reader.readexactly(1_000_000)
        assert isinstance(caught.value.__cause__, kind)
        assert await exchange(SERVER, 80) == b"hello"

    pair.run(main())
    assert [type(problem) for problem in reported(pair)] == [kind]
    pair.run(exchange(SERVER, 80))


@pytest.mark.parametrize(
    "name", ["congestion_on_congestion", "congestion_on_timeout", "path_manager_on_subflow_timeout"]
)
def test_a_plug_in_that_raises_when_a_timer_fires(pair, name):
    pair.serve_streams(echo)
    device = pair.loop.driver._device = Failing(pair.loop.network.device)

    async def main():
        with connection_settings(**plugin(name)):
            reader, writer = await asyncio.open_connection(SERVER, 80)
        await asyncio.sleep(0.01)
        device.send_errors = deque(PASSING[:1] * 4)
        writer.write(b"x")
        with pytest.raises(ConnectionAbortedError, match="by the plug-in"):
            await reader.read()
        device.send_errors.clear()
        assert await exchange(SERVER, 80) == b"hello"

    pair.run(main())
    assert [type(problem) for problem in reported(pair)] == [Broken]


@pytest.mark.parametrize("name", ["scheduler_init", "congestion_init", "path_manager_init"])
def test_a_plug_in_that_cannot_be_made(pair, name, monkeypatch):
    """Who connects gets the exception itself; who connects to a listener that has it is refused."""
    pair.serve_streams(echo)
    with connection_settings(**plugin(name)):
        pair.serve_streams(echo, 81)

    async def main():
        with connection_settings(**plugin(name)), pytest.raises(Broken):
            await asyncio.open_connection(SERVER, 80)
        with connection_settings(**plugin(name)), pytest.raises(Broken):
            await asyncio.open_connection(SERVER, 80, happy_eyeballs_delay=0.01)
        with pytest.raises(ConnectionResetError):
            await exchange(SERVER, 81)
        assert await exchange(SERVER, 80) == b"hello"

    pair.run(main())
    assert {type(problem) for problem in reported(pair)} == {Broken}


@pytest.mark.parametrize("name", ["scheduler_select", "path_manager_on_established", "NeverLetsGo"])
def test_a_listener_outlives_plug_ins_that_raise(pair, name):
    pair.serve_streams(echo)
    with connection_settings(**plugin(name)):
        pair.serve_streams(echo, 81)

    async def main():
        for _ in range(3):
            with suppress(ConnectionResetError):
                await exchange(SERVER, 81)
            assert await exchange(SERVER, 80) == b"hello"

    pair.run(main())
    assert [type(problem) for problem in reported(pair)] == [Broken] * 3


def test_an_onlooker_that_fails_is_asked_no_more(caplog):
    """A full disk, a closed pipe: the capture, the trace or the events end, and nothing else."""
    written = []

    def write(number, text):
        if number == 2:
            raise OSError(28, "No space left on device")
        written.append(text)

    look = _while_it_works(write, "the capture")
    for number in range(4):
        look(number, str(number))
    assert written == ["0", "1"]
    assert [line.getMessage() for line in caplog.records] == [
        "the capture ends here: [Errno 28] No space left on device"
    ]


def raising(*_):
    raise RecursionError("deep")


REPLACES_METHODS = pytest.mark.pure("replaces a method of an object")


@pytest.mark.parametrize(
    "place",
    [
        "timer",
        "event",
        "path event",
        *(pytest.param(one, marks=REPLACES_METHODS) for one in ("segment", "output", "address")),
    ],
)
def test_a_mistake_in_one_connection(pair, place, monkeypatch):
    """Wherever the stack or its driver raises, it goes on with the others, and with its timers."""
    pair.serve_streams(echo)
    pair.serve_streams(greet_and_listen, 81)
    stack = pair.loop.network.stack

    async def main():
        reader, writer = await asyncio.open_connection(SERVER, 81)
        await reader.readexactly(7)
        (connection,) = stack.connections
        now = pair.loop.driver.now
        if place == "segment":
            subflow = connection.subflows[0]
            on_segment = Subflow.on_segment

            def fail(self, *more):
                return raising() if self is subflow else on_segment(self, *more)

            monkeypatch.setattr(Subflow, "on_segment", fail)
            writer.write(b"x")
        elif place == "timer":
            stack.context.timers.timer(raising, connection.subflows[0]).set(now)
            stack.context.timers.timer(raising).set(now)
            writer.write(b"x")
        elif place == "output":
            connection.output = raising
            writer.write(b"x")
        elif place == "event":
            pair.loop.driver._handlers[connection][0].on_readable = raising
            writer.write(b"x")
        elif place == "path event":
            pair.loop.driver.on_path_event = raising
            stack.tell(PathsWanted(connection))
            writer.write(b"x")
        else:
            connection.path_manager.on_local_address_removed = raising
            stack.remove_address(stack.addresses[0].ip, now)
            stack.add_address(stack.config.addresses[0], now)
            pair.loop.driver.wake()
        with pytest.raises(ConnectionAbortedError, match="deep"):
            await reader.read()
        monkeypatch.undo()
        assert await exchange(SERVER, 80) == b"hello"

    pair.run(main())
    assert {type(problem) for problem in reported(pair)} == {RecursionError}


async def greet_and_listen(reader, writer):
    writer.write(b"welcome")
    while data := await reader.read(100):
        writer.write(data)


def test_an_acceptor_that_raises(pair):
    pair.remote_driver.listen(Address(b"", 81), 10, raising)
    pair.serve_streams(echo)

    async def main():
        with pytest.raises(ConnectionResetError):
            await exchange(SERVER, 81)
        assert await exchange(SERVER, 80) == b"hello"

    pair.run(main())
    assert {type(problem) for problem in reported(pair)} == {RecursionError}
