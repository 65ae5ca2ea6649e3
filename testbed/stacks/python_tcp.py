"""Our own stack with plain TCP over the first path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.stacks.base import SERVER, Evidence
from testbed.stacks.counters import Counters
from testbed.stacks.python_mptcp import PythonMptcp, own_congestion_problems, own_counters

if TYPE_CHECKING:
    from testbed.lab import Lab


class PythonTcp(PythonMptcp):
    """Our own TCP without MPTCP: the price of Python beside the kernel's TCP."""

    name = "python-tcp"
    label = "Python TCP"
    default_congestion = "cubic"

    def addresses(self, lab: Lab, host: str) -> list[str]:
        """Return the one address on the first path."""
        return super().addresses(lab, host)[:1]

    def module_options(self, lab: Lab, host: str) -> list[str]:
        """Return the choice of our stack without MPTCP."""
        return [*super().module_options(lab, host), "--no-mptcp"]

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check that plain TCP was plain, by the stack's own counters."""
        problems = own_congestion_problems(self.congestion, evidence)
        if asked := own_counters(evidence, SERVER).get("MPTcpExtMPCapableSYNRX", 0):
            problems.append(f"{asked} connections asked for MPTCP where plain TCP was wanted")
        return problems
