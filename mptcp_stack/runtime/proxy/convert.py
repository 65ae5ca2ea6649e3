"""The TCP Convert Protocol (RFC 8803): a client asks a proxy, its Transport Converter, to connect it to a server.

Messages are a fixed header and TLVs, in front of the stream in each direction. Here they are the first bytes after the
handshake: our stack sends no data in a SYN, so that a conversion costs one round trip to the converter more than the
RFC's 0-RTT. The client's own data may follow its message at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from struct import Struct
from typing import Final, NamedTuple

from mptcp_stack.runtime.config import IpAddress

VERSION, MAGIC = 1, 0x2263
_HEADER = Struct("!BBH")
"""Version, total length in units of four bytes, magic number (section 6.1)."""
_TLV = Struct("!BB")
_CONNECT = Struct("!BBH16s")
_UNIT = 4
HEADER_BYTES = _HEADER.size
_MOST_UNITS: Final = 255
_IGNORED_OPTIONS: Final = frozenset((0, 1, 2, 3, 5))
"""TCP options of a Connect TLV that mean nothing for the connection to the server (sections 7.1 to 7.3)."""

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
    """A converter refused, or what it was asked was no Convert message; ``reason`` says why.

    ``value`` is what an Error TLV says beside: the message that is refused, versions, options, a code of ICMP.
    """

    def __init__(self, reason: Reason, value: bytes = b"") -> None:
        super().__init__(f"Convert Protocol: {reason.name.lower().replace('_', ' ')}")
        self.reason = reason
        self.value = value


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


def encode_error(reason: Reason, value: bytes = b"") -> bytes:
    """The converter's answer when it does not connect (section 6.2.8); of a long `value` as much as a message takes."""
    value = (bytes((reason,)) + (value or b"\0"))[: _MOST_UNITS * _UNIT - HEADER_BYTES - _TLV.size]
    units = -(-(_TLV.size + len(value)) // _UNIT)
    return _message((_TLV.pack(Kind.ERROR, units) + value).ljust(units * _UNIT, b"\0"))


def rejected(reason: Reason, message: bytes) -> ConvertError:
    """The error that sends back the `message` it is about, aligned as it was (figure 23)."""
    return ConvertError(reason, b"\0" + message)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """The message at the front of a stream. Raises ConvertError, EOFError, ConnectionError for one without a length."""
    header = await reader.readexactly(HEADER_BYTES)
    return header + await reader.readexactly(message_bytes(header) - len(header))


def message_bytes(header: bytes) -> int:
    """The length of the message that begins with this fixed header. Raises ConvertError.

    Raises ConnectionError for a length of zero, for which the connection is reset (section 6.1).
    """
    version, units, magic = _HEADER.unpack(header)
    if magic != MAGIC:
        raise rejected(Reason.MALFORMED_MESSAGE, header)
    if version != VERSION:
        raise ConvertError(Reason.UNSUPPORTED_VERSION, bytes((VERSION,)))
    if not units:
        raise ConnectionResetError("Convert Protocol: a message without a length")
    return int(units) * _UNIT


def decode_connect(message: bytes) -> Target:
    """What a client's message asks for. Raises ConvertError."""
    for kind, value in _tlvs(message):
        if kind == Kind.CONNECT:
            if len(value) < _CONNECT.size - _TLV.size:
                raise rejected(Reason.MALFORMED_MESSAGE, message)
            if unsupported := [kind for kind in _option_kinds(value[18:], message) if kind not in _IGNORED_OPTIONS]:
                raise ConvertError(Reason.UNSUPPORTED_TCP_OPTION, bytes(unsupported))
            ip, port = IPv6Address(value[2:18]), int.from_bytes(value[:2], "big")
            if not port:
                raise rejected(Reason.MALFORMED_MESSAGE, message)
            return Target(ip.ipv4_mapped or ip, port)
    raise rejected(Reason.UNSUPPORTED_MESSAGE, message)


def check_answer(message: bytes) -> None:
    """Raise the ConvertError that a converter's message tells of, if it does."""
    for kind, value in _tlvs(message):
        if kind == Kind.ERROR:
            code = value[0] if value else Reason.MALFORMED_MESSAGE
            raise ConvertError(Reason(code) if code in set(Reason) else Reason.NETWORK_FAILURE, value[1:])


def _message(tlvs: bytes) -> bytes:
    return _HEADER.pack(VERSION, (HEADER_BYTES + len(tlvs)) // _UNIT, MAGIC) + tlvs


def _tlvs(message: bytes) -> Iterator[tuple[int, bytes]]:
    rest = message[HEADER_BYTES:]
    while rest:
        kind, units = _TLV.unpack_from(rest) if len(rest) >= _UNIT else (0, 0)
        if not units or units * _UNIT > len(rest):
            raise rejected(Reason.MALFORMED_MESSAGE, message)
        yield kind, rest[_TLV.size : units * _UNIT]
        rest = rest[units * _UNIT :]


def _option_kinds(options: bytes, message: bytes) -> Iterator[int]:
    """The TCP options that a Connect TLV asks for, up to the padding (figure 19)."""
    while options.strip(b"\0"):
        kind, length = _TLV.unpack_from(options) if len(options) >= _TLV.size else (0, 0)
        if not _TLV.size <= length <= len(options):
            raise rejected(Reason.MALFORMED_MESSAGE, message)
        yield kind
        options = options[length:]


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
        self._refused: ConnectionError | None = None
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
        except ConnectionError as error:
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
