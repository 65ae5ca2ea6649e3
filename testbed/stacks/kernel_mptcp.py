"""The kernel's MPTCP over all paths, through mptcpize for programs that know nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from testbed.errors import LabError
from testbed.loadgen.programs import required
from testbed.stacks import mptcp_diagnosis
from testbed.stacks.base import CLIENT, SERVER, Evidence, path_count
from testbed.stacks.counters import Counters
from testbed.stacks.kernel_tcp import KernelTcp

if TYPE_CHECKING:
    from testbed.lab import Lab


_CHECKSUM = {"dss_checksum=on": "1", "dss_checksum=off": "0"}


class KernelMptcp(KernelTcp):
    """The kernel's MPTCP: every path of the lab is a subflow.

    Its one setting is called as that of our stack: ``dss_checksum=on`` asks for checksums (RFC 8684 section 3.3).
    """

    name = "kernel-mptcp"
    label = "kernel MPTCP"
    checksum = _CHECKSUM["dss_checksum=off"]

    def configure(self, settings: Sequence[str]) -> None:
        """Take ``dss_checksum``. Raises :class:`testbed.errors.LabError` for any other setting."""
        for setting in settings:
            if setting not in _CHECKSUM:
                raise LabError(f"stack {self.name}: unknown setting '{setting}'; allowed: {', '.join(_CHECKSUM)}")
            self.checksum = _CHECKSUM[setting]

    def prepare(self, lab: Lab) -> None:
        """Set up kernel TCP, then MPTCP's limits and endpoints."""
        super().prepare(lab)
        lab.configure_mptcp()
        for host in (CLIENT, SERVER):
            lab.hosts[host].set_sysctl("net.mptcp.checksum_enabled", self.checksum)

    def program(self, argv: Sequence[str]) -> list[str]:
        """Run ``argv`` with its TCP sockets turned into MPTCP ones; raises :class:`LabError` without mptcpize."""
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
