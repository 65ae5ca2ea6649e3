"""HTTP server of the load generator: ``GET /bytes/<n>`` answers with the first n bytes of the known content.

One request a connection; the server closes first, as Apache does without keep-alive, or leaves that to the client
(``--closes-first client``). When it listens it prints ``{"ready": ...}`` on standard output, and on SIGTERM or SIGINT
one line with what it served; then it exits with 0.
"""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import httptools

from testbed.loadgen import content
from testbed.loadgen.options import (
    SERVER,
    Endpoint,
    Parser,
    add_closing_argument,
    add_stack_arguments,
    endpoint,
    event_loop,
    report_error,
    stack_report,
)
from testbed.loadgen.serving import until_stopped

BACKLOG = 1024
WHOLE_RESPONSE_BYTES = 1 << 22
"""Responses up to this size are kept ready as one object; larger ones are sent chunk by chunk."""
LARGEST_RESPONSE_BYTES = 1 << 40

_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def response_head(length: int, closes: bool) -> bytes:
    """Return status line and headers of a response with ``length`` bytes, after which the server ``closes`` or not."""
    return (
        b"HTTP/1.1 200 OK\r\nServer: mptcp-lab\r\nContent-Type: application/octet-stream\r\n"
        b"Content-Length: %d\r\nConnection: %s\r\n\r\n" % (length, b"close" if closes else b"keep-alive")
    )


@lru_cache(maxsize=64)
def whole_response(length: int, closes: bool) -> bytes:
    """Return the complete response, head and body in one object, so that they leave in the same segments."""
    return response_head(length, closes) + content.prefix(length)


def requested_length(path: bytes) -> int | None:
    """Return n of ``/bytes/<n>``, or ``None`` for any other path."""
    kind, _, number = path.rpartition(b"/")
    if kind != b"/bytes" or not number.isdigit() or int(number) > LARGEST_RESPONSE_BYTES:
        return None
    return int(number)


class ServerProtocol(asyncio.Protocol):
    """One connection: reads one request, answers it, and ``closes`` or waits for the client to do so."""

    __slots__ = ("_closes", "_counts", "_left", "_offset", "_parser", "_path", "_paused", "_transport")

    def __init__(self, counts: Counter[str], closes: bool) -> None:
        self._counts, self._closes = counts, closes
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._transport: asyncio.Transport
        self._paused = False
        self._offset = self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse; the answer starts in :meth:`on_message_complete` (asyncio)."""
        if self._transport.is_closing():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._answer("bad_requests", _BAD_REQUEST)

    def on_url(self, url: bytes) -> None:
        """Collect the path, which may arrive in pieces (httptools)."""
        self._path += url

    def on_message_complete(self) -> None:
        """Answer the request (httptools)."""
        if self._transport.is_closing() or self._left:
            return
        length = requested_length(self._path)
        if length is None:
            self._answer("not_found", _NOT_FOUND)
        elif length <= WHOLE_RESPONSE_BYTES:
            self._answer("requests", whole_response(length, self._closes), self._closes)
        else:
            self._left = length
            self._transport.write(response_head(length, self._closes))
            self._send_body()

    def pause_writing(self) -> None:
        """Stop sending until the buffer drains (asyncio)."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on sending a large body (asyncio)."""
        self._paused = False
        if self._left:
            self._send_body()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count connections that ended in an error (asyncio)."""
        if exc is not None:
            self._counts["connection_errors"] += 1

    def _send_body(self) -> None:
        while self._left and not self._paused:
            piece = content.chunk(self._offset, self._left)
            self._offset += len(piece)
            self._left -= len(piece)
            self._transport.write(piece)
        if not self._left:
            self._counts["requests"] += 1
            if self._closes:
                # Not from within resume_writing: CPython 3.11 then reports the end of the connection twice.
                asyncio.get_running_loop().call_soon(self._transport.close)

    def _answer(self, count: str, response: bytes, closes: bool = True) -> None:
        self._counts[count] += 1
        self._transport.write(response)
        if closes:
            self._transport.close()


async def start_server(listen: Endpoint, counts: Counter[str], closes: bool = True) -> asyncio.AbstractServer:
    """Serve at ``listen``; ``counts`` collects requests and errors. Raises ``OSError`` if it cannot bind.

    The server ``closes`` connections when it has answered, or leaves that to the client.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: ServerProtocol(counts, closes), listen.host, listen.port, backlog=BACKLOG)


async def _serve(listen: Endpoint, closes: bool) -> dict[str, Any]:
    counts: Counter[str] = Counter(requests=0, bad_requests=0, not_found=0, connection_errors=0)
    server = await start_server(listen, counts, closes)
    await until_stopped(server, listen)
    return {**counts, "stack": stack_report(asyncio.get_running_loop())}


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.server", description=__doc__)
    parser.add_argument("--listen", type=endpoint, required=True, metavar="ADDRESS:PORT")
    add_closing_argument(parser)
    add_stack_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; returns the exit code."""
    arguments = _arguments(argv)
    try:
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            report = runner.run(_serve(arguments.listen, arguments.closes_first == SERVER))
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.server", error)
    print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
