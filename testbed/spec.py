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

from testbed.units import Probability, RateBps, SizeBytes, TimeNs
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


class BurstLoss(Frozen):
    """Losses that come in bursts (Gilbert and Elliott's model): a state of loss that packets enter and leave.

    Each packet may change the state (`enter` and `leave` are probabilities); in the bad state it is lost with
    probability `lost`.
    """

    enter: Probability
    leave: Probability
    lost: Probability = 1.0

    @property
    def mean(self) -> float:
        """The share of packets lost in the long run."""
        turns = self.enter + self.leave
        return self.lost * self.enter / turns if turns else 0.0


class Impairments(Frozen):
    """What one direction of a link does to packets.

    `rate_bps` None leaves it at the machine's own speed. `queue_bytes` is the drop-tail limit on what waits or is
    being sent before a shaped link. `delay_ns` is the time of propagation; `jitter_ns` moves it by at most that
    much, evenly, without changing the order of packets. Probabilities are per packet; a reordered packet arrives
    `reorder_extra_ns` later, so that others overtake it.
    """

    rate_bps: RateBps | None = Field(default=None, alias="rate")
    queue_bytes: SizeBytes | None = Field(default=None, alias="queue")
    delay_ns: TimeNs = Field(default=0, alias="delay")
    jitter_ns: TimeNs = Field(default=0, alias="jitter")
    loss: Probability = 0.0
    burst_loss: BurstLoss | None = None
    reorder: Probability = 0.0
    reorder_extra_ns: TimeNs = Field(default=0, alias="reorder_extra")
    duplicate: Probability = 0.0

    @model_validator(mode="before")
    @classmethod
    def _none_is_unshaped(cls, data: Any) -> Any:
        """In a template `rate: none` is a word; it means the machine's own speed."""
        if isinstance(data, dict):
            return {key: None if key in ("rate", "queue") and value == "none" else value for key, value in data.items()}
        return data

    @property
    def mean_loss(self) -> float:
        """The share of packets lost in the long run, not counting the queue's drops."""
        bursts = self.burst_loss.mean if self.burst_loss else 0.0
        return 1 - (1 - self.loss) * (1 - bursts)

    @property
    def beyond_shaping(self) -> list[str]:
        """The names of what is asked for beside rate and queue."""
        shaping = {"rate_bps", "queue_bytes"}
        fields = {field.alias or name: name for name, field in Impairments.model_fields.items() if name not in shaping}
        return [alias for alias, name in fields.items() if getattr(self, name)]

    def check(self, place: str = "") -> None:
        """FieldError when the fields do not fit together; `place` goes before their names."""
        if self.rate_bps is not None and self.queue_bytes is None:
            raise FieldError(f"{place}queue", 'a shaped link needs the size of its queue, e.g. "100 kB"')
        if self.rate_bps is None and self.queue_bytes is not None:
            raise FieldError(f"{place}queue", "an unshaped link (no rate) has no queue: leave it out or give a rate")
        if self.jitter_ns > self.delay_ns:
            raise FieldError(f"{place}jitter", "must not exceed the delay: no packet arrives before it was sent")
        if bool(self.reorder) != bool(self.reorder_extra_ns):
            raise FieldError(f"{place}reorder", "and reorder_extra belong together: how often, and how much later")


Wire = Literal["mtu", "super-segments"]
Backend = Literal["auto", "tc", "emulator"]
LinkKind = Literal["veth", "tc", "emulator"]


class Link(Impairments):
    """A cable between two interfaces.

    What it does to packets holds for both directions; `reverse` names what is different from its second end to its
    first. `backend` realises it: `tc` (rate and queue, in the kernel) or `emulator` (everything, in user space);
    `auto` takes tc where that is enough. `wire` says what crosses it: packets of at most the MTU, or super-segments of
    up to 64 KB as veth can pass them (links that do nothing to packets only). `tolerance` is how far the measured
    rate may be from the asked one.
    """

    name: LinkName
    ends: tuple[End, End]
    reverse: Impairments | None = None
    backend: Backend = "auto"
    wire: Wire = "mtu"
    tolerance: float = Field(default=0.05, gt=0, lt=1)

    @property
    def directions(self) -> tuple[Impairments, Impairments]:
        """What happens to packets from the first end to the second, and from the second to the first."""
        forward = {name: getattr(self, name) for name in Impairments.model_fields}
        changes = {name: getattr(self.reverse, name) for name in self.reverse.model_fields_set} if self.reverse else {}
        return Impairments.model_construct(**forward), Impairments.model_construct(**forward | changes)

    @property
    def kind(self) -> LinkKind:
        """How the link is realised; veth is a bare pair of interfaces."""
        if self.backend != "auto":
            return self.backend
        first, second = self.directions
        if not any(one.rate_bps or one.beyond_shaping for one in (first, second)):
            return "veth"
        tc_can = first.rate_bps and second.rate_bps and not first.beyond_shaping + second.beyond_shaping
        return "tc" if tc_can else "emulator"

    @model_validator(mode="after")
    def _shaping_is_whole(self) -> Link:
        for place, direction in zip(("", "reverse."), self.directions, strict=True):
            direction.check(place)
        self._check_backend()
        first, second = self.ends
        if first.host == second.host:
            raise FieldError("ends", f"both are on the host '{first.host}'; a link joins two hosts")
        if first.networks != second.networks:
            subnets = (", ".join(map(str, end.networks)) for end in self.ends)
            raise FieldError("ends", f"are on different subnets: {' and '.join(subnets)}")
        return self

    def _check_backend(self) -> None:
        if self.kind != "veth" and self.wire == "super-segments":
            raise FieldError("wire", "a shaped link carries single packets: use mtu, or leave out the rate")
        if self.kind != "tc":
            return
        for direction in self.directions:
            if direction.beyond_shaping:
                refused = ", ".join(direction.beyond_shaping)
                raise FieldError("backend", f"tc shapes rate and queue, it cannot do {refused}: use emulator or auto")
            if direction.rate_bps is None:
                raise FieldError("backend", "tc shapes both directions or none: use emulator or auto")


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
