"""A host of the lab: run programs in it, read and change its settings."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from testbed.commands import finish
from testbed.errors import LabError, Unsupported
from testbed.spec import End
from testbed.sysctls import normalise, sysctl_path

_TERMINATE_S = 2.0
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

    Addresses are in the order of the topology's links. `stack_addresses` say where the Python stack's addresses
    live, as `mptcp_stack.runtime` reads them: "10.0.1.101/24@client-eth1,via=10.0.1.254".
    """

    def __init__(self, node: Node, ends: Iterable[End]) -> None:
        self._node = node
        self._started: list[subprocess.Popen[Any]] = []
        self.name = node.name
        self.ends = list(ends)
        self.interfaces = [end.interface for end in self.ends]
        self.addresses = [str(end.address.ip) for end in self.ends]
        self.stack_ips = [str(end.stack_address.ip) for end in self.ends if end.stack_address]
        self.stack_addresses = [_stack_address(end) for end in self.ends if end.stack_address]

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    @property
    def pid(self) -> int:
        """A process that lives in the host's namespaces as long as the lab runs."""
        return self._node.pid

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in the host; options as for subprocess.Popen, standard input empty unless given.

        It gets its own session, out of reach of the terminal's Ctrl-C; it is ended when the lab stops.
        """
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
        result = self.run(["cat", sysctl_path(name)], check=False)
        return normalise(result.stdout) if result.returncode == 0 else None

    def set_sysctl(self, name: str, value: str) -> None:
        """Change a kernel setting in this host and read it back; LabError when refused or ignored."""
        result = self.run(["tee", sysctl_path(name)], input=value, check=False)
        if result.returncode != 0:
            reason = result.stderr.strip().rpartition(": ")[2]
            raise LabError(f"{self.name}: {name}: cannot set '{value}': {reason}", 1)
        got = self.sysctl(name)
        if got != normalise(value):
            raise LabError(f"{self.name}: {name}: set to '{value}' but reads '{got}'", 1)

    def configure_addresses(self) -> None:
        """Give the interfaces their addresses, and each gateway the routes through it; may be repeated."""
        commands = []
        for number, end in enumerate(self.ends):
            device = f"dev {end.interface}"
            commands += [f"address replace {end.address} {device}", f"link set {end.interface} up"]
            if end.gateway:
                table = f"table {FIRST_TABLE + number}"
                commands += [
                    f"route replace {end.address.network} {device} src {end.address.ip} {table}",
                    f"route replace default via {end.gateway} {device} {table}",
                ]
        gateway = next((end.gateway for end in self.ends if end.gateway), None)
        if gateway:
            commands.append(f"route replace default via {gateway}")
        self._ip_batch(commands)

    def configure_source_rules(self) -> None:
        """What comes from an interface's address leaves by that interface's gateway, wherever it goes."""
        routed = [(number, end) for number, end in enumerate(self.ends) if end.gateway]
        self._ip_batch([f"rule add from {end.address.ip} lookup {FIRST_TABLE + number}" for number, end in routed])

    def _ip_batch(self, commands: list[str]) -> None:
        self.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n")

    def byte_counts(self) -> dict[str, tuple[int, int]]:
        """Received and sent bytes by interface, as on the wire with Ethernet headers."""
        with open(f"/proc/{self.pid}/net/dev") as table:
            rows = [line.split(":") for line in table.readlines()[2:]]
        fields = {name.strip(): values.split() for name, values in rows}
        return {name: (int(values[0]), int(values[8])) for name, values in fields.items()}

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
        namespace = _network_namespace(self.pid)
        pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
        return [pid for pid in pids if pid != self.pid and namespace and _network_namespace(pid) == namespace]


def _stack_address(end: End) -> str:
    via = f",via={end.gateway}" if end.gateway else ""
    return f"{end.stack_address}@{end.interface}{via}"


def _network_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it has ended, or is a zombie
        return ""


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
