"""The kernel's TCP over the first path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from testbed.errors import LabError
from testbed.host.congestion import AVAILABLE
from testbed.host.sysctls import sysctl_path
from testbed.input.validation import unknown
from testbed.stacks.base import CLIENT, FEATURES, SERVER, Evidence, StackUnderTest
from testbed.stacks.counters import Counters

if TYPE_CHECKING:
    from testbed.lab import Lab

SYSCTLS = {
    # What one run learnt of a path must not help the next one.
    "net.ipv4.tcp_no_metrics_save": "1",
    # A closed loop of short connections leaves tens of thousands of ports in TIME-WAIT.
    "net.ipv4.ip_local_port_range": "1024 65535",
    # All clients may connect at once; SYN cookies would take away options.
    "net.ipv4.tcp_max_syn_backlog": "4096",
    "net.core.somaxconn": "4096",
}

Settings = Mapping[str, tuple[str, Mapping[str, str]]]
"""Settings of a kernel stack: by name the sysctl, and what each value is there. They have the names of our stack's."""

_CONGESTION = re.compile(r"(\S+) wscale:")


def parse_congestion(ss_output: str) -> Counter[str]:
    """Count the congestion controls in the output of ``ss -ti`` (of connections with window scaling)."""
    return Counter(_CONGESTION.findall(ss_output))


class KernelTcp(StackUnderTest):
    """The kernel's TCP over the first path: the yardstick.

    ``syn_cookies`` (RFC 4987) are ``off``, sent on ``overflow`` of a listener's table, or ``always``.
    """

    name = "kernel-tcp"
    label = "kernel TCP"
    features = frozenset(FEATURES)
    known_settings: ClassVar[Settings] = {
        "syn_cookies": ("net.ipv4.tcp_syncookies", {"overflow": "1", "off": "0", "always": "2"})
    }
    """The first value of each is what holds when nothing is said."""

    def __init__(self, congestion: str | None = None) -> None:
        super().__init__(congestion)
        self.sysctls = {name: next(iter(values.values())) for name, values in self.known_settings.values()}

    def configure(self, settings: Sequence[str]) -> None:
        """Take settings ``name=value``. Raises :class:`testbed.errors.LabError` with the allowed ones."""
        allowed = {
            f"{setting}={value}": (sysctl, number)
            for setting, (sysctl, values) in self.known_settings.items()
            for value, number in values.items()
        }
        for setting in settings:
            if setting not in allowed:
                raise LabError(f"stack {self.name}: unknown setting '{setting}'; allowed: {', '.join(allowed)}")
            sysctl, number = allowed[setting]
            self.sysctls[sysctl] = number

    def check(self) -> None:
        """See that this kernel has the congestion control."""
        with suppress(OSError):  # a machine that only plans
            available = Path(sysctl_path(AVAILABLE)).read_text().split()
            if self.congestion not in available:
                raise LabError(f"stack {self.name}: {unknown('congestion control', self.congestion, available)}")

    def prepare(self, lab: Lab) -> None:
        """Set congestion control and limits in both hosts."""
        for host in (CLIENT, SERVER):
            for name, value in (SYSCTLS | self.sysctls).items():
                lab.hosts[host].set_sysctl(name, value)
        lab.set_congestion_control(self.congestion)

    def server_address(self, lab: Lab) -> str:
        """Return the server kernel's address on the first path."""
        return lab.hosts[SERVER].addresses[0]

    def program(self, argv: Sequence[str]) -> list[str]:
        """Return ``argv`` itself."""
        return list(argv)

    def module_options(self, lab: Lab, host: str) -> list[str]:
        """Return the choice of kernel sockets."""
        return ["--stack-loop", "asyncio"]

    def command(self, lab: Lab, host: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs one of our modules, as any other program of this stack is run."""
        return self.program(super().command(lab, host, module, *arguments))

    def observe(self, lab: Lab) -> Counter[str]:
        """Ask ``ss`` for the congestion control of every connection of the server."""
        answer = lab.hosts[SERVER].run(["ss", "-Htni", "state", "established"], check=False)
        return parse_congestion(answer.stdout)

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check congestion control, and that plain TCP was plain."""
        problems = self.congestion_problems(evidence)
        if asked := counted[SERVER].protocols.get("MPTcpExtMPCapableSYNRX", 0):
            problems.append(f"{asked} connections asked for MPTCP where plain TCP was wanted")
        return problems

    def congestion_problems(self, evidence: Evidence) -> list[str]:
        """Return the congestion controls that were seen and not declared."""
        return [
            f"{number} connections used congestion control {name}, not {self.congestion} as declared"
            for name, number in evidence.congestion_seen.items()
            if name != self.congestion
        ]
