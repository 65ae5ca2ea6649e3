import asyncio
import contextlib
import select
import socket
import ssl
import struct
import threading
import urllib.request

import pytest

from mptcp_stack.runtime import TlsSocket
from mptcp_stack.runtime.aio.connecting import Tls

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


@pytest.fixture
def blocking(contexts):
    """The contexts for blocking sockets."""
    for context in contexts:
        context.sslsocket_class = TlsSocket
    yield contexts
    for context in contexts:
        context.sslsocket_class = ssl.SSLSocket


def in_thread(target, *args):
    thread = threading.Thread(target=target, args=args)
    thread.start()
    return thread


def test_tls_over_blocking_sockets(connected, blocking):
    """Both directions at once, each more than the buffers hold; then without TLS."""
    near, far = connected
    data = bytes(range(250)) * 4000

    def serve():
        with blocking[1].wrap_socket(far, server_side=True) as secure:
            sender = in_thread(secure.sendall, data)
            with secure.makefile("rb") as received:
                assert received.read(len(data)) == data
            sender.join()
            secure.unwrap().sendall(b"in the clear")

    server = in_thread(serve)
    secure = blocking[0].wrap_socket(near, server_hostname=SERVER)
    assert secure.getpeercert()["subjectAltName"] == (("IP Address", SERVER),)
    assert secure.getpeername() == (SERVER, 80)
    sender = in_thread(secure.sendall, data)
    buffer = bytearray(len(data))
    with secure.makefile("rb") as received:
        assert received.readinto(buffer) == len(data)
    assert buffer == data
    sender.join()
    assert secure.unwrap().recv(100) == b"in the clear"
    server.join(5)
    secure.close()


def test_tls_without_waiting(connected, blocking):
    near, far = connected
    kept = []
    server = in_thread(lambda: kept.append(blocking[1].wrap_socket(far, server_side=True)) or kept[0].sendall(b"abc"))
    secure = blocking[0].wrap_socket(near, server_hostname=SERVER)
    server.join()
    secure.settimeout(0)
    received = b""
    while not received:
        try:
            received = secure.recv(10)
        except ssl.SSLWantReadError:
            assert not received
    assert received == b"abc"
    with pytest.raises(ssl.SSLWantReadError):
        secure.recv(10)
    secure.close()


@pytest.fixture
def secured(connected, blocking):
    """`connected` with TLS on both sides."""
    near, far = connected
    ends = []
    server = in_thread(lambda: ends.append(blocking[1].wrap_socket(far, server_side=True)))
    with blocking[0].wrap_socket(near, server_hostname=SERVER) as client:
        server.join()
        with ends[0]:
            yield client, ends[0]


@pytest.mark.parametrize(
    ("side", "settings"), [(0, {}), (1, {"server_side": True, "server_hostname": SERVER}), (0, {"server_hostname": ""})]
)
def test_wrong_arguments_are_refused_before_a_byte_is_sent(connected, blocking, side, settings):
    """Without a name to compare with, a context that compares would accept the certificate of any host."""
    near, far = connected
    with pytest.raises(ValueError, match="hostname"):
        blocking[side].wrap_socket(near, **settings)
    near.close()
    assert far.recv(1) == b""


def test_a_certificate_for_another_host(connected, blocking):
    near, far = connected

    def serve():
        with pytest.raises(ssl.SSLError):
            blocking[1].wrap_socket(far, server_side=True)

    server = in_thread(serve)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        blocking[0].wrap_socket(near, server_hostname="somebody-else.example")
    server.join(5)


def test_who_may_not_wait_is_told_to_wait_for_room_and_nothing_is_lost(secured):
    far, near = secured
    near.setblocking(False)
    sent = 0
    with contextlib.suppress(ssl.SSLWantWriteError):
        while sent < 3_000_000:
            sent += near.send(bytes(100_000))
    assert sent < 1_000_000
    received = []
    reader = in_thread(lambda: received.append(len(far.makefile("rb").read(sent + 100_000))))
    while True:
        try:
            sent += near.send(bytes(100_000))
            break
        except ssl.SSLWantWriteError:
            select.select([], [near], [], 5)
    near.close()
    reader.join(10)
    assert received == [sent]


def test_select_tells_of_every_record(secured):
    near, far = secured
    for number in range(20):
        far.sendall(b"line %d\n" % number)
    for number in range(20):
        assert near.pending() or select.select([near], [], [], 5)[0]
        assert near.recv(100) == b"line %d\n" % number


def test_what_the_examples_of_the_standard_library_do(networks, blocking):
    """A client is wrapped before it connects, a listener before it accepts."""
    client, server = networks
    with (
        blocking[1].wrap_socket(server.create_server(("", 443)), server_side=True) as listener,
        blocking[0].wrap_socket(client.socket(), server_hostname=SERVER) as near,
    ):

        def serve():
            with listener.accept()[0] as far:
                far.sendall(b"hello")

        thread = in_thread(serve)
        assert near.connect_ex((SERVER, 443)) == 0
        assert near.recv(100) == b"hello"
        assert near.getpeername() == (SERVER, 443)
        assert near.mptcp_info()["is_mptcp"]
        thread.join(5)


def test_a_reset_is_no_end(secured):
    near, far = secured
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    with pytest.raises(ConnectionResetError):
        near.recv(1)


def test_a_socket_of_the_standard_library(connected, contexts):
    """It does as well, but for names and options."""
    near, far = connected
    server = in_thread(lambda: contexts[1].wrap_socket(far, server_side=True).sendall(b"abc"))
    with contexts[0].wrap_socket(near, server_hostname=SERVER) as secure:
        assert type(secure) is ssl.SSLSocket
        assert secure.recv(3) == b"abc"
    server.join(5)


def test_https_of_the_standard_library(networks, blocking, monkeypatch):
    client, server = networks
    monkeypatch.setattr(socket, "create_connection", client.create_connection)
    monkeypatch.setenv("no_proxy", "*")
    with server.create_server(("", 443)) as listener:

        def serve():
            with blocking[1].wrap_socket(listener.accept()[0], server_side=True) as secure:
                secure.recv(1000)
                secure.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(100_000))

        thread = in_thread(serve)
        with urllib.request.urlopen(f"https://{SERVER}/", timeout=10, context=blocking[0]) as answer:
            assert len(answer.read()) == 100_000
        thread.join(5)


def test_a_blocking_client_that_does_not_trust(connected, blocking):
    near, far = connected

    def serve():
        with pytest.raises(ssl.SSLError):
            blocking[1].wrap_socket(far, server_side=True)

    server = in_thread(serve)
    distrustful = ssl.create_default_context()
    distrustful.sslsocket_class = TlsSocket
    with pytest.raises(ssl.SSLCertVerificationError):
        distrustful.wrap_socket(near, server_hostname=SERVER)
    server.join(5)
