"""Offloads in software, for devices that have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from mptcp_stack.wire import Checksum, Packet, complete, split

from .device import MAX_IP_BYTES, Capabilities, Device


class SoftwareOffload(Device):
    """A device that takes super-segments and PARTIAL checksums, and does in software what the one below cannot."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lower = device.capabilities
        self.capabilities: Capabilities = replace(
            self._lower, checksum_offload=True, segmentation_offload=True, max_packet_bytes=MAX_IP_BYTES
        )

    @override
    def fileno(self) -> int:
        return self._device.fileno()

    @override
    def receive(self, limit: int) -> list[Packet]:
        return self._device.receive(limit)

    @override
    def send(self, packets: Sequence[Packet]) -> int:
        """A super-segment of which only a part was taken counts as not taken."""
        taken = 0
        for packet in packets:
            pieces = self._fit(packet)
            if self._device.send(pieces) < len(pieces):
                break
            taken += 1
        return taken

    @override
    def close(self) -> None:
        self._device.close()

    def _fit(self, packet: Packet) -> list[Packet]:
        pieces = [packet] if self._lower.segmentation_offload else split(packet)
        if self._lower.checksum_offload:
            return pieces
        return [Packet([complete(piece)], checksum=Checksum.NONE) for piece in pieces]
