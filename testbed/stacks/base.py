"""What a stack under test is: how programs start on it, and how to tell that it really was under test."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from mptcp_stack.build import running
from testbed.collectors.base import WatchedStack
from testbed.errors import LabError, Unsupported
from testbed.host.process import module_command
from testbed.stacks.counters import Counters

if TYPE_CHECKING:
    from testbed.lab import Lab

CLIENT, SERVER = "client", "server"
"""The hosts that a load runs between."""

FEATURES = ("http", "bulk", "ab", "curl", "iperf3")
"""Kinds of load; a stack says which it can carry."""


@dataclass(frozen=True)
class Evidence:
    """What a run shows beside the counters, for :meth:`StackUnderTest.verify`.

    ``connections``: how many were made. ``long_lived``: each lasted long enough for every path to join.
    ``congestion_seen``: congestion controls of the server's connections during the run, with how often each
    was seen. ``reports``: what our programs reported of their own stack, by host.
    """

    connections: int
    long_lived: bool
    congestion_seen: Counter[str] = field(default_factory=Counter)
    reports: Mapping[str, dict[str, Any] | None] = field(default_factory=dict)


class StackUnderTest(WatchedStack):
    """One way to carry connections between the hosts ``client`` and ``server`` of a lab.

    A user's own stack is a subclass in any importable module, named as ``module:Class``.
    """

    label: ClassVar[str]
    """Name for tables and legends."""
    features: ClassVar[frozenset[str]]
    default_congestion: ClassVar[str] = "cubic"

    def __init__(self, congestion: str | None = None) -> None:
        self.congestion = congestion or self.default_congestion

    def configure(self, settings: Sequence[str]) -> None:
        """Take settings of the form ``name=value``. Raises :class:`LabError` when one is wrong."""
        raise LabError(f"stack {self.name} takes no settings, but got {', '.join(settings)}")

    def check(self) -> None:
        """See early, without a lab, that what was asked of the stack exists. Raises :class:`LabError`."""

    def supports(self, feature: str) -> bool:
        """Tell whether the stack can carry a kind of load (one of :data:`FEATURES`)."""
        return feature in self.features

    def require(self, feature: str) -> None:
        """Raise :class:`Unsupported` when the stack cannot carry that kind of load."""
        if not self.supports(feature):
            raise Unsupported(f"stack {self.name} does not carry {feature}; it can: {', '.join(sorted(self.features))}")

    @abstractmethod
    def prepare(self, lab: Lab) -> None:
        """Set up both hosts, once after the lab is up: sysctls, addresses, endpoints.

        Raises :class:`testbed.errors.LabError` for what the kernel refuses.
        """

    @abstractmethod
    def server_address(self, lab: Lab) -> str:
        """Return the address that clients connect to."""

    @abstractmethod
    def program(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs a real program (``ab``, ``iperf3``) over this stack.

        Raises :class:`Unsupported` for a stack that only our own programs can use.
        """

    @abstractmethod
    def module_options(self, lab: Lab, host: str) -> list[str]:
        """Return the options that make our generators use this stack in ``host``."""

    @override
    def runs_our_stack(self, host: str) -> bool:
        return False

    @property
    def build(self) -> str:
        """Which build of our stack its programs run, where they do: `compiled` or `pure`; by default what runs here."""
        return running()

    @property
    def is_ours(self) -> bool:
        """Whether our own stack takes part at either end: only then do results depend on its code."""
        return self.runs_our_stack(CLIENT) or self.runs_our_stack(SERVER)

    def command(self, lab: Lab, host: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs one of our modules over this stack in ``host``."""
        return module_command(module, *arguments, *self.module_options(lab, host))

    def observe(self, lab: Lab) -> Counter[str]:
        """Look at the server's connections while a load runs: number of them by congestion control."""
        return Counter()

    @abstractmethod
    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Return what shows that the run was not what it should be, in the user's words; empty if all is
        well.

        ``counted`` is what the kernels counted during the run.
        """


def common_build(reports: Iterable[Mapping[str, Any] | None]) -> str | None:
    """Return the build of our stack that all programs reported, or `mixed`; None when all ran over the kernel's."""
    builds = {build for report in reports if report and (build := report.get("build"))}
    return "mixed" if len(builds) > 1 else next(iter(builds), None)


def path_count(lab: Lab) -> int:
    """Return the number of the client's IPv4 addresses: each is a way of its own to the server."""
    return len(lab.hosts[CLIENT].addresses)
