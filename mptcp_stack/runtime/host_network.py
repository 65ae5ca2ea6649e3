"""How the packets of the stack enter and leave a host: a TUN device, and the host's kernel as its router.

For each address of the stack the kernel gets a route to the TUN device, answers ARP for it on the interface whose
subnet the address is on, and sends what comes from it out of that interface alone. The kernel keeps its own
addresses: both stacks work side by side on the same links. All is done in the current network namespace, and undone
by `close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mptcp_stack.phy import Tun

from .config import ConfigError, HostAddress, NetworkConfig

if TYPE_CHECKING:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

Result = TypeVar("Result")

_SYSCTLS = Path("/proc/sys/net")
_RULE_PRIORITY = 1000
_FIRST_TABLE = 1 << 20
_NTF_PROXY = 0x08
_EVERYTHING = "0.0.0.0/0"
_TUN_QUEUE_PACKETS = 4096
"""A burst from a fast link must fit while the stack works on the one before."""


class HostNetwork:
    """The TUN device of a stack and its place in the host; a context manager.

    Raises ConfigError when an address does not fit the host, PermissionError without CAP_NET_ADMIN, and other OSError
    when the kernel refuses. After an error nothing is left behind. Two of them in one namespace should not share an
    interface: the first that is closed puts back the settings that it found.
    """

    def __init__(self, config: NetworkConfig) -> None:
        self._undo = ExitStack()
        with ExitStack() as on_error:
            on_error.callback(self.close)
            self.tun = _outside_event_loop(lambda: self._set_up(config))
            on_error.pop_all()

    def close(self) -> None:
        """Undo everything, in reverse order. May be called again."""
        _outside_event_loop(self._undo.close)

    def __enter__(self) -> HostNetwork:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _set_up(self, config: NetworkConfig) -> Tun:
        from pyroute2 import IPRoute
        from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

        route = IPRoute()
        self._undo.callback(route.close)
        _check(route, config)
        tun = _open_tun(config)
        self._undo.callback(tun.close)
        try:
            _Plumbing(route, tun, config.mtu, self._undo).set_up(config.host_addresses)
        except NetlinkError as error:
            raise OSError(error.code, f"the kernel refuses to set up the stack's addresses: {error.args[1]}") from error
        return tun


class _Plumbing:
    """The steps of setting up; each leaves its undoing in `undo`."""

    def __init__(self, route: IPRoute, tun: Tun, mtu: int, undo: ExitStack) -> None:
        self._route = route
        self._tun = tun
        self._undo = undo
        (self._tun_index,) = route.link_lookup(ifname=tun.name)
        self._set_sysctl(f"ipv6/conf/{tun.name}/disable_ipv6", 1)
        route.link("set", index=self._tun_index, mtu=mtu, txqlen=_TUN_QUEUE_PACKETS, state="up")
        self._drop_stale_rules()

    def set_up(self, addresses: Sequence[HostAddress]) -> None:
        """Make every address reachable, and its packets leave by its own device."""
        for name in (self._tun.name, *{address.device for address in addresses if address.device}):
            self._set_sysctl(f"ipv4/conf/{name}/rp_filter", 0)
            self._set_sysctl(f"ipv4/conf/{name}/forwarding", 1)
        # The stricter of this and the interface's own counts.
        self._set_sysctl("ipv4/conf/all/rp_filter", 0)
        for index, address in enumerate(addresses):
            # Disappears with the device.
            self._route.route("add", dst=str(address.ip), oif=self._tun_index)
            if address.device is not None:
                # An index is never used twice in a namespace: no two stacks have a table in common.
                table = _FIRST_TABLE + self._tun_index * 256 + index
                (device_index,) = self._route.link_lookup(ifname=address.device)
                self._answer_for(address, address.device, device_index)
                self._route_from(address, device_index, table)

    def _answer_for(self, address: HostAddress, device: str, device_index: int) -> None:
        """ARP (RFC 1027): the kernel answers for this one address, without its usual delay of up to 0.8 s."""
        self._set_sysctl(f"ipv4/neigh/{device}/proxy_delay", 0)
        neighbour = {"dst": str(address.ip), "ifindex": device_index, "flags": _NTF_PROXY}
        self._route.neigh("replace", **neighbour)
        self._later(lambda: self._route.neigh("del", **neighbour))

    def _route_from(self, address: HostAddress, device_index: int, table: int) -> None:
        """What comes from the address leaves by its own device or not at all: a path stays a path."""
        self._add_route(dst=str(address.subnet), oif=device_index, table=table, scope="link")
        if address.gateway is None:
            self._add_route(type="unreachable", dst=_EVERYTHING, table=table)
        else:
            self._add_route(dst=_EVERYTHING, gateway=str(address.gateway), oif=device_index, table=table)
        rule = {
            "src": str(address.ip),
            "src_len": 32,
            "iifname": self._tun.name,
            "table": table,
            "priority": _RULE_PRIORITY,
        }
        self._route.rule("add", **rule)
        self._later(lambda: self._route.rule("del", **rule))

    def _add_route(self, **route: Any) -> None:
        self._route.route("add", **route)
        self._later(lambda: self._route.route("del", **route))

    def _drop_stale_rules(self) -> None:
        """A stack that was killed leaves its rules; they would bind to our device when it has the same name."""
        for rule in self._route.get_rules():
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

    def _set_sysctl(self, name: str, value: int) -> None:
        path = _SYSCTLS / name
        if not path.exists():
            return
        before = path.read_text()
        path.write_text(str(value))
        self._later(lambda: path.write_text(before))

    def _later(self, action: Callable[[], object]) -> None:
        """Undo with `action`; what has gone by itself, with its interface, is as undone."""
        from pyroute2.netlink.exceptions import NetlinkError

        def undo() -> None:
            with suppress(NetlinkError, OSError):
                action()

        self._undo.callback(undo)


def _open_tun(config: NetworkConfig) -> Tun:
    try:
        return Tun(config.tun_name, config.mtu, receive_offload=config.receive_offload)
    except PermissionError as error:
        raise PermissionError(
            error.errno, "a TUN device needs root (CAP_NET_ADMIN in this network namespace)"
        ) from None
    except OSError as error:
        raise OSError(error.errno, f"TUN device {config.tun_name}: {error.strerror}") from None


def _check(route: IPRoute, config: NetworkConfig) -> None:
    """Raise ConfigError unless each address fits its device and is not the kernel's own."""
    mtus = {link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_MTU") for link in route.get_links()}
    taken = {entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS") for entry in route.get_addr()}
    for address in config.host_addresses:
        if address.ip.version != 4:
            raise ConfigError(f"address {address}: only IPv4 is supported")
        if address.device is not None and address.device not in mtus:
            raise ConfigError(f"address {address}: no interface {address.device}; there are {', '.join(sorted(mtus))}")
        if address.device is not None and mtus[address.device] < config.mtu:
            raise ConfigError(
                f"address {address}: the MTU of {address.device} is {mtus[address.device]}, the stack's is {config.mtu}"
            )
        if str(address.ip) in taken:
            raise ConfigError(f"address {address}: the host's kernel has this address itself")


def _outside_event_loop(action: Callable[[], Result]) -> Result:
    """Run `action` where no event loop runs: pyroute2 runs one of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return action()
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(action).result()
