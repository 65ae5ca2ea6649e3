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
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address

from . import convert
from .convert import ConvertError, Reason, Target
from .relay import relay

__all__ = ["MODES", "Proxy", "Target"]

MODES = ("forward", "convert", "transparent")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
FindTarget = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Target]]

_REASONS = {
    errno.ECONNREFUSED: Reason.CONNECTION_RESET,
    errno.ECONNRESET: Reason.CONNECTION_RESET,
    errno.EHOSTUNREACH: Reason.DESTINATION_UNREACHABLE,
    errno.ENETUNREACH: Reason.DESTINATION_UNREACHABLE,
    errno.EMFILE: Reason.RESOURCE_EXCEEDED,
}


class Proxy:
    """Relays connections; give `handle` to `asyncio.start_server`.

    `mode` is one of MODES; `forward` needs `target`. `counters`: connections, refused, broken, bytes_up, bytes_down.
    Raises ValueError.
    """

    def __init__(self, mode: str, target: Target | None = None, connect_timeout_s: float = 30.0) -> None:
        if mode not in MODES:
            raise ValueError(f"proxy mode {mode!r}: not one of {', '.join(MODES)}")
        if (mode == "forward") != (target is not None):
            raise ValueError("a proxy has a target of its own in the mode forward, and in no other")
        self.mode = mode
        self._target = target
        self._connect_timeout_s = connect_timeout_s
        self._find_target: FindTarget = getattr(self, f"_{mode}")
        self.counters: Counter[str] = Counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one client to its server, and relay to the end of both."""
        self.counters["connections"] += 1
        try:
            server = await self._connect(await self._find_target(reader, writer))
        except (OSError, EOFError) as error:
            self.counters["refused"] += 1
            await self._refuse(writer, error)
            return
        if self.mode == "convert":
            writer.write(convert.encode_success())
        try:
            await relay((reader, writer), server, self.counters)
        except OSError:
            self.counters["broken"] += 1

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Target:
        assert self._target is not None
        return self._target

    async def _convert(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Target:
        header = await reader.readexactly(convert.HEADER_BYTES)
        rest = await reader.readexactly(convert.message_bytes(header) - len(header))
        return convert.decode_connect(header + rest)

    async def _transparent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Target:
        host, port = writer.get_extra_info("sockname")[:2]
        return Target(ip_address(host), port)

    async def _connect(self, target: Target) -> Streams:
        """A connection of the kernel's. Raises OSError."""
        family = socket.AF_INET6 if target.ip.version == 6 else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await asyncio.get_running_loop().sock_connect(connection, (str(target.ip), target.port))
            return await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise

    async def _refuse(self, writer: asyncio.StreamWriter, error: Exception) -> None:
        """Tell a client of the Convert Protocol why; end the connection without any data else."""
        if self.mode != "convert" or isinstance(error, EOFError):
            writer.transport.abort()
            return
        if isinstance(error, ConvertError):
            reason = error.reason
        else:
            reason = _REASONS.get(getattr(error, "errno", None) or 0, Reason.NETWORK_FAILURE)
        with suppress(OSError):
            writer.write(convert.encode_error(reason))
            await writer.drain()
        writer.close()
