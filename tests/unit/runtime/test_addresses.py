"""Where servers listen and connections go: wildcards, families, names and numbers, as asyncio has them."""

import asyncio
import errno
import socket
from ipaddress import ip_address
from random import Random

import pytest

from mptcp_stack.phy import memory_pair
from mptcp_stack.runtime import EventLoop, Network
from mptcp_stack.runtime.aio.server import Server
from mptcp_stack.runtime.driver import Driver
from mptcp_stack.stack import Address, LocalAddress, Stack, StackConfig

from .conftest import CLIENT, SERVER
from .test_waiting import echo, exchange

CLIENT_6, SERVER_6 = "fd00::1", "fd00::2"
ANY, ANY_4, ANY_6 = b"", bytes(4), bytes(16)
OWN_4, OWN_6 = (ip_address(ip).packed for ip in (SERVER, SERVER_6))


def config(*ips):
    packed = [ip_address(ip).packed for ip in ips]
    return StackConfig(addresses=tuple(LocalAddress(ip, 24 if len(ip) == 4 else 64) for ip in packed))


@pytest.fixture
def dual():
    """A loop whose stack, and that of the driver `dual.peer`, have an address of each family."""
    near, far = memory_pair()
    loop = EventLoop(Network(config(CLIENT, CLIENT_6), near, linger_s=0.2, random_source=Random(1)))
    peer = Network(config(SERVER, SERVER_6), far, random_source=Random(2))
    loop.peer = Driver(loop, peer)
    yield loop
    loop.close()
    peer.close()


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main, 20))


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (ANY_4, ANY_6, True),
        (ANY_6, ANY_4, True),
        (ANY, ANY_4, False),
        (ANY, ANY_6, False),
        (ANY_4, ANY, False),
        (ANY_6, ANY, False),
        (ANY_4, ANY_4, False),
        (ANY_4, OWN_4, True),
        (OWN_6, ANY_6, True),
        (OWN_4, ANY, True),
        (OWN_4, OWN_4, False),
        (OWN_4, OWN_6, True),
    ],
)
def test_which_addresses_can_be_listened_on_beside_each_other(first, second, both):
    stack = Stack(config(SERVER, SERVER_6), Random(1))
    stack.listen(Address(first, 80), 0)
    stack.listen(Address(second, 81), 0)
    if both:
        stack.listen(Address(second, 80), 0).close()
        stack.listen(Address(second, 80), 0)
        return
    with pytest.raises(OSError, match="in use") as caught:
        stack.listen(Address(second, 80), 0)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("ips", "reached"),
    [([ANY_4], [SERVER]), ([ANY_6], [SERVER_6]), ([ANY_4, ANY_6], [SERVER, SERVER_6]), ([ANY], [SERVER, SERVER_6])],
)
def test_a_wildcard_is_for_its_own_family(dual, ips, reached):
    def factory():
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=dual), echo, loop=dual)

    async def main():
        server = Server(dual, dual.peer, [Address(ip, 80) for ip in ips], factory, 100, None)
        server.listen()
        for ip in (SERVER, SERVER_6):
            if ip in reached:
                assert await exchange(ip, 80) == b"hello"
            else:
                with pytest.raises(ConnectionRefusedError):
                    await exchange(ip, 80)
        server.close()

    run(dual, main())


EVERY_4, EVERY_6 = ("0.0.0.0", 80), ("::", 80, 0, 0)


@pytest.mark.parametrize(
    ("host", "family", "names"),
    [
        (None, socket.AF_UNSPEC, [EVERY_4, EVERY_6]),
        ("", socket.AF_UNSPEC, [EVERY_4, EVERY_6]),
        (None, socket.AF_INET, [EVERY_4]),
        ("", socket.AF_INET6, [EVERY_6]),
        ("::", socket.AF_UNSPEC, [EVERY_6]),
        ("0.0.0.0", socket.AF_INET, [EVERY_4]),
        (["0.0.0.0", "::", "0.0.0.0"], socket.AF_UNSPEC, [EVERY_4, EVERY_6]),
        ([CLIENT_6, CLIENT], socket.AF_UNSPEC, [(CLIENT_6, 80, 0, 0), (CLIENT, 80)]),
    ],
)
def test_a_server_has_a_socket_for_each_address(dual, host, family, names):
    async def main():
        server = await dual.create_server(asyncio.Protocol, host, 80, family=family)
        assert [one.getsockname() for one in server.sockets] == names
        assert [one.family for one in server.sockets] == [
            socket.AF_INET if len(name) == 2 else socket.AF_INET6 for name in names
        ]
        server.close()

    run(dual, main())


def test_without_a_host_a_server_has_the_families_of_the_stack(pair):
    async def main():
        server = await pair.loop.create_server(asyncio.Protocol, None, 80)
        assert [one.getsockname() for one in server.sockets] == [EVERY_4]
        server.close()
        server = await pair.loop.create_server(asyncio.Protocol, "::", 80)
        assert [one.getsockname() for one in server.sockets] == [EVERY_6]
        server.close()

    pair.run(main())


def test_all_addresses_or_none(dual):
    async def main():
        first = await dual.create_server(asyncio.Protocol, "::", 80)
        with pytest.raises(OSError, match=r"'::', 80.*in use"):
            await dual.create_server(asyncio.Protocol, None, 80)
        first.close()
        second = await dual.create_server(asyncio.Protocol, None, 80)
        assert len(second.sockets) == 2
        second.close()

    run(dual, main())


CREATE_SERVER, CREATE_CONNECTION = EventLoop.create_server, EventLoop.create_connection
BOTH = [CREATE_SERVER, CREATE_CONNECTION]


@pytest.mark.parametrize(
    ("create", "host", "port", "arguments", "error"),
    [
        (CREATE_SERVER, None, None, {}, ValueError("Neither host/port nor sock were specified")),
        (CREATE_CONNECTION, None, None, {}, ValueError("host and port was not specified and no sock specified")),
        *[(create, CLIENT, 80, {"sock": socket}, ValueError("host/port and sock can not be")) for create in BOTH],
        *[
            (create, CLIENT, 0, {name: 3}, ValueError(f"{name} is only meaningful with ssl"))
            for create in BOTH
            for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout")
        ],
        (CREATE_SERVER, CLIENT, 0, {"ssl": True}, TypeError("SSLContext or None")),
        (CREATE_SERVER, CLIENT, 0, {"ssl": False}, TypeError("SSLContext or None")),
        (CREATE_SERVER, CLIENT, 70000, {}, OverflowError("bind(): port must be 0-65535.")),
        (CREATE_SERVER, None, -1, {}, OverflowError("bind(): port must be 0-65535.")),
        (CREATE_SERVER, "name.invalid", 65536, {}, OverflowError("bind(): port must be 0-65535.")),
        (CREATE_CONNECTION, SERVER, 70000, {}, OverflowError("connect(): port must be 0-65535.")),
        (CREATE_CONNECTION, SERVER, -1, {}, OverflowError("connect(): port must be 0-65535.")),
        (CREATE_CONNECTION, SERVER, 80, {"local_addr": (CLIENT, 70000)}, OverflowError("bind(): port must be")),
        (CREATE_SERVER, None, "no-such-service", {}, socket.gaierror("not supported for ai_socktype")),
        (CREATE_SERVER, CLIENT, "no-such-service", {}, socket.gaierror("not supported for ai_socktype")),
        (CREATE_CONNECTION, SERVER, 80, {"family": socket.AF_INET6}, socket.gaierror("family")),
        (CREATE_SERVER, CLIENT, 80, {"family": socket.AF_INET6}, socket.gaierror("family")),
        (CREATE_SERVER, CLIENT, 80, {"reuse_port": True}, ValueError("reuse_port")),
        (CREATE_SERVER, CLIENT, 1.5, {"family": socket.AF_INET6}, OSError("")),
    ],
)
def test_what_asyncio_refuses_is_refused(pair, create, host, port, arguments, error):
    async def main():
        sock = None
        if "sock" in arguments:
            arguments["sock"] = sock = socket.socket()
        with pytest.raises(type(error)) as caught:
            await create(pair.loop, asyncio.Protocol, host, port, **arguments)
        assert str(error).replace("()", "") in str(caught.value).replace("()", "")
        if sock is not None:
            sock.close()

    pair.run(main())


@pytest.mark.parametrize("host", [None, CLIENT])
def test_services_have_names(pair, host):
    async def main():
        server = await pair.loop.create_server(asyncio.Protocol, host, "http")
        assert [one.getsockname()[1] for one in server.sockets] == [80]
        server.close()
        server = await pair.loop.create_server(asyncio.Protocol, host, "8080")
        assert [one.getsockname()[1] for one in server.sockets] == [8080]
        server.close()

    pair.run(main())


@pytest.mark.parametrize("local", [("", 5555), ("0.0.0.0", 5555), (CLIENT, 5555), (None, 5555)])
def test_a_local_port_of_any_address(pair, local):
    pair.serve_streams(echo)

    async def main():
        _, writer = await asyncio.open_connection(SERVER, 80, local_addr=local)
        assert writer.get_extra_info("sockname") == (CLIENT, 5555)
        (connection,) = pair.loop.network.stack.connections
        restricted = connection.stack is not pair.loop.network.stack
        assert restricted == (local[0] == CLIENT)
        writer.close()

    pair.run(main())


@pytest.mark.parametrize(
    ("remote", "local", "problem"),
    [(ANY_4, None, "unreachable"), (ANY_6, None, "unreachable"), (OWN_4, ANY_6, "family"), (OWN_6, OWN_4, "family")],
)
def test_ways_that_are_none(remote, local, problem):
    stack = Stack(config(CLIENT, CLIENT_6), Random(1))
    with pytest.raises(OSError, match=problem):
        stack.connect(Address(remote, 80), 0, local and Address(local, 0))
    assert stack.connections == ()


def test_a_server_that_does_not_serve_has_its_address(pair):
    """Bound, but who comes is refused; what cannot be bound fails at once."""

    def factory():
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=pair.loop), echo, loop=pair.loop)

    async def main():
        server = Server(pair.loop, pair.remote_driver, [Address(ANY, 0)], factory, 100, None)
        ((_, port),) = [one.getsockname() for one in server.sockets]
        assert port
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await exchange(SERVER, port)
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        assert await exchange(SERVER.encode(), str(port)) == b"hello"
        server.close()
        first = await pair.loop.create_server(asyncio.Protocol, CLIENT, 80, start_serving=False)
        for host, wanted in ((CLIENT, "in use"), ("10.0.0.77", "cannot assign")):
            with pytest.raises(OSError, match=wanted):
                await pair.loop.create_server(asyncio.Protocol, host, 80, start_serving=False)
        first.close()
        (await pair.loop.create_server(asyncio.Protocol, CLIENT, 80)).close()

    pair.run(main())


def test_a_bound_address_does_not_hide_one_that_serves(pair):
    pair.serve_streams(echo)
    Server(pair.loop, pair.remote_driver, [Address(OWN_4, 80)], asyncio.Protocol, 100, None)
    assert pair.run(exchange(SERVER, 80)) == b"hello"


def test_wait_closed_waits_for_close(pair):
    async def main():
        server = await pair.loop.create_server(asyncio.Protocol, CLIENT, 80)
        waiting = [asyncio.ensure_future(server.wait_closed()) for _ in range(2)]
        waiting[1].cancel()
        await asyncio.sleep(0.02)
        assert not waiting[0].done()
        server.close()
        await waiting[0]
        await server.wait_closed()
        server.close()

    pair.run(main())


def test_blocking_servers_have_both_wildcards(networks):
    client, server = networks
    with (
        server.create_server(("0.0.0.0", 80)) as four,
        server.create_server(("::", 80), family=socket.AF_INET6) as six,
        server.create_server(("::", 81), family=socket.AF_INET6) as only_six,
        server.create_server(("::", 82), family=socket.AF_INET6, dualstack_ipv6=True) as both,
    ):
        assert (four.family, four.getsockname()) == (socket.AF_INET, EVERY_4)
        assert (six.family, six.getsockname()) == (socket.AF_INET6, EVERY_6)
        for listener, reached in ((four, True), (only_six, False), (both, True)):
            if reached:
                client.create_connection((SERVER, listener.getsockname()[1])).close()
            else:
                with pytest.raises(ConnectionRefusedError):
                    client.create_connection((SERVER, listener.getsockname()[1]))
        for port in (80, 82):
            with pytest.raises(OSError, match="in use"):
                server.create_server(("", port))
