"""A TUN interface of the Linux kernel, with super-segments and checksum offload in both directions.

Sources: linux/if_tun.h, Documentation/networking/tuntap.rst. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from struct import Struct
from typing import Final

from typing_extensions import override

from mptcp_stack.wire import Packet, WireError, virtio

from .device import GONE, MAX_IP_BYTES, Capabilities, Device

CLONE_DEVICE: Final = "/dev/net/tun"

_TUNSETIFF: Final = 0x400454CA
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_IFF_TUN: Final = 0x0001
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_IFF_TUN_EXCL: Final = 0x8000
_OFFLOAD_CSUM: Final = 0x01
_OFFLOAD_TSO4: Final = 0x02
_OFFLOAD_TSO6: Final = 0x04
_OFFLOAD_TSO_ECN: Final = 0x08
_IFREQ: Final = Struct("16sH22x")
_INT: Final = Struct("i")

_READ_BYTES: Final = virtio.HEADER_LENGTH + MAX_IP_BYTES
# The kernel takes no more buffers in one writev (IOV_MAX).
_MAX_PARTS: Final = 1023


class Tun(Device):
    """A new TUN interface; it disappears with `close` or with the process.

    `name` may contain `%d`, which the kernel replaces by the first free number; the attribute `name` is the result.
    `mtu` is what the interface will be set to (bytes): opening it does not bring it up. Without `receive_offload` the
    kernel cuts what it gives us into packets of `mtu` and completes their checksums.

    Raises OSError: EPERM without the capability, EBUSY when the name is taken, ENOENT without TUN in the kernel.
    """

    def __init__(self, name: str = "mptcp%d", mtu: int = 1500, *, receive_offload: bool = True) -> None:
        self.capabilities = Capabilities(
            mtu=mtu, checksum_offload=True, segmentation_offload=True, max_packet_bytes=MAX_IP_BYTES
        )
        self.malformed_frames = 0
        self._fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.name = self._configure(name, receive_offload)
        except OSError:
            self.close()
            raise

    def _configure(self, name: str, receive_offload: bool) -> str:
        flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL
        request = fcntl.ioctl(self._fd, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
        fcntl.ioctl(self._fd, _TUNSETVNETHDRSZ, _INT.pack(virtio.HEADER_LENGTH))
        offload = _OFFLOAD_CSUM | _OFFLOAD_TSO4 | _OFFLOAD_TSO6 | _OFFLOAD_TSO_ECN if receive_offload else 0
        fcntl.ioctl(self._fd, _TUNSETOFFLOAD, offload)
        given: bytes = _IFREQ.unpack(request)[0]
        return given.rstrip(b"\0").decode()

    @override
    def fileno(self) -> int:
        return self._fd

    @override
    def receive(self, limit: int) -> list[Packet]:
        """Frames with a virtio header of an unknown kind are counted in `malformed_frames`.

        Raises OSError (EBADFD) when the interface does not exist any more.
        """
        fd, read, parse = self._fd, os.read, virtio.parse
        packets: list[Packet] = []
        for _ in range(limit):
            try:
                frame = read(fd, _READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                if packets:
                    break  # next time it says it again
                raise
            try:
                checksum, gso_size = parse(frame)
            except WireError:
                self.malformed_frames += 1
                continue
            data = memoryview(frame)[virtio.HEADER_LENGTH :]
            packets.append(Packet((data,), 0, len(data), gso_size, checksum))
        return packets

    @override
    def send(self, packets: Sequence[Packet]) -> int:
        """One system call a packet. Raises OSError (EBADFD) when the interface is there no longer."""
        fd, writev, pack = self._fd, os.writev, virtio.pack
        refused = 0
        for index, packet in enumerate(packets):
            parts = packet.parts
            if len(parts) > _MAX_PARTS:
                parts = (b"".join(parts),)
            try:
                writev(fd, (pack(packet), *parts))
            except OSError as error:
                if error.errno in _QUEUE_IS_FULL:
                    return index - refused
                if error.errno in GONE:
                    raise
                refused += 1  # this one is not as the kernel wants it
        return len(packets) - refused

    @override
    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


# EIO: the interface is down.
_QUEUE_IS_FULL: Final = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EIO))
