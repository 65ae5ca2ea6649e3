"""Our own stack with MPTCP over all paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptcp_stack.build import PURE
from mptcp_stack.runtime import ConfigError, check_plugin, parse_settings
from testbed.errors import LabError, Unsupported
from testbed.stacks import mptcp_diagnosis
from testbed.stacks.base import CLIENT, SERVER, Evidence, StackUnderTest, path_count
from testbed.stacks.counters import Counters
from testbed.stacks.mptcp_diagnosis import Numbers

if TYPE_CHECKING:
    from testbed.lab import Lab


class PythonMptcp(StackUnderTest):
    """Our own MPTCP; the host's kernel forwards its packets and no more.

    ``settings`` are those of the stack in both hosts, each ``name=value`` (see ``mptcp_stack.runtime.parse_settings``).
    """

    name = "python-mptcp"
    label = "Python MPTCP"
    features = frozenset({"http", "bulk"})
    default_congestion = "lia"
    settings: tuple[str, ...] = ()
    pure = False
    """Whether its programs run the stack as pure Python, also where it is compiled."""

    def configure(self, settings: Sequence[str]) -> None:
        """Add settings of our stack, and ``build=pure``. Raises :class:`testbed.errors.LabError` when one is wrong."""
        builds = [setting for setting in settings if setting.startswith("build=")]
        settings = [setting for setting in settings if setting not in builds]
        if wrong := [build for build in builds if build != "build=pure"]:
            raise LabError(f"stack {self.name}: setting {wrong[0]!r}: must be build=pure, or left out")
        self.pure = self.pure or bool(builds)
        try:
            parsed = parse_settings(settings)
        except ConfigError as error:
            raise LabError(f"stack {self.name}: {error}") from None
        self.settings = (*self.settings, *settings)
        self.congestion = parsed.get("congestion", self.congestion)

    def check(self) -> None:
        """See that congestion control, scheduler and path manager can be used, also those that a subclass names."""
        try:
            chosen = parse_settings(self.settings)
            for kind in ("congestion", "scheduler", "path_manager"):
                if name := chosen.get(kind, self.congestion if kind == "congestion" else None):
                    check_plugin(kind, name)
        except ConfigError as error:
            raise LabError(f"stack {self.name}: {error}") from None

    def prepare(self, lab: Lab) -> None:
        """Nothing: the programs bring their addresses and routes, and take them away."""

    def server_address(self, lab: Lab) -> str:
        """Return our stack's address in the server on the first path. Unsupported when the topology gives it none."""
        for host in (CLIENT, SERVER):
            if not lab.hosts[host].stack_ips:
                raise Unsupported(f"host {host} has no stack_address in the topology: our stack needs one on each path")
        return lab.hosts[SERVER].stack_ips[0]

    def program(self, argv: Sequence[str]) -> list[str]:
        """Refuse: real programs use the kernel's sockets."""
        raise Unsupported(f"stack {self.name} carries our own programs only, not {argv[0]}")

    def addresses(self, lab: Lab, host: str) -> list[str]:
        """Return the addresses that our stack has in ``host``."""
        return list(lab.hosts[host].stack_addresses)

    def module_options(self, lab: Lab, host: str) -> list[str]:
        """Return the choice of our stack, its addresses, its congestion control and its settings."""
        options = ["--stack-loop", "mptcp_stack", "--congestion", self.congestion]
        for setting in self.settings:
            options += ["--set", setting]
        for address in self.addresses(lab, host):
            options += ["--address", address]
        return options

    def command(self, lab: Lab, host: str, module: str, *arguments: str) -> list[str]:
        """Return the command that runs one of our modules, with what chooses the build of the stack."""
        command = super().command(lab, host, module, *arguments)
        return ["env", f"{PURE}=1", *command] if self.pure else command

    @property
    def build(self) -> str:
        """Which build its programs run: `pure` if that was asked for, else what runs here."""
        return "pure" if self.pure else super().build

    def runs_our_stack(self, host: str) -> bool:
        """All do."""
        return True

    def verify(self, lab: Lab, counted: Counters, evidence: Evidence) -> list[str]:
        """Check that nothing fell back and that all paths joined, by the stack's own counters."""
        client, server = (own_counters(evidence, host) for host in (CLIENT, SERVER))
        further_paths = path_count(lab) - 1 if evidence.long_lived else 0
        problems = own_congestion_problems(self.congestion, evidence)
        return problems + mptcp_diagnosis.problems(client, server, evidence.connections, further_paths)


def own_counters(evidence: Evidence, host: str) -> Numbers:
    """Return what our stack counted in ``host``; empty when it did not report."""
    report = evidence.reports.get(host)
    counters: Numbers = report["counters"] if report else {}
    return counters


def own_congestion_problems(declared: str, evidence: Evidence, hosts: Sequence[str] = (CLIENT, SERVER)) -> list[str]:
    """Return which ends of our stack did not report, or used another congestion control than declared."""
    problems = []
    for host in hosts:
        report = evidence.reports.get(host)
        if report is None:
            problems.append(f"the {host}'s program did not report its stack: it ran over kernel sockets")
        elif report.get("congestion") != declared:
            problems.append(f"{host}: congestion control {report.get('congestion')}, not {declared} as declared")
    return problems
