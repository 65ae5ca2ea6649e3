"""What both ends of a program are told: where, and with which certificates."""

import hashlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEGABYTE = 1_000_000
CHUNK_BYTES = 100_000


@dataclass(frozen=True)
class Place:
    """Where a server is; `tls`: whether it speaks TLS, with `certificate` and its `authority` (files)."""

    host: str
    port: int
    tls: bool
    folder: Path

    @property
    def certificate(self) -> str:
        """The server's, with its key."""
        return str(self.folder / "server.pem")

    @property
    def authority(self) -> str:
        """Who says so."""
        return str(self.folder / "authority.pem")

    def server_tls(self) -> ssl.SSLContext | None:
        """What a server needs, None without TLS."""
        if not self.tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context

    def client_tls(self) -> ssl.SSLContext | None:
        """What a client needs, None without TLS."""
        return ssl.create_default_context(cafile=self.authority) if self.tls else None

    def url(self, scheme: str, path: str = "") -> str:
        """`scheme`, with an s where TLS is."""
        return f"{scheme}{'s' if self.tls else ''}://{self.host}:{self.port}{path}"


Side = Callable[[Place], Any] | Callable[[Place], Awaitable[Any]]


def body(length: int) -> bytes:
    """Bytes to send; the same for the same length, and none like the next."""
    block = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(1024))
    return (block * (length // len(block) + 1))[:length]


def check(received: bytes, length: int) -> None:
    """Raise RuntimeError unless all of it came as it was."""
    if received != body(length):
        raise RuntimeError(f"{len(received)} of {length} bytes, or others")


def ready() -> None:
    """Tell that clients may come."""
    print("ready", flush=True)
