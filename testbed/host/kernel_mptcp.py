"""The kernels' own MPTCP, set up so that a connection gets a subflow on every path."""

from __future__ import annotations

from testbed.errors import Unsupported
from testbed.host.hosts import Host

_MAX_SUBFLOWS = 8  # the kernel's own upper limit
_SETTINGS = {
    "net.mptcp.enabled": "1",
    # A lost SYN makes the kernel turn to plain TCP for an hour, for all connections of the host.
    "net.mptcp.blackhole_timeout": "0",
}


def configure(client: Host, server: Host) -> None:
    """Limits and endpoints of both ends, replacing any others; Unsupported without kernel MPTCP.

    The server announces its addresses. The client joins each from where the routes lead; with gateways every route
    leads everywhere, so there its addresses are endpoints of a full mesh.
    """
    for host in (client, server):
        if host.find_sysctl("net.mptcp.enabled") is None:
            raise Unsupported("this kernel has no MPTCP (Linux 5.6 or later, built with CONFIG_MPTCP)")
        for name, value in _SETTINGS.items():
            if host.find_sysctl(name) is not None:  # blackhole_timeout came with Linux 6.12
                host.set_sysctl(name, value)
        host.run(["ip", "mptcp", "endpoint", "flush"])
        limits = ["subflows", str(_MAX_SUBFLOWS), "add_addr_accepted", str(_MAX_SUBFLOWS)]
        host.run(["ip", "mptcp", "limits", "set", *limits])
    for end in server.ends:
        for place in end.places:
            _add_endpoint(server, str(place.address.ip), end.interface, "signal")
    for end in client.ends:
        for place in end.places:
            if place.gateway:
                _add_endpoint(client, str(place.address.ip), end.interface, "subflow", "fullmesh")


def _add_endpoint(host: Host, address: str, interface: str, *flags: str) -> None:
    host.run(["ip", "mptcp", "endpoint", "add", address, "dev", interface, *flags])
