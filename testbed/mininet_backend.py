"""Topologies made real by Mininet; the only module that imports it.

Mininet supplies hosts (a shell in a network namespace each), veth links and its prompt. Everything else (addresses,
shaping, checks) is done here and in `testbed.links`, because Mininet goes on silently when the kernel refuses.
"""

from __future__ import annotations

import resource
from types import TracebackType
from typing import Any

from mininet.cli import CLI
from mininet.net import Mininet

from testbed.errors import LabError
from testbed.hosts import Host
from testbed.spec import End, Topology

_OPEN_FILES = 65536
# Routing tables of the interfaces with a gateway: this base plus the interface's number, from 0. The Python
# stack's tables (mptcp_stack.runtime) have numbers of their own.
FIRST_TABLE = 100

_HOST_SYSCTLS = {
    # A packet may come in on one interface and its answer leave by another; the lab's routes decide, not guesses.
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    # Without IPv6 addresses in a topology its neighbour discovery is only noise on the links.
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


class MininetBackend:
    """The running hosts and links of one topology."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        # Mininet's own initialisation raises machine-wide limits (fs.file-max, kernel.pty.max) and leaves them.
        Mininet.inited = True
        self._net: Any = Mininet(build=False, controller=None)
        self.hosts: dict[str, Host] = {}

    def start(self) -> None:
        """Start hosts, links and addresses; LabError when the system refuses."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))
        try:
            self._make_nodes()
        except OSError as error:
            raise LabError(f"{self._topology.name}: Mininet cannot start: {error}", 1) from None
        except Exception as error:  # Mininet raises plain Exception for failed commands
            raise LabError(f"{self._topology.name}: {' '.join(str(error).split())}", 1) from error
        for spec in self._topology.hosts:
            host = self.hosts[spec.name]
            for name, value in _HOST_SYSCTLS.items():
                host.set(name, value)
            host.set("net.ipv4.ip_forward", str(int(spec.forward)))
            configure_addresses(host)

    def _make_nodes(self) -> None:
        for host in self._topology.hosts:
            node = self._net.addHost(host.name, ip=None)
            self.hosts[host.name] = Host(node, self._topology.interfaces(host.name))
        for link in self._topology.links:
            first, second = link.ends
            self._net.addLink(
                first.host, second.host, intfName1=first.interface, intfName2=second.interface
            )
        self._net.build()

    def stop(self) -> None:
        """End every program in the hosts, the hosts and the links; may be called at any time, and again."""
        for host in self.hosts.values():
            host.terminate()
        self.hosts.clear()
        self._net.stop()
        self._net.links.clear()
        self._net.hosts.clear()

    def prompt(self) -> None:
        """Mininet's prompt, until the user leaves it."""
        CLI(self._net)


def configure_addresses(host: Host) -> None:
    """Give the host's interfaces their addresses, and each gateway its per-source routes."""
    commands = []
    for number, end in enumerate(host.ends):
        commands += [f"address replace {end.address} dev {end.interface}", f"link set {end.interface} up"]
        if end.gateway:
            commands += _source_routes(end, FIRST_TABLE + number)
    gateway = next((end.gateway for end in host.ends if end.gateway), None)
    if gateway:
        commands.append(f"route replace default via {gateway}")
    host.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n")


def _source_routes(end: End, table: int) -> list[str]:
    """What comes from this interface's address leaves by this interface, whatever its destination."""
    return [
        f"rule add from {end.address.ip} lookup {table}",
        f"route replace {end.address.network} dev {end.interface} src {end.address.ip} table {table}",
        f"route replace default via {end.gateway} dev {end.interface} table {table}",
    ]
