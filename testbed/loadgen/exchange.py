"""One connection on which both ends send at once, in rounds with a pause between them, and say what arrived.

``exchange server --listen ADDRESS:PORT`` prints ``{"ready": ...}``, serves any number of connections, and on SIGTERM
prints the account of all. ``exchange client --connect ADDRESS:PORT --bytes 500000 --rounds 2 --pause-s 0.5`` opens
with one JSON line that says what it wants; then, each round, either end sends so many bytes of content. After the last
one the client ends its side, and the server its own when everything has come. The client prints its account as JSON.

Both accounts tell how many bytes arrived, whether they were the content, and SHA-256 of what was sent and received, so
that whoever compares them sees whatever the network did to either direction. Exit code: 0 when the client got
everything, 1 when not, 2 for bad arguments. ``failure`` is null or one of :data:`testbed.loadgen.client.FAILURES`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testbed.loadgen import content
from testbed.loadgen.failures import not_connected
from testbed.loadgen.options import (
    Endpoint,
    Parser,
    add_stack_arguments,
    endpoint,
    event_loop,
    positive_int,
    positive_seconds,
    report_error,
    stack_report,
)
from testbed.loadgen.serving import until_stopped

READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Order:
    """What the client wants: so many bytes each way in each of the rounds."""

    round_bytes: int
    rounds: int


class Stream:
    """One end of the connection: sends content, compares and hashes what comes. Raises OSError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()
        self.sent_bytes = self.received_bytes = 0
        self.content_ok = True
        self.failure: str | None = "unfinished"

    async def send(self, count: int) -> None:
        """Send the next bytes of the content."""
        end = self.sent_bytes + count
        while self.sent_bytes < end:
            piece = content.chunk(self.sent_bytes, min(READ_BYTES, end - self.sent_bytes))
            self.sent_bytes += len(piece)
            self._sent.update(piece)
            self._writer.write(piece)
            await self._writer.drain()

    async def receive(self, count: int) -> None:
        """Receive bytes until there were so many in all. Raises EOFError when the stream ends before."""
        while self.received_bytes < count:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise EOFError
            self._take(data)

    async def receive_rest(self) -> None:
        """Receive what still comes until the other side's end."""
        while data := await self._reader.read(READ_BYTES):
            self._take(data)

    def _take(self, data: bytes) -> None:
        self.content_ok &= content.matches(data, self.received_bytes)
        self._received.update(data)
        self.received_bytes += len(data)

    def account(self) -> dict[str, Any]:
        """Return what was sent and received so far."""
        return {
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
            "content_ok": self.content_ok,
            "sent_sha256": self._sent.hexdigest(),
            "received_sha256": self._received.hexdigest(),
            "failure": self.failure,
        }


async def exchange(connect: Endpoint, order: Order, pause_s: float, time_limit_s: float) -> dict[str, Any]:
    """Play the client's part and return its account; ``elapsed_s`` is without the pauses."""
    began = time.monotonic()
    stream: Stream | None = None
    writer: asyncio.StreamWriter | None = None
    failure: str | None
    try:
        async with asyncio.timeout(time_limit_s):
            reader, writer = await asyncio.open_connection(connect.host, connect.port)
            stream = Stream(reader, writer)
            writer.write(json.dumps(vars(order)).encode() + b"\n")
            for number in range(order.rounds):
                if number:
                    await asyncio.sleep(pause_s)
                await asyncio.gather(stream.send(order.round_bytes), stream.receive((number + 1) * order.round_bytes))
            writer.write_eof()
            await stream.receive_rest()
        failure = None if stream.content_ok else "content"
    except TimeoutError:
        failure = "timeout"
    except EOFError:
        failure = "short"
    except OSError as error:
        failure = not_connected(error) if stream is None else "reset"
    if writer is not None:
        writer.transport.abort() if failure else writer.close()
    nothing = {"sent_bytes": 0, "received_bytes": 0, "content_ok": True, "sent_sha256": None, "received_sha256": None}
    return {
        "generator": "loadgen-exchange",
        **(stream.account() if stream else nothing),
        "elapsed_s": round(time.monotonic() - began - pause_s * (order.rounds - 1), 6),
        "failure": failure,
        "stack": stack_report(asyncio.get_running_loop()),
    }


class Server:
    """Serves exchanges until it is told to stop."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []

    async def serve(self, listen: Endpoint) -> dict[str, Any]:
        """Serve until SIGTERM or SIGINT; returns the account of all exchanges, finished or not."""
        server = await asyncio.start_server(self.answer, listen.host, listen.port)
        await until_stopped(server, listen)
        return {
            "exchanges": [stream.account() for stream in self.streams],
            "stack": stack_report(asyncio.get_running_loop()),
        }

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play the server's part on one connection (asyncio)."""
        stream = Stream(reader, writer)
        self.streams.append(stream)
        try:
            order = Order(**json.loads(await reader.readline()))
            for number in range(order.rounds):
                received = number * order.round_bytes
                await stream.receive(received + 1)  # a round begins with the client's first byte
                await asyncio.gather(stream.send(order.round_bytes), stream.receive(received + order.round_bytes))
            await stream.receive_rest()
            stream.failure = None if stream.content_ok else "content"
            writer.close()  # only now: to the client our end means that everything has come
        except EOFError:
            stream.failure = "short"
        except (ValueError, TypeError):  # no order
            stream.failure = "malformed"
        except OSError:
            stream.failure = "reset"
        if stream.failure:
            writer.transport.abort()


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.exchange", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server", help="serve exchanges")
    server.add_argument("--listen", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client = roles.add_parser("client", help="make one exchange")
    client.add_argument("--connect", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client.add_argument("--bytes", type=positive_int, required=True, help="each way, each round")
    client.add_argument("--rounds", type=positive_int, default=1)
    client.add_argument("--pause-s", type=positive_seconds, default=0.5, help="between two rounds")
    client.add_argument("--time-limit-s", type=positive_seconds, default=60.0, help="limit of the whole run")
    for role in (server, client):
        add_stack_arguments(role)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve or make one exchange; returns the exit code."""
    arguments = _arguments(argv)
    try:
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            if arguments.role == "server":
                result = runner.run(Server().serve(arguments.listen))
            else:
                order = Order(arguments.bytes, arguments.rounds)
                result = runner.run(exchange(arguments.connect, order, arguments.pause_s, arguments.time_limit_s))
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.exchange", error)
    print(json.dumps(result), flush=True)
    return 1 if result.get("failure") else 0


if __name__ == "__main__":
    sys.exit(main())
