"""Counting events of the kernel and of the hardware on every core (perf_event_open): nothing runs, nothing stays.

A counter is a descriptor: it ends with this process, and changes nothing for the rest of the machine.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from testbed.errors import Unsupported

HARDWARE, TRACEPOINT = 0, 2
"""Types of events (linux/perf_event.h)."""

_SYSCALL = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES = struct.Struct("=IIQQQQQ72x")
"""type, size, config, sample_period, sample_type, read_format, flags; the rest is 0."""
_WITH_TIMES = 3
_CLOSE_ON_EXEC = 8
_SET_FILTER = 0x4008_2406
_VALUES = struct.Struct("=QQQ")

_libc = ctypes.CDLL(None, use_errno=True)


class Count(NamedTuple):
    """A count so far, and for how long of the time it was wanted the counter really ran."""

    value: int
    wanted_ns: int
    ran_ns: int


class Counter:
    """One event on one core. `predicate` is a tracepoint's filter. Raises OSError, Unsupported."""

    def __init__(self, kind: int, config: int, cpu: int, predicate: str = "") -> None:
        number = _SYSCALL.get(platform.machine())
        if number is None:
            raise Unsupported(f"perf events: not known on {platform.machine()}")
        attributes = _ATTRIBUTES.pack(kind, _ATTRIBUTES.size, config, 0, 0, _WITH_TIMES, 0)
        self._descriptor = _libc.syscall(number, attributes, -1, cpu, -1, _CLOSE_ON_EXEC)
        if self._descriptor < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        if predicate:
            fcntl.ioctl(self._descriptor, _SET_FILTER, predicate.encode() + b"\0")

    def read(self) -> Count:
        """Return the count so far."""
        return Count(*_VALUES.unpack(os.read(self._descriptor, _VALUES.size)))


def cores() -> list[int]:
    """Return the cores that are on."""
    found: list[int] = []
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


@contextmanager
def tracefs() -> Iterator[Path]:
    """Give the kernel's directory of tracepoints, mounted for the block alone. Raises Unsupported."""
    with tempfile.TemporaryDirectory(prefix="tracefs-") as place:
        if _libc.mount(b"none", place.encode(), b"tracefs", 0, None) != 0:
            raise Unsupported(f"tracepoints: cannot mount tracefs: {os.strerror(ctypes.get_errno())}")
        try:
            yield Path(place)
        finally:
            _libc.umount2(place.encode(), 2)
