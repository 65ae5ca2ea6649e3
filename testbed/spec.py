"""What a lab is made of: hosts and links, validated and frozen (`Topology`).

Addresses live on the ends of links: every end is one interface. An interface may carry two addresses of its
subnet: the host kernel's own and one for the Python stack (`stack_address`), so that both can be compared
on the same links; and two of an IPv6 subnet beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from testbed.units import RateBps, SizeBytes
from testbed.validation import FieldError, Frozen, unknown

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
    The fields that end in 6 are the same for IPv6.
    """

    host: str
    interface: InterfaceName
    address: HostAddress
    stack_address: HostAddress | None = None
    gateway: IPv4Address | None = None
    address6: HostAddress6 | None = None
    stack_address6: HostAddress6 | None = None
    gateway6: IPv6Address | None = None

    @model_validator(mode="after")
    def _same_subnet(self) -> End:
        if self.address6 is None:
            for field in ("stack_address6", "gateway6"):
                if getattr(self, field) is not None:
                    raise FieldError(field, "needs address6, the host's own on the same subnet")
        for place, version in zip(self.places, ("", "6"), strict=False):
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
        """What it has of IPv4 and, if anything, of IPv6."""
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
        """The subnets of its addresses."""
        return [place.address.network for place in self.places]


Wire = Literal["mtu", "super-segments"]


class Link(Frozen):
    """A cable between two interfaces, the same in both directions.

    `rate_bps` None leaves it at the machine's own speed. `queue_bytes` is the drop-tail queue before a shaped
    link. `wire` says what crosses it: packets of at most the MTU, or super-segments of up to 64 KB as veth
    can pass them (unshaped links only). `tolerance` is how far the measured rate may be from the asked one.
    """

    name: LinkName
    ends: tuple[End, End]
    rate_bps: RateBps | None = Field(default=None, alias="rate")
    queue_bytes: SizeBytes | None = Field(default=None, alias="queue")
    wire: Wire = "mtu"
    tolerance: float = Field(default=0.05, gt=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _none_is_unshaped(cls, data: Any) -> Any:
        """In a template `rate: none` is a word; it means the same as leaving the field out."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if key not in ("rate", "queue") or value != "none"}
        return data

    @model_validator(mode="after")
    def _shaping_is_whole(self) -> Link:
        if self.rate_bps is not None and self.queue_bytes is None:
            raise FieldError("queue", 'a shaped link needs the size of its queue, e.g. "100 kB"')
        if self.rate_bps is None and self.queue_bytes is not None:
            raise FieldError("queue", "an unshaped link (no rate) has no queue: leave it out or give a rate")
        if self.rate_bps is not None and self.wire == "super-segments":
            raise FieldError("wire", "a shaped link carries single packets: use mtu, or leave out the rate")
        first, second = self.ends
        if first.host == second.host:
            raise FieldError("ends", f"both are on the host '{first.host}'; a link joins two hosts")
        if first.networks != second.networks:
            subnets = (", ".join(map(str, end.networks)) for end in self.ends)
            raise FieldError("ends", f"are on different subnets: {' and '.join(subnets)}")
        return self


class Topology(Frozen):
    """Hosts and the links between them."""

    name: Name
    description: str = ""
    hosts: tuple[Host, ...] = Field(min_length=2)
    links: tuple[Link, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Topology:
        self._check_unique("hosts", [host.name for host in self.hosts], "name")
        self._check_unique("links", [link.name for link in self.links], "name")
        self._check_ends()
        self._check_subnets()
        return self

    @staticmethod
    def _check_unique(field: str, names: list[str], what: str) -> None:
        for index, name in enumerate(names):
            if name in names[:index]:
                raise FieldError(f"{field}[{index}].{what}", f"'{name}' is used twice")

    def _ends(self) -> Iterator[tuple[str, End]]:
        for i, link in enumerate(self.links):
            for j, end in enumerate(link.ends):
                yield f"links[{i}].ends[{j}]", end

    def _check_ends(self) -> None:
        hosts = [host.name for host in self.hosts]
        interfaces: Counter[str] = Counter()
        owners: dict[IPv4Address | IPv6Address, str] = {}
        for field, end in self._ends():
            if end.host not in hosts:
                raise FieldError(f"{field}.host", unknown("host", end.host, hosts))
            interfaces[end.interface] += 1
            if interfaces[end.interface] > 1:
                raise FieldError(f"{field}.interface", f"'{end.interface}' is used twice")
            for address in end.addresses:
                if address.ip in owners:
                    raise FieldError(field, f"address {address.ip} is also on {owners[address.ip]}")
                owners[address.ip] = f"{end.host} ({end.interface})"

    def _check_subnets(self) -> None:
        seen: list[tuple[IPv4Network | IPv6Network, str]] = []
        for i, link in enumerate(self.links):
            for network in link.ends[0].networks:
                for other, name in seen:
                    if network.version == other.version and network.overlaps(other):
                        raise FieldError(f"links[{i}].ends", f"subnet {network} overlaps {other} of link '{name}'")
                seen.append((network, link.name))

    @property
    def dual_stack(self) -> bool:
        """Whether any interface has an IPv6 address."""
        return any(end.address6 is not None for _, end in self._ends())

    def interfaces(self, host: str) -> list[End]:
        """The interfaces of one host, in the order of the links."""
        return [end for _, end in self._ends() if end.host == host]
