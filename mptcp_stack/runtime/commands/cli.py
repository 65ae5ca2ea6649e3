"""A netcat over the stack: standard input to the peer, what the peer sends to standard output."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Coroutine
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from mptcp_stack.build import notice
from mptcp_stack.mptcp.connection import Connection
from mptcp_stack.runtime.aio.event_loop import EventLoop, run
from mptcp_stack.runtime.config import ConfigError, IpNetwork, NetworkConfig
from mptcp_stack.runtime.driver import Driver
from mptcp_stack.runtime.errors import NetworkDownError
from mptcp_stack.runtime.network import socket_address
from mptcp_stack.runtime.proxy import MODES, Proxy, Target
from mptcp_stack.runtime.settings import parse_settings
from mptcp_stack.sim.script import ScriptError, ScriptFailure, load, play

from .path_control import CommandError, PathControl, ask, watch

CHUNK_BYTES = 1 << 16
"""What a pipe holds (pipe(7)): more does not come at once."""
_DELIVERY_POLL_S = 0.01
"""Chosen: less than anybody who waits for the summary notices."""

app = typer.Typer(
    help="Multipath TCP in Python: connect to a port, or serve one, over a stack of our own on this host's interfaces.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Addresses = Annotated[
    list[str],
    typer.Option("--address", "-a", metavar="IP/LENGTH@INTERFACE[,via=GATEWAY]", help="Our address, one a path."),
]
Port = Annotated[int, typer.Argument(min=1, max=65535)]
NoMptcp = Annotated[bool, typer.Option("--no-mptcp", help="Plain TCP.")]
Plugin = Annotated[str | None, typer.Option(help="A name or module:Class.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of the stack; a wrong name lists them all."),
]
Pcap = Annotated[Path | None, typer.Option(help="Write all packets to this file.")]
Events = Annotated[Path | None, typer.Option(help="Write a line of JSON to this file for all that happens inside.")]
PathCommands = Annotated[
    Path | None,
    typer.Option(metavar="SOCKET", help="Take path commands at this Unix socket (path manager userspace)."),
]
Trace = Annotated[bool, typer.Option("--trace", help="Print a line about every packet to standard error.")]
Summary = Annotated[bool, typer.Option("--summary", help="Print the subflows at the end to standard error.")]


def main() -> None:
    """Run the command line. Exit codes: 1 the network failed, 2 wrong input or not allowed; one line says why."""
    logging.basicConfig(format="mptcp_stack: %(message)s")
    if line := notice():
        print(f"mptcp_stack: {line}", file=sys.stderr)
    try:
        app(prog_name="mptcp_stack")
    except NetworkDownError:
        sys.exit(1)  # the log has said it
    except ConfigError as error:
        _fail(error, 2)
    except PermissionError as error:
        _fail(_reason(error), 2)
    except OSError as error:
        # What has a file's name is about what the user gave.
        _fail(_reason(error), 1 if error.filename is None else 2)


def _reason(error: OSError) -> str:
    about = "" if error.filename is None else f"{error.filename}: "
    return f"{about}{error.strerror or error}"


def _fail(reason: object, code: int) -> None:
    print(f"mptcp_stack: {reason}", file=sys.stderr)
    sys.exit(code)


@app.command()
def connect(
    host: Annotated[str, typer.Argument()],
    port: Port,
    address: Addresses,
    no_mptcp: NoMptcp = False,
    congestion: Plugin = None,
    scheduler: Plugin = None,
    path_manager: Plugin = None,
    settings: Settings = None,
    pcap: Pcap = None,
    events: Events = None,
    path_commands: PathCommands = None,
    trace: Trace = False,
    summary: Summary = False,
) -> None:
    """Connect to a port of a host."""

    config = _config(
        address, settings, no_mptcp, trace, path_commands,
        congestion=congestion, scheduler=scheduler, path_manager=path_manager, pcap=pcap, events=events,
    )  # fmt: skip

    async def session() -> None:
        await _talk(*await asyncio.open_connection(host, port), summary)

    _run(session(), config, path_commands)


@app.command()
def serve(
    port: Port,
    address: Addresses,
    no_mptcp: NoMptcp = False,
    congestion: Plugin = None,
    scheduler: Plugin = None,
    path_manager: Plugin = None,
    settings: Settings = None,
    pcap: Pcap = None,
    events: Events = None,
    path_commands: PathCommands = None,
    trace: Trace = False,
    summary: Summary = False,
) -> None:
    """Wait for one connection to a port."""

    config = _config(
        address, settings, no_mptcp, trace, path_commands,
        congestion=congestion, scheduler=scheduler, path_manager=path_manager, pcap=pcap, events=events,
    )  # fmt: skip

    async def session() -> None:
        accepted: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        accepted = asyncio.get_running_loop().create_future()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if accepted.done():
                writer.transport.abort()
            else:
                accepted.set_result((reader, writer))

        server = await asyncio.start_server(accept, None, port)
        reader, writer = await accepted
        server.close()
        await _talk(reader, writer, summary)

    _run(session(), config, path_commands)


@app.command()
def proxy(
    port: Port,
    address: Addresses,
    mode: Annotated[str, typer.Option(help=f"How it knows where to: {', '.join(MODES)}.")] = "forward",
    to: Annotated[str, typer.Option(metavar="IP:PORT", help="The server, in the mode forward.")] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="Where clients may be taken to, in the other modes; may be repeated."),
    ] = None,
    no_mptcp: NoMptcp = False,
    congestion: Plugin = None,
    scheduler: Plugin = None,
    path_manager: Plugin = None,
    settings: Settings = None,
    pcap: Pcap = None,
    events: Events = None,
    trace: Trace = False,
) -> None:
    """Relay connections to a port, from here on over the host kernel's TCP, until interrupted."""
    target = _target(to) if to else None
    try:
        relaying = Proxy(mode, target, allowed=[_network(text) for text in allow or ()])
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if mode == "transparent":
        settings = [*(settings or ()), "transparent=on"]
    config = _config(
        address, settings, no_mptcp, trace, None,
        congestion=congestion, scheduler=scheduler, path_manager=path_manager, pcap=pcap, events=events,
    )  # fmt: skip

    if target in [Target(own.ip, port) for own in config.host_addresses]:
        raise ConfigError(f"--to {to!r}: is the proxy itself")

    async def session() -> None:
        server = await asyncio.start_server(relaying.handle, None, port)
        await server.serve_forever()

    _run(session(), config, None)


def _target(text: str) -> Target:
    host, _, port = text.rpartition(":")
    try:
        target = Target(ip_address(host.strip("[]")), int(port))
    except ValueError:
        target = None
    if target is None or not 0 < target.port < 1 << 16:
        raise ConfigError(f"--to {text!r}: must be IP:PORT, with a port from 1 to 65535")
    return target


def _network(text: str) -> IpNetwork:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"--allow {text!r}: must be a network, such as 192.0.2.0/24 or 2001:db8::/32 ({error})"
        ) from None


@app.command("script")
def play_scripts(files: Annotated[list[Path], typer.Argument(help="Scripts of packets (docs/scripts.md).")]) -> None:
    """Play scripts of packets against the stack, in virtual time."""
    failed = 0
    for file in files:
        try:
            play(load(file))
        except (ScriptError, ScriptFailure) as error:
            failed += 1
            print(error, file=sys.stderr)
    print(f"{len(files) - failed} of {len(files)} scripts agree with the stack")
    if failed:
        sys.exit(1)


@app.command("paths")
def command_paths(
    socket: Annotated[Path, typer.Argument(help="What --path-commands named.")],
    command: Annotated[list[str], typer.Argument(help="list, monitor, announce, remove, create, destroy or prio.")],
) -> None:
    """Give a path command to a running connect or serve (docs/stack.md)."""
    try:
        if command == ["monitor"]:
            watch(socket, lambda line: print(line, flush=True))
        else:
            for line in ask(socket, " ".join(command)):
                print(line)
    except CommandError as error:
        _fail(error, 2)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _fail(f"{socket}: {error.strerror}", 1)


def _run(session: Coroutine[Any, Any, None], config: NetworkConfig, path_commands: Path | None) -> None:
    async def main() -> None:
        driver = cast(EventLoop, asyncio.get_running_loop()).driver
        if path_commands is None:
            await _while_up(driver, session)
            return
        try:
            server = await PathControl(driver).serve(path_commands)
        except OSError as error:
            raise ConfigError(f"--path-commands {path_commands}: {error.strerror}") from None
        try:
            await _while_up(driver, session)
        finally:
            server.close()
            path_commands.unlink(missing_ok=True)

    try:
        run(main(), config)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        session.close()


async def _while_up(driver: Driver, session: Coroutine[Any, Any, None]) -> None:
    """Run the session; when the network's device has gone it is over, whatever it waits for (NetworkDownError)."""
    running = asyncio.ensure_future(session)
    driver.failed.add_done_callback(lambda _: running.cancel())
    try:
        await running
    except (asyncio.CancelledError, OSError):
        if driver.failed.done():
            raise NetworkDownError from None
        raise


def _config(
    addresses: list[str],
    settings: list[str] | None,
    no_mptcp: bool,
    trace: bool,
    path_commands: Path | None,
    **named: Any,
) -> NetworkConfig:
    """What the options say; one with a name of its own counts more than `--set`."""
    given = parse_settings(settings or ()) | {name: value for name, value in named.items() if value is not None}
    if path_commands is not None:
        given.setdefault("path_manager", "userspace")
    if no_mptcp:
        given["mptcp"] = False
    if trace:
        given["trace"] = lambda line: print(line, file=sys.stderr)
    return NetworkConfig(addresses=addresses, **given)


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, summary: bool) -> None:
    """Copy in both directions until both have ended; on a terminal, until the peer has."""
    loop = asyncio.get_running_loop()
    input_ended = loop.create_future()

    async def send(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    def end_input() -> None:
        writer.write_eof()
        if not input_ended.done():
            input_ended.set_result(None)

    def read_input() -> None:
        try:
            while data := os.read(sys.stdin.fileno(), CHUNK_BYTES):
                asyncio.run_coroutine_threadsafe(send(data), loop).result()
            loop.call_soon_threadsafe(end_input)
        except (OSError, RuntimeError):
            # The connection has failed, which the reading side reports, or the loop has ended.
            return

    # A thread, because standard input may be a file; a daemon, because nothing wakes it when it is a terminal.
    threading.Thread(target=read_input, daemon=True).start()
    while data := await reader.read(CHUNK_BYTES):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    if not sys.stdin.isatty():
        await input_ended
    connection: Connection = writer.get_extra_info("connection")
    writer.close()
    if summary:
        await _print_summary(connection)
    await writer.wait_closed()


async def _print_summary(connection: Connection) -> None:
    """Tell what went over each subflow, when the peer has all of it or the connection is over."""
    # Subflows leave the connection as they close, which may be before we look again.
    subflows = dict.fromkeys(connection.subflows)
    while not (connection.sending.finished or connection.closing.closed):
        await asyncio.sleep(_DELIVERY_POLL_S)
        subflows |= dict.fromkeys(connection.subflows)
    print("MPTCP" if connection.is_mptcp else "TCP", file=sys.stderr)
    for subflow in (one for one in subflows if one.was_up):
        local, remote = ("{}:{}".format(*socket_address(end)) for end in (subflow.local, subflow.remote))
        print(
            f"{local} - {remote}: {subflow.bytes_sent} bytes sent,"
            f" {subflow.bytes_received} received, round trip {subflow.srtt_ns / 1e6:.3f} ms",
            file=sys.stderr,
        )
