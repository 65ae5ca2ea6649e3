"""The kernel's own list of a host's sockets (NETLINK_SOCK_DIAG, what `ss` reads), without a process in the host."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator

from testbed.collectors.base import Place

MPTCP = 262
"""The protocol's number, which the socket module of Python 3.11 does not name."""

# From include/net/tcp_states.h; the names are those of RFC 9293.
STATES = {
    1: "ESTABLISHED", 2: "SYN-SENT", 3: "SYN-RECEIVED", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT", 7: "CLOSED",
    8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN-RECEIVED",
}  # fmt: skip
TIME_WAIT, LISTEN = 6, 10

_NETLINK_SOCK_DIAG = 4
_CLONE_NEWNET = 0x4000_0000
_TCP_OF_ALL_FAMILIES, _BY_FAMILY = 18, 20
"""The older request gives both families in one walk through the kernel's table, which is the dear part."""
_REQUEST_DUMP = 0x301
_DONE, _ERROR = 3, 2
_REQ_PROTOCOL = 3
"""The attribute for a protocol whose number does not fit in a byte."""
_HEADER = struct.Struct("=IHHII")
_TCP_REQUEST, _REQUEST = struct.Struct("=BxxB48xII"), struct.Struct("=BBBxI48x")
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_STATE_OFFSET = _HEADER.size + 1
_RECEIVE_BYTES = 1 << 17

INFO = 1 << (2 - 1) | 1 << (4 - 1)
"""What is asked for beside addresses and states: the protocol's `..._info` structure, the congestion control."""

_libc = ctypes.CDLL(None, use_errno=True)


class SocketDiag:
    """A netlink socket in the network namespace of a host. Raises OSError."""

    def __init__(self, place: Place) -> None:
        self._socket = _socket_in(place.pid)
        # Long lists in few system calls.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.settimeout(5.0)

    def tcp(self, states: int, extensions: int = INFO) -> bytes:
        """Return the netlink messages about all TCP sockets in `states` (a bit each), one after the other."""
        return self._dump(_TCP_OF_ALL_FAMILIES, _TCP_REQUEST.pack(0, extensions, states, 0))

    def mptcp(self, states: int) -> bytes:
        """Return the same for MPTCP connections. FileNotFoundError (ENOENT): this kernel does not list them."""
        attribute = struct.pack("=HHI", 8, _REQ_PROTOCOL, MPTCP)
        requests = [_REQUEST.pack(family, MPTCP & 255, INFO, states) + attribute for family in _FAMILIES]
        return b"".join(self._dump(_BY_FAMILY, request) for request in requests)

    def _dump(self, kind: int, body: bytes) -> bytes:
        """Make a request; return all messages of the answer. Raises OSError."""
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
        parts = []
        while True:
            part = self._socket.recv(_RECEIVE_BYTES)
            parts.append(part)
            # The end of the list is a message of its own, the last of its part.
            last = [kind for _, kind in messages_in(part)][-1]
            if last == _ERROR:
                _raise_error(part)
            if last == _DONE:
                return b"".join(parts)


def count_states(messages: bytes) -> Counter[str]:
    """Count the sockets of a dump by the name of their state."""
    numbers = Counter(messages[start + _STATE_OFFSET] for start, kind in messages_in(messages) if kind > _DONE)
    return Counter({STATES[number]: count for number, count in numbers.items()})


def messages_in(data: bytes) -> Iterator[tuple[int, int]]:
    """Return where each netlink message starts, and its type."""
    start = 0
    while start < len(data):
        length, kind = struct.unpack_from("=IH", data, start)
        yield start, kind
        start += (length + 3) & ~3


def states_but(*states: int) -> int:
    """Return the mask of all states without some."""
    return sum(1 << state for state in STATES if state not in states)


def _raise_error(part: bytes) -> None:
    (code,) = struct.unpack_from("=i", part, _HEADER.size)
    raise OSError(-code, os.strerror(-code))


def _socket_in(pid: int) -> socket.socket:
    """Open a netlink socket in another network namespace; this thread is back in its own afterwards."""
    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        _enter(there)
        try:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
        finally:
            _enter(home)
    finally:
        os.close(home)
        os.close(there)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a host's network namespace: {os.strerror(number)}")
