"""A whole topology: hosts, the links between them, and what must hold of all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pydantic import Field, model_validator

from testbed.input.validation import FieldError, Frozen, unknown
from testbed.spec.hosts import End, Host, Name
from testbed.spec.links import Link


class Topology(Frozen):
    """Hosts and the links between them."""

    name: Name
    description: str = ""
    hosts: tuple[Host, ...] = Field(min_length=2, max_length=500)
    links: tuple[Link, ...] = Field(min_length=1, max_length=1000)

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

    def renamed(self, names: Mapping[str, str]) -> Topology:
        """The same with hosts by other names; one that has such a name already gets one that has become free.

        Interfaces keep their names.
        """
        gives_way = [host.name for host in self.hosts if host.name in names.values() and host.name not in names]
        free = [old for old in names if old not in names.values()]
        new = {**names, **dict(zip(gives_way, free, strict=False))}
        hosts = tuple(host.model_copy(update={"name": new.get(host.name, host.name)}) for host in self.hosts)
        links = tuple(
            link.model_copy(
                update={
                    "ends": tuple(end.model_copy(update={"host": new.get(end.host, end.host)}) for end in link.ends),
                    "schedule": tuple(
                        change.model_copy(update={"carrier": new.get(change.carrier, change.carrier)})
                        if isinstance(change.carrier, str)
                        else change
                        for change in link.schedule
                    ),
                }
            )
            for link in self.links
        )
        return self.model_copy(update={"hosts": hosts, "links": links})

    def interfaces(self, host: str) -> list[End]:
        """The interfaces of one host, in the order of the links."""
        return [end for _, end in self._ends() if end.host == host]
