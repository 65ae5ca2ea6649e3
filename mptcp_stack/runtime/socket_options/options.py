"""Socket options: what `setsockopt` and `getsockopt` know, as a table, and the state behind it.

They are the same for blocking sockets and for `transport.get_extra_info("socket")`: before a connection is opened, on
a listener, whose connections inherit them, and on a connection, where they hold for all subflows (RFC 6897, 5.4).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from mptcp_stack.runtime.driver import Driver
from mptcp_stack.runtime.errors import error
from mptcp_stack.runtime.network import SocketAddress, socket_address
from mptcp_stack.runtime.settings import parse_settings
from mptcp_stack.stack import Address, Connection, Listener
from mptcp_stack.tcp.config import SECOND_NS

from . import allowed_addresses
from .tcp_info import tcp_info

TCP_IS_MPTCP: Final = 43
"""From Linux's `tcp.h`; the following have no numbers in any standard."""
TCP_MULTIPATH_ENABLE: Final = 10001
TCP_MULTIPATH_ADD: Final = 10002
TCP_MULTIPATH_REMOVE: Final = 10003
TCP_MULTIPATH_SUBFLOWS: Final = 10004
TCP_MULTIPATH_CONNID: Final = 10005
TCP_MULTIPATH_SCHEDULER: Final = 10006
TCP_MULTIPATH_PATH_MANAGER: Final = 10007
TCP_MULTIPATH_SETTING: Final = 10008

_SMALLEST_BUFFER_BYTES: Final = 4096
"""As tcp_wmem and tcp_rmem have it in Linux."""
_SEGMENT_BYTES: Final = range(88, 32768)
"""What Linux takes for TCP_MAXSEG."""
_HEADER_BYTES: Final = 40
_INTS: Final = range(-1 << 31, 1 << 31)
_LENGTHS: Final = range(1025)
"""What the standard library takes as `buflen`."""
# Linux's.
_KEEP_ALIVE_SECONDS: Final = range(1, 32768)
_KEEP_ALIVE_PROBES: Final = range(1, 128)


class SocketOptions:
    """The options of one socket, and the connection or listener they are for, once there is one.

    `settings`: fields of `StackConfig` that differ from the stack's. `local_ips`: addresses that the connection may
    use, None for all. `linger_s`: SO_LINGER. `ipv6_only`: for blocking sockets, whether `::` leaves out IPv4.
    `error`: what SO_ERROR gives, once.

    Raises ValueError when a setting cannot be.
    """

    def __init__(self, driver: Driver, settings: Mapping[str, Any], local_ips: frozenset[bytes] | None = None) -> None:
        self.driver = driver
        self.stack = driver.network.stack
        self.settings = dict(settings)
        self.local_ips = local_ips
        self.cork = False
        self.linger_s: int | None = None
        self.reuse_address = False
        self.ipv6_only = False
        self.error: OSError | None = None
        self.connection: Connection | None = None
        self.listener: Listener | None = None
        self.stack.customised(settings)

    def opening(self) -> dict[str, Any]:
        """What `Stack.connect` and `Stack.listen` are to be told."""
        return {**self.settings, "local_ips": self.local_ips}

    def bind(self, local: Address) -> None:
        """A specific address is the only one that may be used, beside those that are added (RFC 6897 section 5.2.1)."""
        if local.specific:
            self.local_ips = (self.local_ips or frozenset()) | {local.ip}

    def attach(self, connection: Connection) -> None:
        """The connection is there."""
        self.connection = connection
        if self.cork:
            connection.cork = True

    def inherit(self) -> SocketOptions:
        """The options of a connection that this listener accepted."""
        options = SocketOptions(self.driver, self.settings, self.local_ips)
        options.cork, options.linger_s, options.reuse_address = self.cork, self.linger_s, self.reuse_address
        options.ipv6_only = self.ipv6_only
        return options

    def setting(self, name: str) -> Any:
        """The value of a field of `StackConfig` that holds here."""
        return self.settings.get(name, getattr(self.stack.config, name))

    def change(self, settings: Mapping[str, Any], local_ips: frozenset[bytes] | None = None) -> None:
        """Let other settings hold from now on, also for the connection or listener that is there."""
        merged = {**self.settings, **settings}
        stack = self.stack.customised(merged, local_ips)
        self.settings, self.local_ips = merged, local_ips
        if self.connection is not None:
            self.connection.move_to(stack)
        if self.listener is not None:
            self.listener.stack = stack

    def connected(self) -> Connection:
        """The connection, if it is established. Raises OSError (ENOTCONN)."""
        if self.connection is None or not self.connection.established:
            raise error(errno.ENOTCONN)
        return self.connection

    # --- the calls

    def get(self, level: int, number: int, length: int = 0) -> Any:
        """The value as `socket.getsockopt` gives it. Raises OSError (ENOPROTOOPT when there is no such option)."""
        if length not in _LENGTHS:
            raise OSError("getsockopt buflen out of range")  # as the standard library
        option = _find(level, number)
        if option.read is None:
            raise error(errno.ENOPROTOOPT)
        value = option.read(self)
        if isinstance(value, int):
            return struct.pack("i", value)[:length] if length else int(value)
        if length and isinstance(value, str | bytes):
            return (value.encode() if isinstance(value, str) else value)[:length]
        return value

    def set(self, level: int, number: int, value: Any) -> None:
        """Set a value as `socket.setsockopt` does. Raises OSError (ENOPROTOOPT), TypeError."""
        option = _find(level, number)
        if option.write is None:
            raise error(errno.ENOPROTOOPT)
        option.write(self, value)
        self.driver.wake()


# --- values


def _number(value: Any) -> int:
    if isinstance(value, int):
        if value not in _INTS:
            raise OverflowError("a socket option's value must be an integer of 32 bits")
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"a socket option's value must be an integer or bytes-like, not {type(value).__name__!r}")
    if len(value) < struct.calcsize("i"):
        raise error(errno.EINVAL)
    return int(struct.unpack_from("i", value)[0])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"this socket option's value must be a name, not {type(value).__name__!r}")
    return bytes(value).split(b"\0")[0].decode(errors="replace")


# --- kinds of options


@dataclass(frozen=True, slots=True)
class _Option:
    """How an option is read and written; None: it cannot be."""

    read: Callable[[SocketOptions], Any] | None = None
    write: Callable[[SocketOptions, Any], None] | None = None


def _constant(value: int) -> _Option:
    return _Option(lambda options: value)


def _before_connecting(options: SocketOptions) -> None:
    if options.connection is not None:
        raise error(errno.EISCONN)


def _switch(name: str) -> _Option:
    """A switch of `StackConfig` that a connection has as an attribute of the same name, too."""

    def write(options: SocketOptions, value: Any) -> None:
        on = bool(_number(value))
        options.change({name: on}, options.local_ips)
        if options.connection is not None:
            setattr(options.connection, name, on)

    def read(options: SocketOptions) -> bool:
        return bool(options.setting(name) if options.connection is None else getattr(options.connection, name))

    return _Option(read, write)


def _keep_alive(name: str, unit: int, allowed: range) -> _Option:
    """A number of keep-alive, in `unit` of the setting's own; a probe that is due is put off to its new time."""

    def write(options: SocketOptions, value: Any) -> None:
        number = _number(value)
        if number not in allowed:
            raise error(errno.EINVAL)
        options.change({name: number * unit}, options.local_ips)
        if options.connection is not None:
            options.connection.keep_alive = options.connection.keep_alive

    return _Option(lambda options: options.setting(name) // unit, write)


def _plugin(name: str) -> _Option:
    """A class by name, before connecting. An unknown one: ENOENT, as Linux answers to TCP_CONGESTION."""

    def write(options: SocketOptions, value: Any) -> None:
        _before_connecting(options)
        try:
            options.change({name: _text(value)}, options.local_ips)
        except ValueError as problem:
            raise OSError(errno.ENOENT, str(problem)) from None

    return _Option(lambda options: options.setting(name), write)


def _buffer(direction: str) -> _Option:
    """The size of a buffer, which no longer tunes itself then."""
    name = f"{direction}_buffer_bytes"

    def write(options: SocketOptions, value: Any) -> None:
        size = max(_number(value), _SMALLEST_BUFFER_BYTES)
        options.change({name: size, f"{direction}_buffer_autotuning": False}, options.local_ips)
        connection = options.connection
        if connection is not None:
            (connection.receiving if direction == "receive" else connection.sending.buffer).resize(size)

    return _Option(lambda options: options.setting(name), write)


# --- options with rules of their own


def _read_error(options: SocketOptions) -> int:
    problem, options.error = options.error, None
    return 0 if problem is None else problem.errno or errno.EIO


def _read_linger(options: SocketOptions) -> bytes:
    return struct.pack("ii", options.linger_s is not None, options.linger_s or 0)


def _write_linger(options: SocketOptions, value: Any) -> None:
    if not isinstance(value, bytes | bytearray | memoryview) or len(value) < struct.calcsize("ii"):
        raise error(errno.EINVAL)
    on, seconds = struct.unpack_from("ii", value)
    options.linger_s = max(seconds, 0) if on else None


def _write_reuse(options: SocketOptions, value: Any) -> None:
    options.reuse_address = bool(_number(value))


def _read_ipv6_only(options: SocketOptions) -> bool:
    listener = options.listener
    return options.ipv6_only or (listener is not None and listener.local.ip == bytes(16))


def _write_ipv6_only(options: SocketOptions, value: Any) -> None:
    if options.connection is not None or options.listener is not None:
        raise error(errno.EINVAL)
    options.ipv6_only = bool(_number(value))


def _ignored(value: int) -> _Option:
    """It is so, whatever one wants."""
    return _Option(lambda options: value, lambda options, wanted: None)


def _read_cork(options: SocketOptions) -> bool:
    return options.cork if options.connection is None else options.connection.cork


def _write_cork(options: SocketOptions, value: Any) -> None:
    options.cork = bool(_number(value))
    if options.connection is not None:
        options.connection.cork = options.cork


def _read_segment(options: SocketOptions) -> int:
    if options.connection is not None and options.connection.subflows:
        return options.connection.subflows[0].endpoint.sender.mss
    return min(int(options.setting("maximum_segment_bytes")), int(options.setting("mtu")) - _HEADER_BYTES)


def _write_segment(options: SocketOptions, value: Any) -> None:
    _before_connecting(options)
    size = _number(value)
    if size not in _SEGMENT_BYTES:
        raise error(errno.EINVAL)
    options.change({"maximum_segment_bytes": size}, options.local_ips)


def _read_enabled(options: SocketOptions) -> bool:
    connection = options.connection
    return bool(options.setting("mptcp")) if connection is None or not connection.established else connection.is_mptcp


def _write_enabled(options: SocketOptions, value: Any) -> None:
    _before_connecting(options)
    options.change({"mptcp": bool(_number(value))}, options.local_ips)


def _write_setting(options: SocketOptions, value: Any) -> None:
    _before_connecting(options)
    try:
        options.change(parse_settings([_text(value)]), options.local_ips)
    except ValueError as problem:
        raise OSError(errno.EINVAL, str(problem)) from None


def _subflows(options: SocketOptions) -> list[tuple[SocketAddress, SocketAddress]]:
    subflows = options.connected().subflows
    return [(socket_address(subflow.local), socket_address(subflow.remote)) for subflow in subflows]


def _identifier(options: SocketOptions) -> int:
    connection = options.connected()
    return connection.id if connection.is_mptcp else 0


def _find(level: int, number: int) -> _Option:
    option = OPTIONS.get((level, number))
    if option is None:
        raise error(errno.ENOPROTOOPT)
    return option


_SETTINGS: Final[ContextVar[Mapping[str, Any]]] = ContextVar("settings", default=MappingProxyType({}))


@contextmanager
def connection_settings(**settings: Any) -> Iterator[None]:
    """What asyncio code in this block (and tasks begun in it) opens or serves has these settings of `StackConfig`.

    So code that knows nothing of MPTCP can be measured with another scheduler, or without MPTCP. Blocks nest.
    """
    token = _SETTINGS.set({**_SETTINGS.get(), **settings})
    try:
        yield
    finally:
        _SETTINGS.reset(token)


def current_settings() -> Mapping[str, Any]:
    """The settings of the `connection_settings` block that this code runs in, none outside of one."""
    return _SETTINGS.get()


_SOCKET: Final = socket.SOL_SOCKET
_TCP: Final = socket.IPPROTO_TCP

OPTIONS: Final[dict[tuple[int, int], _Option]] = {
    (_SOCKET, socket.SO_TYPE): _constant(socket.SOCK_STREAM),
    (_SOCKET, socket.SO_PROTOCOL): _constant(socket.IPPROTO_TCP),
    (_SOCKET, socket.SO_ACCEPTCONN): _Option(lambda options: options.listener is not None),
    (_SOCKET, socket.SO_ERROR): _Option(_read_error),
    (_SOCKET, socket.SO_LINGER): _Option(_read_linger, _write_linger),
    (_SOCKET, socket.SO_REUSEADDR): _Option(lambda options: options.reuse_address, _write_reuse),
    (_SOCKET, socket.SO_OOBINLINE): _ignored(1),
    (_SOCKET, socket.SO_SNDBUF): _buffer("send"),
    (_SOCKET, socket.SO_RCVBUF): _buffer("receive"),
    (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY): _Option(_read_ipv6_only, _write_ipv6_only),
    (_TCP, socket.TCP_NODELAY): _switch("nodelay"),
    (_SOCKET, socket.SO_KEEPALIVE): _switch("keep_alive"),
    (_TCP, socket.TCP_KEEPIDLE): _keep_alive("keep_alive_idle_ns", SECOND_NS, _KEEP_ALIVE_SECONDS),
    (_TCP, socket.TCP_KEEPINTVL): _keep_alive("keep_alive_interval_ns", SECOND_NS, _KEEP_ALIVE_SECONDS),
    (_TCP, socket.TCP_KEEPCNT): _keep_alive("keep_alive_probes", 1, _KEEP_ALIVE_PROBES),
    (_TCP, socket.TCP_CORK): _Option(_read_cork, _write_cork),
    (_TCP, socket.TCP_MAXSEG): _Option(_read_segment, _write_segment),
    (_TCP, socket.TCP_CONGESTION): _plugin("congestion"),
    (_TCP, socket.TCP_INFO): _Option(lambda options: tcp_info(options.connected())),
    (_TCP, TCP_IS_MPTCP): _Option(lambda options: options.connection is not None and options.connection.is_mptcp),
    (_TCP, TCP_MULTIPATH_ENABLE): _Option(_read_enabled, _write_enabled),
    (_TCP, TCP_MULTIPATH_ADD): _Option(write=allowed_addresses.add),
    (_TCP, TCP_MULTIPATH_REMOVE): _Option(write=allowed_addresses.remove),
    (_TCP, TCP_MULTIPATH_SUBFLOWS): _Option(_subflows),
    (_TCP, TCP_MULTIPATH_CONNID): _Option(_identifier),
    (_TCP, TCP_MULTIPATH_SCHEDULER): _plugin("scheduler"),
    (_TCP, TCP_MULTIPATH_PATH_MANAGER): _plugin("path_manager"),
    (_TCP, TCP_MULTIPATH_SETTING): _Option(write=_write_setting),
}
"""By level and number."""
