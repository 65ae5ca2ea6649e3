"""A packet socket on one end of a wire: whole Ethernet frames in and out, with the kernel's offload header.

The header (linux/virtio_net.h, 10 bytes) goes from one end to the other with its frame: it says which checksums are
still to be completed, so that nobody computes them here. Sources: packet(7), linux/if_packet.h.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from struct import Struct

from testbed.links.emulator.segments import HEADER_BYTES

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_STATISTICS, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 6, 15, 23
_SO_RCVBUFFORCE = 33
_SIOCGSTAMPNS = 0x8907
_STATISTICS, _TIMESPEC = Struct("II"), Struct("qq")
# A tenth of a second of Gigabit Ethernet: what waits while this process has no processor.
_RECEIVE_BUFFER_BYTES = 16 << 20
_READ_BYTES = HEADER_BYTES + 65550


class Port:
    """The frames that come in by one interface, and those that are sent out by it. Raises OSError."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._stamp = bytearray(_TIMESPEC.size)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        # Options before bind: not one frame is to come without them.
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        with suppress(OSError):  # there is no frame yet; asking has the kernel note times from now on
            self.waited_ns()
        self._socket.bind((interface, _ETH_P_ALL))
        self.overrun = 0

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """The next frame behind its header. Raises BlockingIOError when none waits."""
        return os.read(self._socket.fileno(), _READ_BYTES)

    def waited_ns(self) -> int:
        """How long the frame that was read last had waited here since the kernel had it."""
        fcntl.ioctl(self._socket, _SIOCGSTAMPNS, self._stamp)
        seconds: int
        nanoseconds: int
        seconds, nanoseconds = _TIMESPEC.unpack(self._stamp)
        return time.time_ns() - seconds * 1_000_000_000 - nanoseconds

    def lost_frames(self) -> int:
        """Frames that came in while the receive buffer was full, since the port was opened."""
        # Reading resets the kernel's own count.
        self.overrun += _STATISTICS.unpack(self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        return self.overrun
