"""A program that plays scripted ends of connections, over kernel sockets or our stack: `server` or `client`.

The client gets scenes as JSON and connects for each of them as often as it says. It opens with a line that tells
the server the scene's name and the server's steps; then both follow their steps, and at the end print what came of
it. A step is one of

    send N          write N bytes of the known content and drain
    read N          read N bytes; `read` alone: to the end of data
    shutdown        end our data
    close           close in an orderly way
    abort           reset
    until NAME N    wait until this side's counter NAME has grown by N since the program began
    observe         keep what this side's stack says of its connections
    run COMMAND     run a command in this host
    router COMMAND  run a command in the router
    backup          make the subflow of our second address a backup
    withdraw WHICH  withdraw our `first` address, the `second` (also without a word), or all `others` than the first
    announce WHICH  announce again what was withdrawn; `mapped`: in its form of IPv6; `nobody`: a multicast address
    reset           reset the subflow of our second address
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from testbed.interop.sides import KernelSide, OwnSide, Side
from testbed.loadgen import content
from testbed.loadgen.options import Endpoint, add_stack_arguments, endpoint, event_loop, stack_report

STEP_LIMIT_S = 15.0
"""Chosen: for what one side waits for; longer than a scene's other side (`play`) takes to give up."""
REST_LIMIT_S = 6.0
"""Chosen: what has not closed by then counts as left."""
_POLL_S = 0.005
"""Chosen: between two looks at what is left."""


@dataclass(frozen=True)
class Scene:
    """What both sides do, and how many connections do it, so many at once; `early`: the first bytes go with the SYN."""

    name: str
    client: list[str]
    server: list[str]
    connections: int = 1
    at_once: int = 1
    early: bool = False


@dataclass
class Outcome:
    """What one end saw.

    `end`: the peer's end of data was read; `error`: name of the exception that came instead, and `failed` the step
    it came in; `mptcp`: whether it was MPTCP, at the time of `observe` or else of the start; `state`: as observed.
    """

    scene: str
    received: int = 0
    content_ok: bool = True
    end: bool = False
    error: str | None = None
    failed: str | None = None
    mptcp: bool | None = None
    state: Any = None


class End:
    """One end of a connection, following steps."""

    def __init__(self, scene: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, player: Player) -> None:
        self._reader, self._writer = reader, writer
        self._player = player
        self._sent = 0
        self.outcome = Outcome(scene, mptcp=player.side.is_mptcp(writer))

    async def play(self, steps: list[str]) -> Outcome:
        """Follow the steps; what went wrong is in the outcome."""
        outcome = self.outcome
        try:
            for step in steps:
                outcome.failed = step
                name, *words = step.split()
                async with asyncio.timeout(self._player.step_limit_s):
                    await getattr(self, name)(*words)
            outcome.failed = None
        except (OSError, EOFError, subprocess.CalledProcessError) as error:
            outcome.error = type(error).__name__
        finally:
            self._writer.close()
        return outcome

    async def send(self, count: str) -> None:
        """Write known content and drain."""
        left = int(count)
        while left:
            piece = content.chunk(self._sent, left)
            self._writer.write(bytes(piece))
            await self._writer.drain()
            self._sent += len(piece)
            left -= len(piece)

    async def read(self, count: str = "") -> None:
        """Read so many bytes, or to the end of data. Raises EOFError."""
        outcome = self.outcome
        left = int(count) if count else None
        while left is None or left > 0:
            data = await self._reader.read(1 << 16 if left is None else left)
            if not data:
                outcome.end = True
                break
            outcome.content_ok &= content.matches(data, outcome.received)
            outcome.received += len(data)
            left = left if left is None else left - len(data)
        if left:
            raise EOFError

    async def shutdown(self) -> None:
        """End our data."""
        self._writer.write_eof()

    async def close(self) -> None:
        """Close in an orderly way."""
        self._writer.close()
        await self._writer.wait_closed()

    async def abort(self) -> None:
        """Reset."""
        # Without it asyncio's abort is an orderly close.
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def until(self, name: str, count: str) -> None:
        """Wait for a counter."""
        while self._player.counted(name) < int(count):
            await asyncio.sleep(_POLL_S)

    async def observe(self) -> None:
        """Keep what this side's stack says."""
        side = self._player.side
        self.outcome.mptcp = side.is_mptcp(self._writer)
        self.outcome.state = side.state(self._writer)

    async def run(self, *command: str) -> None:
        """Run a command in this host, in a thread: our stack must go on. Raises CalledProcessError."""
        await asyncio.to_thread(subprocess.run, command, check=True, stdin=subprocess.DEVNULL)

    async def router(self, *command: str) -> None:
        """Run a command in the router."""
        await self.run("nsenter", "-t", str(self._player.router_pid), "-n", *command)

    async def backup(self) -> None:
        """Make the second address's subflow a backup."""
        self._player.side.make_backup()

    async def withdraw(self, which: str = "second") -> None:
        """Withdraw addresses."""
        self._player.side.withdraw(which)

    async def announce(self, which: str = "second") -> None:
        """Announce again what was withdrawn, or a special address."""
        self._player.side.announce(which)

    async def reset(self) -> None:
        """Reset the second address's subflow."""
        self._player.side.reset()


class Player:
    """What the ends of one program share."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        loop = asyncio.get_running_loop()
        self.side: Side = OwnSide(loop, arguments.wrap_within) if hasattr(loop, "network") else KernelSide()
        self.step_limit_s: float = arguments.step_limit
        self.router_pid: int = arguments.router
        self._before: Mapping[str, int] = dict(self.side.counters())

    def counted(self, name: str) -> int:
        """Growth of a counter since the program began."""
        full = name if name.startswith(("Tcp", "MPTcpExt")) else f"MPTcpExt{name}"
        return self.side.counters().get(full, 0) - self._before.get(full, 0)

    async def come_to_rest(self) -> list[str]:
        """Wait for our stack's connections to end; what is left of them then."""
        deadline = time.monotonic() + REST_LIMIT_S
        while (left := self.side.left()) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
        return left


async def serve(arguments: argparse.Namespace) -> dict[str, Any]:
    """Play the server's ends until SIGTERM, and those that have begun to their end."""
    player = Player(arguments)
    outcomes: list[Outcome] = []
    playing: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        try:
            order = json.loads(await reader.readline())
            outcomes.append(await End(order["name"], reader, writer, player).play(order["server"]))
        except (OSError, ValueError) as error:
            outcomes.append(Outcome("", error=type(error).__name__))
        finally:
            playing.discard(task)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listen: Endpoint = arguments.listen
    server = await player.side.start_server(accept, listen.host, listen.port)
    print(json.dumps({"ready": {"host": listen.host, "port": listen.port}}), flush=True)
    await stop.wait()
    server.close()
    if playing:
        await asyncio.wait(playing, timeout=player.step_limit_s)
    left = await player.come_to_rest()
    return {"outcomes": [asdict(one) for one in outcomes], "left": left, "stack": stack_report(loop)}


async def connect(arguments: argparse.Namespace) -> dict[str, Any]:
    """Play the client's ends of all scenes, one scene after the other."""
    player = Player(arguments)
    remote: Endpoint = arguments.connect
    outcomes: list[Outcome] = []

    async def one(scene: Scene, turn: asyncio.Semaphore) -> None:
        async with turn:
            try:
                order = json.dumps({"name": scene.name, "server": scene.server}).encode() + b"\n"
                async with asyncio.timeout(player.step_limit_s):
                    if scene.early:
                        reader, writer = await player.side.connect_early(remote.host, remote.port, order)
                    else:
                        reader, writer = await asyncio.open_connection(remote.host, remote.port)
                        writer.write(order)
            except OSError as error:
                outcomes.append(Outcome(scene.name, error=type(error).__name__, failed="connect"))
                return
            outcomes.append(await End(scene.name, reader, writer, player).play(scene.client))

    for scene in [Scene(**fields) for fields in json.loads(arguments.scenes)]:
        turn = asyncio.Semaphore(scene.at_once)
        await asyncio.gather(*(one(scene, turn) for _ in range(scene.connections)))
    left = await player.come_to_rest()
    report = stack_report(asyncio.get_running_loop())
    return {"outcomes": [asdict(one) for one in outcomes], "left": left, "stack": report}


def main() -> None:
    """Play one side and print what came of it as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", type=endpoint)
    parser.add_argument("--connect", type=endpoint)
    parser.add_argument("--scenes", default="[]")
    parser.add_argument("--router", type=int, default=os.getpid(), help="a process in the router")
    parser.add_argument("--step-limit", type=float, default=STEP_LIMIT_S)
    parser.add_argument("--wrap-within", type=int, help="bytes until our data sequence numbers cross 2**32")
    add_stack_arguments(parser)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
        result = runner.run(serve(arguments) if arguments.listen else connect(arguments))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
