"""Taking the carrier from an interface, and giving it back: its peer, a wire's end, goes down or up."""

from __future__ import annotations

import fcntl
import socket
from struct import Struct
from threading import Thread

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_REQUEST = Struct("16sh14x")  # ifreq: name, flags


def set_carrier(wire_end: str, up: bool) -> Thread:
    """Do it in a thread of its own: the kernel may take milliseconds, and frames of other links do not wait."""
    thread = Thread(target=_set_up, args=(wire_end, up), daemon=True)
    thread.start()
    return thread


def _set_up(interface: str, up: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        request = bytearray(_REQUEST.pack(interface.encode(), 0))
        fcntl.ioctl(channel, _SIOCGIFFLAGS, request)
        flags = _REQUEST.unpack(request)[1]
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(channel, _SIOCSIFFLAGS, _REQUEST.pack(interface.encode(), flags))
