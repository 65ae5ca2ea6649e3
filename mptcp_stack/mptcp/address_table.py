"""The addresses that a stack has, and their IDs (RFC 8684 section 3.4)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.tcp.address import names_one_host
from mptcp_stack.tcp.errors import address_in_use, address_not_available

_IDS: Final = range(1, 256)
"""0 is the address that a connection began with (RFC 8684 section 3.4.1)."""


class AddressTable:
    """``present``: the addresses, in order of preference; ``ips``: the same as they are in packets.

    ``ids``: those of addresses that are there or were, the ones that came longest ago first.
    """

    __slots__ = ("_broadcasts", "ids", "ips", "present")

    def __init__(self, addresses: Iterable[LocalAddress]) -> None:
        addresses = tuple(addresses)
        self.ids = {address.ip: address.address_id for address in addresses if address.address_id}
        self._have(())
        for address in addresses:
            self._have((*self.present, self._with_id(address)))

    def add(self, address: LocalAddress) -> LocalAddress:
        """One more; returns it with its ID.

        Raises OSError (EADDRINUSE) when it is there already, ValueError when its ID, or all of them, are taken.
        """
        if address.ip in self.ips:
            raise address_in_use()
        address = self._with_id(address)
        self._have((*self.present, address))
        return address

    def remove(self, ip: bytes) -> LocalAddress:
        """One less, which it returns. Raises OSError (EADDRNOTAVAIL) when there is none."""
        address = next((address for address in self.present if address.ip == ip), None)
        if address is None:
            raise address_not_available()
        self._have(tuple(other for other in self.present if other is not address))
        return address

    def mtu(self, ip: bytes) -> int:
        """Of the link of an address (bytes); 0: that of the stack's configuration."""
        return next((address.mtu for address in self.present if address.ip == ip), 0)

    def is_host(self, ip: bytes) -> bool:
        """Whether an address can be that of one host, this one or another."""
        return names_one_host(ip) and ip not in self._broadcasts

    def _have(self, addresses: tuple[LocalAddress, ...]) -> None:
        self.present = addresses
        self.ips = frozenset(address.ip for address in addresses)
        self._broadcasts = frozenset(address.broadcast for address in addresses)

    def _with_id(self, address: LocalAddress) -> LocalAddress:
        """The address with its ID: its own choice, the one it had before, or one that nobody has or had lately.

        An ID names one address (RFC 8684 section 3.4); those of addresses that are gone are kept for them as long as
        there are others.
        """
        known = self.ids
        present = {other.address_id for other in self.present}
        if address.address_id in present:
            raise ValueError(f"address ID {address.address_id} names another address (RFC 8684 section 3.4)")
        former = {address_id: ip for ip, address_id in known.items() if address_id not in present}
        fresh = (number for number in _IDS if number not in present and number not in former)
        address_id = address.address_id or known.get(address.ip) or next(fresh, None) or next(iter(former), None)
        if address_id is None:
            raise ValueError("a stack has at most 255 addresses (RFC 8684 section 3.4.1)")
        for ip in (former.get(address_id, b""), address.ip):
            known.pop(ip, None)
        known[address.ip] = address_id  # at the end: the first are those that came longest ago
        return replace(address, address_id=address_id)
