"""A cable between two stacks in one process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Final

from typing_extensions import override

from mptcp_stack.wire import Packet

from .device import MAX_IP_BYTES, Capabilities, Device

OFFLOADS: Final = Capabilities(
    mtu=1500, checksum_offload=True, segmentation_offload=True, max_packet_bytes=MAX_IP_BYTES
)
NO_OFFLOADS: Final = Capabilities(mtu=1500, checksum_offload=False, segmentation_offload=False, max_packet_bytes=1500)


class MemoryDevice(Device):
    """One end of a cable made by `memory_pair`. Holds up to `queue_packets` packets that came in."""

    def __init__(self, capabilities: Capabilities, queue_packets: int) -> None:
        self.capabilities = capabilities
        self.peer: MemoryDevice | None = None
        self._queue: deque[Packet] = deque()
        self._queue_packets = queue_packets
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # The two ends may belong to event loops of different threads.
        self._lock = Lock()

    @override
    def fileno(self) -> int:
        return self._fd

    @override
    def receive(self, limit: int) -> list[Packet]:
        queue = self._queue
        with self._lock:
            packets = [queue.popleft() for _ in range(min(limit, len(queue)))]
            if packets and not queue:
                os.eventfd_read(self._fd)
        return packets

    @override
    def send(self, packets: Sequence[Packet]) -> int:
        """What is sent while the other end is closed is lost. Raises ValueError when one is too large."""
        for packet in packets:
            if packet.length > self.capabilities.max_packet_bytes:
                raise ValueError(f"a packet of {packet.length} bytes is too large for this device")
        peer = self.peer
        return len(packets) if peer is None else peer._put(packets)

    @override
    def close(self) -> None:
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _put(self, packets: Sequence[Packet]) -> int:
        queue = self._queue
        with self._lock:
            if self._fd < 0:
                return len(packets)
            taken = packets[: self._queue_packets - len(queue)]
            if taken and not queue:
                os.eventfd_write(self._fd, 1)
            # One buffer each, as from a real device.
            queue.extend(packet.joined() for packet in taken)
        return len(taken)


def memory_pair(capabilities: Capabilities = OFFLOADS, queue_packets: int = 4096) -> tuple[MemoryDevice, MemoryDevice]:
    """Two devices, each receiving what the other one sends."""
    near, far = MemoryDevice(capabilities, queue_packets), MemoryDevice(capabilities, queue_packets)
    near.peer, far.peer = far, near
    return near, far
