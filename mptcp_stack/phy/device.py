"""What a device is: it takes and gives batches of packets and says what it can do with them."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from mptcp_stack.wire import Packet

MAX_IP_BYTES: Final = 65535
GONE: Final = frozenset((errno.EBADF, errno.EBADFD, errno.ENODEV, errno.ENXIO))
"""Errors of a device that does not exist any more."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device does by itself.

    `mtu` is the largest IP packet on its wire, in bytes; `max_packet_bytes` the largest that `send` takes, which is
    more than `mtu` only with `segmentation_offload`. With `checksum_offload` it completes PARTIAL checksums.
    """

    mtu: int
    checksum_offload: bool
    segmentation_offload: bool
    max_packet_bytes: int


@mypyc_attr(allow_interpreted_subclasses=True)
class Device(ABC):
    """A network interface of the stack. Never blocks.

    `receive` and `send` raise OSError when something is wrong, of `GONE` when that is for good. What was to be sent is
    lost then.
    """

    capabilities: Capabilities

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable while packets wait."""
        raise NotImplementedError

    @abstractmethod
    def receive(self, limit: int) -> list[Packet]:
        """Up to `limit` packets that wait, in order of arrival; fewer only when no more wait."""
        raise NotImplementedError

    @abstractmethod
    def send(self, packets: Sequence[Packet]) -> int:
        """Send packets in order; how many it took. Those it did not take are lost, as in a full queue of a NIC."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Let go of its descriptors. May be called again."""
        raise NotImplementedError
