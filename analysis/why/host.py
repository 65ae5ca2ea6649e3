"""What a host needs for more than one subflow, told from what it says of itself: the kernel's MPTCP, read-only.

`HostState` is an observation, whoever made it; `look` turns it into lines, each with its remedy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

STEPS: Final = (
    ("MPJoinSynTx", "MPJoinSynAckRx", "joins were asked for, and no SYN/ACK with MP_JOIN came: dropped or refused"),
    ("MPJoinSynRx", "MPJoinAckRx", "joins came in, and no third ACK that was right: dropped, stripped or given up"),
    ("AddAddr", "MPJoinSynTx", "addresses were announced to this host, and it asked to join none"),
)  # fmt: skip
"""Counters (MPTcpExt...) of which the first has counted and the second has not, and what that means."""
OPENED: Final = ("MPCapableSYNACKRX", "MPCapableACKRX")
"""Of connections with MPTCP: opened from here, and to here."""
MORE: Final = ("AddAddr", "AddAddrTx", "MPJoinSynTx", "MPJoinSynRx")
"""Of what makes a second subflow: addresses that are announced, and joins."""
FLAGS: Final = {
    "signal": "announced to peers",
    "subflow": "subflows are opened from it",
    "backup": "used when there is no other",
    "fullmesh": "to all addresses of the peer",
    "implicit": "made by the kernel",
}
"""Of endpoints (ip-mptcp(8)): what they make of an address."""


class HostAddress(NamedTuple):
    """An address that others can reach, with its interface and whether that is up."""

    ip: str
    device: str
    up: bool


class Way(NamedTuple):
    """Where packets from an address to a destination go: the interface, or why they do not."""

    source: str
    destination: str
    device: str
    problem: str


@dataclass
class HostState:
    """What a host says of itself. `settings` are net.mptcp.*, None where the kernel has no MPTCP."""

    settings: Mapping[str, str] | None
    addresses: Sequence[HostAddress] = ()
    endpoints: Sequence[Mapping[str, Any]] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    ways: Sequence[Way] = ()
    strict: Sequence[str] = ()
    """Interfaces whose reverse path filter is strict."""
    counters: Mapping[str, int] = field(default_factory=dict)
    """MPTcpExt..., without that."""
    meanings: Mapping[str, str] = field(default_factory=dict)
    """What counters mean that say outright what went wrong."""


class Line(NamedTuple):
    """One thing that MPTCP needs: whether it is `well` here, what was found, and what to do where it is not."""

    well: bool
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{'+' if self.well else '!'} {self.found}{f'; {self.remedy}' if self.remedy else ''}"


def look(host: HostState) -> list[Line]:
    """Return a line for each thing that MPTCP needs of a host, in the order in which a connection does."""
    if host.settings is None:
        return [Line(False, "this kernel has no MPTCP", "Linux 5.6 or newer with CONFIG_MPTCP has it")]
    return [line for rule in _RULES for line in rule(host)]


def _enabled(host: HostState) -> Iterator[Line]:
    assert host.settings is not None
    on = host.settings.get("enabled") == "1"
    remedy = "" if on else "sysctl -w net.mptcp.enabled=1"
    yield Line(on, f"net.mptcp.enabled is {host.settings.get('enabled', '?')}", remedy)
    if host.settings.get("pm_type", "0") != "0" or host.settings.get("path_manager", "kernel") != "kernel":
        found = "the path manager is in user space: without a program that orders subflows (mptcpd) there is none"
        yield Line(False, found, "sysctl -w net.mptcp.pm_type=0 has the kernel do it")


def _addresses(host: HostState) -> Iterator[Line]:
    for one in host.addresses:
        if not one.up:
            yield Line(False, f"{one.device} with {one.ip} is down", f"ip link set {one.device} up, or its cable")
    usable = [one for one in host.addresses if one.up]
    devices = {one.device for one in usable}
    told = ", ".join(f"{one.ip} ({one.device})" for one in usable) or "none"
    peers = Counter(ip_address(destination).version for destination in {way.destination for way in host.ways})
    several = len(devices) > 1 or max(peers.values(), default=0) > 1  # a subflow is of one IP version
    more = "" if several else "a second subflow takes a second address here, or one that the peer announces"
    yield Line(several, f"addresses: {told}", more)


def _limits(host: HostState) -> Iterator[Line]:
    subflows = host.limits.get("subflows")
    if subflows is not None:
        remedy = "" if subflows else "ip mptcp limits set subflows 8"
        yield Line(subflows > 0, f"limit of subflows beside the first: {subflows}", remedy)


def _endpoints(host: HostState) -> Iterator[Line]:
    known = {one.ip: one for one in host.addresses}
    for endpoint in host.endpoints:
        ip = str(endpoint.get("address"))
        flags = ", ".join(f"{flag}: {FLAGS.get(flag, '')}" for flag in endpoint.get("flags", ())) or "no flag: unused"
        here = known.get(ip)
        remedy = f"ip mptcp endpoint delete id {endpoint.get('id')}, or ip address add {ip}" if here is None else ""
        wrong_device = here is not None and endpoint.get("dev", here.device) != here.device
        if here is not None and wrong_device:
            remedy = f"it is on {here.device}: make it anew with dev {here.device}"
        found = f"endpoint {ip} ({flags})" if here else f"endpoint {ip} ({flags}) is no address of this host"
        yield Line(here is not None and not wrong_device, found, remedy)
    ends = {str(endpoint.get("address")) for endpoint in host.endpoints}
    missing = [one for one in host.addresses if one.up and one.ip not in ends]
    if len({one.device for one in missing}) > 1 and len(missing) == len(host.addresses):
        one = missing[-1]
        if host.limits.get("add_addr_accepted"):
            yield Line(True, "no endpoint: from here subflows are opened to what the peer announces alone")
            return
        role = f"a client: ip mptcp endpoint add {one.ip} dev {one.device} subflow, or ip mptcp limits set "
        role += "add_addr_accepted 8; a server: signal in place of subflow"
        yield Line(False, "no endpoint: from here no subflow is opened and no address announced", role)


def _ways(host: HostState) -> Iterator[Line]:
    """Each address needs a way of its own to one of the peer's: paths may be apart."""
    devices = {one.ip: one.device for one in host.addresses}
    for source in dict.fromkeys(way.source for way in host.ways):
        ways = [way for way in host.ways if way.source == source]
        good = [way for way in ways if not way.problem and way.device == devices.get(source)]
        if good:
            yield Line(True, f"from {source} to {', '.join(way.destination for way in good)}: by {good[0].device}")
        else:
            yield from (_wrong_way(host, way, devices.get(source, "")) for way in ways)


def _wrong_way(host: HostState, way: Way, device: str) -> Line:
    told = f"from {way.source} to {way.destination}"
    if way.problem:
        return Line(False, f"{told}: {way.problem}", f"ip route add {way.destination} dev {device} src {way.source}")
    table = f"ip rule add from {way.source} table 100; ip route add default via GATEWAY dev {device} table 100"
    strict = f", and {device} drops what comes back (rp_filter 1)" if device in host.strict else ""
    return Line(False, f"{told}: packets leave by {way.device} in place of {device}{strict}", table)


def _counters(host: HostState) -> Iterator[Line]:
    count = host.counters.get
    for first, second, meaning in STEPS:
        if count(first, 0) and not count(second, 0):
            yield Line(False, f"{meaning} ({count(first)} times, MPTcpExt{first})")
    opened = sum(count(name, 0) for name in OPENED)
    if opened and len({one.device for one in host.addresses if one.up}) > 1 and not any(map(count, MORE)):
        found = (
            f"connections were opened ({opened}), and no address was announced, nor a subflow asked for, here or there"
        )
        yield Line(
            False, found, "ip mptcp endpoint add ADDRESS dev DEV signal at the server, or ... subflow at the client"
        )
    for name, meaning in host.meanings.items():
        if number := count(name, 0):
            yield Line(False, f"{meaning} ({number} times, MPTcpExt{name})")


_RULES: Final[tuple[Callable[[HostState], Iterator[Line]], ...]] = (
    _enabled, _addresses, _limits, _endpoints, _ways, _counters,
)  # fmt: skip
