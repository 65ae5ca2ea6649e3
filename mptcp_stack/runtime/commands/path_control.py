"""Commands for the path manager `userspace`, as lines over a Unix socket: `ip mptcp` for a stack of our own.

    list                                  the connections, their subflows and the peer's addresses
    announce ADDRESS [PORT]               ADD_ADDR for one of our addresses
    remove ADDRESS                        REMOVE_ADDR, and close its subflows
    create ADDRESS ID [backup]            a subflow from our address to the peer's address with this ID
    destroy NUMBER                        close a subflow
    prio NUMBER backup|regular            MP_PRIO
    monitor                               a line for every event, until the client goes

A connection's token (`token 0x1234abcd`) may follow each command; with one connection it is not needed. An answer that
begins with `error: ` says what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mptcp_stack.events import (
    AddressAnnounced,
    AddressWithdrawn,
    LocalAddressAdded,
    LocalAddressRemoved,
    PathEvent,
    PathsWanted,
    SubflowClosed,
    SubflowOpened,
)
from mptcp_stack.mptcp.path_manager.userspace import Userspace
from mptcp_stack.runtime.network import socket_address
from mptcp_stack.stack import Address, Connection

if TYPE_CHECKING:
    from mptcp_stack.mptcp.subflow.subflow import Subflow
    from mptcp_stack.runtime.driver import Driver

logger = logging.getLogger("mptcp_stack")

_ERROR = "error: "
_ANSWER_SECONDS = 10.0
"""Chosen: a loop that has not had its turn for so long is stuck, and the shell is to have its prompt back."""
_LINE_BYTES = 4096
"""Far more than the longest command."""
_WATCHER_BYTES = 1 << 20
"""What waits for a client that monitors and does not read; beyond, it is let go."""


class CommandError(ValueError):
    """A command that cannot be; the message is for the user."""


class _Command(NamedTuple):
    usage: str
    words: tuple[int, int]
    action: Callable[[Userspace, list[str], int], None]


class PathControl:
    """Carries out commands on the connections of a driver; `serve` listens for them."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._watchers: set[asyncio.StreamWriter] = set()
        driver.on_path_event = self._tell

    def execute(self, line: str) -> list[str]:
        """The answer to a command, `monitor` excepted. Raises ValueError (CommandError) and OSError."""
        name, *words = line.split() or [""]
        token = None
        if len(words) > 1 and words[-2] == "token":
            token = _number(words.pop(), "token")
            words.pop()
        if name == "list" and not words:
            return [text for one in self._connections(token) for text in _describe(one)]
        command = COMMANDS.get(name)
        if command is None:
            raise CommandError(f"no command {name!r}; there are list, monitor, {', '.join(COMMANDS)}")
        if len(words) not in range(command.words[0], command.words[1] + 1):
            raise CommandError(f"usage: {name} {command.usage} [token TOKEN]")
        command.action(self._manager(token), words, self._driver.now)
        self._driver.wake()
        return []

    def _connections(self, token: int | None) -> list[Connection]:
        connections = [one for one in self._driver.network.stack.connections if one.is_mptcp]
        return [one for one in connections if token in (None, one.id)]

    def _manager(self, token: int | None) -> Userspace:
        found = self._connections(token)
        if len(found) != 1:
            tokens = ", ".join(f"0x{one.id:08x}" for one in self._connections(None)) or "none"
            raise CommandError(f"which connection? token must be one of: {tokens}")
        manager = found[0].path_manager
        if not isinstance(manager, Userspace):
            raise CommandError("the path manager of this connection is not userspace")
        return manager

    # --- the socket

    async def serve(self, path: Path) -> asyncio.Server:
        """Answer clients at a Unix socket, which only its owner can use. Raises OSError."""
        server = await asyncio.start_unix_server(self._answer, path, limit=_LINE_BYTES)
        path.chmod(0o600)
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            answer = await self._carry_out(reader, writer)
            if answer is None:
                return
            writer.write("".join(f"{text}\n" for text in answer).encode())
            writer.close()
            await writer.wait_closed()

    async def _carry_out(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[str] | None:
        """The answer to one client, or None when it monitors from now on."""
        try:
            line = (await reader.readline()).decode(errors="replace").strip()
        except ValueError:
            return [f"{_ERROR}a command is one line of at most {_LINE_BYTES} bytes"]
        if line == "monitor":
            self._watchers.add(writer)
            return None
        try:
            return self.execute(line)
        except (ValueError, OSError) as error:
            return [_ERROR + (getattr(error, "strerror", None) or str(error))]
        except Exception as error:
            logger.exception("path command %r", line)
            return [f"{_ERROR}{error!r}; more is in the log of the stack"]

    def _tell(self, event: PathEvent) -> None:
        line = f"{EVENTS[type(event)](event)} token 0x{event.connection.id:08x}\n".encode()
        self._watchers = {writer for writer in self._watchers if not writer.is_closing()}
        for writer in self._watchers:
            writer.write(line)
            if writer.transport.get_write_buffer_size() > _WATCHER_BYTES:
                writer.transport.abort()


def ask(path: Path, line: str) -> list[str]:
    """Send a command to a `PathControl`; its answer. Raises CommandError, OSError."""
    if "\n" in line or len(line) >= _LINE_BYTES:
        raise CommandError(f"a command is one line of less than {_LINE_BYTES} characters")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_SECONDS)
        client.connect(str(path))
        client.sendall(f"{line}\n".encode())
        with client.makefile("r") as answers:
            lines = answers.read().splitlines()
    if lines and lines[0].startswith(_ERROR):
        raise CommandError(lines[0].removeprefix(_ERROR))
    return lines


def watch(path: Path, show: Callable[[str], object]) -> None:
    """Give `show` a line for every event until the stack ends. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"monitor\n")
        with client.makefile("r") as lines:
            for line in lines:
                show(line.rstrip("\n"))


# --- words


def _number(word: str, what: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise CommandError(f"{what} must be a number, not {word!r}") from None


def _ip(word: str) -> bytes:
    try:
        return ip_address(word).packed
    except ValueError as error:
        raise CommandError(str(error)) from None


def _choice(word: str, allowed: dict[str, bool]) -> bool:
    if word not in allowed:
        raise CommandError(f"{word!r}: must be {' or '.join(allowed)}")
    return allowed[word]


def _subflow(manager: Userspace, word: str) -> Subflow:
    subflows = {subflow.number: subflow for subflow in manager.connection.subflows}
    found = subflows.get(_number(word, "the subflow"))
    if found is None:
        raise CommandError(f"no subflow {word}; there are {', '.join(map(str, subflows))}")
    return found


# --- commands


def _announce(manager: Userspace, words: list[str], now: int) -> None:
    manager.announce(_ip(words[0]), now, _number(words[1], "the port") if words[1:] else None)


def _remove(manager: Userspace, words: list[str], now: int) -> None:
    manager.withdraw(_ip(words[0]), now)


def _create(manager: Userspace, words: list[str], now: int) -> None:
    remotes = manager.connection.announcements.remotes()
    remote_id = _number(words[1], "the ID")
    if remote_id not in remotes:
        raise CommandError(f"the peer has no address {remote_id}; there are {', '.join(map(str, remotes))}")
    backup = bool(words[2:]) and _choice(words[2], {"backup": True})
    if manager.open_subflow(_ip(words[0]), remote_id, remotes[remote_id], now, backup) is None:
        raise CommandError("no subflow is to be had: the limit (max_subflows) is reached, or no port is free")


def _destroy(manager: Userspace, words: list[str], now: int) -> None:
    manager.close_subflow(_subflow(manager, words[0]), now)


def _prio(manager: Userspace, words: list[str], now: int) -> None:
    manager.set_backup(_subflow(manager, words[0]), _choice(words[1], {"backup": True, "regular": False}))


COMMANDS = {
    "announce": _Command("ADDRESS [PORT]", (1, 2), _announce),
    "remove": _Command("ADDRESS", (1, 1), _remove),
    "create": _Command("ADDRESS ID [backup]", (2, 3), _create),
    "destroy": _Command("NUMBER", (1, 1), _destroy),
    "prio": _Command("NUMBER backup|regular", (2, 2), _prio),
}


# --- what is printed


def _text(address: Address) -> str:
    host, port = socket_address(address)[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _describe(connection: Connection) -> list[str]:
    announcements = connection.announcements
    lines = [f"connection {_text(connection.local)} - {_text(connection.remote)} token 0x{connection.id:08x}"]
    lines += [f"  subflow {_describe_subflow(subflow)}" for subflow in connection.subflows]
    lines += [f"  local id {number} {_text(address)}" for number, address in announcements.sent.items()]
    lines += [f"  remote id {number} {_text(address)}" for number, address in announcements.remotes().items()]
    return lines


def _describe_subflow(subflow: Subflow) -> str:
    ends = f"{_text(subflow.endpoint.local)} - {_text(subflow.endpoint.remote)}"
    backup = " backup" if subflow.backup else ""
    return f"{subflow.number} {ends} {subflow.endpoint.state}{backup} rtt {subflow.srtt_ns / 1e6:.3f} ms"


EVENTS: dict[type[PathEvent], Callable[..., str]] = {
    PathsWanted: lambda event: f"established {_text(event.connection.local)} - {_text(event.connection.remote)}",
    AddressAnnounced: lambda event: f"announced id {event.address_id} {_text(event.remote)}",
    AddressWithdrawn: lambda event: f"withdrawn id {event.address_id}",
    LocalAddressAdded: lambda event: f"address_added {ip_address(event.address.ip)}",
    LocalAddressRemoved: lambda event: f"address_removed {ip_address(event.address.ip)}",
    SubflowOpened: lambda event: f"subflow_opened {_describe_subflow(event.subflow)}",
    SubflowClosed: lambda event: f"subflow_closed {event.subflow.number} {event.error or 'in order'}",
}
"""How each event reads."""
