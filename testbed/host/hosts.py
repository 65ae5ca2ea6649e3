"""A host of the lab: run programs in it, read and change its settings."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Protocol

from testbed.errors import LabError, Unsupported
from testbed.host.commands import finish
from testbed.host.netns import network_namespace_of
from testbed.host.sysctls import normalise, sysctl_path
from testbed.spec import End, Place
from testbed.spec.impairments import FRAME_OVERHEAD_BYTES
from testbed.spec.routing import Route

_TERMINATE_S = 2.0
"""Chosen: after so long what is left of a program's session is killed."""
# Routing tables of the interfaces with a gateway: this base plus the interface's number, from 0. The Python
# stack's tables (mptcp_stack.runtime) have numbers of their own.
FIRST_TABLE = 100


class Node(Protocol):
    """What a backend provides for every host."""

    name: str
    pid: int

    def popen(self, argv: list[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in the host, in a session of its own."""


class Host:
    """One machine of the lab, with its own network namespace; `pid` is a process in it.

    Addresses are in the order of the topology's links; `addresses6` and `stack_ips6` are those of IPv6.
    `stack_addresses` say where the Python stack's addresses live, those of IPv6 behind all others, as
    `mptcp_stack.runtime` reads them: "10.0.1.101/24@client-eth1,via=10.0.1.254".
    """

    def __init__(self, node: Node, ends: Iterable[End]) -> None:
        self._node = node
        self._started: list[subprocess.Popen[Any]] = []
        self.name = node.name
        self.ends = list(ends)
        self.interfaces = [end.interface for end in self.ends]
        self.merging: set[str] = set()
        """Interfaces that merge what they receive, and count it without Ethernet's headers."""
        places = [(end.interface, place) for end in self.ends for place in end.places]
        places.sort(key=lambda one: one[1].address.version)
        own = [place.address.ip for _, place in places]
        stack = [place.stack_address.ip for _, place in places if place.stack_address]
        self.addresses, self.addresses6 = (_texts(own, version) for version in (4, 6))
        self.stack_ips, self.stack_ips6 = (_texts(stack, version) for version in (4, 6))
        self.stack_addresses = [_stack_address(interface, place) for interface, place in places if place.stack_address]

    def __repr__(self) -> str:
        if "stack_addresses" not in vars(self):
            return "<Host not made>"
        parts = [*self.addresses[:1], f"{len(self.interfaces)} interfaces", f"pid {self._node.pid}"]
        return f"<Host {self.name} {', '.join(parts)}>"

    @property
    def pid(self) -> int:
        """A process that lives in the host's namespaces as long as the lab runs. LabError when it does not."""
        if not _network_namespace(self._node.pid):
            raise LabError(f"{self.name}: this host of the lab is gone: its shell was killed", 1)
        return self._node.pid

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in the host; options as for subprocess.Popen, standard input empty unless given.

        It gets its own session, out of reach of the terminal's Ctrl-C; it is ended when the lab stops.
        """
        _ = self.pid  # it is there
        defaults: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": None, "stderr": None}
        process = self._node.popen(list(argv), **(defaults | options))
        self._started = [one for one in self._started if one.poll() is None]
        self._started.append(process)
        return process

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout: float = 30.0, input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host to its end, with its output as text.

        LabError when it takes longer than `timeout` seconds or, with `check`, when it fails.
        """
        pipe = subprocess.PIPE
        process = self.popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        return finish(process, argv, where=f"{self.name}: ", check=check, timeout=timeout, input=input)

    def sysctl(self, name: str) -> str:
        """A kernel setting as it is in this host; Unsupported when there is none of that name."""
        value = self.find_sysctl(name)
        if value is None:
            raise Unsupported(f"{self.name}: {name}: this kernel has no such setting")
        return value

    def find_sysctl(self, name: str) -> str | None:
        """As `sysctl`, but None when there is none of that name."""
        try:
            with network_namespace_of(self.pid):
                return normalise(Path(sysctl_path(name)).read_text())
        except OSError:
            return None

    def set_sysctl(self, name: str, value: str) -> None:
        """Change a kernel setting in this host and read it back; LabError when refused or ignored."""
        try:
            with network_namespace_of(self.pid), open(sysctl_path(name), "r+") as setting:
                setting.write(value)
        except OSError as error:
            raise LabError(f"{self.name}: {name}: cannot set '{value}': {error.strerror}", 1) from None
        got = self.sysctl(name)
        if got != normalise(value):
            raise LabError(f"{self.name}: {name}: set to '{value}' but reads '{got}'", 1)

    def configure_addresses(self) -> None:
        """Give the interfaces their addresses, and each gateway the routes through it; may be repeated."""
        self._ip_batch(4, [f"link set {interface} up" for interface in self.interfaces])
        for version, numbered in self._places():
            commands = []
            for table, interface, place in numbered:
                device = f"dev {interface}"
                # A topology gives an address once: looking for others who have it would only take time.
                commands.append(f"address replace {place.address} {device}" + (" nodad" if version == 6 else ""))
                if place.gateway:
                    commands += [
                        f"route replace {place.address.network} {device} src {place.address.ip} table {table}",
                        f"route replace default via {place.gateway} {device} table {table}",
                    ]
            gateway = next((place.gateway for _, _, place in numbered if place.gateway), None)
            if gateway:
                commands.append(f"route replace default via {gateway}")
            self._ip_batch(version, commands)

    def configure_source_rules(self) -> None:
        """What comes from an interface's address leaves by that interface's gateway, wherever it goes."""
        for version, numbered in self._places():
            routed = [(table, place) for table, _, place in numbered if place.gateway]
            self._ip_batch(version, [f"rule add from {place.address.ip} lookup {table}" for table, place in routed])

    def configure_routes(self, routes: Sequence[Route]) -> None:
        """The ways to subnets that the host is not on itself, in its main table."""
        for version in (4, 6):
            of_version = [route for route in routes if route.subnet.version == version]
            self._ip_batch(version, [f"route replace {route}" for route in of_version])

    def _places(self) -> Iterator[tuple[int, list[tuple[int, str, Place]]]]:
        """By IP version: routing table, interface and addresses of each interface that has any."""
        for version in (4, 6):
            yield (
                version,
                [
                    (FIRST_TABLE + number, end.interface, place)
                    for number, end in enumerate(self.ends)
                    for place in end.places
                    if place.address.version == version
                ],
            )

    def _ip_batch(self, version: int, commands: list[str]) -> None:
        if commands:
            self.run(["ip", f"-{version}", "-batch", "-"], input="\n".join(commands) + "\n")

    def byte_counts(self) -> dict[str, tuple[int, int]]:
        """Received and sent bytes by interface, as on the wire with Ethernet headers."""
        with open(f"/proc/{self.pid}/net/dev") as table:
            rows = [line.split(":") for line in table.readlines()[2:]]
        fields = {name.strip(): values.split() for name, values in rows}
        return {name: (self._on_wire(name, values), int(values[8])) for name, values in fields.items()}

    def _on_wire(self, interface: str, values: Sequence[str]) -> int:
        """What an interface has received, from its row of /proc/net/dev."""
        received, packets = int(values[0]), int(values[1])
        return received + FRAME_OVERHEAD_BYTES * packets if interface in self.merging else received

    def terminate(self) -> None:
        """End every program that runs in the host: politely, then by force after two seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _TERMINATE_S
            for pid in self._processes():
                _signal(pid, number)
            while self._processes() and time.monotonic() < deadline:
                time.sleep(0.01)

    def _processes(self) -> list[int]:
        """Live processes in the host's network namespace, however they were started."""
        for process in self._started:
            process.poll()
        shell = self._node.pid
        namespace = _network_namespace(shell)
        pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
        return [pid for pid in pids if pid != shell and namespace and _network_namespace(pid) == namespace]


def _stack_address(interface: str, place: Place) -> str:
    via = f",via={place.gateway}" if place.gateway else ""
    return f"{place.stack_address}@{interface}{via}"


def _texts(addresses: Iterable[IPv4Address | IPv6Address], version: int) -> list[str]:
    return [str(address) for address in addresses if address.version == version]


def _network_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it has ended, or is a zombie
        return ""


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
