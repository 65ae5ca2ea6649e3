"""What the kernel counts in each host: protocol counters under nstat's names, and bytes by interface.

They are read from ``/proc/<pid>/net`` of a process in the host, which shows that host's network namespace:
absolute values, no extra process in the middle of a measurement, none of nstat's history (which namespaces
share).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.lab import Lab

Numbers = dict[str, int]

GAUGES = frozenset({"TcpCurrEstab", "MPTcpExtMPCurrEstab"})
"""Values that are a state and not a count: a difference of two readings means nothing."""


@dataclass(frozen=True)
class HostCounters:
    """One host's counters: by MIB name, and ``tx_bytes`` and ``rx_bytes`` by interface."""

    protocols: Numbers
    interfaces: Mapping[str, Numbers]

    def since(self, before: HostCounters) -> HostCounters:
        """Return what was counted after ``before``; zeros and gauges are left out of the protocols."""
        changes = {name: value - before.protocols.get(name, 0) for name, value in self.protocols.items()}
        return HostCounters(
            {name: change for name, change in changes.items() if change and name not in GAUGES},
            {
                interface: {
                    name: value - before.interfaces.get(interface, {}).get(name, 0) for name, value in numbers.items()
                }
                for interface, numbers in self.interfaces.items()
            },
        )


Counters = dict[str, HostCounters]
"""Counters by name of the host."""


def parse_protocols(text: str) -> Numbers:
    """Parse ``/proc/net/snmp`` or ``/proc/net/netstat``: pairs of lines, names and values."""
    lines = [line.split() for line in text.splitlines()]
    return {
        names[0].rstrip(":") + name: int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }


def parse_interfaces(text: str) -> dict[str, Numbers]:
    """Parse ``/proc/net/dev``."""
    interfaces = {}
    for line in text.splitlines()[2:]:
        name, _, fields = line.partition(":")
        numbers = fields.split()
        interfaces[name.strip()] = {"rx_bytes": int(numbers[0]), "tx_bytes": int(numbers[8])}
    return interfaces


def read_process(pid: int) -> HostCounters:
    """Read the counters of the network namespace that process ``pid`` lives in."""
    net = Path(f"/proc/{pid}/net")
    protocols = parse_protocols((net / "snmp").read_text()) | parse_protocols((net / "netstat").read_text())
    return HostCounters(protocols, parse_interfaces((net / "dev").read_text()))


def read(lab: Lab) -> Counters:
    """Read the counters of every host of ``lab``."""
    return {name: read_process(host.pid) for name, host in lab.hosts.items()}


def difference(before: Counters, after: Counters) -> Counters:
    """Return what every host counted between two readings."""
    return {name: counters.since(before[name]) for name, counters in after.items()}


LinkCounters = dict[str, dict[str, Numbers]]
"""What links delivered and dropped: by link, direction and name (see :mod:`testbed.links.emulator`)."""

EMULATION_FAULTS = {
    "malformed": "super-segments that could not be split",
    "overrun": "frames lost because the emulator came too late",
    "refused": "frames that the receiving interface did not take",
}
"""What an emulated link does that was not asked of it."""

LATE_SHARE, LATE_FRAMES = 0.05, 1000
"""So many of an emulated link's frames may be more than a millisecond late: a share, and a number that a machine may
cause which stands still for a moment. More would falsify a run."""


def link_difference(before: LinkCounters, after: LinkCounters) -> LinkCounters:
    """Return what every link counted between two readings."""
    return {
        link: {
            direction: {name: value - before[link][direction][name] for name, value in numbers.items()}
            for direction, numbers in directions.items()
        }
        for link, directions in after.items()
    }


def link_problems(counted: LinkCounters) -> list[str]:
    """Return where a link was not what it was said to be, in the user's words."""
    problems = []
    for link, directions in counted.items():
        for direction, numbers in directions.items():
            faults = [f"{numbers[fault]} {what}" for fault, what in EMULATION_FAULTS.items() if numbers.get(fault)]
            late, offered = numbers.get("late", 0), numbers.get("offered", 0)
            if late > max(LATE_FRAMES, LATE_SHARE * offered):
                faults.append(f"{late} of {offered} frames more than a millisecond late: too much for the emulator")
            problems += [f"link {link}, {direction}: {fault}" for fault in faults]
    return problems
