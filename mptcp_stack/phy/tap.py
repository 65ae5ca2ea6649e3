"""A device that shows what passes through it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mptcp_stack.wire import Packet

from .device import Capabilities, Device

Observer = Callable[[int, bool, Packet], None]
"""Called with a time in nanoseconds, whether the packet goes out, and the packet."""


class Tap:
    """Shows `observe` every packet that the device below receives or takes."""

    def __init__(self, device: Device, observe: Observer, clock: Callable[[], int] = time.time_ns) -> None:
        self._device = device
        self._observe = observe
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        """See `Device`."""
        return self._device.capabilities

    def fileno(self) -> int:
        """See `Device`."""
        return self._device.fileno()

    def receive(self, limit: int) -> list[Packet]:
        """See `Device`."""
        packets = self._device.receive(limit)
        self._show(self._clock(), False, packets)
        return packets

    def send(self, packets: Sequence[Packet]) -> int:
        """See `Device`. Shows only what the device below took."""
        # Before it is sent: the answer of a peer on the same machine must not come before its cause.
        now = self._clock()
        taken = self._device.send(packets)
        self._show(now, True, packets[:taken])
        return taken

    def close(self) -> None:
        """See `Device`."""
        self._device.close()

    def _show(self, now: int, outgoing: bool, packets: Sequence[Packet]) -> None:
        for packet in packets:
            self._observe(now, outgoing, packet)
