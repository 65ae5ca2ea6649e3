"""How the packets of the stack enter and leave a host: a TUN device, and the host's kernel as its router.

For each address of the stack the kernel gets a route to the TUN device, answers ARP or neighbour solicitations for it
on the interface whose subnet the address is on, and sends what comes from it out of that interface alone. The kernel
keeps its own addresses: both stacks work side by side on the same links. All is done in the current network
namespace, and undone by `close`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from mptcp_stack.phy import Tun
from mptcp_stack.runtime.config import ConfigError, HostAddress, NetworkConfig

from .address_monitor import AddressMonitor
from .kernel_router import SYSCTLS, KernelRouter
from .netlink import Netlink

if TYPE_CHECKING:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

_IPV6_MINIMUM_MTU = 1280
"""RFC 8200 section 5."""


class HostNetwork:
    """The TUN device of a stack and its place in the host; a context manager.

    Raises ConfigError when an address does not fit the host, PermissionError without CAP_NET_ADMIN, and other OSError
    when the kernel refuses. After an error nothing is left behind. Two of them in one namespace should not share an
    interface, nor IPv6 before Linux 6.17: the first that is closed puts back the settings that it found.

    `address_monitor` tells which addresses have gone with their interface, and come again. One whose interface is down
    from the beginning is waited for.
    """

    def __init__(self, config: NetworkConfig) -> None:
        self._undo = ExitStack()
        self._netlink = Netlink()
        with ExitStack() as on_error:
            on_error.callback(self.close)
            self.tun = self._netlink.run(lambda: self._set_up(config))
            on_error.pop_all()

    def close(self) -> None:
        """Undo everything, in reverse order. May be called again; in a child process it does nothing."""
        self._netlink.close(self._undo.close)

    def __enter__(self) -> HostNetwork:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _set_up(self, config: NetworkConfig) -> Tun:
        from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

        route = self._netlink.route
        _check(route, config)
        tun = _open_tun(config)
        self._undo.callback(tun.close)
        router = KernelRouter(route, tun, config.mtu, config.transparent)
        self._undo.callback(router.close)
        self.address_monitor = self._undo.enter_context(AddressMonitor(self._netlink, router, config.host_addresses))
        try:
            router.set_up(config.host_addresses, self.address_monitor.absent)
        except NetlinkError as error:
            raise OSError(error.code, f"the kernel refuses to set up the stack's addresses: {error.args[1]}") from error
        return tun


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
        if address.device is not None and address.device not in mtus:
            raise ConfigError(f"address {address}: no interface {address.device}; there are {', '.join(sorted(mtus))}")
        if address.device is not None and mtus[address.device] < config.mtu:
            raise ConfigError(
                f"address {address}: the MTU of {address.device} is {mtus[address.device]}, the stack's is {config.mtu}"
            )
        if str(address.ip) in taken:
            raise ConfigError(f"address {address}: the host's kernel has this address itself")
        if address.ip.version == 6:
            _check_ipv6(address, config)


def _check_ipv6(address: HostAddress, config: NetworkConfig) -> None:
    if config.mtu < _IPV6_MINIMUM_MTU:
        raise ConfigError(f"address {address}: IPv6 needs an MTU of {_IPV6_MINIMUM_MTU}, the stack's is {config.mtu}")
    switch = SYSCTLS / f"ipv6/conf/{address.device or 'all'}/disable_ipv6"
    if not switch.exists():
        raise ConfigError(f"address {address}: this kernel has no IPv6")
    # Neighbour discovery needs an address of the kernel's own on the interface.
    if address.device is not None and switch.read_text().strip() != "0":
        sysctl = f"net.ipv6.conf.{address.device}.disable_ipv6"
        raise ConfigError(f"address {address}: IPv6 is off on {address.device} ({sysctl})")
