"""Routes, rules, neighbour proxies and sysctls that let a host's kernel carry the packets of a stack."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP
from typing import TYPE_CHECKING, Any

from mptcp_stack.runtime.config import HostAddress

if TYPE_CHECKING:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

    from mptcp_stack.phy import Tun

SYSCTLS = Path("/proc/sys/net")

_RULE_PRIORITY = 1000
"""After the rule for the host's own addresses (0), before those of the tables main and default (32766, 32767)."""
_FIRST_TABLE = 1 << 20
"""Chosen: beyond the numbers that people and other programs give to tables; each TUN device has 256 from here on."""
_INTERCEPT_TABLE = 255
"""The last of them: a stack has 255 addresses at the most (RFC 8684 section 3.4.1)."""
_NTF_PROXY = 0x08
_IFF_UP, _IFF_MULTICAST = 0x1, 0x1000
_ADDRESSES_BY_HAND = 1
_TUN_QUEUE_PACKETS = 4096
"""A burst from a fast link must fit while the stack works on the one before."""

_FAMILIES = {4: AF_INET, 6: AF_INET6}
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
_INTERFACE_SETTINGS = {
    # A proxy answers after up to 0.8 s unless told otherwise (RFC 1027, RFC 4861 section 7.2.8).
    4: {"ipv4/conf/{}/rp_filter": 0, "ipv4/conf/{}/forwarding": 1, "ipv4/neigh/{}/proxy_delay": 0},
    6: {"ipv6/conf/{}/proxy_ndp": 1, "ipv6/neigh/{}/proxy_delay": 0},
}
_HOST_SETTINGS = {
    # The stricter of this and the interface's own counts.
    4: {"ipv4/conf/all/rp_filter": 0},
    # Without it solicitations that are sent to one host, as those which confirm a neighbour, are forwarded.
    6: {"ipv6/conf/all/proxy_ndp": 1},
}
_FORWARDING, _FORCE_FORWARDING = "ipv6/conf/{}/forwarding", "ipv6/conf/{}/force_forwarding"


class KernelRouter:
    """The steps of setting up; what they change is put back by `close`."""

    def __init__(self, route: IPRoute, tun: Tun, mtu: int, transparent: bool = False) -> None:
        self._route = route
        self._tun = tun
        self._mtu = mtu
        self._transparent = transparent
        self._settings: dict[Path, str] = {}
        self._attached: dict[HostAddress, ExitStack] = {}
        self._tables: dict[HostAddress, int] = {}
        self._tun_routes: list[dict[str, Any]] = []
        (self._tun_index,) = route.link_lookup(ifname=tun.name)

    def set_up(self, addresses: Sequence[HostAddress], absent: Container[HostAddress]) -> None:
        """Make every address reachable, and its packets leave by its own device, those that are `absent` later."""
        versions = {address.ip.version for address in addresses}
        self._set_up_tun(with_ipv6=6 in versions)
        self._drop_stale_rules()
        for index, address in enumerate(addresses):
            self._route_to_tun("add", dst=f"{address.ip}/{address.ip.max_prefixlen}")
            self._configure(address.ip.version, self._tun.name)
            if address.device is not None:
                # An index is never used twice in a namespace: no two stacks have a table in common.
                self._tables[address] = _FIRST_TABLE + self._tun_index * 256 + index
                if address not in absent:
                    self.attach(address)

    def attach(self, address: HostAddress) -> None:
        """Let packets come and go by the address's device, which is up; also again, when the device has been away."""
        if address.device is None:
            return
        self._attached.setdefault(address, ExitStack()).close()
        self._configure(address.ip.version, address.device)
        (device_index,) = self._route.link_lookup(ifname=address.device)
        self._answer_for(address, device_index)
        self._route_from(address, device_index)
        if self._transparent:
            self._intercept(address)

    def route_to_tun(self) -> None:
        """Put back what the kernel has dropped if the TUN device was down. Raises NetlinkError while it is."""
        for route in self._tun_routes:
            self._route.route("replace", **route)

    def close(self) -> None:
        """Put back what was changed, in reverse order. May be called again."""
        while self._attached:
            self._attached.popitem()[1].close()
        while self._settings:
            path, before = self._settings.popitem()
            with suppress(OSError):
                path.write_text(before)

    def _set_up_tun(self, with_ipv6: bool) -> None:
        """The TUN device has no address of its own, and nothing but the stack's packets crosses it."""
        self._set_sysctl(f"ipv6/conf/{self._tun.name}/disable_ipv6", int(not with_ipv6))
        self._set_sysctl(f"ipv6/conf/{self._tun.name}/addr_gen_mode", _ADDRESSES_BY_HAND)
        # On a router it is born as a member of the routers' group, and would report that.
        self._set_sysctl(_FORWARDING.format(self._tun.name), 0)
        flags = {"flags": _IFF_UP, "change": _IFF_UP | _IFF_MULTICAST}
        self._route.link("set", index=self._tun_index, mtu=self._mtu, txqlen=_TUN_QUEUE_PACKETS, **flags)

    def _configure(self, version: int, interface: str) -> None:
        if version == 6:
            self._forward_ipv6(interface)
        for setting, value in _INTERFACE_SETTINGS[version].items():
            self._set_sysctl(setting.format(interface), value)
        for setting, value in _HOST_SETTINGS[version].items():
            self._set_sysctl(setting, value)

    def _forward_ipv6(self, interface: str) -> None:
        """Before Linux 6.17 IPv6 is forwarded between all interfaces or none; `all`, the last, sets each."""
        everywhere = not (SYSCTLS / _FORCE_FORWARDING.format("all")).exists()
        names = [path.name for path in (SYSCTLS / "ipv6/conf").iterdir()] if everywhere else [interface]
        for name in sorted(names, key="all".__eq__):
            self._keep_advertised_routes(name)
            self._set_sysctl(_FORWARDING.format(name), 1)
            self._set_sysctl(_FORCE_FORWARDING.format(name), 1)

    def _keep_advertised_routes(self, name: str) -> None:
        """An interface that forwards forgets the routers it has heard of, unless told that both is meant (2)."""
        setting = f"ipv6/conf/{name}/accept_ra"
        if (SYSCTLS / setting).read_text().strip() == "1":
            self._set_sysctl(setting, 2)

    def _answer_for(self, address: HostAddress, device_index: int) -> None:
        """The kernel answers for this one address: ARP (RFC 1027) or neighbour discovery (RFC 4861 section 7.2.8)."""
        neighbour = {"dst": str(address.ip), "ifindex": device_index, "flags": _NTF_PROXY}
        self._route.neigh("replace", **neighbour)
        self._later(address, lambda: self._route.neigh("del", **neighbour))

    def _route_from(self, address: HostAddress, device_index: int) -> None:
        """What comes from the address leaves by its own device or not at all: a path stays a path."""
        version = address.ip.version
        table = self._tables[address]
        self._add_route(address, dst=str(address.subnet), oif=device_index, table=table, scope="link")
        if address.gateway is None:
            self._add_route(address, type="unreachable", dst=_EVERYTHING[version], table=table)
        else:
            self._add_route(
                address, dst=_EVERYTHING[version], gateway=str(address.gateway), oif=device_index, table=table
            )
        rule = {
            "family": _FAMILIES[version],
            "src": str(address.ip),
            "src_len": address.ip.max_prefixlen,
            "iifname": self._tun.name,
            "table": table,
            "priority": _RULE_PRIORITY,
        }
        self._route.rule("add", **rule)
        self._later(address, lambda: self._route.rule("del", **rule))

    def _intercept(self, address: HostAddress) -> None:
        """TCP that comes in by the address's device on its way through this host goes to the stack."""
        version = address.ip.version
        table = _FIRST_TABLE + self._tun_index * 256 + _INTERCEPT_TABLE
        self._route_to_tun("replace", dst=_EVERYTHING[version], table=table)
        rule = {
            "family": _FAMILIES[version],
            "iifname": address.device,
            "ip_proto": IPPROTO_TCP,
            "table": table,
            "priority": _RULE_PRIORITY,
        }
        self._route.rule("add", **rule)
        self._later(address, lambda: self._route.rule("del", **rule))

    def _route_to_tun(self, command: str, **route: Any) -> None:
        """Disappears with the device."""
        route["oif"] = self._tun_index
        self._route.route(command, **route)
        if route not in self._tun_routes:
            self._tun_routes.append(route)

    def _add_route(self, address: HostAddress, **route: Any) -> None:
        self._route.route("add", **route)
        self._later(address, lambda: self._route.route("del", **route))

    def _drop_stale_rules(self) -> None:
        """A stack that was killed leaves its rules; they would bind to our device when it has the same name."""
        for rule in self._all_rules():
            if rule.get_attr("FRA_IIFNAME") == self._tun.name:
                self._route.rule(
                    "del",
                    family=rule["family"],
                    src=rule.get_attr("FRA_SRC"),
                    src_len=rule["src_len"],
                    iifname=self._tun.name,
                    table=rule.get_attr("FRA_TABLE"),
                    priority=rule.get_attr("FRA_PRIORITY"),
                )

    def _all_rules(self) -> Iterable[Any]:
        for family in _FAMILIES.values():
            yield from list(self._route.get_rules(family=family))

    def _set_sysctl(self, name: str, value: int) -> None:
        path = SYSCTLS / name
        if not path.exists():
            return
        self._settings.setdefault(path, path.read_text())
        path.write_text(str(value))

    def _later(self, address: HostAddress, action: Callable[[], object]) -> None:
        """Undo with `action`; what has gone by itself, with its interface, is as undone."""
        from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

        def undo() -> None:
            with suppress(NetlinkError, OSError):
                action()

        self._attached[address].callback(undo)
