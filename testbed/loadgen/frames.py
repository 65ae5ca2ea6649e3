"""Frames over one connection, as applications in real time send them: calls, video, blocks, cross traffic, dialogues.

``frames server --listen ADDRESS:PORT`` prints ``{"ready": ...}`` and serves until SIGTERM; then it prints what it
received. ``frames client --connect ADDRESS:PORT --traffic voice:codec=g711 --direction both --seconds 30`` sends
``upload``, receives ``download`` or does both at once, and prints its result as JSON. ``--direction dialogue`` sends a
request frame of the model, waits for the answer of ``--answer-bytes``, and sends the next at the model's gap after it.

The delay of a frame is the time from when it was due to when the other application had all of it; of a dialogue, from
the request to the answer. ``--raw DIRECTORY`` writes one row a frame to ``frames-<direction>.csv`` there, at the end
that receives. Exit code: 0 when every frame arrived, 1 when not, 2 for bad arguments.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from testbed.errors import LabError
from testbed.loadgen import framing
from testbed.loadgen.framing import Log, Malformed
from testbed.loadgen.options import (
    Endpoint,
    Parser,
    add_stack_arguments,
    endpoint,
    event_loop,
    natural_int,
    positive_int,
    positive_seconds,
    report_error,
    stack_report,
)
from testbed.loadgen.serving import until_stopped
from testbed.loadgen.traffic import Model, parse_model

DIRECTIONS = ("upload", "download", "both", "dialogue")


@dataclass(frozen=True)
class Order:
    """What the client wants, its first line: a direction as it sees it, a traffic model, its length and its dice."""

    direction: str
    traffic: str
    seconds: float
    seed: int
    answer_bytes: int = 0

    def to_line(self) -> bytes:
        """Return the order as the first line of a connection."""
        return json.dumps(vars(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Order:
        """Read the first line of a connection; raises ``ValueError`` when it is no order."""
        try:
            order = cls(**json.loads(line))
            order.model  # noqa: B018  # a model that does not exist is no order
        except (TypeError, LabError) as error:
            raise ValueError(str(error)) from error
        return order

    @property
    def model(self) -> Model:
        """The traffic model; raises :class:`LabError` when there is none of that name."""
        return parse_model(self.traffic)

    def seed_of(self, direction: str) -> int:
        """The seed of one direction: a call's two ends do not speak alike."""
        return self.seed * 2 + (direction == "download")


def _sends(end: str, direction: str) -> bool:
    return direction in ("both", "upload" if end == "client" else "download")


async def _exchange(
    end: str, order: Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Log
) -> int:
    """Do one end's part of the order; return the number of frames sent. Raises as sending and receiving do."""
    ours = "upload" if end == "client" else "download"
    theirs = "download" if end == "client" else "upload"
    async with asyncio.TaskGroup() as tasks:
        sending = None
        if _sends(end, order.direction):
            sending = tasks.create_task(framing.send(writer, order.model, order.seconds, order.seed_of(ours)))
        if order.direction in ("both", theirs):
            tasks.create_task(framing.receive(reader, log))
    return sending.result() if sending else 0


async def _ask(order: Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Log) -> int:
    """Send one request after the other, each after the answer to the last; ``log`` takes answers and their delays."""
    end_ns = time.monotonic_ns() + round(order.seconds * 1e9)
    number = 0
    for gap_ns, size_bytes in order.model.frames(Random(order.seed_of("upload"))):
        await asyncio.sleep(gap_ns / 1e9)
        now_ns = time.monotonic_ns()
        if now_ns >= end_ns:
            break
        writer.write(framing.frame_bytes(number, size_bytes, now_ns))
        answer = await framing.receive_one(reader, number)
        if answer is None:
            raise Malformed(f"the server ended before its answer to request {number}")
        log.frames.append(answer)
        number += 1
    log.complete = True
    return number


async def _answer(order: Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Log) -> int:
    """Answer every request with a frame that bears its number and time."""
    while True:
        try:
            request = await framing.receive_one(reader, len(log.frames))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            log.complete = True
            return len(log.frames)
        if request is None:
            raise Malformed("a dialogue has no end of frames")
        log.frames.append(request)
        writer.write(framing.frame_bytes(request.number, order.answer_bytes, request.due_ns))


def _failure(error: BaseException) -> str:
    """Name what went wrong, as the other generators do (``testbed.loadgen.client.FAILURES``)."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return {Malformed: "content", asyncio.IncompleteReadError: "short", TimeoutError: "timeout"}.get(
        type(error), "reset"
    )


_TROUBLE = (OSError, Malformed, EOFError, BaseExceptionGroup)


class Server:
    """Serves any number of connections."""

    def __init__(self, raw: Path | None) -> None:
        self._raw = raw
        self._accounts: list[tuple[Log, dict[str, Any]]] = []

    @property
    def accounts(self) -> list[dict[str, Any]]:
        """What came of each connection so far, also of those that have not ended."""
        return [{**account, "received": log.result()} for log, account in self._accounts]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        try:
            order = Order.from_line(await reader.readline())
        except (ValueError, OSError):
            writer.transport.abort()
            return
        log, account = Log(), {**vars(order), "sent_frames": 0, "failure": "unfinished"}
        self._accounts.append((log, account))
        try:
            part = _answer if order.direction == "dialogue" else partial(_exchange, "server")
            account.update(sent_frames=await part(order, reader, writer, log), failure=None)
        except _TROUBLE as error:
            account["failure"] = _failure(error)
        finally:
            writer.close()
        if self._raw is not None and log.frames and order.direction != "dialogue":
            log.write(self._raw / "frames-upload.csv")


async def serve(listen: Endpoint, raw: Path | None) -> dict[str, Any]:
    """Serve until SIGTERM or SIGINT; returns the account of all connections."""
    served = Server(raw)
    server = await asyncio.start_server(served.serve, listen.host, listen.port)
    await until_stopped(server, listen)
    return {
        "connections": served.accounts,
        "cpu_s": round(time.process_time(), 3),
        "stack": stack_report(asyncio.get_running_loop()),
    }


async def _connect(target: Endpoint, converter: Endpoint | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if converter is None:
        return await asyncio.open_connection(target.host, target.port)
    from mptcp_stack.runtime.proxy import convert

    return await convert.open_connection(converter, target.host, target.port)


async def converse(
    connect: Endpoint, order: Order, time_limit_s: float, raw: Path | None = None, converter: Endpoint | None = None
) -> dict[str, Any]:
    """Make one connection and do what ``order`` says; ``failure`` of the result is null or the reason.

    With ``converter`` the connection goes there, and from there to ``connect`` (RFC 8803). Raises ``OSError`` when the
    connection cannot be made.
    """
    log = Log()
    sent, failure, connection = 0, None, None
    try:
        async with asyncio.timeout(time_limit_s):
            reader, writer = await _connect(connect, converter)
            try:
                writer.write(order.to_line())
                if order.direction == "dialogue":
                    sent = await _ask(order, reader, writer, log)
                else:
                    sent = await _exchange("client", order, reader, writer, log)
                connection = writer.get_extra_info("mptcp")
                writer.write_eof()
                await reader.read()  # the server's close: by then it has everything
            finally:
                writer.transport.abort() if sys.exc_info()[0] else writer.close()
    except (TimeoutError, *_TROUBLE) as error:
        if not log.frames and not sent and isinstance(error, OSError) and not isinstance(error, TimeoutError):
            raise
        failure = _failure(error)
    if raw is not None and log.frames:
        log.write(raw / f"frames-{'dialogue' if order.direction == 'dialogue' else 'download'}.csv")
    stack = stack_report(asyncio.get_running_loop())
    if stack is not None:
        stack["connection"] = connection
    return {
        "generator": "loadgen-frames",
        **vars(order),
        "sent_frames": sent,
        "received": log.result(),
        "failure": failure,
        "cpu_s": round(time.process_time(), 3),
        "stack": stack,
    }


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.frames", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server", help="serve connections")
    server.add_argument("--listen", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client = roles.add_parser("client", help="make one connection")
    client.add_argument("--connect", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client.add_argument("--converter", type=endpoint, metavar="ADDRESS:PORT", help="the proxy to go by (RFC 8803)")
    client.add_argument("--traffic", required=True, metavar="MODEL[:KEY=VALUE,...]")
    client.add_argument("--direction", choices=DIRECTIONS, required=True, help="as the client sees it")
    client.add_argument("--seconds", type=positive_seconds, required=True)
    client.add_argument("--seed", type=natural_int, default=1)
    client.add_argument("--answer-bytes", type=positive_int, default=1000, help="of every answer in a dialogue")
    client.add_argument("--time-limit-s", type=positive_seconds, default=120.0, help="limit of the whole run")
    for role in (server, client):
        role.add_argument(
            "--raw", type=Path, metavar="DIRECTORY", help="write every received frame's times to a file here"
        )
        add_stack_arguments(role)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve or make one connection; returns the exit code."""
    arguments = _arguments(argv)
    try:
        if arguments.role == "client":
            order = Order(
                arguments.direction, arguments.traffic, arguments.seconds, arguments.seed, arguments.answer_bytes
            )
            parse_model(order.traffic)
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            if arguments.role == "server":
                result = runner.run(serve(arguments.listen, arguments.raw))
            else:
                limit_s, raw = arguments.time_limit_s, arguments.raw
                result = runner.run(converse(arguments.connect, order, limit_s, raw, arguments.converter))
    except (OSError, ValueError, LabError) as error:
        return report_error("testbed.loadgen.frames", error)
    print(json.dumps(result), flush=True)
    return 1 if result.get("failure") else 0


if __name__ == "__main__":
    sys.exit(main())
