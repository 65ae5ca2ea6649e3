"""A device that shows what passes through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from typing_extensions import override

from mptcp_stack.wire import Packet

from .device import Device

Observer = Callable[[int, bool, Packet], None]
"""Called with a time in nanoseconds, whether the packet goes out, and the packet."""


class Tap(Device):
    """Shows `observe` every packet that the device below receives or takes."""

    def __init__(self, device: Device, observe: Observer, clock: Callable[[], int] = time.time_ns) -> None:
        self.capabilities = device.capabilities
        self._device = device
        self._observe = observe
        self._clock = clock

    @override
    def fileno(self) -> int:
        return self._device.fileno()

    @override
    def receive(self, limit: int) -> list[Packet]:
        packets = self._device.receive(limit)
        self._show(self._clock(), False, packets)
        return packets

    @override
    def send(self, packets: Sequence[Packet]) -> int:
        """Shows only what the device below took."""
        # Before it is sent: the answer of a peer on the same machine must not come before its cause.
        now = self._clock()
        taken = self._device.send(packets)
        self._show(now, True, packets[:taken])
        return taken

    @override
    def close(self) -> None:
        self._device.close()

    def _show(self, now: int, outgoing: bool, packets: Sequence[Packet]) -> None:
        for packet in packets:
            self._observe(now, outgoing, packet)
