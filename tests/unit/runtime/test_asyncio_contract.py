"""What asyncio's documentation promises of loops, transports and servers, promise by promise."""

import asyncio
import contextvars
import inspect
import socket
import time
from asyncio import base_events, selector_events, trsock

import pytest

from mptcp_stack.runtime import EventLoop
from mptcp_stack.runtime.aio.event_loop import _interleaved
from mptcp_stack.runtime.aio.server import Server
from mptcp_stack.runtime.aio.transport_socket import TransportSocket
from mptcp_stack.runtime.aio.transports import StreamTransport
from mptcp_stack.runtime.network import packed_address

from .conftest import CLIENT, SERVER
from .test_device_trouble import SILENT, keep_silent

KERNELS = selector_events._SelectorSocketTransport


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (EventLoop.create_connection, base_events.BaseEventLoop.create_connection),
        (EventLoop.create_server, base_events.BaseEventLoop.create_server),
        *[
            (getattr(StreamTransport, name), getattr(KERNELS, name))
            for name in dir(KERNELS)
            if not name.startswith("_") and callable(getattr(KERNELS, name))
        ],
        *[
            (getattr(Server, name), getattr(base_events.Server, name))
            for name in ("close", "get_loop", "is_serving", "serve_forever", "start_serving", "wait_closed")
        ],
        *[
            (getattr(TransportSocket, name), getattr(trsock.TransportSocket, name))
            for name in ("getpeername", "getsockname", "fileno", "gettimeout", "settimeout", "setblocking", "shutdown")
        ],
    ],
)
@pytest.mark.pure("compiled methods of a class of asyncio's tell no signature")
def test_calls_take_the_same_arguments(ours, theirs):
    known = inspect.signature(ours).parameters
    _, *parameters = inspect.signature(theirs).parameters.items()  # `self` of a compiled class goes by its place alone
    for name, parameter in parameters:
        assert known[name].kind is parameter.kind
        assert (known[name].default is parameter.empty) == (parameter.default is parameter.empty)


@pytest.mark.parametrize("name", [name for name in dir(base_events.Server) if not name.startswith("_")])
def test_servers_have_everything(name):
    assert hasattr(Server, name)


async def greet(reader, writer):
    writer.write(b"hello")
    writer.close()


async def greeting(**arguments):
    reader, writer = await asyncio.open_connection(**arguments)
    data = await reader.read()
    writer.close()
    return data


def resolve_to(pair, *hosts):
    """Let every name stand for `hosts`, in this order."""

    async def getaddrinfo(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (str(ip), port)) for ip in hosts]

    pair.loop.getaddrinfo = getaddrinfo


def test_the_next_address_is_tried_after_a_failure(pair):
    pair.serve_streams(greet)
    resolve_to(pair, "192.0.2.1", SERVER)
    assert pair.run(greeting(host="server", port=80)) == b"hello"


def test_happy_eyeballs(pair):
    """An address that does not answer holds up for the delay, not for the time of a connection attempt."""
    pair.serve_streams(greet)
    resolve_to(pair, SILENT, SILENT, SERVER)
    keep_silent(pair.remote_driver)
    before = time.monotonic()
    assert pair.run(greeting(host="server", port=80, happy_eyeballs_delay=0.05)) == b"hello"
    assert 0.1 <= time.monotonic() - before < 1
    assert all(
        connection.remote.ip == packed_address(SERVER, 0).ip for connection in pair.loop.network.stack.connections
    )


def test_a_failure_does_not_wait_for_the_delay(pair):
    pair.serve_streams(greet)
    resolve_to(pair, "192.0.2.1", SERVER)
    before = time.monotonic()
    assert pair.run(greeting(host="server", port=80, happy_eyeballs_delay=10)) == b"hello"
    assert time.monotonic() - before < 5


def test_interleaved_families():
    four, six = ([packed_address(text.format(n), 80) for n in range(3)] for text in ("10.0.0.{}", "fd00::{}"))
    assert _interleaved(six + four, 0) == six + four
    assert _interleaved(six + four[:1], 1) == [six[0], four[0], six[1], six[2]]
    assert _interleaved(six + four, 2) == [six[0], six[1], four[0], six[2], four[1], four[2]]


@pytest.mark.parametrize(
    ("hosts", "arguments", "kind", "message"),
    [
        ([SERVER], {}, ConnectionRefusedError, "Connection refused"),
        ([SERVER, SERVER], {}, ConnectionRefusedError, "Connection refused"),
        ([SERVER, "192.0.2.1"], {}, OSError, "Multiple exceptions: .*refused.*unreachable"),
        ([SERVER, "192.0.2.1"], {"all_errors": True}, ExceptionGroup, "create_connection failed"),
        ([SERVER], {"local_addr": ("fd00::1", 0)}, OSError, "no local address of the family"),
    ],
)
def test_failures(pair, hosts, arguments, kind, message):
    resolve_to(pair, *hosts)

    async def main():
        with pytest.raises(kind, match=message):
            await pair.loop.create_connection(asyncio.Protocol, "server", 81, **arguments)

    pair.run(main())
    assert pair.loop.network.stack.connections == ()


def test_a_specific_local_address_is_the_only_one(pair):
    async def main():
        pair.serve_streams(greet)
        _, writer = await asyncio.open_connection(SERVER, 80, local_addr=(CLIENT, 0))
        (connection,) = pair.loop.network.stack.connections
        assert [address.ip for address in connection.stack.addresses] == [packed_address(CLIENT, 0).ip]
        writer.close()

    pair.run(main())


def test_several_hosts_and_no_reuse_of_ports(pair):
    async def main():
        server = await asyncio.start_server(greet, [CLIENT, CLIENT], 80)
        assert [one.getsockname() for one in server.sockets] == [(CLIENT, 80)]
        assert repr(server.sockets[0]) == f"<TransportSocket ('{CLIENT}', 80)>"
        server.close()
        with pytest.raises(ValueError, match="reuse_port"):
            await asyncio.start_server(greet, CLIENT, 80, reuse_port=True)
        again = await asyncio.start_server(greet, CLIENT, 80, reuse_address=True)
        again.close()
        await again.wait_closed()

    pair.run(main())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("peername", tuple),
        ("sockname", tuple),
        ("socket", TransportSocket),
        ("mptcp", dict),
        ("sslcontext", type(None)),
    ],
)
def test_extra_info(pair, name, kind):
    async def main():
        pair.serve_streams(greet)
        _, writer = await asyncio.open_connection(SERVER, 80)
        assert isinstance(writer.get_extra_info(name), kind)
        assert writer.get_extra_info("nothing", "default") == "default"
        writer.close()

    pair.run(main())


def test_limits_of_the_write_buffer(pair):
    async def main():
        pair.serve_streams(greet)
        _, writer = await asyncio.open_connection(SERVER, 80)
        transport = writer.transport
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        writer.close()
        assert not transport.is_reading()

    pair.run(main())


def test_protocols_see_the_context_variables_of_who_opened(pair):
    """Those of who began to serve or to connect, whoever made the loop."""
    who = contextvars.ContextVar("who", default="nobody")
    seen = []
    done = []

    class Witness(asyncio.Protocol):
        def __init__(self, side):
            self.side = side
            self.note("factory")

        def note(self, what):
            seen.append((self.side, what, who.get()))

        def connection_made(self, transport):
            self.transport = transport
            self.note("made")
            who.set("nobody else")

        def data_received(self, data):
            self.note("data")
            if self.side == "server":
                self.transport.write(data)

        def eof_received(self):
            self.note("end")

        def connection_lost(self, error):
            self.note("lost")
            done.append(self.side)

    async def serve():
        who.set("server")
        pair.serve(lambda: Witness("server"))

    async def connect():
        who.set("client")
        transport, _ = await pair.loop.create_connection(lambda: Witness("client"), SERVER, 80)
        transport.write(b"data")
        transport.write_eof()

    async def main():
        await asyncio.create_task(serve())
        for number in (1, 2):
            await asyncio.create_task(connect())
            while len(done) < 2 * number:
                await asyncio.sleep(0)
        assert who.get() == "nobody"

    pair.run(main())
    calls = ["factory", "made", "data", "end", "lost"]
    assert sorted(seen) == sorted((side, what, side) for side in ("client", "server") for what in calls * 2)
