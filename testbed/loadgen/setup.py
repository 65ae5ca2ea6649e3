"""Setting up connections while others are open, timed one after the other.

``setup server --listen ADDRESS:PORT`` prints ``{"ready": ...}``, accepts connections and keeps them until their client
ends them. ``setup client --connect ADDRESS:PORT --open 1000 --timed 200`` opens so many connections and leaves them
open, then makes those that are timed: each is connected and closed, and after a pause the next. Prints its account as
JSON: ``open`` (how many were), ``connect_ns`` (a list: from the call to an established connection), ``failure`` (null,
or one of :data:`testbed.loadgen.client.FAILURES`). Exit code: 0 when every connection was made, 1 when not, 2 for bad
arguments.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from testbed.loadgen.failures import not_connected
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

_SPARE_FILES = 100
_PAUSE_S = 0.005
"""Between two of the timed ones, so that the end of one is not what the next waits for."""


async def _connect(connect: Endpoint) -> asyncio.BaseTransport:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, connect.host, connect.port)
    return transport


async def measure(connect: Endpoint, count_open: int, samples: int, time_limit_s: float) -> dict[str, Any]:
    """Play the client's part and return its account."""
    held: list[asyncio.BaseTransport] = []
    connect_ns: list[int] = []
    failure: str | None = None
    try:
        async with asyncio.timeout(time_limit_s):
            # One by one: a server's queue of connections not accepted yet must not be what is measured.
            for _ in range(count_open):
                held.append(await _connect(connect))
            for _ in range(samples):
                began_ns = time.perf_counter_ns()
                transport = await _connect(connect)
                connect_ns.append(time.perf_counter_ns() - began_ns)
                transport.close()
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        failure = "timeout"
    except OSError as error:
        failure = not_connected(error)
    still_open = sum(not transport.is_closing() for transport in held)
    account = {
        "generator": "loadgen-setup",
        "open": still_open,
        "connect_ns": connect_ns,
        "failure": failure,
        "stack": stack_report(asyncio.get_running_loop()),
    }
    for transport in held:
        transport.close()
    return account


async def serve(listen: Endpoint) -> dict[str, Any]:
    """Accept until SIGTERM or SIGINT; returns our stack's report."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, listen.host, listen.port)
    await until_stopped(server, listen)
    return {"stack": stack_report(asyncio.get_running_loop())}


def _allow_files(number: int) -> None:
    """Let this process have so many files open; raises OSError when the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        if hard < number:
            raise OSError(f"{number} open files needed, but only {hard} allowed (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def _arguments(argv: Sequence[str] | None) -> Namespace:
    parser = Parser(prog="testbed.loadgen.setup", description=__doc__)
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server", help="accept connections")
    server.add_argument("--listen", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client = roles.add_parser("client", help="make connections")
    client.add_argument("--connect", type=endpoint, required=True, metavar="ADDRESS:PORT")
    client.add_argument("--timed", type=positive_int, required=True, help="connections that are timed")
    client.add_argument("--time-limit-s", type=positive_seconds, default=60.0, help="limit of the whole run")
    for role in (server, client):
        role.add_argument("--open", type=natural_int, default=0, help="connections open meanwhile")
        add_stack_arguments(role)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve or measure; returns the exit code."""
    arguments = _arguments(argv)
    try:
        _allow_files(arguments.open + _SPARE_FILES)
        with asyncio.Runner(loop_factory=lambda: event_loop(arguments)) as runner:
            if arguments.role == "server":
                result = runner.run(serve(arguments.listen))
            else:
                result = runner.run(measure(arguments.connect, arguments.open, arguments.timed, arguments.time_limit_s))
    except (OSError, ValueError) as error:
        return report_error("testbed.loadgen.setup", error)
    print(json.dumps(result), flush=True)
    return 1 if result.get("failure") else 0


if __name__ == "__main__":
    sys.exit(main())
