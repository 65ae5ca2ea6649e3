"""Command-line options that all generators share: endpoints, limits and the stack underneath."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from testbed.loadgen import samples

STACK_LOOPS = ("asyncio", "mptcp_stack")
"""Event loops that carry the connections: the kernel's sockets, or this project's own stack."""


CLIENT, SERVER = CLOSERS = ("client", "server")
"""Who ends a connection of HTTP: the client when it has the response, or the server with it."""


class Endpoint(NamedTuple):
    """An IP address and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake without the usage text and exit."""
        self.exit(2, f"{self.prog}: {message}\n")


def endpoint(text: str) -> Endpoint:
    """Read ``ADDRESS:PORT`` (IPv6 in brackets); raises ``ArgumentTypeError`` with the expected form."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT with a port from 0 to 65535")
    return Endpoint(host.strip("[]"), int(port))


def positive_int(text: str) -> int:
    """Read a whole number above zero."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def natural_int(text: str) -> int:
    """Read a whole number from zero."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from zero")
    return int(text)


def positive_number(text: str, what: str = "number") -> float:
    """Read a finite number above zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a {what} above zero")
    return number


def positive_seconds(text: str) -> float:
    """Read a finite time in seconds above zero."""
    return positive_number(text, "number of seconds")


def add_closing_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--closes-first``, of which both ends must be told the same."""
    parser.add_argument("--closes-first", choices=CLOSERS, default=SERVER, help="who ends a connection")


def add_stack_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose and configure the stack."""
    group = parser.add_argument_group("stack")
    group.add_argument("--stack-loop", choices=STACK_LOOPS, default="asyncio", help="which sockets")
    group.add_argument("--address", action="append", default=[], metavar="IP/LEN@INTERFACE[,via=GATEWAY]",
                       help="an address of our stack; give one for each path")  # fmt: skip
    group.add_argument("--no-mptcp", action="store_true", help="plain TCP over our stack")
    group.add_argument("--congestion", help="congestion control of our stack")
    group.add_argument("--scheduler", help="packet scheduler of our stack")
    group.add_argument("--path-manager", help="path manager of our stack")
    group.add_argument("--set", action="append", default=[], dest="settings", metavar="NAME=VALUE",
                       help="any setting of our stack; a wrong name lists them all")  # fmt: skip
    group.add_argument("--pcap", type=Path, help="write what our stack sends and receives to this file")
    group.add_argument("--events", type=Path, help="write a line of JSON to this file for all that happens inside")
    group.add_argument("--sample", action="append", default=[], type=samples.order, dest="samples",
                       metavar="KIND,LABEL,SECONDS,FILE", help="write what our stack says of itself")  # fmt: skip


def event_loop(arguments: argparse.Namespace) -> asyncio.AbstractEventLoop:
    """Return a new event loop over the chosen stack (a loop factory for :class:`asyncio.Runner`).

    What the program consists of by now is frozen: Python's collector looks no more through its modules at each of its
    great rounds, which took 4 % of the time of small requests, over whatever stack.
    """
    loop = _event_loop(arguments)
    gc.freeze()
    return loop


def _event_loop(arguments: argparse.Namespace) -> asyncio.AbstractEventLoop:
    if arguments.stack_loop == "asyncio":
        return asyncio.SelectorEventLoop()
    from mptcp_stack.runtime import EventLoop, NetworkConfig, parse_settings

    names = ("congestion", "scheduler", "path_manager", "pcap", "events")
    named = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    if arguments.no_mptcp:
        named["mptcp"] = False
    loop = EventLoop(NetworkConfig(addresses=tuple(arguments.address), **parse_settings(arguments.settings) | named))
    for order in arguments.samples:
        samples.start(loop, order)
    return loop


def stack_report(loop: asyncio.AbstractEventLoop) -> dict[str, Any] | None:
    """Return our stack's build, settings, counters and flows by state; ``None`` over kernel sockets: ask the kernel."""
    network = getattr(loop, "network", None)
    if network is None:
        return None
    from mptcp_stack.build import running

    config = network.stack.config
    return {
        "build": running(),
        "congestion": config.congestion,
        "settings": {one.name: getattr(config, one.name) for one in fields(config) if one.name != "addresses"},
        "counters": dict(network.counters),
        "flows": dict(network.stack.flow_states()),
    }


def report_error(program: str, error: Exception) -> int:
    """Print a user's mistake (such as an address that cannot be bound) in one line; returns exit code 2."""
    print(f"{program}: {error}", file=sys.stderr)
    return 2
