"""Which of a stack's addresses are there: an interface may go down or away, its subnet may be taken from it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, NamedTuple

from mptcp_stack.runtime.config import HostAddress, IpAddress

from .kernel_router import KernelRouter
from .netlink import Netlink

# rtnetlink(7)
_GROUP_LINK, _GROUP_IPV4_ADDRESS, _GROUP_IPV6_ADDRESS = 0x1, 0x10, 0x100
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_NOTE_BYTES = 1 << 16
"""More than one notification has; what would be cut is not read anyway."""


class AddressChange(NamedTuple):
    """Addresses that have gone since the last look, and those that have come (again)."""

    gone: list[HostAddress]
    come: list[HostAddress]


class AddressMonitor:
    """Knows by the kernel's notifications when to look, and looks with `refresh`; a context manager.

    An address is there while its interface is up and has a carrier, and while the kernel has not lost its own address
    on the subnet, if it had one. The kernel's IPv6 addresses go with an interface that goes down, and stay away: for
    them that counts only while the interface is up. `absent`: those that are not there.

    It also sees to the routes to the TUN device, which the kernel drops when somebody sets that down.
    """

    def __init__(self, netlink: Netlink, router: KernelRouter, addresses: Sequence[HostAddress]) -> None:
        """To be made in the thread of `netlink`."""
        self._netlink = netlink
        self._route = netlink.route
        self._router = router
        self._watched = [address for address in addresses if address.device is not None]
        self._anchored: set[HostAddress] = set()
        self._notes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._notes.bind((0, _GROUP_LINK | _GROUP_IPV4_ADDRESS | _GROUP_IPV6_ADDRESS))
        self.absent = set(self._watched) - self._look()

    def __enter__(self) -> AddressMonitor:
        return self

    def __exit__(self, *error: object) -> None:
        self._notes.close()

    def fileno(self) -> int:
        """Readable when something about interfaces or addresses has changed, of the stack's or not."""
        return self._notes.fileno()

    def refresh(self) -> AddressChange:
        """What has changed; addresses that have come are ready for use. Raises what pyroute2 raises."""
        while self._has_note():
            pass
        return self._netlink.run(self._refresh)

    def _has_note(self) -> bool:
        """Take a note. What it says does not matter, nor that some were lost: how it is now is asked afresh."""
        try:
            self._notes.recv(_NOTE_BYTES)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                raise
            return error.errno == errno.ENOBUFS
        return True

    def _refresh(self) -> AddressChange:
        from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

        # The TUN device may be down (again), or have gone.
        with suppress(NetlinkError, OSError):
            self._router.route_to_tun()
        there = self._look()
        gone = [address for address in self._watched if address not in there and address not in self.absent]
        come = []
        for address in there & self.absent:
            # An interface that is going again, or not quite ready, is looked at with the next note.
            with suppress(NetlinkError, OSError, ValueError):
                self._router.attach(address)
                come.append(address)
        self.absent = self.absent - set(come) | set(gone)
        return AddressChange(gone, come)

    def _look(self) -> set[HostAddress]:
        """The addresses that are there."""
        links = {link.get_attr("IFLA_IFNAME"): link for link in self._route.get_links()}
        kernels = self._kernels_addresses()
        there = set()
        for address in self._watched:
            link = links.get(address.device)
            if link is None or not _is_up(link):
                if address.ip.version == 6:
                    self._anchored.discard(address)
                continue
            if any(ip in address.subnet for ip in kernels.get(link["index"], ())):
                self._anchored.add(address)
            elif address in self._anchored:
                continue
            there.add(address)
        return there

    def _kernels_addresses(self) -> dict[int, list[IpAddress]]:
        """The kernel's own addresses by the index of their interface."""
        found: dict[int, list[IpAddress]] = {}
        for entry in self._route.get_addr():
            text = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
            found.setdefault(entry["index"], []).append(ip_address(text))
        return found


def _is_up(link: Any) -> bool:
    flags: int = link["flags"]
    return bool(flags & _IFF_UP and flags & _IFF_LOWER_UP)
