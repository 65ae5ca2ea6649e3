"""Puts a placement into force for a block: set, read back, checked again at the end, and the old values put back.

Files of interfaces belong to the lab and end with it, however it ends. The table of flow steering is the machine's;
the guardian of `testbed.host.namespace` restores it, also when the run is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from testbed.errors import LabError, Unsupported
from testbed.placement.cpus import format_mask, online_cpus, parse_mask
from testbed.placement.spec import EMULATOR, Placement, by_interface, check_hosts, parse_by_host

RFS_TABLE = "net.core.rps_sock_flow_entries"
"""Entries of the machine's table of flows. Exists in the initial network namespace only."""


class Host(Protocol):
    """What is needed of a host."""

    @property
    def pid(self) -> int:
        """A process in its namespaces."""

    interfaces: list[str]


class MachineSettings(Protocol):
    """What is needed of the machine (`testbed.host.sysctls.Machine`)."""

    def sysctl(self, name: str) -> str:
        """The machine's value."""

    def raise_to(self, name: str, value: int) -> None:
        """Make a setting at least `value`, until `release`."""

    def release(self, name: str) -> None:
        """Let go of a setting."""


class Knob(NamedTuple):
    """One file of the kernel's: what it is of, and the text that it shall hold.

    `parse` makes two spellings of one value equal.
    """

    name: str
    path: Path
    text: str
    parse: Callable[[str], int]

    def set(self, text: str) -> None:
        """Write and read back. LabError when refused or ignored, Unsupported when there is no such file."""
        self.read()
        try:
            self.path.write_text(text)
        except OSError as error:
            raise LabError(f"{self.name}: cannot set {text}: {error.strerror}", 1) from None
        self.verify(text)

    def verify(self, text: str) -> None:
        """LabError unless the file holds `text`."""
        if self.parse(got := self.read()) != self.parse(text):
            raise LabError(f"{self.name}: set to {text} but reads {got}", 1)

    def read(self) -> str:
        """What the file holds."""
        try:
            return self.path.read_text().strip()
        except FileNotFoundError:
            raise Unsupported(f"{self.name}: this kernel has no such file") from None
        except OSError as error:
            raise Unsupported(f"{self.name}: cannot be read: {error.strerror}") from None


def check_cpus(placement: Placement) -> None:
    """LabError when a CPU is named that this machine does not have."""
    online = online_cpus()
    if missing := placement.everything() - set(online):
        numbers = ", ".join(map(str, sorted(missing)))
        raise LabError(f"placement: there is no CPU {numbers}; this machine has {', '.join(map(str, online))}")


@contextmanager
def placed(
    placement: Placement, hosts: Mapping[str, Host], machine: MachineSettings, emulator_pid: int | None
) -> Iterator[dict[str, Any]]:
    """Have packets, and the link emulator, processed where `placement` says, for the length of a block.

    Gives what was read back, for the manifest. Pinning the programs is left to who starts them. LabError for
    what is not there or does not hold, also at the end of the block, Unsupported for what the kernel cannot do.
    """
    check_cpus(placement)
    check_hosts("process_cpus", parse_by_host(placement.process_cpus), (*hosts, EMULATOR))
    knobs = knobs_of(placement, hosts)
    with ExitStack() as undo:
        emulator_cpus = _pin_emulator(placement, emulator_pid, undo)
        if placement.rfs_entries:
            undo.callback(machine.release, RFS_TABLE)
            machine.raise_to(RFS_TABLE, placement.rfs_entries)
        for knob in knobs:
            undo.callback(knob.set, knob.read())
            knob.set(knob.text)
        yield {
            "asked": placement.model_dump(mode="json"),
            "files": {knob.name: knob.read() for knob in knobs},
            RFS_TABLE: int(machine.sysctl(RFS_TABLE)) if placement.rfs_entries else None,
            "emulator_cpus": emulator_cpus,
        }
        for knob in knobs:
            knob.verify(knob.text)
        if placement.rfs_entries and (got := int(machine.sysctl(RFS_TABLE))) < placement.rfs_entries:
            raise LabError(f"{RFS_TABLE}: was {placement.rfs_entries} at the beginning, is {got} at the end", 1)


def knobs_of(placement: Placement, hosts: Mapping[str, Host]) -> list[Knob]:
    """The files of interfaces that `placement` needs, with the text for each. Raises as `placed`."""
    names = {host: one.interfaces for host, one in hosts.items()}

    def asked(field: str) -> list[tuple[str, str, list[int]]]:
        places = by_interface(field, getattr(placement, field), names)
        return [(host, interface, cpus) for (host, interface), cpus in places.items()]

    knobs = []
    for field, direction in (("rps_cpus", "rx"), ("xps_cpus", "tx")):
        for host, interface, cpus in asked(field):
            for queue in _queues(hosts[host], interface, direction):
                name = f"{host}: {interface}/{queue.name}/{field}"
                knobs.append(Knob(name, queue / field, format_mask(cpus), parse_mask))
    if placement.rfs_entries:
        for name, one in hosts.items():
            for interface in one.interfaces:
                queues = _queues(one, interface, "rx")
                flows = str(max(1, placement.rfs_entries // len(queues)))
                knobs += [
                    Knob(f"{name}: {interface}/{queue.name}/rps_flow_cnt", queue / "rps_flow_cnt", flows, int)
                    for queue in queues
                ]
    for host, interface, cpus in asked("irq_cpus"):
        for number in _interrupts(hosts[host], interface):
            path = Path(f"/proc/irq/{number}/smp_affinity")
            knobs.append(Knob(f"{host}: {interface}: interrupt {number}", path, format_mask(cpus), parse_mask))
    return knobs


def interface_directory(host: Host, interface: str) -> Path:
    """An interface in sysfs, as a process of the host sees it: another one's shows other interfaces."""
    return Path(f"/proc/{host.pid}/root/sys/class/net/{interface}")


def _queues(host: Host, interface: str, direction: str) -> list[Path]:
    directory = interface_directory(host, interface) / "queues"
    found = sorted(directory.glob(f"{direction}-*"))
    if not found:
        raise Unsupported(f"{interface}: this kernel shows no {direction} queues, so packets cannot be steered")
    return found


def _interrupts(host: Host, interface: str) -> list[int]:
    """The interrupts of a real device; Unsupported for a virtual one, which raises none."""
    device = interface_directory(host, interface) / "device"
    numbers = [int(entry.name) for entry in (device / "msi_irqs").glob("*")]
    if not numbers and (device / "irq").exists():
        numbers = [int((device / "irq").read_text())]
    if not numbers:
        raise Unsupported(
            f"irq_cpus: {interface} is virtual and raises no interrupts; rps_cpus says where its packets are processed"
        )
    return sorted(numbers)


def _pin_emulator(placement: Placement, pid: int | None, undo: ExitStack) -> list[int] | None:
    """Pin the link emulator, if that is asked, until `undo`; the CPUs that it may use."""
    if pid is None:
        if EMULATOR in parse_by_host(placement.process_cpus):
            raise LabError("process_cpus: no link of this lab is emulated, so there is no emulator to pin")
        return None
    # A list for every host is none for the emulator: it is of no host.
    if EMULATOR in parse_by_host(placement.process_cpus):
        undo.callback(os.sched_setaffinity, pid, os.sched_getaffinity(pid))
        os.sched_setaffinity(pid, placement.cpus(EMULATOR))
        if (got := os.sched_getaffinity(pid)) != set(placement.cpus(EMULATOR)):
            raise LabError(f"process_cpus: the emulator was pinned but may use {sorted(got)}", 1)
    return sorted(os.sched_getaffinity(pid))
