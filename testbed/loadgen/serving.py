"""What the servers among the programs have in common: they say that they listen, and serve until told to end."""

from __future__ import annotations

import asyncio
import json
import signal

from testbed.loadgen.options import Endpoint


async def until_stopped(server: asyncio.AbstractServer, listen: Endpoint) -> None:
    """Print ``{"ready": ...}`` for ``server``, which listens at ``listen``, and close it at SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(json.dumps({"ready": {"host": listen.host, "port": listen.port}}), flush=True)
    await stop.wait()
    server.close()
