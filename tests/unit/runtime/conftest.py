"""Two stacks on a cable in memory, both on one event loop: the loop's own is the client."""

import asyncio
import datetime
from collections.abc import Callable, Coroutine, Iterator
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mptcp_stack.phy import OFFLOADS, Capabilities, memory_pair
from mptcp_stack.runtime import EventLoop, Network, SocketNetwork
from mptcp_stack.runtime.aio.connecting import Tls
from mptcp_stack.runtime.aio.server import Server
from mptcp_stack.runtime.driver import Driver
from mptcp_stack.runtime.network import packed_address
from mptcp_stack.stack import LocalAddress, StackConfig

CLIENT, SERVER = "10.0.0.1", "10.0.0.2"


def stack_config(address: str, **settings: Any) -> StackConfig:
    return StackConfig(addresses=(LocalAddress(ip_address(address).packed, 24),), **settings)


class Pair:
    """`loop` has the client's stack; `serve` listens on the server's."""

    def __init__(self, capabilities: Capabilities = OFFLOADS, *, linger_s: float = 0.3, **settings: Any) -> None:
        near, far = memory_pair(capabilities)
        client = Network(stack_config(CLIENT, **settings), near, linger_s=linger_s, random_source=Random(1))
        self.loop = EventLoop(client)
        self.remote = Network(stack_config(SERVER, **settings), far, random_source=Random(2))
        self.remote_driver = Driver(self.loop, self.remote)
        self.problems: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))

    def serve(self, factory: Callable[[], asyncio.BaseProtocol], port: int = 80, tls: Tls | None = None) -> Server:
        server = Server(self.loop, self.remote_driver, [packed_address("", port)], factory, 100, tls)
        server.listen()
        return server

    def serve_streams(self, handler: Callable[..., Any], port: int = 80, tls: Tls | None = None) -> Server:
        def factory() -> asyncio.BaseProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=self.loop), handler, loop=self.loop)

        return self.serve(factory, port, tls)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(main, 20))

    def close(self) -> None:
        if not self.loop.is_closed():
            self.loop.close()
            self.remote.close()


@pytest.fixture
def make_pair() -> Iterator[Callable[..., Pair]]:
    pairs: list[Pair] = []

    def make(*args: Any, **settings: Any) -> Pair:
        pairs.append(Pair(*args, **settings))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()
        assert pair.problems == []


@pytest.fixture
def pair(make_pair) -> Pair:
    return make_pair()


@pytest.fixture
def networks():
    """A client's network and a server's, on one cable, each with its thread."""
    near, far = memory_pair()
    settings = {"send_buffer_bytes": 100_000, "receive_buffer_bytes": 100_000}
    with (
        SocketNetwork(Network(stack_config(CLIENT, **settings), near, linger_s=1)) as client,
        SocketNetwork(Network(stack_config(SERVER, **settings), far, linger_s=1)) as server,
    ):
        yield client, server


@pytest.fixture
def connected(networks):
    client, server = networks
    with server.socket() as listener, client.socket() as near:
        listener.bind(("", 80))
        listener.listen()
        near.connect((SERVER, 80))
        far, _ = listener.accept()
        with far:
            yield near, far


def write_certificate(file: Path, host: str) -> None:
    """A key and a certificate of its own for the server at an address."""
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
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
