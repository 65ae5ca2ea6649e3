"""How TLS begins and ends over asyncio's transports: handshakes that are given up, farewells, files."""

import asyncio
import ssl

import pytest

from mptcp_stack.runtime.aio.connecting import Tls

from .conftest import SERVER, write_certificate


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    write_certificate(file, SERVER)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return ssl.create_default_context(cafile=str(file)), server


@pytest.mark.parametrize("how", ["cancelled", "timed out", "started on a connection"])
def test_a_handshake_that_is_given_up_ends_in_order(pair, contexts, how):
    """The server, which has not answered, sees what was said and then the end, as over the kernel."""
    client, _ = contexts
    accepted = asyncio.Queue()
    pair.serve_streams(lambda *streams: accepted.put_nowait(streams))

    async def begin():
        if how == "started on a connection":
            _, writer = await asyncio.open_connection(SERVER, 80)
            await writer.start_tls(client, server_hostname=SERVER)
        else:
            patience = {"ssl_handshake_timeout": 0.05} if how == "timed out" else {}
            await asyncio.open_connection(SERVER, 80, ssl=client, **patience)

    async def main():
        connecting = asyncio.ensure_future(begin())
        reader, writer = await accepted.get()
        assert await reader.readexactly(1) == b"\x16"  # handshake (RFC 8446 section 5.1)
        if how != "timed out":
            connecting.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionAbortedError)):
            await connecting
        await reader.read()
        assert reader.exception() is None
        writer.close()

    pair.run(main())
    pair.run(asyncio.sleep(0.05))
    assert pair.loop.network.stack.connections == ()


def test_a_silent_client_sees_the_end(pair, contexts):
    _, server = contexts
    pair.serve_streams(lambda *_: None, tls=Tls(server, server_side=True, handshake_timeout=0.05))

    async def main():
        reader, writer = await asyncio.open_connection(SERVER, 80)
        assert await reader.read() == b""
        writer.close()

    pair.run(main())


def test_what_follows_the_peer_s_farewell_is_sent_to_its_end(make_pair, contexts):
    """Output is flow controlled when close_notify arrives: asyncio's TLS closes, and writes the rest afterwards."""
    client, server = contexts
    pair = make_pair(send_buffer_bytes=50_000, receive_buffer_bytes=50_000)
    answered = 0

    async def answer(reader, writer):
        nonlocal answered
        await reader.readline()
        while not reader.at_eof():
            writer.write(bytes(100_000))
            answered += 100_000
            try:
                await writer.drain()
            except OSError:
                return

    pair.serve_streams(answer, tls=Tls(server, server_side=True))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client.wrap_bio(incoming, outgoing, server_hostname=SERVER)

    async def main():
        reader, writer = await asyncio.open_connection(SERVER, 80)

        async def do(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    writer.write(outgoing.read())
                    if data := await reader.read(1 << 16):
                        incoming.write(data)
                    else:
                        incoming.write_eof()

        await do(tls.do_handshake)
        tls.write(b"GET\n")
        writer.write(outgoing.read())
        await asyncio.sleep(0.1)  # all buffers fill up
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        writer.write(outgoing.read())
        await asyncio.sleep(0.1)
        received = 0

        async def read_all():
            nonlocal received
            while True:
                received += len(await do(lambda: tls.read(1 << 16)))

        with pytest.raises(ssl.SSLZeroReturnError):  # close_notify
            await read_all()
        assert received == answered > 100_000
        writer.close()

    pair.run(main())


def test_a_file_over_tls_begins_at_its_offset(pair, contexts, tmp_path):
    client, server = contexts
    accepted = asyncio.Queue()
    pair.serve_streams(lambda *streams: accepted.put_nowait(streams), tls=Tls(server, server_side=True))
    (tmp_path / "file").write_bytes(bytes(range(250)))

    async def main():
        _, writer = await asyncio.open_connection(SERVER, 80, ssl=client)
        reader, far = await accepted.get()
        with (tmp_path / "file").open("rb") as file:
            file.read(100)
            assert await pair.loop.sendfile(writer.transport, file) == 250
        writer.close()
        assert await reader.read() == bytes(range(250))
        far.close()

    pair.run(main())
