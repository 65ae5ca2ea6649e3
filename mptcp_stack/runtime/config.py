"""What a user says about a network: its addresses and the settings of its stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from pathlib import Path

from mptcp_stack.mptcp.config import MptcpConfig
from mptcp_stack.mptcp.local_address import FLAGS
from mptcp_stack.stack import LocalAddress, StackConfig
from mptcp_stack.tcp.address import names_one_host

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

_FORM = re.compile(r"(?P<interface>[^@,%]+)(@(?P<device>[^@,/\s]+))?(?P<rest>(,[^@,%]+)*)")
_EXAMPLE = "10.0.1.101/24@eth1 or 10.0.1.101/24@eth1,via=10.0.1.254"


class ConfigError(ValueError):
    """A setting that cannot be; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address of the stack on the subnet of an interface of the host's kernel.

    `device` is that interface; None: the address can be reached from this host alone. `gateway` is the router on
    the subnet (or, for IPv6, on the link) that leads to all other networks, None when there is none. `flags` and
    `port` are those of `LocalAddress`.
    """

    ip: IpAddress
    prefix_length: int
    device: str | None = None
    gateway: IpAddress | None = None
    flags: frozenset[str] = frozenset()
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> HostAddress:
        """Read `ADDRESS/LENGTH[@DEVICE[,via=GATEWAY]][,FLAG...][,port=PORT]`. Raises ConfigError."""
        match = _FORM.fullmatch(text.strip())
        if match is None or "/" not in match["interface"]:
            raise ConfigError(f"address {text!r}: must look like {_EXAMPLE}")
        try:
            interface = ip_interface(match["interface"])
            gateway, flags, port = _read_rest(match["rest"].split(",")[1:])
        except ValueError as error:
            raise ConfigError(f"address {text!r}: {error}") from None
        if reason := _not_a_hosts(interface):
            raise ConfigError(f"address {text!r}: {reason}")
        if gateway is not None and match["device"] is None:
            raise ConfigError(f"address {text!r}: via needs a device, as in {_EXAMPLE}")
        if gateway is not None and not (gateway in interface.network or _is_ipv6_link_local(gateway)):
            raise ConfigError(f"address {text!r}: the gateway is not in {interface.network}")
        if gateway is not None and (gateway == interface.ip or _is_broadcast(gateway, interface)):
            raise ConfigError(f"address {text!r}: the gateway must be another host")
        return cls(interface.ip, interface.network.prefixlen, match["device"], gateway, flags, port)

    @property
    def subnet(self) -> IpNetwork:
        """The network that is reached without a router."""
        return ip_interface(f"{self.ip}/{self.prefix_length}").network

    @property
    def local_address(self) -> LocalAddress:
        """The address as the stack wants it."""
        return LocalAddress(
            self.ip.packed, self.prefix_length, self.gateway is not None,
            device=self.device or "", flags=self.flags, port=self.port,
        )  # fmt: skip

    def __str__(self) -> str:
        device = "" if self.device is None else f"@{self.device}"
        via = [] if self.gateway is None else [f"via={self.gateway}"]
        port = [] if self.port is None else [f"port={self.port}"]
        return ",".join([f"{self.ip}/{self.prefix_length}{device}", *via, *sorted(self.flags), *port])


def _read_rest(words: Sequence[str]) -> tuple[IpAddress | None, frozenset[str], int | None]:
    """Gateway, flags and port, as they follow an address. Raises ValueError."""
    gateway, port, flags = None, None, set()
    for word in words:
        name, equals, value = word.partition("=")
        if name == "via" and equals:
            gateway = ip_address(value)
        elif name == "port" and value.isdecimal() and 0 < int(value) < 65536:
            port = int(value)
        elif word in FLAGS:
            flags.add(word)
        else:
            raise ValueError(f"{word!r} is none of via=GATEWAY, port=1..65535, {', '.join(FLAGS)}")
    return gateway, frozenset(flags), port


def _not_a_hosts(interface: IPv4Interface | IPv6Interface) -> str:
    """Why the stack cannot have this address; empty when it can."""
    ip = interface.ip
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return f"write {ip.ipv4_mapped}: an IPv4-mapped address is never on a link"
    if not names_one_host(ip.packed) or _is_broadcast(ip, interface):
        return "not an address of one host on a link"
    if _is_ipv6_link_local(ip):
        return "a host's kernel does not route link-local addresses; take a global or unique local one (fd00::/8)"
    return ""


def _is_broadcast(ip: IpAddress, interface: IPv4Interface | IPv6Interface) -> bool:
    return LocalAddress(interface.ip.packed, interface.network.prefixlen).broadcast == ip.packed


def _is_ipv6_link_local(ip: IpAddress) -> bool:
    return ip.version == 6 and ip.is_link_local


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(MptcpConfig):
    """A stack on this host: addresses as `HostAddress.parse` reads them, and all settings of `StackConfig`.

    `pcap`: file that gets every packet.
    `events`: file that gets a line of JSON for every observation (see `mptcp_stack.observe`).
    `trace`: gets a line of text about every packet.
    `tun_name`: name of the TUN interface; `%d` is the first free number.
    `receive_offload`: take super-segments from the kernel.
    `batch_packets`: packets taken from the device before others get their turn.
    `linger_s`: seconds that closing the loop waits for its connections to deliver what was written.

    Raises ConfigError.
    """

    addresses: Sequence[str]
    pcap: Path | None = None
    events: Path | None = None
    trace: Callable[[str], None] | None = None
    tun_name: str = "mptcp%d"
    receive_offload: bool = True
    batch_packets: int = 32
    """Chosen: up to 2 MB of super-segments before timers and handlers have their turn; fewer cost a turn more often."""
    linger_s: float = 5.0
    """Chosen: several retransmissions on any usable path; a program that ends is not kept longer by a dead peer."""
    host_addresses: tuple[HostAddress, ...] = field(init=False)

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise ConfigError(str(error)) from None
        parsed = tuple(HostAddress.parse(text) for text in self.addresses)
        if not parsed:
            raise ConfigError(f"no address given: at least one is needed, such as {_EXAMPLE}")
        ips = [address.ip for address in parsed]
        for ip in ips:
            if ips.count(ip) > 1:
                raise ConfigError(f"address {ip} is given twice")
        object.__setattr__(self, "host_addresses", parsed)

    def stack_config(self) -> StackConfig:
        """The settings as the stack wants them."""
        settings = {one.name: getattr(self, one.name) for one in fields(StackConfig)}
        settings["addresses"] = tuple(address.local_address for address in self.host_addresses)
        return StackConfig(**settings)
