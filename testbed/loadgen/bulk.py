"""One long transfer over one connection, in either direction, its content checked by the receiver.

``bulk server --listen ADDRESS:PORT`` prints ``{"ready": ...}``, serves any number of transfers one after
another or at once, and on SIGTERM prints what it moved. ``bulk client --connect ADDRESS:PORT --direction
download --seconds 5`` makes one transfer, limited by ``--bytes`` or by ``--seconds``, and prints its result
as JSON. Exit code: 0 when it succeeded, 1 when not, 2 for bad arguments.

The client opens with one JSON line that says what it wants; after it, content flows until the sender's end
of data. The receiver counts and compares: the rate is its bytes over the time from its first byte to the
end of data. After an upload the server answers with its count, one JSON line. ``elapsed_s`` is what the client
waited: from connecting to the end of data or to that answer.

``--check content`` compares with the known content; ``--check sha256`` in addition hashes what each end sent or
received (a download's ``sent_sha256`` is in the server's account); ``--check none`` only counts. ``--timeline FILE``
of a download is a table of the bytes received so far, ten times a second, by the clock that all programs of a machine
share (CLOCK_MONOTONIC).
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
from pathlib import Path
from typing import Any

from testbed.loadgen import content
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

BUFFER_BYTES = content.CHUNK_BYTES
DIRECTIONS = ("download", "upload")
CHECKS = ("content", "sha256", "none")
TIMELINE_INTERVAL_S = 0.1
LONGEST_LINE_BYTES = 4096


@dataclass(frozen=True)
class Order:
    """What the client wants: a direction as it sees it, a limit in bytes or seconds, the receiver's check."""

    direction: str
    limit_bytes: int | None
    limit_seconds: float | None
    check: str

    def to_line(self) -> bytes:
        """Return the order as the first line of a connection."""
        return json.dumps(vars(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Order:
        """Read the first line of a connection; raises ``ValueError`` when it is no order."""
        try:
            return cls(**json.loads(line))
        except TypeError as error:
            raise ValueError(str(error)) from error


class _Hash:
    """SHA-256 of a stream, if the order asks for it."""

    def __init__(self, order: Order) -> None:
        self._hash = hashlib.sha256() if order.check == "sha256" else None

    def update(self, data: memoryview) -> None:
        if self._hash is not None:
            self._hash.update(data)

    @property
    def digest(self) -> str | None:
        return None if self._hash is None else self._hash.hexdigest()


class Sender:
    """Writes content to a transport as fast as its buffer takes it, until the order's limit."""

    def __init__(self, transport: asyncio.Transport, order: Order) -> None:
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._transport = transport
        self._limit_bytes = order.limit_bytes
        self._deadline = float("inf") if order.limit_seconds is None else time.monotonic() + order.limit_seconds
        self._paused = False
        self._hash = _Hash(order)
        self.sent_bytes = 0
        self.done = False

    def pause(self) -> None:
        """Stop until :meth:`resume`."""
        self._paused = True

    def resume(self) -> bool:
        """Write until the transport pauses; True once the last byte was written (tell it just once)."""
        self._paused = False
        while not self._paused and not self.done:
            left = content.CHUNK_BYTES if self._limit_bytes is None else self._limit_bytes - self.sent_bytes
            if left == 0 or time.monotonic() >= self._deadline:
                self.done = True
                return True
            piece = content.chunk(self.sent_bytes, left)
            self.sent_bytes += len(piece)
            self._hash.update(piece)
            self._transport.write(piece)
        return False

    @property
    def sha256(self) -> str | None:
        """Of what was sent so far; ``None`` when the order does not ask for it."""
        return self._hash.digest


class Receiver:
    """Counts and compares what arrives."""

    def __init__(self, order: Order) -> None:
        self._check = order.check != "none"
        self._hash = _Hash(order)
        self._first_ns = self._end_ns = 0
        self.received_bytes = 0
        self.content_ok = True

    def feed(self, data: memoryview) -> None:
        """Take the next bytes."""
        if not self.received_bytes:
            self._first_ns = time.monotonic_ns()
        if self._check and not content.matches(data, self.received_bytes):
            self.content_ok = False
        self._hash.update(data)
        self.received_bytes += len(data)

    def end(self) -> None:
        """Note the end of data."""
        self._end_ns = time.monotonic_ns()

    def result(self) -> dict[str, Any]:
        """Return count, rate and verdict; ``content_ok`` is null when it was not checked."""
        duration_s = (self._end_ns - self._first_ns) / 1e9 if self._first_ns else 0.0
        return {
            "received_bytes": self.received_bytes,
            "duration_s": round(duration_s, 6),
            "throughput_bps": round(self.received_bytes * 8 / duration_s) if duration_s else 0,
            "content_ok": self.content_ok if self._check else None,
            "received_sha256": self._hash.digest,
        }


class Peer(asyncio.BufferedProtocol):
    """What both ends share: one fixed receive buffer, a sender or a receiver, and lines around content."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._line = b""
        self.transport: asyncio.Transport
        self.sender: Sender | None = None
        self.receiver: Receiver | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the receive buffer (asyncio)."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what arrived to the receiver, or collect the line (asyncio)."""
        data = self._buffer[:nbytes]
        if self.receiver is not None:
            self.receiver.feed(data)
            return
        line, newline, rest = (self._line + bytes(data)).partition(b"\n")
        self._line = line
        if newline:
            self.line_received(line, memoryview(rest))
        elif len(line) > LONGEST_LINE_BYTES:
            self.transport.abort()

    def line_received(self, line: bytes, rest: memoryview) -> None:
        """Act on a whole line; ``rest`` is what came after it."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """Stop sending until the buffer drains (asyncio)."""
        if self.sender is not None:
            self.sender.pause()

    def resume_writing(self) -> None:
        """Go on sending (asyncio)."""
        if self.sender is not None and self.sender.resume():
            self.all_sent()

    def start_sending(self, order: Order) -> None:
        """Become the sender of ``order``."""
        self.sender = Sender(self.transport, order)
        self.resume_writing()

    def all_sent(self) -> None:
        """Act on the end of our data."""
        raise NotImplementedError


class ServerPeer(Peer):
    """The server's end of one transfer; what it moved is appended to ``transfers``."""

    def __init__(self, transfers: list[dict[str, Any]]) -> None:
        super().__init__()
        self._transfers = transfers
        self._order: Order | None = None

    def line_received(self, line: bytes, rest: memoryview) -> None:
        """Start what the client ordered."""
        try:
            self._order = Order.from_line(line)
        except ValueError:
            self.transport.abort()
            return
        if self._order.direction == "download":
            self.start_sending(self._order)
            return
        self.receiver = Receiver(self._order)
        if rest:
            self.receiver.feed(rest)

    def all_sent(self) -> None:
        """End a download."""
        # Not from within resume_writing: CPython 3.11 then reports the end of the connection twice.
        asyncio.get_running_loop().call_soon(self.transport.close)

    def eof_received(self) -> bool:
        """End an upload with the count; keep our side open for it (asyncio)."""
        if self.receiver is not None:
            self.receiver.end()
            self.transport.write(json.dumps(self.receiver.result()).encode() + b"\n")
            self.transport.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the account (asyncio)."""
        self._transfers.append(
            {
                "direction": self._order.direction if self._order else None,
                "sent_bytes": self.sender.sent_bytes if self.sender else 0,
                "sent_sha256": self.sender.sha256 if self.sender else None,
                "received_bytes": self.receiver.received_bytes if self.receiver else 0,
                "error": str(exc) if exc else None,
            }
        )


class ClientPeer(Peer):
    """The client's end of one transfer; :attr:`finished` resolves to the connection's error or ``None``."""

    def __init__(self, order: Order, finished: asyncio.Future[Exception | None]) -> None:
        super().__init__()
        self._order = order
        self.finished = finished
        self.answer: dict[str, Any] | None = None
        self._began_ns = self.answered_ns = time.monotonic_ns()

    @property
    def elapsed_s(self) -> float:
        """Time from before the connection was made to the answer."""
        return (self.answered_ns - self._began_ns) / 1e9

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the order and, for an upload, the content (asyncio)."""
        super().connection_made(transport)
        self.transport.write(self._order.to_line())
        if self._order.direction == "download":
            self.receiver = Receiver(self._order)
        else:
            self.start_sending(self._order)

    def all_sent(self) -> None:
        """End our data; the server's count follows."""
        self.transport.write_eof()

    def line_received(self, line: bytes, rest: memoryview) -> None:
        """Take the server's count."""
        self.answer = json.loads(line)
        self.answered_ns = time.monotonic_ns()

    def eof_received(self) -> None:
        """End a download (asyncio)."""
        if self.receiver is not None:
            self.receiver.end()
            self.answer = self.receiver.result()
            self.answered_ns = time.monotonic_ns()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the waiting client (asyncio)."""
        if not self.finished.done():
            self.finished.set_result(exc)

    def failure(self, error: Exception | None) -> str | None:
        """Name what was wrong with the transfer, if anything was."""
        if error is not None:
            return "reset"
        if self.answer is None:
            return "short"
        expected = self._order.limit_bytes if self.sender is None else self.sender.sent_bytes
        if expected is not None and self.answer["received_bytes"] != expected:
            return "short"
        return "content" if self.answer["content_ok"] is False else None


async def _write_timeline(receiver: Receiver, path: Path) -> None:
    """Write what was received so far until cancelled; each row at once, as the program may be ended."""
    with path.open("w", buffering=1) as file:
        file.write("time_ns,received_bytes\n")
        while True:
            file.write(f"{time.monotonic_ns()},{receiver.received_bytes}\n")
            await asyncio.sleep(TIMELINE_INTERVAL_S)


async def transfer(
    connect: Endpoint, order: Order, time_limit_s: float, timeline: Path | None = None
) -> dict[str, Any]:
    """Make one transfer and return its result, ``failure`` being null or the reason.

    Raises ``OSError`` when the connection cannot be made.
    """
    loop = asyncio.get_running_loop()
    peer = ClientPeer(order, loop.create_future())
    watch = None
    try:
        async with asyncio.timeout(time_limit_s):
            await loop.create_connection(lambda: peer, connect.host, connect.port)
            if timeline is not None and peer.receiver is not None:
                watch = loop.create_task(_write_timeline(peer.receiver, timeline))
            failure = peer.failure(await asyncio.shield(peer.finished))
    except TimeoutError:
        failure = "timeout"
        if hasattr(peer, "transport"):
            peer.transport.abort()
            await peer.finished
    finally:
        if watch is not None:
            watch.cancel()
    numbers = peer.answer or Receiver(order).result()
    stack = stack_report(loop)
    if stack is not None and hasattr(peer, "transport"):
        stack["connection"] = peer.transport.get_extra_info("mptcp")
    return {
        "generator": "loadgen-bulk",
        "direction": order.direction,
        **numbers,
        "elapsed_s": round(peer.elapsed_s, 6),
        "sent_sha256": peer.sender.sha256 if peer.sender else None,
        "failure": failure,
        "cpu_s": round(time.process_time(), 3),
        "stack": stack,
    }


async def serve(listen: Endpoint) -> dict[str, Any]:
    """Serve until SIGTERM or SIGINT; returns the account of all transfers."""
    loop = asyncio.get_running_loop()
    transfers: list[dict[str, Any]] = []
    server = await loop.create_server(lambda: ServerPeer(transfers), listen.host, listen.port)
    await until_stopped(server, listen)
    return {"transfers": transfers, "cpu_s": round(time.process_time(), 3), "stack": stack_report(loop)}


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.bulk", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server", help="serve transfers")
    server.add_argument("--listen", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client = roles.add_parser("client", help="make one transfer")
    client.add_argument("--connect", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client.add_argument("--direction", choices=DIRECTIONS, required=True, help="as the client sees it")
    limit = client.add_mutually_exclusive_group(required=True)
    limit.add_argument("--bytes", type=positive_int)
    limit.add_argument("--seconds", type=positive_seconds)
    client.add_argument("--check", choices=CHECKS, default="content", help="what the receiver compares")
    client.add_argument("--time-limit-s", type=positive_seconds, default=120.0, help="limit of the whole run")
    client.add_argument("--timeline", type=Path, metavar="FILE", help="write a download's progress to this CSV file")
    for role in (server, client):
        add_stack_arguments(role)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve or make one transfer; returns the exit code."""
    arguments = _arguments(argv)
    try:
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            if arguments.role == "server":
                result = runner.run(serve(arguments.listen))
            else:
                order = Order(arguments.direction, arguments.bytes, arguments.seconds, arguments.check)
                result = runner.run(transfer(arguments.connect, order, arguments.time_limit_s, arguments.timeline))
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.bulk", error)
    print(json.dumps(result), flush=True)
    return 1 if result.get("failure") else 0


if __name__ == "__main__":
    sys.exit(main())
