"""HTTP load in the manner of ApacheBench: N requests, each on its own connection.

A closed loop keeps C of them at once, and with ``--seconds`` begins none after that time. An open loop (``--rate``)
makes them when they arrive, whether those before are answered or not, C of them at the most; what must wait for one of
the C is late from when it was due.

Every response is compared with the known content, byte for byte. Progress goes to standard error as JSON
lines ``{"done", "failed", "requests", "elapsed_s"}``, the result to standard output as one JSON document.
Exit code: 0 when every request succeeded, 1 when some failed or the time limit came first, 2 for bad
arguments.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any, NamedTuple

import httptools

from testbed.loadgen import content
from testbed.loadgen.arrivals import PROCESSES, Arrivals
from testbed.loadgen.failures import NO_PORT, UNREACHABLE, not_connected
from testbed.loadgen.options import (
    CLIENT,
    Endpoint,
    Parser,
    add_closing_argument,
    add_stack_arguments,
    endpoint,
    event_loop,
    natural_int,
    positive_int,
    positive_number,
    positive_seconds,
    report_error,
    stack_report,
)
from testbed.loadgen.summary import describe_ms

PROGRESS_INTERVAL_S = 0.25
OK = "ok"
FAILURES = {
    "refused": "the connection was refused",
    NO_PORT: "no local port was free: earlier connections of this end wait in TIME-WAIT",
    UNREACHABLE: "the connection could not be made",
    "reset": "the connection was reset before everything had arrived",
    "short": "the connection ended before everything had arrived",
    "status": "the status was not 200",
    "length": "the body was not as long as asked for",
    "content": "what arrived was not what was sent",
    "malformed": "the response was not HTTP",
    "timeout": "not everything had arrived within the time limit",
    "unfinished": "the run's time limit came during the request",
}
"""Reasons under which failed requests are counted."""


class Timing(NamedTuple):
    """One request; times in ns since the run began, 0 for what did not happen.

    ``due_ns`` is when it was to be made: later than that in an open loop that is behind.
    """

    due_ns: int
    start_ns: int
    connected_ns: int
    end_ns: int
    outcome: str


@dataclass
class Load:
    """What to ask for, and how."""

    target: Endpoint
    size_bytes: int
    requests: int
    concurrency: int
    request_timeout_s: float = 60.0
    time_limit_s: float = 600.0
    arrivals: Arrivals | None = None
    seed: int = 1
    seconds: float | None = None
    """A closed loop begins no request after these, however many are left."""
    closes: bool = False
    """End a connection when its response is complete, or when the server has ended it."""

    def request_bytes(self) -> bytes:
        """Return the request, with the header fields that ApacheBench sends."""
        return (
            f"GET /bytes/{self.size_bytes} HTTP/1.0\r\nHost: {self.target}\r\n"
            "User-Agent: mptcp-lab\r\nAccept: */*\r\n\r\n"
        ).encode()


class Exchange(asyncio.Protocol):
    """One request and its response; :attr:`finished` resolves when the connection has ended."""

    __slots__ = (
        "_body_bytes", "_closes", "_declared_bytes", "_parser", "_request", "_size_bytes", "_status",
        "connected_ns", "end_ns", "finished", "outcome", "received_bytes", "transport",
    )  # fmt: skip

    def __init__(self, request: bytes, load: Load, finished: asyncio.Future[None]) -> None:
        self._request, self._closes = request, load.closes
        self._size_bytes = load.size_bytes
        self._body_bytes = self._status = 0
        self._declared_bytes: int | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.finished = finished
        self.transport: asyncio.Transport | None = None
        self.connected_ns = self.end_ns = self.received_bytes = 0
        self.outcome = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request (asyncio)."""
        assert isinstance(transport, asyncio.Transport)
        self.connected_ns = time.monotonic_ns()
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Parse the response (asyncio)."""
        self.received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._settle("malformed")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the declared length (httptools)."""
        if name.lower() == b"content-length":
            self._declared_bytes = int(value)

    def on_headers_complete(self) -> None:
        """Check the status (httptools)."""
        self._status = self._parser.get_status_code()
        if self._status != 200:
            self._settle("status")

    def on_body(self, body: bytes) -> None:
        """Compare with the known content (httptools)."""
        if not content.matches(body, self._body_bytes):
            self._settle("content")
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        """End the connection, if that is ours to do (httptools)."""
        if self._closes and self.transport is not None:
            self.end_ns = time.monotonic_ns()
            self.transport.close()

    def eof_received(self) -> None:
        """Take the time at the end of the response, as ApacheBench does, and let asyncio close (asyncio)."""
        self.end_ns = self.end_ns or time.monotonic_ns()

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge the response as a whole (asyncio)."""
        self.end_ns = self.end_ns or time.monotonic_ns()
        self._settle(self._verdict(exc))
        if not self.finished.done():
            self.finished.set_result(None)

    def _verdict(self, exc: Exception | None) -> str:
        if exc is not None:
            return "reset"
        expected = self._size_bytes if self._declared_bytes is None else self._declared_bytes
        if not self._status or self._body_bytes < expected:
            return "short"
        return OK if self._body_bytes == self._size_bytes else "length"

    def _settle(self, outcome: str) -> None:
        """Keep the first outcome; a failed response needs no more reading."""
        if self.outcome:
            return
        self.outcome = outcome
        if outcome != OK and self.transport is not None:
            self.transport.abort()


def cores_ticks() -> tuple[int, int]:
    """Return how long all cores together have been busy and idle, in clock ticks (proc(5))."""
    with open("/proc/stat") as file:
        user, nice, system, idle, waiting, *others = map(int, file.readline().split()[1:9])
    return user + nice + system + sum(others), idle + waiting


@dataclass
class Run:
    """A run in progress, and afterwards its result."""

    load: Load
    started: int = 0
    received_bytes: int = 0
    timings: list[Timing] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    cores_busy_share: float = 0.0
    _zero_ns: int = 0
    _request_bytes: bytes = b""

    def __post_init__(self) -> None:
        self._request_bytes = self.load.request_bytes()

    async def execute(self) -> None:
        """Make all requests, or as many as the run's time limit allows."""
        self._zero_ns, cores = time.monotonic_ns(), cores_ticks()
        progress = asyncio.create_task(self._report_progress())
        try:
            async with asyncio.timeout(self.load.time_limit_s), asyncio.TaskGroup() as requests:
                if self.load.arrivals is None:
                    for _ in range(min(self.load.concurrency, self.load.requests)):
                        requests.create_task(self._repeat())
                else:
                    await self._arrive(self.load.arrivals, requests)
        except TimeoutError:
            pass
        finally:
            progress.cancel()
            busy, idle = (now - then for now, then in zip(cores_ticks(), cores, strict=True))
            self.cores_busy_share = busy / max(1, busy + idle)
            self._print_progress()

    async def _repeat(self) -> None:
        last_ns = self._zero_ns + round((self.load.seconds or self.load.time_limit_s) * 1e9)
        while self.started < self.load.requests and (began_ns := time.monotonic_ns()) < last_ns:
            self.started += 1
            await self._request(began_ns)

    async def _arrive(self, arrivals: Arrivals, requests: asyncio.TaskGroup) -> None:
        """Start every request when it arrives, or when there is room for it."""
        room = asyncio.Semaphore(self.load.concurrency)
        due_ns = self._zero_ns
        for gap_ns in islice(arrivals.gaps_ns(Random(self.load.seed)), self.load.requests):
            due_ns += gap_ns
            while (wait_ns := due_ns - time.monotonic_ns()) > 0:
                await asyncio.sleep(wait_ns / 1e9)
            await room.acquire()
            self.started += 1
            requests.create_task(self._request(due_ns)).add_done_callback(lambda _: room.release())

    async def _request(self, due_ns: int) -> None:
        loop = asyncio.get_running_loop()
        exchange = Exchange(self._request_bytes, self.load, loop.create_future())
        start_ns = time.monotonic_ns()
        outcome = "unfinished"
        try:
            async with asyncio.timeout(self.load.request_timeout_s):
                await loop.create_connection(lambda: exchange, self.load.target.host, self.load.target.port)
                await exchange.finished
            outcome = exchange.outcome
        except TimeoutError:
            outcome = "timeout"
        except ConnectionRefusedError:
            outcome = "refused"
        except ConnectionResetError:
            outcome = "reset"
        except OSError as error:
            outcome = not_connected(error)
        finally:
            if exchange.transport is not None and not exchange.finished.done():
                exchange.transport.abort()
            self._record(exchange, due_ns, start_ns, outcome)

    def _record(self, exchange: Exchange, due_ns: int, start_ns: int, outcome: str) -> None:
        zero = self._zero_ns
        connected = exchange.connected_ns - zero if exchange.connected_ns else 0
        end_ns = exchange.end_ns or time.monotonic_ns()
        self.timings.append(Timing(due_ns - zero, start_ns - zero, connected, end_ns - zero, outcome))
        self.received_bytes += exchange.received_bytes
        if outcome != OK:
            self.failures[outcome] += 1

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL_S)
            self._print_progress()

    def _print_progress(self) -> None:
        line = {
            "done": len(self.timings),
            "failed": self.failures.total(),
            "requests": self.load.requests,
            "elapsed_s": round((time.monotonic_ns() - self._zero_ns) / 1e9, 3),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)

    def result(self) -> dict[str, Any]:
        """Return the run's numbers; times of failed requests are not among the latencies.

        ``requests`` are those of ``asked_requests`` that there was time for; ``first_due_ns`` is when the first one
        was due, on CLOCK_MONOTONIC; ``cores_busy_share`` is that of all cores and whatever ran on them meanwhile.
        """
        requests = self.load.requests if self.load.seconds is None else self.started
        good = [timing for timing in self.timings if timing.outcome == OK]
        duration_s = max((timing.end_ns for timing in self.timings), default=0) / 1e9
        rate = 1 / duration_s if duration_s else 0.0
        return {
            "generator": "loadgen",
            "size_bytes": self.load.size_bytes,
            "concurrency": self.load.concurrency,
            "arrivals": self.load.arrivals._asdict() if self.load.arrivals else None,
            "asked_requests": self.load.requests,
            "requests": requests,
            "succeeded": len(good),
            "failed": self.failures.total(),
            "not_started": requests - len(self.timings),
            "failures": dict(self.failures),
            "first_due_ns": self._zero_ns,
            "duration_s": round(duration_s, 6),
            "cores_busy_share": round(self.cores_busy_share, 3),
            "requests_per_s": round(len(good) * rate, 3),
            "received_bytes": self.received_bytes,
            "transfer_bps": round(self.received_bytes * 8 * rate),
            "latency_ms": {
                "connect": describe_ms([timing.connected_ns - timing.start_ns for timing in good]),
                "total": describe_ms([timing.end_ns - timing.due_ns for timing in good]),
            },
        }

    def write_raw(self, path: str) -> None:
        """Write one CSV row a request, the fields of :class:`Timing`."""
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Timing._fields)
            writer.writerows(self.timings)


async def _run(load: Load) -> tuple[Run, dict[str, Any] | None]:
    run = Run(load)
    await run.execute()
    return run, stack_report(asyncio.get_running_loop())


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.client", description=__doc__)
    parser.add_argument("--connect", type=endpoint, required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--size-bytes", type=natural_int, required=True, help="length of each body")
    parser.add_argument("-n", "--requests", type=positive_int, required=True)
    parser.add_argument("-c", "--concurrency", type=positive_int, required=True, help="requests at once")
    parser.add_argument("--rate", type=positive_number, metavar="PER_S", help="arrivals a second: an open loop")
    parser.add_argument("--arrivals", choices=tuple(PROCESSES), default="poisson", help="how they arrive")
    parser.add_argument("--seed", type=natural_int, default=1, help="of the arrivals")
    parser.add_argument("--request-timeout-s", type=positive_seconds, default=60.0, help="of one request")
    parser.add_argument("--time-limit-s", type=positive_seconds, default=600.0, help="of the whole run")
    parser.add_argument("--seconds", type=positive_seconds, help="begin no request after these (not with --rate)")
    add_closing_argument(parser)
    parser.add_argument("--raw", metavar="FILE", help="write every request's times to this CSV file")
    add_stack_arguments(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the load and print its result; returns the exit code."""
    arguments = _arguments(argv)
    load = Load(
        target=arguments.connect,
        size_bytes=arguments.size_bytes,
        requests=arguments.requests,
        concurrency=arguments.concurrency,
        request_timeout_s=arguments.request_timeout_s,
        time_limit_s=arguments.time_limit_s,
        arrivals=Arrivals(arguments.arrivals, arguments.rate) if arguments.rate else None,
        seed=arguments.seed,
        seconds=arguments.seconds,
        closes=arguments.closes_first == CLIENT,
    )
    try:
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            run, stack = runner.run(_run(load))
        if arguments.raw:
            run.write_raw(arguments.raw)
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.client", error)
    result = run.result()
    print(json.dumps({**result, "stack": stack}), flush=True)
    return 0 if result["succeeded"] == result["requests"] else 1


if __name__ == "__main__":
    sys.exit(main())
