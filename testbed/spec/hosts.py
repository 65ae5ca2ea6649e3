"""Hosts and their interfaces, with the addresses these carry.

Addresses live on the ends of links: every end is one interface. An interface may carry two addresses of its
subnet: the host kernel's own and one for the Python stack (`stack_address`), so that both can be compared
on the same links; two of an IPv6 subnet beside them; and more of the same IPv4 subnet, so that a connection may
have several subflows by one interface.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from itertools import zip_longest
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from testbed.input.validation import FieldError, Frozen

_NAME = r"^[a-z][a-z0-9-]*$"
Name = Annotated[str, StringConstraints(pattern=_NAME, max_length=32)]
# Linux holds interface names of at most 15 bytes (IFNAMSIZ); links and hosts give interfaces their names.
InterfaceName = Annotated[str, StringConstraints(pattern=_NAME, max_length=15)]
LinkName = Annotated[str, StringConstraints(pattern=_NAME, max_length=13)]
HostName = Annotated[str, StringConstraints(pattern=_NAME, max_length=10)]


def _host_address(value: IPv4Interface) -> IPv4Interface:
    if value.network.prefixlen > 30:
        raise ValueError('must name its subnet, e.g. "10.0.1.1/24"')
    if value.ip in (value.network.network_address, value.network.broadcast_address):
        raise ValueError(f"{value} is its subnet's own or broadcast address, not a host's")
    return value


def _host_address6(value: IPv6Interface) -> IPv6Interface:
    if value.network.prefixlen > 126:
        raise ValueError('must name its subnet, e.g. "fd00:1::1/64"')
    return value


HostAddress = Annotated[IPv4Interface, AfterValidator(_host_address)]
HostAddress6 = Annotated[IPv6Interface, AfterValidator(_host_address6)]


class Place(NamedTuple):
    """What one interface has of one IP version, as the fields of `End` say."""

    address: IPv4Interface | IPv6Interface
    stack_address: IPv4Interface | IPv6Interface | None
    gateway: IPv4Address | IPv6Address | None


class Host(Frozen):
    """A machine with its own network stack. `forward`: a router, passes packets between its interfaces."""

    name: HostName
    forward: bool = False


class End(Frozen):
    """One interface of a host, the end of one link.

    `address` is the host kernel's, `stack_address` the Python stack's on the same subnet. `gateway` is the
    router that leads beyond the subnet, for packets that come *from* these addresses (per-source routing).
    `more_addresses` and `more_stack_addresses` are further ones of the same subnet. The fields that end in 6 are
    the same for IPv6.
    """

    host: str
    interface: InterfaceName
    address: HostAddress
    stack_address: HostAddress | None = None
    gateway: IPv4Address | None = None
    more_addresses: tuple[HostAddress, ...] = Field(default=(), max_length=250)
    more_stack_addresses: tuple[HostAddress, ...] = Field(default=(), max_length=250)
    address6: HostAddress6 | None = None
    stack_address6: HostAddress6 | None = None
    gateway6: IPv6Address | None = None

    @model_validator(mode="after")
    def _same_subnet(self) -> End:
        if self.address6 is None:
            for field in ("stack_address6", "gateway6"):
                if getattr(self, field) is not None:
                    raise FieldError(field, "needs address6, the host's own on the same subnet")
        if len(self.more_stack_addresses) not in (0, len(self.more_addresses)):
            raise FieldError("more_stack_addresses", "must be as many as more_addresses, or none")
        for field in ("more_addresses", "more_stack_addresses"):
            for address in getattr(self, field):
                if address.network != self.address.network:
                    raise FieldError(field, f"{address} is not on the subnet {self.address.network} of `address`")
        for place, version in zip(self._main_places(), ("", "6"), strict=False):
            network = place.address.network
            if place.stack_address is not None and place.stack_address.network != network:
                raise FieldError(
                    f"stack_address{version}",
                    f"{place.stack_address} is not on the subnet {network} of `address{version}`",
                )
            if place.gateway is not None and place.gateway not in network:
                raise FieldError(
                    f"gateway{version}", f"{place.gateway} is not on {network}, the subnet of address{version}"
                )
        return self

    @property
    def places(self) -> list[Place]:
        """What it has of IPv4 and, if anything, of IPv6; then its further addresses."""
        more = zip_longest(self.more_addresses, self.more_stack_addresses)
        return self._main_places() + [Place(address, of_stack, self.gateway) for address, of_stack in more]

    def _main_places(self) -> list[Place]:
        found = [Place(self.address, self.stack_address, self.gateway)]
        if self.address6 is not None:
            found.append(Place(self.address6, self.stack_address6, self.gateway6))
        return found

    @property
    def addresses(self) -> list[IPv4Interface | IPv6Interface]:
        """Every address on this interface."""
        return [address for place in self.places for address in (place.address, place.stack_address) if address]

    @property
    def networks(self) -> list[IPv4Network | IPv6Network]:
        """The subnets of its addresses, IPv4 first."""
        return [place.address.network for place in self._main_places()]
