"""A program that plays scripted ends of connections, over kernel sockets or our stack: `server` or `client`.

The client gets scenes as JSON and connects for each of them as often as it says. It opens with a line that tells
the server the scene's name and the server's steps; then both follow their steps, and at the end print what came of
it. A step is one of

    send N      write N bytes of the known content and drain
    read N      read N bytes; `read` alone: to the end of data
    shutdown    end our data
    close       close in an orderly way
    abort       reset
    wait MS     do nothing for so many milliseconds
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import struct
import time
from dataclasses import asdict, dataclass
from typing import Any

from testbed.loadgen import content
from testbed.loadgen.options import Endpoint, add_stack_arguments, endpoint, event_loop, stack_report

SOL_MPTCP, MPTCP_INFO = 284, 1
STEP_LIMIT_S = 15.0
REST_LIMIT_S = 6.0


@dataclass(frozen=True)
class Scene:
    """What both sides do, and how many connections do it, so many at once."""

    name: str
    client: list[str]
    server: list[str]
    connections: int = 1
    at_once: int = 1


@dataclass
class Outcome:
    """What one end saw. `end`: the peer's end of data was read; `error`: name of the exception that came instead."""

    scene: str
    received: int = 0
    content_ok: bool = True
    end: bool = False
    error: str | None = None
    mptcp: bool | None = None


def is_mptcp(writer: asyncio.StreamWriter) -> bool:
    """Whether the connection is MPTCP and has not fallen back."""
    info = writer.get_extra_info("mptcp")
    if info is not None:
        return info["is_mptcp"]
    try:
        writer.get_extra_info("socket").getsockopt(SOL_MPTCP, MPTCP_INFO, 256)
    except OSError:
        return False
    return True


class End:
    """One end of a connection, following steps."""

    def __init__(self, scene: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._sent = 0
        self.outcome = Outcome(scene, mptcp=is_mptcp(writer))

    async def play(self, steps: list[str]) -> Outcome:
        try:
            for step in steps:
                name, *numbers = step.split()
                async with asyncio.timeout(STEP_LIMIT_S):
                    await getattr(self, name)(*map(int, numbers))
        except (OSError, EOFError) as error:
            self.outcome.error = type(error).__name__
        finally:
            self._writer.close()
        return self.outcome

    async def send(self, count: int) -> None:
        while count:
            piece = content.chunk(self._sent, count)
            self._writer.write(bytes(piece))
            await self._writer.drain()
            self._sent += len(piece)
            count -= len(piece)

    async def read(self, count: int | None = None) -> None:
        outcome = self.outcome
        while count is None or count > 0:
            data = await self._reader.read(1 << 16 if count is None else count)
            if not data:
                outcome.end = True
                break
            outcome.content_ok &= content.matches(data, outcome.received)
            outcome.received += len(data)
            count = count if count is None else count - len(data)
        if count:
            raise EOFError

    async def shutdown(self) -> None:
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def abort(self) -> None:
        if (kernel_socket := self._writer.get_extra_info("socket")) is not None:
            # Without it asyncio's abort is an orderly close.
            kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def wait(self, milliseconds: int) -> None:
        await asyncio.sleep(milliseconds / 1000)


async def come_to_rest() -> list[str]:
    """Wait for our stack's connections to end; what is left of them then. Nothing over kernel sockets."""
    network = getattr(asyncio.get_running_loop(), "network", None)
    if network is None:
        return []
    deadline = time.monotonic() + REST_LIMIT_S
    while network.stack.connections and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    return [
        f"{connection.mode.name} {[subflow.endpoint.state.name for subflow in connection.subflows]}"
        for connection in network.stack.connections
    ]


async def serve(listen: Endpoint) -> dict[str, Any]:
    """Play the server's ends until SIGTERM."""
    outcomes: list[Outcome] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            order = json.loads(await reader.readline())
        except OSError as error:
            outcomes.append(Outcome("", error=type(error).__name__))
            return
        outcomes.append(await End(order["name"], reader, writer).play(order["server"]))

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(accept, listen.host, listen.port, backlog=256)
    print(json.dumps({"ready": {"host": listen.host, "port": listen.port}}), flush=True)
    await stop.wait()
    server.close()
    return {"outcomes": [asdict(one) for one in outcomes], "left": await come_to_rest(), "stack": stack_report(loop)}


async def connect(remote: Endpoint, scenes: list[Scene]) -> dict[str, Any]:
    """Play the client's ends of all scenes, one scene after the other."""
    outcomes: list[Outcome] = []

    async def one(scene: Scene, turn: asyncio.Semaphore) -> None:
        async with turn:
            try:
                async with asyncio.timeout(STEP_LIMIT_S):
                    reader, writer = await asyncio.open_connection(remote.host, remote.port)
            except OSError as error:
                outcomes.append(Outcome(scene.name, error=f"connect: {type(error).__name__}"))
                return
            writer.write(json.dumps({"name": scene.name, "server": scene.server}).encode() + b"\n")
            outcomes.append(await End(scene.name, reader, writer).play(scene.client))

    for scene in scenes:
        turn = asyncio.Semaphore(scene.at_once)
        await asyncio.gather(*(one(scene, turn) for _ in range(scene.connections)))
    left = await come_to_rest()
    loop = asyncio.get_running_loop()
    return {"outcomes": [asdict(one) for one in outcomes], "left": left, "stack": stack_report(loop)}


def main() -> None:
    """Play one side and print what came of it as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=endpoint)
    parser.add_argument("--connect", type=endpoint)
    parser.add_argument("--scenes", default="[]")
    add_stack_arguments(parser)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
        if arguments.listen:
            result = runner.run(serve(arguments.listen))
        else:
            scenes = [Scene(**scene) for scene in json.loads(arguments.scenes)]
            result = runner.run(connect(arguments.connect, scenes))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
