"""A running lab: hosts, links and what can be set up on them. Needs `testbed.host.namespace.enter()` before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from testbed.calibrate import Calibration, Effort, as_json, calibrate, require
from testbed.errors import LabError
from testbed.host import kernel_mptcp, namespace
from testbed.host.congestion import set_congestion_control
from testbed.host.hosts import Host
from testbed.input.validation import FieldError
from testbed.lab.mininet_backend import MininetBackend
from testbed.links import backends, cable
from testbed.links.bond import Bond
from testbed.links.emulator.control import Counters, Emulation
from testbed.middleboxes.registry import validated
from testbed.placement import Placement
from testbed.placement.apply import placed
from testbed.spec import Topology


class Lab:
    """Hosts and links of a topology, from `with` to the end of its block.

    Making one raises Unsupported when this kernel cannot realise a link. Entering raises LabError when anything is
    not as the topology says; leaving ends every program in the hosts.
    """

    def __init__(self, topology: Topology) -> None:
        self._namespace = namespace.current()
        self._asked = topology
        self.topology, self._moved = backends.resolve(topology)
        self._backend = MininetBackend(self.topology)
        self._bond: Bond | None = None
        self._emulation: Emulation | None = None
        self._calibration: list[Calibration] = []

    def __repr__(self) -> str:
        if "_calibration" not in vars(self):
            return "<Lab not made>"
        has = {"emulator": self._emulation, "bond": self._bond, "calibrated": self._calibration}
        parts = [
            "running" if self.hosts else "not running",
            f"{len(self.topology.hosts)} hosts",
            f"{len(self.topology.links)} links",
            *(name for name, there in has.items() if there),
        ]
        return f"<Lab {self.topology.name} {', '.join(parts)}>"

    def __enter__(self) -> Lab:
        try:
            self._backend.start()
            for link in self.topology.links:
                cable.set_up(link, self.hosts)
            emulated = [link for link in self.topology.links if link.kind == "emulator"]
            if emulated:
                self._emulation = Emulation(emulated, seed=0)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._emulation is not None:
            self._emulation.stop()
        self._backend.stop()

    @property
    def moved_links(self) -> Mapping[str, str]:
        """By link why it is emulated and not what it asked for."""
        return self._moved

    @property
    def hosts(self) -> dict[str, Host]:
        """The running hosts by name."""
        return self._backend.hosts

    def calibrate(self) -> list[Calibration]:
        """Measure every shaped link both ways; LabError when one is not as asked (see `testbed.calibrate`)."""
        self._calibration = self.measure_links(Effort.QUICK)
        require(self._calibration)
        return self._calibration

    def measure_links(self, effort: Effort) -> list[Calibration]:
        """As `calibrate`, but what is not as asked is only said in what is found."""
        boxed = [link for link in self.topology.links if link.middleboxes]
        for link in boxed:  # what is measured is the link
            self.set_middleboxes(link.name, ())
        try:
            return calibrate(self.topology.links, self.hosts, effort)
        finally:
            for link in boxed:
                self.set_middleboxes(link.name, link.middleboxes)

    def placed(self, placement: Placement) -> AbstractContextManager[dict[str, Any]]:
        """Have packets and the emulator processed where `placement` says, for a block (see `testbed.placement`).

        Gives what was read back (JSON); what was there before is put back.
        """
        emulator_pid = self._emulation.pid if self._emulation is not None else None
        return placed(placement, self.hosts, self._namespace.machine, emulator_pid)

    def seed_links(self, seed: int) -> None:
        """Put emulated links into their first state, with new dice: the same seed and packets give the same losses."""
        if self._emulation is not None:
            self._emulation.seed(seed)

    def start_schedules(self) -> int:
        """Begin the schedules and traces of links; when that was, in ns of the monotonic clock.

        To be called when a workload starts; again, they begin anew.
        """
        if self._emulation is not None:
            return self._emulation.start_schedules()
        return time.monotonic_ns()

    def set_middleboxes(self, link: str, middleboxes: Sequence[Mapping[str, Any]]) -> None:
        """Put other middleboxes, that know nothing of what has passed, on an emulated link of a running lab.

        Each is `{"kind": NAME, PARAMETER: VALUE, ...}`. LabError for one that is not valid, and for any other link.
        """
        emulated = [one.name for one in self.topology.links if one.kind == "emulator"]
        if self._emulation is None or link not in emulated:
            raise LabError(f"link {link}: has no place for middleboxes, it is not emulated (give it a delay)")
        try:
            checked = [validated(one) for one in middleboxes]
        except FieldError as error:
            raise LabError(f"link {link}: middleboxes: {error.field}: {error}") from None
        self._emulation.set_middleboxes(link, checked)

    def link_counters(self) -> Counters:
        """What every link but bare ones delivered and dropped so far; LabError when the emulator has failed."""
        counted = {link.name: cable.counters(link) for link in self.topology.links if link.kind == "tc"}
        return counted | (self._emulation.counters() if self._emulation is not None else {})

    def configure_mptcp(self) -> None:
        """Make the kernels' MPTCP use every path; may be repeated. Unsupported without kernel MPTCP."""
        kernel_mptcp.configure(self.hosts["client"], self.hosts["server"])

    def set_congestion_control(self, name: str) -> None:
        """Let the kernels' new connections use `name`, verified; LabError with those available."""
        set_congestion_control(self._namespace.machine, self.hosts.values(), name)

    def configure_bond(self) -> Bond:
        """Join the paths of client and server to one round-robin device `bond0`; may be repeated.

        With the kernel's bonding driver the paths' own addresses are out of use until `remove_bond`.
        """
        if self._bond is None:
            self._bond = Bond(self.topology, self.hosts)
        return self._bond

    def remove_bond(self) -> None:
        """Undo `configure_bond`."""
        if self._bond is not None:
            self._bond.remove()
            self._bond = None

    def bond_address(self, host: str) -> str:
        """The address of a host's end of the bond; LabError when there is no bond."""
        return self.configure_bond().addresses[host]

    def prompt(self) -> None:
        """Mininet's prompt on this lab, until the user leaves it."""
        self._backend.prompt()

    def describe(self) -> dict[str, Any]:
        """The lab as the system says it is, for a run's manifest (JSON)."""
        return {
            "topology": self._asked.model_dump(mode="json"),
            "links": [
                cable.describe(link, self.hosts) | {"moved": self._moved.get(link.name)} for link in self.topology.links
            ],
            "emulator": self._emulation and {"real_time": self._emulation.real_time},
            "calibration": as_json(self._calibration),
            "bond": self._bond.describe() if self._bond else None,
            "sysctls": {name: _sysctls(host) for name, host in self.hosts.items()},
        }


_RECORDED = (
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_no_metrics_save",
    "net.mptcp.enabled",
    "net.mptcp.blackhole_timeout",
)
"""Settings that the manifest has of every host, under `labs`; one that a kernel lacks is left out."""


def _sysctls(host: Host) -> dict[str, str]:
    return {name: value for name in _RECORDED if (value := host.find_sysctl(name)) is not None}
