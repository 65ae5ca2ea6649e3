"""Topologies made real by Mininet; with its prompt (`mininet_prompt`) all that imports it.

Mininet supplies hosts (a shell in a network namespace each), veth links and its prompt. Everything else (addresses,
shaping, checks) is done here and in `testbed.links`, because Mininet goes on silently when the kernel refuses.
"""

from __future__ import annotations

import os
import resource
from typing import Any

from mininet.link import Link as MininetLink
from mininet.net import Mininet

from testbed.errors import LabError
from testbed.host.commands import run
from testbed.host.hosts import Host
from testbed.host.sysctls import sysctl_path
from testbed.input.limits import time_limit
from testbed.lab.mininet_prompt import Prompt
from testbed.links import wire_ends
from testbed.links.plugs import Plugs
from testbed.spec import Host as HostSpec
from testbed.spec import Topology
from testbed.spec.routing import routes

_OPEN_FILES = 65536
START_LIMIT_S = 120.0
"""For all hosts and links: the largest topology takes two seconds. Mininet waits for its shells without an end."""
_HOST_SYSCTLS = {
    # A packet may come in on one interface and its answer leave by another; the lab's routes decide, not guesses.
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
# Flows between the same two addresses may take different ways, each keeps to its own.
_ROUTER_SYSCTLS = {"net.ipv4.fib_multipath_hash_policy": "1"}
# Without IPv6 addresses in a topology its neighbour discovery is only noise on the links.
_WITHOUT_IPV6 = [("net.ipv6.conf.all.disable_ipv6", "1"), ("net.ipv6.conf.default.disable_ipv6", "1")]


def _with_ipv6(interfaces: list[str], forward: bool) -> list[tuple[str, str]]:
    """Settings, in this order: no router's advertisements, and no address waits for 2 s until it is known as unique."""
    return [
        ("net.ipv6.conf.all.disable_ipv6", "1"),
        *((f"net.ipv6.conf.{name}.accept_dad", "0") for name in ("all", *interfaces)),
        *((f"net.ipv6.conf.{name}.accept_ra", "0") for name in interfaces),
        ("net.ipv6.conf.all.disable_ipv6", "0"),
        ("net.ipv6.conf.all.forwarding", str(int(forward))),
        *([("net.ipv6.fib_multipath_hash_policy", "1")] if forward else []),
    ]


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
            with time_limit(START_LIMIT_S, "a host does not answer; was its shell killed?"):
                self._make_nodes()
        except LabError:
            raise
        except OSError as error:
            raise LabError(f"{self._topology.name}: Mininet cannot start: {error}", 1) from None
        except Exception as error:  # Mininet raises plain Exception for failed commands
            raise LabError(f"{self._topology.name}: {' '.join(str(error).split())}", 1) from error
        ways = routes(self._topology)
        for spec in self._topology.hosts:
            host = self.hosts[spec.name]
            for name, value in self._settings(spec):
                host.set_sysctl(name, value)
            host.configure_addresses()
            host.configure_source_rules()
            host.configure_routes(ways.get(spec.name, []))

    def _settings(self, spec: HostSpec) -> list[tuple[str, str]]:
        settings = [*_HOST_SYSCTLS.items(), ("net.ipv4.ip_forward", str(int(spec.forward)))]
        settings += _ROUTER_SYSCTLS.items() if spec.forward else []
        if self._topology.dual_stack:
            settings += _with_ipv6(self.hosts[spec.name].interfaces, spec.forward)
        elif os.path.exists(sysctl_path("net.ipv6")):  # a kernel may be built without IPv6
            settings += _WITHOUT_IPV6
        return settings

    def _make_nodes(self) -> None:
        for host in self._topology.hosts:
            node = self._net.addHost(host.name, ip=None)
            self.hosts[host.name] = Host(node, self._topology.interfaces(host.name))
        for link in self._topology.links:
            first, second = link.ends
            names = {"intfName1": first.interface, "intfName2": second.interface}
            kind = {"cls": WiredLink, "wire_ends": wire_ends(link)} if link.kind != "direct" else {}
            made = self._net.addLink(first.host, second.host, **names, **kind)
            for end, interface in zip(link.ends, (made.intf1, made.intf2), strict=True):
                # Mininet does not set them, its commands speak of them.
                interface.ip, interface.prefixLen = str(end.address.ip), str(end.address.network.prefixlen)
        self._net.build()

    def stop(self) -> None:
        """End every program in the hosts, the hosts and the links; may be called at any time, and again."""
        for host in self.hosts.values():
            host.terminate()
        self.hosts.clear()
        # The hosts' interfaces end with the hosts: Mininet would delete them one by one.
        wires = [name for link in self._net.links if isinstance(link, WiredLink) for name in link.wire_ends]
        self._net.links.clear()
        self._net.stop()
        self._net.hosts.clear()
        run(["ip", "-force", "-batch", "-"], input="".join(f"link delete {name}\n" for name in wires), check=False)

    def prompt(self) -> None:
        """Mininet's prompt, until the user leaves it."""
        Prompt(self._net, self._topology.links, Plugs(self.hosts))


class WiredLink(MininetLink):  # type: ignore[misc]  # Mininet has no types
    """A link with a wire in the middle (see `testbed.links`), whose two ends are in the run's own namespace."""

    def __init__(self, node1: Any, node2: Any, *, wire_ends: tuple[str, str], **options: Any) -> None:
        self.wire_ends = wire_ends
        super().__init__(node1, node2, **options)

    # Mininet calls this with the names of the hosts' interfaces, their MAC addresses, and the hosts.
    def makeIntfPair(
        self, name1: str, name2: str, mac1: str, mac2: str, node1: Any, node2: Any, deleteIntfs: bool = False
    ) -> None:
        """Make both pairs, each with one end in its host."""
        ends = zip(self.wire_ends, (name1, name2), (mac1, mac2), (node1, node2), strict=True)
        commands = [
            f"link add name {wire_end} type veth peer name {name} address {mac} netns {node.pid}\n"
            f"link set {wire_end} up\n"
            for wire_end, name, mac, node in ends
        ]
        run(["ip", "-batch", "-"], input="".join(commands))
