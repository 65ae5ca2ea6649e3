"""The TCP Convert Protocol (RFC 8803): a client asks a proxy, its Transport Converter, to connect it to a server.

Messages are a fixed header and TLVs, in front of the stream in each direction. Here they are the first bytes after the
handshake: our stack sends no data in a SYN, so that a conversion costs one round trip to the converter more than the
RFC's 0-RTT. The client's own data may follow its message at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import NamedTuple

VERSION, MAGIC = 1, 0x2263
_HEADER = Struct("!BBH")
"""Version, total length in units of four bytes, magic number (section 6.1)."""
_TLV = Struct("!BB")
_CONNECT = Struct("!BBH16s")
_UNIT = 4
HEADER_BYTES = _HEADER.size

IpAddress = IPv4Address | IPv6Address
Connected = tuple[asyncio.Transport, asyncio.BaseProtocol]


class Kind(IntEnum):
    """TLVs (section 6.2)."""

    INFO = 1
    CONNECT = 10
    EXTENDED_TCP_HEADER = 20
    SUPPORTED_EXTENSIONS = 21
    COOKIE = 22
    ERROR = 30


class Reason(IntEnum):
    """Codes of an Error TLV (section 6.2.8)."""

    UNSUPPORTED_VERSION = 0
    MALFORMED_MESSAGE = 1
    UNSUPPORTED_MESSAGE = 2
    MISSING_COOKIE = 3
    NOT_AUTHORIZED = 32
    UNSUPPORTED_TCP_OPTION = 33
    RESOURCE_EXCEEDED = 64
    NETWORK_FAILURE = 65
    CONNECTION_RESET = 96
    DESTINATION_UNREACHABLE = 97


class ConvertError(ConnectionError):
    """A converter refused, or what it was asked was no Convert message; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"Convert Protocol: {reason.name.lower().replace('_', ' ')}")
        self.reason = reason


class Target(NamedTuple):
    """Where a client wants to be connected to."""

    ip: IpAddress
    port: int


def encode_connect(target: Target) -> bytes:
    """A message with a Connect TLV (section 6.2.5); IPv4 addresses are mapped."""
    ip = target.ip.packed if target.ip.version == 6 else bytes(10) + b"\xff\xff" + target.ip.packed
    return _message(_CONNECT.pack(Kind.CONNECT, _CONNECT.size // _UNIT, target.port, ip))


def encode_success() -> bytes:
    """The converter's answer when the server has accepted: a header without TLVs."""
    return _message(b"")


def encode_error(reason: Reason) -> bytes:
    """The converter's answer when it does not connect (section 6.2.8)."""
    return _message(_TLV.pack(Kind.ERROR, 1) + bytes((reason, 0)))


def message_bytes(header: bytes) -> int:
    """The length of the message that begins with this fixed header. Raises ConvertError."""
    version, units, magic = _HEADER.unpack(header)
    if magic != MAGIC:
        raise ConvertError(Reason.MALFORMED_MESSAGE)
    if version != VERSION:
        raise ConvertError(Reason.UNSUPPORTED_VERSION)
    if not units:
        raise ConvertError(Reason.MALFORMED_MESSAGE)
    return int(units) * _UNIT


def decode_connect(message: bytes) -> Target:
    """What a client's message asks for. Raises ConvertError."""
    for kind, value in _tlvs(message):
        if kind == Kind.CONNECT:
            if len(value) < _CONNECT.size - _TLV.size:
                raise ConvertError(Reason.MALFORMED_MESSAGE)
            if len(value) > _CONNECT.size - _TLV.size:
                raise ConvertError(Reason.UNSUPPORTED_TCP_OPTION)
            ip = IPv6Address(value[2:18])
            return Target(ip.ipv4_mapped or ip, int.from_bytes(value[:2], "big"))
    raise ConvertError(Reason.UNSUPPORTED_MESSAGE)


def check_answer(message: bytes) -> None:
    """Raise the ConvertError that a converter's message tells of, if it does."""
    for kind, value in _tlvs(message):
        if kind == Kind.ERROR:
            code = value[0] if value else Reason.MALFORMED_MESSAGE
            raise ConvertError(Reason(code) if code in set(Reason) else Reason.NETWORK_FAILURE)


def _message(tlvs: bytes) -> bytes:
    return _HEADER.pack(VERSION, (HEADER_BYTES + len(tlvs)) // _UNIT, MAGIC) + tlvs


def _tlvs(message: bytes) -> Iterator[tuple[int, bytes]]:
    rest = message[HEADER_BYTES:]
    while rest:
        kind, units = _TLV.unpack_from(rest) if len(rest) >= _UNIT else (0, 0)
        if not units or units * _UNIT > len(rest):
            raise ConvertError(Reason.MALFORMED_MESSAGE)
        yield kind, rest[_TLV.size : units * _UNIT]
        rest = rest[units * _UNIT :]


async def create_connection(
    factory: Callable[[], asyncio.Protocol], converter: tuple[str, int], host: str, port: int
) -> Connected:
    """`loop.create_connection` by way of a converter at (address, port); `host` is an IP address.

    The protocol may send at once. It is closed with ConvertError when the converter refuses. Raises OSError when the
    converter cannot be reached, ValueError for a host that is no address.
    """
    target = Target(ip_address(host), port)
    inner = factory()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: _Converted(inner, encode_connect(target)), *converter)
    return transport, inner


async def open_connection(
    converter: tuple[str, int], host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """`asyncio.open_connection` by way of a converter; as `create_connection`."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(lambda: protocol, converter, host, port)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Converted(asyncio.Protocol):
    """Says where to in front of the stream, and takes the converter's answer off its front."""

    def __init__(self, inner: asyncio.Protocol, message: bytes) -> None:
        self._inner = inner
        self._message = message
        self._answer: bytes | None = b""
        self._refused: ConvertError | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._message)
        self._inner.connection_made(transport)
        self.pause_writing, self.resume_writing = self._inner.pause_writing, self._inner.resume_writing  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self._inner.data_received(data)
            return
        self._answer += data
        try:
            self._take_answer(self._answer)
        except ConvertError as error:
            self._refused = error
            self._transport.abort()

    def _take_answer(self, received: bytes) -> None:
        if len(received) < HEADER_BYTES:
            return
        length = message_bytes(received[:HEADER_BYTES])
        if len(received) < length:
            return
        check_answer(received[:length])
        self._answer = None
        if len(received) > length:
            self._inner.data_received(received[length:])

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._answer is not None:
            exc = ConnectionResetError("the converter closed without an answer")
        self._inner.connection_lost(self._refused or exc)
