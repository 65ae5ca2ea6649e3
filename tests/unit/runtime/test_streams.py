"""asyncio's streams, as any program uses them, over the stack."""

import asyncio
import hashlib
import random

import pytest

from mptcp_stack.phy import NO_OFFLOADS

SERVER = "10.0.0.2"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def exchange(data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(SERVER, 80)

    async def send() -> None:
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
            await writer.drain()
        writer.write_eof()

    _, answer = await asyncio.gather(send(), reader.read())
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("mptcp", [True, False])
@pytest.mark.parametrize("size", [1, 1000, 3_000_000])
def test_echo(make_pair, mptcp, size):
    pair = make_pair(mptcp=mptcp)
    pair.serve_streams(echo)
    data = random.Random(size).randbytes(size)
    assert pair.run(exchange(data)) == data


def test_echo_over_a_device_without_offloads(make_pair):
    pair = make_pair(NO_OFFLOADS)
    pair.serve_streams(echo)
    data = random.Random(1).randbytes(300_000)
    assert pair.run(exchange(data)) == data


def test_small_buffers(make_pair):
    pair = make_pair(send_buffer_bytes=20_000, receive_buffer_bytes=20_000)
    pair.serve_streams(echo)
    data = random.Random(1).randbytes(400_000)
    assert pair.run(exchange(data)) == data


def test_many_connections_at_once(pair):
    pair.serve_streams(echo)

    async def main():
        return await asyncio.gather(*(exchange(bytes([number]) * 2000) for number in range(60)))

    assert pair.run(main()) == [bytes([number]) * 2000 for number in range(60)]


def test_names_and_subflows_are_told(pair):
    told = asyncio.Queue()

    async def serve(reader, writer):
        await reader.read(1)
        told.put_nowait([writer.get_extra_info(name) for name in ("peername", "sockname", "mptcp")])
        writer.close()

    pair.serve_streams(serve)

    async def main():
        reader, writer = await asyncio.open_connection(SERVER, 80, local_addr=("10.0.0.1", 4444))
        assert writer.get_extra_info("peername") == (SERVER, 80)
        assert writer.get_extra_info("sockname") == ("10.0.0.1", 4444)
        writer.write(b"x")
        peer, own, info = await told.get()
        assert (peer, own) == (("10.0.0.1", 4444), (SERVER, 80))
        assert info["is_mptcp"]
        assert [(flow["local"], flow["bytes_received"]) for flow in info["subflows"]] == [((SERVER, 80), 1)]
        await reader.read()
        writer.close()

    pair.run(main())


def test_written_data_is_delivered_although_the_program_ends(make_pair):
    """The kernel would do that, too: closing the loop waits for it."""
    pair = make_pair(linger_s=5, send_buffer_bytes=4 << 20)
    digest = hashlib.sha256()

    class Sink(asyncio.Protocol):
        """A protocol hears of data before the peer hears that it has arrived; a stream's task only some turns later."""

        ended = False

        def data_received(self, data):
            digest.update(data)

        def eof_received(self):
            Sink.ended = True

    pair.serve(Sink)
    data = random.Random(1).randbytes(2_000_000)

    async def main():
        _, writer = await asyncio.open_connection(SERVER, 80)
        writer.write(data)
        writer.close()
        await writer.wait_closed()

    pair.run(main())
    pair.loop.close()
    assert Sink.ended
    assert digest.digest() == hashlib.sha256(data).digest()
