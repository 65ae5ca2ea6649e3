"""Our own MPTCP at one end, the kernel's at the other: what each end costs, and that they understand each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from testbed.stacks import mptcp_diagnosis
from testbed.stacks.base import CLIENT, SERVER, Evidence, StackUnderTest, path_count
from testbed.stacks.counters import Counters
from testbed.stacks.kernel_mptcp import KernelMptcp
from testbed.stacks.mptcp_diagnosis import Numbers
from testbed.stacks.python_mptcp import PythonMptcp, own_congestion_problems, own_counters

if TYPE_CHECKING:
    from testbed.lab import Lab


class PythonAtOneEnd(StackUnderTest):
    """Settings are those of our stack; the congestion control is that of both ends' senders."""

    features = frozenset({"http", "bulk"})
    default_congestion = "cubic"
    ours: ClassVar[str]
    """The host in which our stack runs."""

    def __init__(self, congestion: str | None = None) -> None:
        super().__init__(congestion)
        self._python, self._kernel = PythonMptcp(self.congestion), KernelMptcp(self.congestion)

    def _of(self, host: str) -> PythonMptcp | KernelMptcp:
        return self._python if host == self.ours else self._kernel

    def configure(self, settings: Sequence[str]) -> None:
        """Take settings of our stack. Raises :class:`testbed.errors.LabError` when one is wrong."""
        self._python.configure(settings)

    def check(self) -> None:
        """See that both ends have the congestion control."""
        self._python.check()
        self._kernel.check()

    def prepare(self, lab: Lab) -> None:
        """Set up the kernel's end; what our own needs its program brings."""
        self._kernel.prepare(lab)

    def server_address(self, lab: Lab) -> str:
        """Return the address of whose stack serves."""
        return self._of(SERVER).server_address(lab)

    def program(self, argv: Sequence[str]) -> list[str]:
        """Refuse, as our own stack does."""
        return self._python.program(argv)

    def module_options(self, lab: Lab, host: str) -> list[str]:
        """Return the choice of the stack of that host."""
        return self._of(host).module_options(lab, host)

    def command(self, lab: Lab, host: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs one of our modules over the stack of that host."""
        return self._of(host).command(lab, host, module, *arguments)

    @property
    def build(self) -> str:
        """Which build our end runs."""
        return self._python.build

    def runs_our_stack(self, host: str) -> bool:
        """At one end."""
        return host == self.ours

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check that nothing fell back and that all paths joined, by either end's own counters."""
        ends: dict[str, Numbers] = {host: counted[host].protocols for host in (CLIENT, SERVER)}
        ends[self.ours] = own_counters(evidence, self.ours)
        further_paths = path_count(lab) - 1 if evidence.long_lived else 0
        problems = mptcp_diagnosis.problems(ends[CLIENT], ends[SERVER], evidence.connections, further_paths)
        return own_congestion_problems(self.congestion, evidence, (self.ours,)) + problems


class PythonServer(PythonAtOneEnd):
    """Our stack serves the kernel's."""

    name = "python-server"
    label = "Python serves kernel MPTCP"
    ours = SERVER


class PythonClient(PythonAtOneEnd):
    """The kernel's stack serves ours."""

    name = "python-client"
    label = "Python asks kernel MPTCP"
    ours = CLIENT
