"""Who has which address in the namespace that foreign programs run in.

Foreign code means this host by loopback addresses, which stay the kernel's. Where a stack of ours is to be tried, its
addresses take their place (`translated`), and what the kernel is to do on them it does on its own ones.
"""

import re
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

OURS, OURS_6 = "10.0.1.101", "fd00:1::101"
KERNELS, KERNELS_6 = "10.0.1.1", "fd00:1::1"
PREFIXES = {OURS: 24, OURS_6: 64}

_LOOPBACK = re.compile(rb"\b127\.0\.0\.1\b|(?<=[\"'])::1(?=[\"'])")
_TAKES_ITS_PLACE = {b"127.0.0.1": OURS.encode(), b"::1": OURS_6.encode()}


def translated(source: bytes) -> bytes:
    """The text of a program with our addresses for those of loopback."""
    return _LOOPBACK.sub(lambda found: _TAKES_ITS_PLACE[found.group()], source)


_HOSTS = {OURS: KERNELS, OURS_6: KERNELS_6, "localhost": KERNELS}
_BOUND: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The kernel's sockets by the port that they got for an address of ours."""


def kernels_own(call: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel socket's `bind`, with the kernel's address for one of ours."""

    def bind(self: Any, address: Any) -> None:
        if isinstance(address, tuple) and address:
            moved = (_HOSTS.get(address[0], address[0]), *address[1:])
            call(self, moved)
            if moved != address:
                _BOUND[self.getsockname()[1]] = self
            return
        call(self, address)

    return bind


def found(address: Any) -> Any:
    """Where to connect to: the kernel's address where one of its sockets has the port."""
    if not isinstance(address, tuple) or len(address) < 2:
        return address
    holder = _BOUND.get(address[1])
    there = holder is not None and holder.fileno() >= 0
    return (_HOSTS.get(address[0], address[0]), *address[1:]) if there else address
