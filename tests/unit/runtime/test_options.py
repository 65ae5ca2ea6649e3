"""Socket options: blocking sockets, asyncio's, what is inherited, what is refused."""

import asyncio
import errno
import os
import select
import socket
import struct
import time
from socket import IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_CONGESTION, TCP_INFO, TCP_KEEPIDLE, TCP_MAXSEG, TCP_NODELAY

import pytest

from mptcp_stack.congestion import Cubic, Reno
from mptcp_stack.mptcp.scheduler import SCHEDULERS
from mptcp_stack.runtime import (
    TCP_IS_MPTCP,
    TCP_MULTIPATH_ADD,
    TCP_MULTIPATH_CONNID,
    TCP_MULTIPATH_ENABLE,
    TCP_MULTIPATH_PATH_MANAGER,
    TCP_MULTIPATH_REMOVE,
    TCP_MULTIPATH_SCHEDULER,
    TCP_MULTIPATH_SETTING,
    TCP_MULTIPATH_SUBFLOWS,
    connection_settings,
)

from .conftest import CLIENT, SERVER

SWITCHES = [
    (SOL_SOCKET, socket.SO_REUSEADDR),
    (IPPROTO_TCP, socket.TCP_NODELAY),
    (IPPROTO_TCP, socket.TCP_CORK),
    (SOL_SOCKET, socket.SO_KEEPALIVE),
]


@pytest.mark.parametrize(("level", "number"), SWITCHES)
def test_switches(networks, level, number):
    """Before connecting, on a listener, inherited, and while connected; as integers and as bytes."""
    client, server = networks
    with server.socket() as listener, client.socket() as near:
        listener.bind(("", 80))
        listener.listen()
        for one in (near, listener):
            assert one.getsockopt(level, number) == 0
            one.setsockopt(level, number, 1)
            assert one.getsockopt(level, number) == 1
        near.connect((SERVER, 80))
        with listener.accept()[0] as far:
            for one in (near, far):
                assert one.getsockopt(level, number) == 1
                assert one.getsockopt(level, number, 4) == struct.pack("i", 1)
                one.setsockopt(level, number, struct.pack("i", 0))
                assert one.getsockopt(level, number) == 0


def test_options_reach_the_connection(networks):
    client, server = networks
    with server.create_server(("", 80)) as listener, client.socket() as near:
        listener.setsockopt(IPPROTO_TCP, TCP_CONGESTION, b"cubic")
        near.setsockopt(IPPROTO_TCP, TCP_CONGESTION, "reno")
        near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_SCHEDULER, "round-robin")
        near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_PATH_MANAGER, "fullmesh")
        near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_SETTING, "data_retries=3")
        near.setsockopt(SOL_SOCKET, socket.SO_SNDBUF, 30_000)
        near.setsockopt(SOL_SOCKET, socket.SO_RCVBUF, 20_000)
        near.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 1000)
        near.connect((SERVER, 80))
        with listener.accept()[0] as far:
            ours, theirs = near._side.connection, far._side.connection
            assert type(ours.subflows[0].endpoint.control) is Reno
            assert type(theirs.subflows[0].endpoint.control) is Cubic
            assert ours.stack.scheduler is SCHEDULERS["round-robin"]
            assert ours.stack.config.data_retries == 3
            assert theirs.stack.config.data_retries != 3
            assert (near.getsockopt(IPPROTO_TCP, TCP_CONGESTION, 16), far.getsockopt(IPPROTO_TCP, TCP_CONGESTION)) == (
                b"reno",
                "cubic",
            )
            assert near.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_SCHEDULER) == "round-robin"
            assert near.getsockopt(SOL_SOCKET, socket.SO_SNDBUF) == 30_000
            assert near.getsockopt(SOL_SOCKET, socket.SO_RCVBUF) == 20_000
            near.setblocking(False)
            # As much may lie on the way to the stack.
            assert 25_000 < near.send(bytes(100_000)) < 60_000
            assert 900 < near.getsockopt(IPPROTO_TCP, TCP_MAXSEG) < 1000
            assert 900 < far.getsockopt(IPPROTO_TCP, TCP_MAXSEG) < 1000


def test_settings_that_change_replace_those_before(networks):
    """A connection kept the settings that it was opened with beside those that were set later."""
    client, server = networks
    with server.create_server(("", 80)) as listener, client.socket() as near:
        near.connect((SERVER, 80))
        with listener.accept()[0]:
            connection = near._side.connection
            opened_with = connection.stack
            near.setsockopt(IPPROTO_TCP, TCP_KEEPIDLE, 30)
            assert connection.stack.config.keep_alive_idle_ns == 30_000_000_000
            assert opened_with not in (connection.stack, connection._services)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_largest_segment_is_the_same_over_both_families(networks, family):
    with networks[0].socket(family) as near:
        near.setsockopt(IPPROTO_TCP, TCP_MAXSEG, 1100)
        options = near._side.options
        stack = options.stack.customised(options.settings)
        assert near.getsockopt(IPPROTO_TCP, TCP_MAXSEG) == 1100
        assert stack.context.local_mss(bytes(4 if family == socket.AF_INET else 16)) == 1100


@pytest.mark.parametrize("number", [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT])
def test_numbers_of_keep_alive(networks, number):
    client, server = networks
    with server.create_server(("", 80)) as listener, client.socket() as near:
        listener.setsockopt(IPPROTO_TCP, number, 7)
        near.setsockopt(IPPROTO_TCP, number, 8)
        near.connect((SERVER, 80))
        with listener.accept()[0] as far:
            assert (near.getsockopt(IPPROTO_TCP, number), far.getsockopt(IPPROTO_TCP, number)) == (8, 7)
            far.setsockopt(IPPROTO_TCP, number, 9)
            assert far.getsockopt(IPPROTO_TCP, number) == 9
            for wrong in (0, -1, 1 << 20):
                with pytest.raises(OSError, match="Invalid argument"):
                    far.setsockopt(IPPROTO_TCP, number, wrong)


def test_keep_alive_of_a_live_connection(connected, networks):
    """Probes come at the new time, not after two hours."""
    near, _ = connected
    near.setsockopt(SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    near.setsockopt(IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    deadline = time.monotonic() + 5
    while not networks[0].counters["TcpExtTCPKeepAlive"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_live_send_buffer(connected):
    near, _ = connected
    near.setsockopt(SOL_SOCKET, socket.SO_SNDBUF, 300_000)
    near.setblocking(False)
    assert 250_000 < near.send(bytes(1_000_000)) < 600_000


@pytest.mark.parametrize(
    ("level", "number", "value"),
    [
        (SOL_SOCKET, socket.SO_TYPE, socket.SOCK_STREAM),
        (SOL_SOCKET, socket.SO_PROTOCOL, IPPROTO_TCP),
        (SOL_SOCKET, socket.SO_ACCEPTCONN, 0),
        (SOL_SOCKET, socket.SO_ERROR, 0),
        (SOL_SOCKET, SO_LINGER, struct.pack("ii", 0, 0)),
        (IPPROTO_TCP, TCP_IS_MPTCP, 1),
        (IPPROTO_TCP, TCP_MULTIPATH_ENABLE, 1),
    ],
)
def test_values_of_a_connection(connected, level, number, value):
    assert connected[0].getsockopt(level, number) == value


def test_tcp_info(connected):
    near, far = connected
    near.sendall(bytes(5000))
    assert far.recv(1)
    info = near.getsockopt(IPPROTO_TCP, TCP_INFO, 104)
    state, *_ = struct.unpack("=8B24I", info)
    assert state == 1
    rtt_us, window = struct.unpack("=8B24I", info)[23], struct.unpack("=8B24I", info)[26]
    assert 0 < rtt_us < 1_000_000
    assert window >= 10


def test_the_error_is_read_once(connected):
    near, far = connected
    far.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    select.select([near], [], [], 5)
    assert near.getsockopt(SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
    assert near.getsockopt(SOL_SOCKET, socket.SO_ERROR) == 0
    assert near.recv(1) == b""


def test_lingering_waits_for_the_peer(connected):
    near, far = connected
    near.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 5))
    near.sendall(b"last words")
    connection = near._side.connection
    near.close()
    assert connection.sending.finished
    assert far.recv(100) == b"last words"


@pytest.mark.parametrize(
    ("level", "number", "value", "code"),
    [
        (SOL_SOCKET, socket.SO_BROADCAST, 1, errno.ENOPROTOOPT),
        (SOL_SOCKET, socket.SO_TYPE, 1, errno.ENOPROTOOPT),
        (SOL_SOCKET, SO_LINGER, b"1", errno.EINVAL),
        (IPPROTO_TCP, TCP_NODELAY, b"1", errno.EINVAL),
        (IPPROTO_TCP, TCP_MAXSEG, 10, errno.EINVAL),
        (IPPROTO_TCP, TCP_CONGESTION, b"none", errno.ENOENT),
        (IPPROTO_TCP, TCP_MULTIPATH_SCHEDULER, "none", errno.ENOENT),
        (IPPROTO_TCP, TCP_MULTIPATH_SETTING, "colour=red", errno.EINVAL),
        (IPPROTO_TCP, TCP_MULTIPATH_SETTING, "data_retries=many", errno.EINVAL),
        (IPPROTO_TCP, TCP_MULTIPATH_SUBFLOWS, [], errno.ENOPROTOOPT),
        (IPPROTO_TCP, TCP_MULTIPATH_CONNID, 1, errno.ENOPROTOOPT),
        (IPPROTO_TCP, TCP_MULTIPATH_ADD, ("10.9.9.9", 0), errno.EADDRNOTAVAIL),
        (IPPROTO_TCP, TCP_MULTIPATH_ADD, [(CLIENT, 80)], errno.EINVAL),
        (IPPROTO_TCP, TCP_MULTIPATH_ADD, ("", 0), errno.EINVAL),
        (IPPROTO_TCP, TCP_MULTIPATH_ADD, [], errno.EINVAL),
        (IPPROTO_TCP, TCP_MULTIPATH_REMOVE, [(CLIENT, 0)], errno.EINVAL),
    ],
)
def test_refused(networks, level, number, value, code):
    with networks[0].socket() as near, pytest.raises(OSError) as caught:  # noqa: PT011
        near.setsockopt(level, number, value)
    assert caught.value.errno == code


@pytest.mark.parametrize("value", ["1", 1.5, None])
def test_wrong_types(networks, value):
    with networks[0].socket() as near, pytest.raises(TypeError):
        near.setsockopt(IPPROTO_TCP, TCP_NODELAY, value)


@pytest.mark.parametrize("number", [TCP_MULTIPATH_SUBFLOWS, TCP_MULTIPATH_CONNID, TCP_INFO])
def test_not_before_connecting(networks, number):
    with networks[0].socket() as near, pytest.raises(OSError, match="not connected"):
        near.getsockopt(IPPROTO_TCP, number)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (TCP_MULTIPATH_ENABLE, 0),
        (TCP_CONGESTION, "reno"),
        (TCP_MULTIPATH_SCHEDULER, "round-robin"),
        (TCP_MULTIPATH_PATH_MANAGER, "fullmesh"),
        (TCP_MULTIPATH_SETTING, "sack=off"),
        (TCP_MAXSEG, 1000),
    ],
)
def test_not_after_connecting(connected, number, value):
    with pytest.raises(OSError, match="already connected"):
        connected[0].setsockopt(IPPROTO_TCP, number, value)


def test_multipath_can_be_switched_off(networks):
    client, server = networks
    with server.create_server(("", 80)) as listener, client.socket() as near:
        assert near.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_ENABLE) == 1
        near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ENABLE, 0)
        assert near.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_ENABLE) == 0
        near.connect((SERVER, 80))
        with listener.accept()[0] as far:
            assert far.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_ENABLE) == 0
            assert far.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_CONNID) == 0
            assert near.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_SUBFLOWS) == [(near.getsockname(), (SERVER, 80))]
            with pytest.raises(OSError, match="not supported"):
                near.setsockopt(IPPROTO_TCP, TCP_MULTIPATH_ADD, (CLIENT, 0))


def test_settings_of_a_socket(networks):
    client, server = networks
    with server.create_server(("", 80)), client.socket(mptcp=False) as near:
        near.connect((SERVER, 80))
        assert near.getsockopt(IPPROTO_TCP, TCP_IS_MPTCP) == 0
    with pytest.raises(ValueError, match="colour: no such setting"):
        client.socket(colour="red")


# --- asyncio


async def told(reader, writer):
    writer.write(str(writer.get_extra_info("socket").getsockopt(IPPROTO_TCP, TCP_CONGESTION)).encode())
    writer.close()


def test_the_socket_of_a_transport(pair):
    async def main():
        server = pair.serve_streams(told)
        (listening,) = server.sockets
        assert listening.getsockname() == ("0.0.0.0", 80)
        assert listening.getsockopt(SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        listening.setsockopt(IPPROTO_TCP, TCP_CONGESTION, "cubic")
        reader, writer = await asyncio.open_connection(SERVER, 80)
        assert await reader.read() == b"cubic"
        own = writer.get_extra_info("socket")
        assert (own.family, own.type, own.proto) == (socket.AF_INET, socket.SOCK_STREAM, IPPROTO_TCP)
        assert own.getpeername() == (SERVER, 80)
        assert own.getsockname() == writer.get_extra_info("sockname")
        assert own.gettimeout() == 0
        assert own.getsockopt(IPPROTO_TCP, TCP_NODELAY) == 1
        own.setsockopt(IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
        assert pair.loop.network.stack.connections[0].stack.config.keep_alive_idle_ns == 5 * 10**9
        own.setsockopt(IPPROTO_TCP, TCP_NODELAY, 0)
        assert not pair.loop.network.stack.connections[0].nodelay
        assert own.getsockopt(IPPROTO_TCP, TCP_MULTIPATH_CONNID) == writer.get_extra_info("mptcp")["token"]
        with pytest.raises(ValueError, match="only 0 timeout"):
            own.settimeout(1)
        assert listening.fileno() == -1
        with pytest.raises(OSError, match="not connected"):
            listening.getpeername()
        writer.close()

    pair.run(main())


def test_the_descriptor_of_a_transport_can_be_polled(pair):
    """As HTTP clients do with connections that are kept; reading is paused then."""

    def readable(descriptor):
        return bool(select.select([descriptor], [], [], 0)[0])

    async def main():
        accepted = asyncio.Queue()
        pair.serve_streams(lambda reader, writer: accepted.put_nowait(writer))
        reader, writer = await asyncio.open_connection(SERVER, 80)
        far = await accepted.get()
        writer.transport.pause_reading()
        own = writer.get_extra_info("socket")
        descriptor = own.fileno()
        assert descriptor == own.fileno() >= 0
        assert not readable(descriptor)
        far.write(b"data")
        await asyncio.sleep(0.02)
        assert readable(descriptor)
        writer.transport.resume_reading()
        assert await reader.readexactly(4) == b"data"
        assert not readable(descriptor)
        writer.transport.pause_reading()
        far.close()
        await asyncio.sleep(0.02)
        assert readable(descriptor)
        writer.close()
        await writer.wait_closed()
        assert own.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    pair.run(main())


def test_linger_zero_resets(pair):
    async def main():
        accepted = asyncio.Queue()
        pair.serve_streams(lambda reader, writer: accepted.put_nowait(reader))
        _, writer = await asyncio.open_connection(SERVER, 80)
        reader = await accepted.get()
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        with pytest.raises(ConnectionResetError):
            await reader.read()

    pair.run(main())


def test_settings_of_a_block(pair):
    """Code that opens connections knows nothing of it; the server's own settings stay."""

    async def main():
        pair.serve_streams(told)
        with connection_settings(congestion="reno"):
            with connection_settings(mptcp=False):
                reader, writer = await asyncio.create_task(asyncio.open_connection(SERVER, 80))
            own = writer.get_extra_info("socket")
            assert own.getsockopt(IPPROTO_TCP, TCP_CONGESTION) == "reno"
            assert own.getsockopt(IPPROTO_TCP, TCP_IS_MPTCP) == 0
            assert await reader.read() == b"lia"
            writer.close()
        _, writer = await asyncio.open_connection(SERVER, 80)
        assert writer.get_extra_info("socket").getsockopt(IPPROTO_TCP, TCP_CONGESTION) == "lia"
        writer.close()
        with connection_settings(congestion="none"), pytest.raises(ValueError, match="congestion control 'none'"):
            await asyncio.open_connection(SERVER, 80)

    pair.run(main())


def test_numbers_beyond_those_of_c(networks):
    with networks[0].socket() as near:
        for value in (1 << 31, -(1 << 31) - 1):
            with pytest.raises(OverflowError, match="32 bits"):
                near.setsockopt(SOL_SOCKET, socket.SO_RCVBUF, value)
        for length in (-1, 1025):
            with pytest.raises(OSError, match="buflen out of range"):
                near.getsockopt(SOL_SOCKET, socket.SO_RCVBUF, length)
