import asyncio
import datetime
import ssl
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mptcp_stack.runtime.streams import Tls

SERVER = "10.0.0.2"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's context and a server's, with a certificate that the client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(SERVER))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
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
