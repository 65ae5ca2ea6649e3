"""The contract of asyncio.Transport, at the level of protocols."""

import asyncio
import random
import struct
from socket import SO_LINGER, SOL_SOCKET

import pytest

SERVER = "10.0.0.2"


class Recorder(asyncio.Protocol):
    """Notes everything it is told."""

    def __init__(self, keep_open: bool = False) -> None:
        self.keep_open = keep_open
        self.calls: list[str] = []
        self.data = bytearray()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.calls.append("made")

    def data_received(self, data):
        assert type(data) is bytes
        assert data
        if self.calls[-1] != "data":
            self.calls.append("data")
        self.data += data

    def eof_received(self):
        self.calls.append("eof")
        return self.keep_open

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")

    def connection_lost(self, error):
        self.calls.append("lost")
        self.lost.set_result(error)


class Buffered(asyncio.BufferedProtocol):
    """Receives into 1000 bytes, again and again."""

    def __init__(self) -> None:
        self.buffer = bytearray(1000)
        self.data = bytearray()
        self.ended = asyncio.get_running_loop().create_future()

    def get_buffer(self, hint):
        return self.buffer

    def buffer_updated(self, count):
        self.data += self.buffer[:count]

    def eof_received(self):
        self.ended.set_result(None)


async def connect(pair, client=Recorder, server=Recorder):
    """A client's and a server's protocol, connected."""
    accepted = asyncio.Queue()

    def factory():
        protocol = server()
        accepted.put_nowait(protocol)
        return protocol

    pair.serve(factory)
    _, protocol = await pair.loop.create_connection(client, SERVER, 80)
    return protocol, await accepted.get()


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def kept_open():
    return Recorder(keep_open=True)


def test_order_of_calls(pair):
    async def main():
        client, server = await connect(pair)
        client.transport.write(b"hello")
        client.transport.close()
        assert client.transport.is_closing()
        assert await client.lost is None
        assert await server.lost is None
        await asyncio.sleep(0.05)
        assert client.calls == ["made", "lost"]
        assert server.calls == ["made", "data", "eof", "lost"]
        assert server.data == b"hello"

    pair.run(main())


def test_half_close(pair):
    async def main():
        client, server = await connect(pair, kept_open, kept_open)
        assert client.transport.can_write_eof()
        client.transport.write(b"question")
        client.transport.write_eof()
        client.transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            client.transport.write(b"more")
        await until(lambda: "eof" in server.calls)
        server.transport.write(b"answer")
        server.transport.close()
        await until(lambda: "eof" in client.calls)
        assert (server.data, client.data) == (b"question", b"answer")
        await asyncio.sleep(0.05)
        assert client.calls == ["made", "data", "eof"]
        client.transport.close()
        assert await client.lost is None

    pair.run(main())


def test_eof_is_written_behind_what_waits(make_pair):
    pair = make_pair(send_buffer_bytes=10_000)

    async def main():
        client, server = await connect(pair)
        client.transport.write(bytes(100_000))
        client.transport.write_eof()
        assert client.transport.get_write_buffer_size() == 90_000
        await server.lost
        assert len(server.data) == 100_000

    pair.run(main())


@pytest.mark.parametrize("linger", [False, True])
def test_abort(make_pair, linger):
    """As over the kernel: what the connection has taken is delivered, what waited for room is lost."""
    pair = make_pair(send_buffer_bytes=1000)

    async def main():
        client, server = await connect(pair)
        if linger:
            client.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        client.transport.write(bytes(5000))
        client.transport.abort()
        client.transport.abort()
        client.transport.close()
        client.transport.write(b"never")
        assert client.transport.is_closing()
        assert await client.lost is None
        problem = await server.lost
        await asyncio.sleep(0.05)
        assert client.calls == ["made", "lost"]
        if linger:
            assert isinstance(problem, ConnectionResetError)
        else:
            assert (problem, len(server.data), server.calls) == (None, 1000, ["made", "data", "eof", "lost"])

    pair.run(main())


def test_aborting_with_unread_data_resets_the_peer(pair):
    async def main():
        client, server = await connect(pair)
        server.transport.pause_reading()
        client.transport.write(b"nobody reads this")
        await asyncio.sleep(0.05)
        server.transport.abort()
        assert isinstance(await client.lost, ConnectionResetError)

    pair.run(main())


def test_what_is_written_after_close_while_data_wait_is_sent(make_pair):
    """asyncio's TLS does it in `resume_writing`: its farewell."""
    pair = make_pair(send_buffer_bytes=10_000)

    class Farewell(Recorder):
        def resume_writing(self):
            super().resume_writing()
            self.transport.write(b"farewell")

    async def main():
        client, server = await connect(pair, Farewell)
        transport = client.transport
        transport.write(bytes(200_000))
        transport.close()
        transport.write(b"tail")
        assert transport.get_write_buffer_size() == 190_004
        assert await client.lost is None
        transport.write(b"too late")
        assert await server.lost is None
        assert server.data == bytes(200_000) + b"tail" + b"farewell"
        assert client.calls == ["made", "pause", "resume", "lost"]

    pair.run(main())


def test_closing_with_unread_data_resets_the_peer(pair):
    async def main():
        client, server = await connect(pair)
        server.transport.pause_reading()
        client.transport.write(b"nobody reads this")
        await asyncio.sleep(0.05)
        server.transport.close()
        assert isinstance(await client.lost, ConnectionResetError)

    pair.run(main())


def test_writing_is_paused_and_resumed(make_pair):
    pair = make_pair(send_buffer_bytes=10_000, receive_buffer_bytes=10_000)

    async def main():
        client, server = await connect(pair)
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.set_write_buffer_limits(high=30_000, low=5_000)
        assert client.transport.get_write_buffer_limits() == (5_000, 30_000)
        client.transport.write(bytes(40_000))
        assert client.calls == ["made"]
        client.transport.write(bytes(1))
        assert client.calls == ["made", "pause"]
        await asyncio.sleep(0.05)
        # The receive buffer is full, and nothing was given to the protocol.
        assert client.calls == ["made", "pause"]
        assert client.transport.get_write_buffer_size() > 15_000
        assert server.data == b""
        server.transport.resume_reading()
        assert server.transport.is_reading()
        await until(lambda: len(server.data) == 40_001)
        await until(lambda: client.transport.get_write_buffer_size() == 0)
        assert client.calls == ["made", "pause", "resume"]

    pair.run(main())


def test_pausing_within_data_received(pair):
    class Sip(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.transport.pause_reading()

    async def main():
        client, server = await connect(pair, server=Sip)
        client.transport.write(bytes(1_000_000))
        client.transport.close()
        taken = 0
        while taken < 1_000_000:
            await until(lambda: len(server.data) > taken)  # noqa: B023
            assert len(server.data) - taken <= 256 * 1024
            taken = len(server.data)
            assert "eof" not in server.calls
            await asyncio.sleep(0.01)
            assert len(server.data) == taken
            server.transport.resume_reading()
        await server.lost
        assert server.calls == ["made", "data", "eof", "lost"]

    pair.run(main())


def test_buffered_protocol(pair):
    async def main():
        client, server = await connect(pair, server=Buffered)
        data = bytes(range(256)) * 300
        client.transport.write(data)
        client.transport.close()
        await server.ended
        assert server.data == data

    pair.run(main())


def test_protocol_can_be_exchanged_while_data_arrives(pair):
    """As `loop.start_tls` does; here to a BufferedProtocol in the middle of a batch."""

    class Switching(Recorder):
        def data_received(self, data):
            super().data_received(data)
            self.next = Buffered()
            self.transport.set_protocol(self.next)
            assert self.transport.get_protocol() is self.next

    async def main():
        client, server = await connect(pair, server=Switching)
        server.transport.pause_reading()
        client.transport.write(bytes(300_000))
        client.transport.close()
        await until(lambda: server.transport._connection.receive_ready == 300_000)
        server.transport.resume_reading()
        await until(lambda: hasattr(server, "next"))
        await server.next.ended
        assert len(server.data) == 256 * 1024
        assert len(server.data) + len(server.next.data) == 300_000

    pair.run(main())


def test_what_was_written_may_be_changed_afterwards(make_pair):
    pair = make_pair(send_buffer_bytes=1000)

    async def main():
        client, server = await connect(pair)
        scratch = bytearray(b"a" * 5000)
        client.transport.write(scratch)
        client.transport.write(memoryview(scratch)[:10])
        scratch[:] = b"b" * 5000
        client.transport.writelines([b"c", memoryview(b"dddd")[::2], memoryview(b"ee")])
        client.transport.write(b"")
        client.transport.close()
        await server.lost
        assert server.data == b"a" * 5010 + b"cddee"

    pair.run(main())


def test_bytes_are_not_copied(make_pair):
    pair = make_pair(send_buffer_bytes=1000)

    async def main():
        client, _ = await connect(pair)
        data = bytes(5000)
        client.transport.write(data)
        client.transport.write(memoryview(data)[5:])
        assert all(view.obj is data for view in client.transport._waiting)

    pair.run(main())


@pytest.mark.parametrize("read_before", [0, 100, 1000])
@pytest.mark.parametrize(("offset", "count"), [(0, None), (1, None), (0, 20), (999, 20), (2000, None)])
@pytest.mark.parametrize("kernels", [False, True])
def test_sendfile(pair, tmp_path, read_before, offset, count, kernels):
    """From the offset on, wherever the file was read to; and it stands behind what was sent."""
    content = random.Random(1).randbytes(1000)
    (tmp_path / "file").write_bytes(content)
    wanted = content[offset:][:count]

    async def main():
        accepted = asyncio.Queue()
        if kernels:
            server = await asyncio.start_server(lambda *streams: accepted.put_nowait(streams), "127.0.0.1", 0)
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        else:
            pair.serve_streams(lambda *streams: accepted.put_nowait(streams))
            _, writer = await asyncio.open_connection(SERVER, 80)
        reader, far = await accepted.get()
        with (tmp_path / "file").open("rb") as opened:
            opened.read(read_before)
            assert await pair.loop.sendfile(writer.transport, opened, offset, count) == len(wanted)
            if not kernels:
                assert opened.tell() == offset + len(wanted)
        writer.close()
        assert await reader.read() == wanted
        far.close()
        with (tmp_path / "file").open("rb") as opened, pytest.raises(RuntimeError, match="closing"):
            await pair.loop.sendfile(writer.transport, opened)

    pair.run(main())


def test_only_bytes_can_be_written(pair):
    async def main():
        client, _ = await connect(pair)
        with pytest.raises(TypeError, match="'str'"):
            client.transport.write("text")
        client.transport.close()
        client.transport.write(b"ignored")

    pair.run(main())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("data_received", "data_received()"),
        ("eof_received", "eof_received()"),
    ],
)
def test_an_exception_in_a_protocol_ends_its_connection(pair, method, message):
    class Broken(Recorder):
        pass

    def fail(self, *_):
        self.calls.append(method)
        raise KeyError(method)

    setattr(Broken, method, fail)

    async def main():
        client, server = await connect(pair, server=Broken)
        client.transport.write(b"x")
        client.transport.write_eof()
        assert isinstance(await server.lost, KeyError)
        await client.lost

    pair.run(main())
    (problem,) = pair.problems
    assert problem["message"].startswith(f"Fatal error: protocol.{message}")
    pair.problems.clear()


def test_an_exception_in_connection_made_is_reported_and_no_more(pair):
    class Broken(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise KeyError("made")

    async def main():
        client, server = await connect(pair, Broken, Broken)
        client.transport.write(b"question")
        await until(lambda: server.data)
        server.transport.write(b"answer")
        await until(lambda: client.data)
        client.transport.close()
        assert (await client.lost, await server.lost) == (None, None)

    pair.run(main())
    assert [problem["message"] for problem in pair.problems] == ["protocol.connection_made() call failed."] * 2
    pair.problems.clear()


def test_everybody_is_told_once_when_the_peer_vanishes(pair):
    async def main():
        client, _ = await connect(pair)
        pair.remote_driver.close()
        assert isinstance(await client.lost, ConnectionResetError)
        await asyncio.sleep(0.02)
        assert client.calls == ["made", "lost"]

    pair.run(main())
