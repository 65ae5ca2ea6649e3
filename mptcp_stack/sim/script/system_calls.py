"""The application's part of a script: system calls on the stack's connections."""

import errno
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mptcp_stack.events import Accepted, Closed, Connected, Event
from mptcp_stack.sim.script.content import content
from mptcp_stack.sim.script.knowledge import PORT, Knowledge
from mptcp_stack.stack import Address, Connection, Listener, Stack

_CALL: Final = re.compile(
    r"(?P<name>\w+)\((?P<arguments>.*)\)\s*=\s*(?P<result>-?\d+)(?:\s+(?P<errno>E\w+))?(?:\s+\(.*\))?"
)
_CONNECTION_OPTIONS: Final = {
    "TCP_NODELAY": "nodelay",
    "TCP_CORK": "cork",
    "SO_KEEPALIVE": "keep_alive",
}


@dataclass
class Descriptor:
    """A socket of the script."""

    mptcp: bool
    local: tuple[bytes, int] = (b"", 0)
    listener: Listener | None = None
    connection: Connection | None = None
    arrivals: deque[Connection] = field(default_factory=deque)
    connected: bool = False
    error: OSError | None = None
    linger_abort: bool = False
    written: int = 0
    read: int = 0


class SystemCalls:
    """Carries out calls; ``connection`` is the newest one, for assertions."""

    def __init__(self, stack: Stack, knowledge: Knowledge) -> None:
        self.connection: Connection | None = None
        self._stack = stack
        self._knowledge = knowledge
        self._descriptors: dict[int, Descriptor] = {}
        self._table: dict[str, Callable[[list[str], int], int]] = {
            "socket": self._socket,
            "bind": self._bind,
            "listen": self._listen,
            "connect": self._connect,
            "accept": self._accept,
            "read": self._read,
            "recv": self._read,
            "write": self._write,
            "send": self._write,
            "shutdown": self._shutdown,
            "close": self._close,
            "setsockopt": self._set_option,
            "subflow": self._open_subflow,
            "backup": self._set_backup,
            "withdraw": self._withdraw,
        }

    def check(self, text: str, now: int) -> str | None:
        """Do what ``text`` says; what was wrong about its outcome, None if nothing. Raises ValueError."""
        match = _CALL.fullmatch(text)
        if match is None:
            raise ValueError("must look like 'write(4, ..., 1000) = 1000' or 'read(4, ..., 1000) = -1 EAGAIN'")
        if match["name"] not in self._table:
            raise ValueError(f"{match['name']}: not one of {', '.join(self._table)}")
        arguments = [argument.strip() for argument in re.split(r",(?![^\[{]*[\]}])", match["arguments"])]
        try:
            outcome = str(self._table[match["name"]](arguments, now))
        except OSError as error:
            outcome = f"-1 {errno.errorcode[error.errno or 0]}"
        expected = match["result"] + (f" {match['errno']}" if match["errno"] else "")
        return None if outcome == expected else f"{text}: got {outcome}"

    def handle(self, event: Event) -> None:
        """Remember what the stack tells."""
        if isinstance(event, Accepted):
            listening = next(one for one in self._descriptors.values() if one.listener is event.listener)
            listening.arrivals.append(event.connection)
            self.connection = event.connection
            return
        owner = next((one for one in self._descriptors.values() if one.connection is event.connection), None)
        if owner is not None and isinstance(event, Connected):
            owner.connected = True
        elif owner is not None and isinstance(event, Closed):
            owner.error = event.error

    # --- one method for each call

    def _socket(self, arguments: list[str], now: int) -> int:
        number = max(self._descriptors, default=2) + 1
        self._descriptors[number] = Descriptor(mptcp="TCP" not in arguments[-1].replace("MPTCP", ""))
        return number

    def _bind(self, arguments: list[str], now: int) -> int:
        self._of(arguments).local = self._knowledge.ip("local", 0), PORT
        return 0

    def _listen(self, arguments: list[str], now: int) -> int:
        one = self._of(arguments)
        one.listener = self._stack.listen(Address(b"", PORT), now, int(arguments[1]), mptcp=one.mptcp)
        return 0

    def _connect(self, arguments: list[str], now: int) -> int:
        one = self._of(arguments)
        if one.connection is None:
            remote = Address(self._knowledge.ip("remote", 0), PORT)
            local = Address(*one.local) if one.local[1] else None
            one.connection = self.connection = self._stack.connect(remote, now, local, mptcp=one.mptcp)
            raise OSError(errno.EINPROGRESS, "in progress")
        if one.error is not None:
            raise one.error
        if not one.connected:
            raise OSError(errno.EALREADY, "already")
        return 0

    def _accept(self, arguments: list[str], now: int) -> int:
        listening = self._of(arguments)
        if not listening.arrivals:
            raise BlockingIOError(errno.EAGAIN, "again")
        number = max(self._descriptors) + 1
        self._descriptors[number] = Descriptor(listening.mptcp, connection=listening.arrivals.popleft(), connected=True)
        return number

    def _read(self, arguments: list[str], now: int) -> int:
        one = self._of(arguments)
        connection = self._connection(one)
        data = b"".join(connection.receive(int(arguments[-1])))
        if not data and not connection.eof:
            if one.error is not None:
                raise one.error
            raise BlockingIOError(errno.EAGAIN, "again")
        if data != content(one.read + 1, len(data)):
            raise ValueError(f"wrong bytes were read after {one.read}")
        one.read += len(data)
        return len(data)

    def _write(self, arguments: list[str], now: int) -> int:
        one = self._of(arguments)
        taken = self._connection(one).send(content(one.written + 1, int(arguments[-1])))
        one.written += taken
        if not taken:
            raise BlockingIOError(errno.EAGAIN, "again")
        return taken

    def _shutdown(self, arguments: list[str], now: int) -> int:
        self._connection(self._of(arguments)).shutdown()
        return 0

    def _close(self, arguments: list[str], now: int) -> int:
        one = self._of(arguments)
        if one.listener is not None:
            one.listener.close()
        elif one.connection is not None:
            end = one.connection.abort if one.linger_abort else one.connection.close
            end()
        return 0

    def _set_option(self, arguments: list[str], now: int) -> int:
        one = self._of(arguments)
        name, value = arguments[2], arguments[3]
        if name == "SO_LINGER":
            one.linger_abort = "onoff=1" in value and "linger=0" in value
        elif name in _CONNECTION_OPTIONS:
            setattr(self._connection(one), _CONNECTION_OPTIONS[name], value == "[1]")
            self._connection(one).wake()
        else:
            raise ValueError(f"{name}: not one of SO_LINGER, {', '.join(_CONNECTION_OPTIONS)}")
        return 0

    # --- what is not a system call: what a path manager would do

    def _open_subflow(self, arguments: list[str], now: int) -> int:
        connection = self._connection(self._of(arguments))
        ip = self._knowledge.ip("local", int(arguments[1][-1]))
        address = next(address for address in self._stack.addresses if address.ip == ip)
        remote = Address(self._knowledge.ip("remote", int(arguments[2][-1])), PORT)
        connection.open_subflow(address, 0, remote, now)
        return 0

    def _set_backup(self, arguments: list[str], now: int) -> int:
        connection = self._connection(self._of(arguments))
        connection.set_backup(connection.subflows[int(arguments[1])], arguments[2] == "1")
        return 0

    def _withdraw(self, arguments: list[str], now: int) -> int:
        self._connection(self._of(arguments)).announcements.withdraw(tuple(int(one) for one in arguments[1:]))
        return 0

    def _of(self, arguments: list[str]) -> Descriptor:
        try:
            return self._descriptors[int(arguments[0])]
        except (KeyError, ValueError):
            raise OSError(errno.EBADF, "bad descriptor") from None

    @staticmethod
    def _connection(one: Descriptor) -> Connection:
        if one.connection is None:
            raise OSError(errno.ENOTCONN, "not connected")
        return one.connection
