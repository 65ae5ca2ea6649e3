"""A descriptor that `select` finds readable or writable when a socket of ours is."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_PAD = bytes(1 << 16)


class Doorbell:
    """Two ends of a kernel's socket pair; the application polls copies of one, and nobody else uses it.

    It is readable while a byte waits at its end, and writable unless its own buffer is full. Closing it makes the
    copies both: whoever polls wakes up, and the next call says why.
    """

    def __init__(self) -> None:
        self._polled, self._other = socket.socketpair()
        for end in (self._polled, self._other):
            end.setblocking(False)
        self._polled.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least there is
        self._readable = False
        self._writable = True

    def copy(self) -> int:
        """A new descriptor to poll; who asks for it closes it."""
        return os.dup(self._polled.fileno())

    def show(self, readable: bool, writable: bool) -> None:
        """Let it be so from now on."""
        if readable != self._readable:
            self._readable = readable
            if readable:
                self._other.send(b"\0")
            else:
                self._polled.recv(1)
        if writable != self._writable:
            self._writable = writable
            with suppress(BlockingIOError):
                while not writable:
                    self._polled.send(_PAD)
                while self._other.recv(len(_PAD)):
                    pass

    def close(self) -> None:
        """Wake whoever polls, for good."""
        self._polled.close()
        self._other.close()
