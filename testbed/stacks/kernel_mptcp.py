"""The kernel's MPTCP over all paths, through mptcpize for programs that know nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from testbed.loadgen.programs import required
from testbed.stacks import mptcp_diagnosis
from testbed.stacks.base import CLIENT, SERVER, Evidence, path_count
from testbed.stacks.counters import Counters
from testbed.stacks.kernel_tcp import KernelTcp, Settings

if TYPE_CHECKING:
    from testbed.lab import Lab


class KernelMptcp(KernelTcp):
    """The kernel's MPTCP: every path of the lab is a subflow.

    ``dss_checksum=on`` asks for checksums (RFC 8684 section 3.3), beside the settings of TCP.
    """

    name = "kernel-mptcp"
    label = "kernel MPTCP"
    known_settings: ClassVar[Settings] = {
        **KernelTcp.known_settings,
        "dss_checksum": ("net.mptcp.checksum_enabled", {"off": "0", "on": "1"}),
    }

    def prepare(self, lab: Lab) -> None:
        """Set up MPTCP's limits and endpoints, then what TCP needs."""
        lab.configure_mptcp()
        super().prepare(lab)

    def program(self, argv: Sequence[str]) -> list[str]:
        """Run ``argv`` with its TCP sockets turned into MPTCP ones. Raises LabError without mptcpize."""
        return [required("mptcpize", "mptcpize"), "run", *argv]

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check congestion control of every subflow, that nothing fell back, and that all paths joined."""
        client, server = counted[CLIENT].protocols, counted[SERVER].protocols
        further_paths = path_count(lab) - 1 if evidence.long_lived else 0
        problems = mptcp_diagnosis.problems(client, server, evidence.connections, further_paths)
        if problems:
            problems += self._zero_limits(lab)
        return self.congestion_problems(evidence) + problems

    @staticmethod
    def _zero_limits(lab: Lab) -> list[str]:
        """Name the limits that forbid any further subflow."""
        zero = []
        for host in (CLIENT, SERVER):
            # Pairs of name and value; iproute2 of Debian 12 knows no JSON here.
            words = lab.hosts[host].run(["ip", "mptcp", "limits", "show"]).stdout.split()
            zero += [f"{host} {name}" for name, value in zip(words[::2], words[1::2], strict=True) if value == "0"]
        return [f"limit 0: {', '.join(zero)}"] if zero else []
