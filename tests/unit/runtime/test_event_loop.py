import asyncio
import time

import pytest

from mptcp_stack.wire import Packet

SERVER = "10.0.0.2"


async def close_at_once(reader, writer):
    writer.close()


def test_connection_refused(pair):
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(SERVER, 81)
        assert pair.loop.network.stack.connections == ()

    pair.run(main())


def test_no_way_to_the_destination(pair):
    async def main():
        with pytest.raises(OSError, match="Network is unreachable"):
            await asyncio.open_connection("192.0.2.1", 80)

    pair.run(main())


def test_a_local_address_that_is_not_ours(pair):
    async def main():
        with pytest.raises(OSError, match="Cannot assign requested address"):
            await asyncio.open_connection(SERVER, 80, local_addr=("10.0.0.9", 0))

    pair.run(main())


def test_cancelling_a_connection_attempt_forgets_it(pair):
    pair.remote_driver.close()

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection(SERVER, 80), 0.05)
        await asyncio.sleep(0.01)
        assert pair.loop.network.stack.connections == ()

    pair.run(main())


def test_a_peer_that_never_answers_times_out(make_pair):
    pair = make_pair(syn_retries=0, mptcp=False)
    pair.remote_driver.close()

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.open_connection(SERVER, 80)

    pair.run(main())


def test_loopback_is_the_kernels(pair):
    async def main():
        server = await asyncio.start_server(close_at_once, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        assert writer.get_extra_info("mptcp") is None
        writer.close()
        reader, writer = await asyncio.open_connection("localhost", port, family=2)
        writer.close()
        server.close()
        await server.wait_closed()

    pair.run(main())
    assert pair.loop.network.counters["TcpOutSegs"] == 0


def test_servers(pair):
    async def main():
        server = await asyncio.start_server(close_at_once, "10.0.0.1", 0)
        async with server:
            assert server.is_serving()
            assert server.get_loop() is pair.loop
            ((host, port),) = [name.getsockname() for name in server.sockets]
            assert host == "10.0.0.1"
            assert port
            with pytest.raises(OSError, match=r"'10\.0\.0\.1'.*address already in use"):
                await asyncio.start_server(close_at_once, "10.0.0.1", port)
        assert not server.is_serving()
        assert server.sockets == ()
        with pytest.raises(RuntimeError, match="closed"):
            await server.start_serving()
        with pytest.raises(OSError, match="cannot assign requested address"):
            await asyncio.start_server(close_at_once, "10.0.0.77", 80)

    pair.run(main())


def test_serve_forever_ends_with_close(pair):
    async def main():
        server = await pair.loop.create_server(asyncio.Protocol, None, 80, start_serving=False)
        assert not server.is_serving()
        task = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        assert server.is_serving()
        assert [name.getsockname() for name in server.sockets] == [("0.0.0.0", 80)]
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    pair.run(main())


def test_a_closed_server_refuses_and_keeps_what_it_has(pair):
    async def main():
        accepted, greeted = asyncio.Event(), asyncio.Event()

        async def serve(reader, writer):
            accepted.set()
            await greeted.wait()
            writer.write(b"still here")
            writer.close()

        server = pair.serve_streams(serve)
        reader, writer = await asyncio.open_connection(SERVER, 80)
        await accepted.wait()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(SERVER, 80)
        greeted.set()
        assert await reader.read() == b"still here"
        writer.close()

    pair.run(main())


def test_a_protocol_that_cannot_be_made_resets_the_connection(pair):
    def factory():
        raise ZeroDivisionError

    pair.serve(factory)

    async def main():
        reader, _ = await asyncio.open_connection(SERVER, 80)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(ZeroDivisionError):
            await pair.loop.create_connection(factory, SERVER, 80)

    pair.run(main())
    # The second connection was reset before its handshake was complete.
    assert [type(problem["exception"]) for problem in pair.problems] == [ZeroDivisionError]
    assert pair.remote.stack.connections == ()
    pair.problems.clear()


def test_closing_the_driver_resets_what_is_open(pair):
    async def main():
        accepted = asyncio.Queue()
        pair.serve_streams(lambda reader, writer: accepted.put_nowait(reader))
        _, writer = await asyncio.open_connection(SERVER, 80)
        reader = await accepted.get()
        pair.loop.driver.close()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert not writer.is_closing()

    pair.run(main())


def test_closing_the_loop_does_not_wait_for_a_peer_that_stays(make_pair):
    pair = make_pair(linger_s=10)
    ended = pair.loop.create_future()

    async def serve(reader, writer):
        ended.set_result(await reader.read())
        await asyncio.sleep(60)

    pair.serve_streams(serve)

    async def main():
        _, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(b"and no close")

    pair.run(main())
    before = time.monotonic()
    pair.loop.close()
    assert time.monotonic() - before < 5
    assert ended.result() == b"and no close"


def test_tls_arguments_are_checked(pair):
    async def main():
        with pytest.raises(ValueError, match="server_hostname"):
            await pair.loop.create_connection(asyncio.Protocol, SERVER, 80, server_hostname="a")
        with pytest.raises(ValueError, match="only meaningful with ssl"):
            await pair.loop.create_connection(asyncio.Protocol, SERVER, 80, ssl_handshake_timeout=1)
        with pytest.raises(TypeError, match="SSLContext"):
            await pair.loop.create_server(asyncio.Protocol, SERVER, 80, ssl=True)

    pair.run(main())


def test_the_stack_hears_that_packets_wait_for_it(make_pair):
    pair = make_pair()
    context, limit = pair.remote.stack.context, pair.remote.batch_packets
    noise = Packet([memoryview(bytes(40))])
    for waiting, backlogged in ((limit, True), (1, False)):
        pair.loop.network.device.send([noise] * waiting)
        pair.remote_driver._receive()
        assert context.shared.backlogged == backlogged
    assert context.counters["TcpInErrs"] == limit + 1
