import asyncio
import ssl

import pytest

from mptcp_stack.runtime.streams import Tls

from .conftest import SERVER, write_certificate


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's context and a server's, with a certificate that the client trusts."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    write_certificate(file, SERVER)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return ssl.create_default_context(cafile=str(file)), server


async def upper(reader, writer):
    writer.write((await reader.readexactly(100_000)).upper())
    writer.close()


def test_tls_from_the_beginning(pair, contexts):
    client, server = contexts
    pair.serve_streams(upper, tls=Tls(server, server_side=True))

    async def main():
        reader, writer = await asyncio.open_connection(SERVER, 80, ssl=client)
        assert writer.get_extra_info("cipher")
        assert writer.get_extra_info("mptcp")["is_mptcp"]
        writer.write(b"a" * 100_000)
        assert await reader.read() == b"A" * 100_000
        writer.close()

    pair.run(main())


def test_start_tls(pair, contexts):
    client, server = contexts

    async def serve(reader, writer):
        writer.write(b"go ahead")
        await writer.start_tls(server)
        await upper(reader, writer)

    pair.serve_streams(serve)

    async def main():
        reader, writer = await asyncio.open_connection(SERVER, 80)
        assert await reader.readexactly(8) == b"go ahead"
        await writer.start_tls(client, server_hostname=SERVER)
        writer.write(b"b" * 100_000)
        assert await reader.read() == b"B" * 100_000
        writer.close()

    pair.run(main())


def test_a_certificate_that_is_not_trusted(pair, contexts):
    pair.serve_streams(upper, tls=Tls(contexts[1], server_side=True))

    async def main():
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(SERVER, 80, ssl=True)

    pair.run(main())
    pair.problems.clear()
