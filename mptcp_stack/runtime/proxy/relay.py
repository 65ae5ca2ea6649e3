"""Bytes from one stream to another, both ways, each end of data passed on by itself."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from struct import pack

_LINGER_NOT = pack("ii", 1, 0)
CHUNK_BYTES = 1 << 17
"""Chosen: two super-segments a turn; a stream reader holds back at the same size by default (2 * 64 KiB)."""


async def relay(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    counters: Counter[str],
) -> None:
    """Copy until both directions have ended; when one breaks, reset both (a proxy hides no loss).

    Counts bytes under `bytes_up` (to the server) and `bytes_down`. Raises OSError.
    """
    try:
        async with asyncio.TaskGroup() as directions:
            directions.create_task(_pump(client[0], server[1], counters, "bytes_up"))
            directions.create_task(_pump(server[0], client[1], counters, "bytes_down"))
    except BaseExceptionGroup as group:
        reset(client[1])
        reset(server[1])
        error = group.exceptions[0]
        raise error if isinstance(error, OSError) else group from None
    client[1].close()
    server[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counters: Counter[str], name: str) -> None:
    while data := await reader.read(CHUNK_BYTES):
        counters[name] += len(data)
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def reset(writer: asyncio.StreamWriter) -> None:
    """End with a RST: a kernel's socket would end in order, as if all had been said."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()
