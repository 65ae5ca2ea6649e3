"""The contract of asyncio.Transport, at the level of protocols."""

import asyncio

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


def test_abort_resets_the_peer(pair):
    async def main():
        client, server = await connect(pair)
        client.transport.write(b"lost")
        client.transport.abort()
        client.transport.abort()
        client.transport.close()
        assert await client.lost is None
        assert isinstance(await server.lost, ConnectionResetError)
        await asyncio.sleep(0.05)
        assert client.calls == ["made", "lost"]
        assert server.calls[-1] == "lost"

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
        await asyncio.sleep(0.05)
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


def test_sendfile(pair, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 3000)

    async def main():
        client, server = await connect(pair)
        with file.open("rb") as opened:
            assert await pair.loop.sendfile(client.transport, opened, 1) == 767_999
        client.transport.close()
        await server.lost
        assert server.data == file.read_bytes()[1:]

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
        ("connection_made", "connection_made()"),
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
    assert message in problem["message"]
    pair.problems.clear()


def test_everybody_is_told_once_when_the_peer_vanishes(pair):
    async def main():
        client, _ = await connect(pair)
        pair.remote_driver.close()
        assert isinstance(await client.lost, ConnectionResetError)
        await asyncio.sleep(0.02)
        assert client.calls == ["made", "lost"]

    pair.run(main())
