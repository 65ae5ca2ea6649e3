"""A proxy from MPTCP to TCP: what arrives over the stack of the running loop goes on over the host kernel's TCP.

How it knows where to:

    forward       one server for all clients
    convert       each client says, by the Convert Protocol (RFC 8803)
    transparent   the client does not know of it: it stands on the way to the server, and the stack answers for every
                  address (the setting `transparent`)

On a loop of kernel sockets it is the same proxy for the kernel's MPTCP.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, Final

from mptcp_stack.runtime.config import IpAddress, IpNetwork

from . import convert
from .convert import ConvertError, Reason, Target
from .destinations import Destinations, plain
from .relay import CHUNK_BYTES, relay, reset

__all__ = ["MODES", "Proxy", "Target"]

MODES = ("forward", "convert", "transparent")

MOST_WAITING: Final = 1024
"""Clients without a connection to a server at any time: as many files as Linux lets a process open by default."""
MOST_WAITING_OF_A_CLIENT: Final = 256
"""Of them those from one address (RFC 8803 section 9.3): more than load generators open at once, and not all."""

_LINGER_S: Final = 2.0
"""How long a client may go on sending that was told why: data that nobody takes are answered with a reset, which may
come before what it was told is read. Then a client resets the connection itself (RFC 8803 section 6.2.8)."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
FindTarget = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Target]]

_REASONS: Final = {
    errno.ECONNREFUSED: Reason.CONNECTION_RESET,
    errno.ECONNRESET: Reason.CONNECTION_RESET,
    errno.EHOSTUNREACH: Reason.DESTINATION_UNREACHABLE,
    errno.ENETUNREACH: Reason.DESTINATION_UNREACHABLE,
    errno.EACCES: Reason.NOT_AUTHORIZED,
    errno.EPERM: Reason.NOT_AUTHORIZED,
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN),
        Reason.RESOURCE_EXCEEDED,
    ),
}
"""What the kernel says when it cannot connect; anything else is a failure of the network."""

_ICMP_CODES: Final = {
    (errno.ENETUNREACH, 4): 0,
    (errno.EHOSTUNREACH, 4): 1,
    (errno.ENETUNREACH, 6): 0,
    (errno.EHOSTUNREACH, 6): 3,
}
"""The codes of ICMP (RFC 792) and ICMPv6 (RFC 4443 section 3.1) that become these errors, by IP version."""


class Proxy:
    """Relays connections; give `handle` to `asyncio.start_server`.

    `mode` is one of MODES; `forward` needs `target`. In the other modes clients say where to: never to this host, nor
    to what is no single host elsewhere (see `destinations`), and only to the networks `allowed` if there are any.
    A client has `connect_timeout_s` to say where to, and its server as much again to answer; `most_waiting` bounds
    those who are not connected yet, `most_waiting_of_a_client` those of them from one address.
    `counters`: connections, refused, broken, bytes_up, bytes_down. Raises ValueError.
    """

    def __init__(
        self,
        mode: str,
        target: Target | None = None,
        connect_timeout_s: float = 30.0,
        *,
        allowed: Collection[IpNetwork] = (),
        most_waiting: int = MOST_WAITING,
        most_waiting_of_a_client: int = MOST_WAITING_OF_A_CLIENT,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"proxy mode {mode!r}: not one of {', '.join(MODES)}")
        if (mode == "forward") != (target is not None):
            raise ValueError("a proxy has a target of its own in the mode forward, and in no other")
        if allowed and mode == "forward":
            raise ValueError("allowed destinations are for the modes convert and transparent: forward has one")
        self.mode = mode
        self._target = target
        self._connect_timeout_s = connect_timeout_s
        self._destinations = Destinations(allowed)
        self._most_waiting = most_waiting
        self._most_waiting_of_a_client = most_waiting_of_a_client
        self._waiting: Counter[str] = Counter()
        self._find_target: FindTarget = getattr(self, f"_{mode}")
        self.counters: Counter[str] = Counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one client to its server, and relay to the end of both."""
        self.counters["connections"] += 1
        server = await self._open(reader, writer)
        if server is None:
            return
        if self.mode == "convert":
            writer.write(convert.encode_success())
        try:
            await relay((reader, writer), server, self.counters)
        except OSError:
            self.counters["broken"] += 1

    async def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams | None:
        """The connection to where a client wants to, None when it was refused."""
        client = str((writer.get_extra_info("peername") or ("",))[0])
        if self._waiting.total() >= self._most_waiting or self._waiting[client] >= self._most_waiting_of_a_client:
            await self._refuse(reader, writer, ConvertError(Reason.RESOURCE_EXCEEDED), linger_s=0)
            return None
        with self._counted(client):
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    target = await self._find_target(reader, writer)
                return await self._connect(target)
            except (OSError, EOFError) as error:
                await self._refuse(reader, writer, error)
        return None

    @contextmanager
    def _counted(self, client: str) -> Iterator[None]:
        """Count a client among those who wait, during the block."""
        self._waiting[client] += 1
        try:
            yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Target:
        assert self._target is not None
        if (plain(self._target.ip), self._target.port) == _reached(writer):
            raise ConvertError(Reason.NOT_AUTHORIZED)  # itself: it would connect to itself for ever
        return self._target

    async def _convert(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Target:
        message = await convert.read_message(reader)
        target = convert.decode_connect(message)
        reason = self._destinations.refusal(target.ip, {_reached(writer).ip, *_stack_addresses()})
        if reason is Reason.MALFORMED_MESSAGE:
            raise convert.rejected(reason, message)
        if reason is not None:
            raise ConvertError(reason)
        return target

    async def _transparent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Target:
        target = _reached(writer)
        if reason := self._destinations.refusal(target.ip, _stack_addresses()):
            raise ConvertError(reason)
        return target

    async def _connect(self, target: Target) -> Streams:
        """A connection of the kernel's. Raises ConvertError."""
        family = socket.AF_INET6 if target.ip.version == 6 else socket.AF_INET
        try:
            connection = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise _failed(error, target) from error
        connection.setblocking(False)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await asyncio.get_running_loop().sock_connect(connection, (str(target.ip), target.port))
            return await asyncio.open_connection(sock=connection)
        except OSError as error:
            connection.close()
            raise _failed(error, target) from error
        except BaseException:
            connection.close()
            raise

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, error: Exception, linger_s: float = _LINGER_S
    ) -> None:
        """End a client's connection: one of the Convert Protocol is told why, others and the speechless are reset."""
        self.counters["refused"] += 1
        if self.mode != "convert" or not isinstance(error, ConvertError):
            reset(writer)
            return
        with suppress(OSError):
            writer.write(convert.encode_error(error.reason, error.value))
            writer.write_eof()
            async with asyncio.timeout(linger_s):
                while await reader.read(CHUNK_BYTES):
                    pass
        writer.close()


def _failed(error: OSError, target: Target) -> ConvertError:
    """What a client is told of a connection that failed."""
    reason = _REASONS.get(error.errno or 0, Reason.NETWORK_FAILURE)
    code = _ICMP_CODES.get((error.errno or 0, target.ip.version), 0)
    return ConvertError(reason, bytes((code,)))


def _reached(writer: asyncio.StreamWriter) -> Target:
    """Our address and port that a client has connected to."""
    host, port = writer.get_extra_info("sockname")[:2]
    return Target(plain(ip_address(host)), port)


def _stack_addresses() -> set[IpAddress]:
    """The addresses of the stack of the running loop, also those that are away; none for a loop of kernel sockets."""
    network: Any = getattr(asyncio.get_running_loop(), "network", None)
    if network is None:
        return set()
    return {ip_address(address.ip) for address in (*network.stack.config.addresses, *network.stack.addresses)}
