"""A client's stack whose connections end at a proxy; from there on the server is reached by the kernel's plain TCP.

The proxy (`mptcp_stack.runtime.proxy`) runs in the host `proxy` over the same stack as the client's. Modes say how the
client uses its paths: all at once, the second as a backup, or one at a time (break before make). Ways say how the proxy
knows the server: it has one for all clients (forward), the client names it by the Convert Protocol (convert, RFC 8803),
or the client connects to the server and the proxy stands in between (transparent).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mptcp_stack.runtime import PROXY_MODES as WAYS
from testbed.errors import LabError, Unsupported
from testbed.host.process import Program, announced_ready, running
from testbed.stacks.base import CLIENT, SERVER, Evidence, StackUnderTest
from testbed.stacks.counters import Counters
from testbed.stacks.kernel_mptcp import KernelMptcp
from testbed.stacks.kernel_tcp import KernelTcp
from testbed.stacks.mptcp_diagnosis import Numbers
from testbed.stacks.python_mptcp import PythonMptcp, own_counters

if TYPE_CHECKING:
    from testbed.host.hosts import Host
    from testbed.lab import Lab

PROXY = "proxy"
MODES = ("full", "backup", "single-path")
FORWARD, CONVERT, TRANSPARENT = WAYS
CONVERTER_PORT = 5124
"""Where a converter listens, for whatever server; its clients are told."""


@contextmanager
def relaying(lab: Lab, stack: Proxied, port: int, directory: Path) -> Iterator[Program]:
    """Run the proxy over ``stack`` during the block: ``port`` of it is ``port`` of the server. Gives its program."""
    listen = CONVERTER_PORT if stack.way == CONVERT else port
    options = ["--listen", f"0.0.0.0:{listen}", "--mode", stack.way]
    if stack.way == FORWARD:
        options += ["--to", f"{lab.hosts[SERVER].addresses[0]}:{port}"]
    command = stack.command(lab, PROXY, "testbed.loadgen.proxy", *options)
    with running(lab.hosts[PROXY], command, directory, PROXY) as proxy:
        proxy.await_start(announced_ready)
        yield proxy


class Proxied(StackUnderTest):
    """What the stacks have in common whose connections end at the proxy."""

    def __init__(self, mode: str, way: str, congestion: str | None = None) -> None:
        super().__init__(congestion)
        self.mode = mode
        self.way = way

    @abstractmethod
    def proxy_address(self, lab: Lab) -> str:
        """Return the proxy's address, the one on the server's side."""

    def server_address(self, lab: Lab) -> str:
        """Return the address that clients connect to, or want to be connected to."""
        return self.proxy_address(lab) if self.way == FORWARD else lab.hosts[SERVER].addresses[0]

    def command(self, lab: Lab, host: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs one of our modules; the server's runs over the kernel's TCP."""
        if host == SERVER:
            return KernelTcp().command(lab, host, module, *arguments)
        command = super().command(lab, host, module, *arguments)
        if host == CLIENT and self.way == CONVERT:
            command += ["--converter", f"{self.proxy_address(lab)}:{CONVERTER_PORT}"]
        return command


class ProxiedPython(Proxied, PythonMptcp):
    """Our own MPTCP up to the proxy, which has one address, reached by every path: one subflow a path."""

    def __init__(self, mode: str, way: str, congestion: str | None = None) -> None:
        super().__init__(mode, way, congestion)
        if mode == "single-path":
            self.settings = ("path_manager=handover",)

    def proxy_address(self, lab: Lab) -> str:
        """Return the proxy's address, the one on the server's side."""
        return lab.hosts[PROXY].stack_ips[-1]

    def addresses(self, lab: Lab, host: str) -> list[str]:
        """Return the client's addresses on the paths, the second perhaps as a backup; the proxy's without a device.

        In the server's name the proxy answers on the devices of the paths: there it has the addresses of both.
        """
        if host == PROXY:
            on_paths = lab.hosts[PROXY].stack_addresses[:-1]
            return on_paths if self.way == TRANSPARENT else [f"{self.proxy_address(lab)}/32"]
        first, *others = super().addresses(lab, host)
        return [first, *(f"{address},backup" if self.mode == "backup" else address for address in others)]

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check by the client's counters that it spoke MPTCP with the proxy, over both paths."""
        return _problems(own_counters(evidence, CLIENT), evidence)


class ProxiedKernel(Proxied, KernelMptcp):
    """The kernel's MPTCP up to the proxy, which runs under mptcpize."""

    def prepare(self, lab: Lab) -> None:
        """Give the client an endpoint on its second path; raises :class:`Unsupported` for what it cannot do."""
        if self.mode == "single-path":
            raise Unsupported("the kernel's path manager has no break before make: it keeps one subflow a path")
        if self.way == TRANSPARENT:
            raise Unsupported("the kernel's sockets answer for the host's own addresses only, not in a server's name")
        super().prepare(lab)
        client = lab.hosts[CLIENT]
        client.run(["ip", "mptcp", "endpoint", "flush"])
        flags = ["subflow", "backup"] if self.mode == "backup" else ["subflow"]
        for address, interface in list(zip(client.addresses, client.interfaces, strict=True))[1:]:
            client.run(["ip", "mptcp", "endpoint", "add", address, "dev", interface, *flags])
        self._route_over_all_paths(client)
        proxy = lab.hosts[PROXY]
        proxy.set_sysctl("net.mptcp.enabled", "1")
        proxy.run(["ip", "mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"])

    @staticmethod
    def _route_over_all_paths(client: Host) -> None:
        """What a phone's network manager does: the next path when an interface has no carrier."""
        client.set_sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", "1")
        for metric, end in enumerate(client.ends[1:], 1):
            command = f"ip route replace default via {end.gateway} dev {end.interface} metric {metric}"
            client.run(command.split())

    def proxy_address(self, lab: Lab) -> str:
        """Return the proxy's address, the one on the server's side."""
        return lab.hosts[PROXY].addresses[-1]

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check by the client's counters that it spoke MPTCP with the proxy, over both paths."""
        return _problems(counted[CLIENT].protocols, evidence)


PROXIED: Mapping[str, type[ProxiedPython | ProxiedKernel]] = {
    "python-mptcp": ProxiedPython,
    "kernel-mptcp": ProxiedKernel,
}
"""By name of the stack that ends at the proxy."""


def proxied(stack: StackUnderTest, mode: str, way: str = FORWARD) -> Proxied:
    """Return ``stack`` as it is with a proxy. Raises :class:`LabError` for a stack that cannot be."""
    if stack.name not in PROXIED:
        raise LabError(f"stack {stack.name} cannot end at a proxy; these can: {', '.join(PROXIED)}", 1)
    found = PROXIED[stack.name](mode, way, stack.congestion)
    if isinstance(found, PythonMptcp) and isinstance(stack, PythonMptcp):
        found.settings = (*found.settings, *stack.settings)
        found.pure = stack.pure
    return found


def _problems(client: Numbers, evidence: Evidence) -> list[str]:
    spoken = client.get("MPTcpExtMPCapableSYNACKRX", 0)
    problems = []
    if spoken < evidence.connections:
        problems.append(f"{evidence.connections - spoken} of {evidence.connections} connections did not use MPTCP")
    if not client.get("MPTcpExtMPJoinSynAckRx", 0):
        problems.append("no subflow ever joined: the second path was not used")
    return problems
