"""A host of the lab: run programs in it, read and change its settings."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from testbed.errors import LabError, Unsupported
from testbed.spec import End
from testbed.sysctls import normalise, sysctl_path

_TERMINATE_S = 2.0


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
        what = f"{self.name}: {' '.join(argv)}"
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise LabError(f"{what}: did not end within {timeout:g} s", 1) from None
        if check and process.returncode != 0:
            lines = (err.strip() or out.strip() or f"exit code {process.returncode}").splitlines()
            raise LabError(f"{what}: {'; '.join(line.strip() for line in lines[:3])}", 1)
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def read(self, name: str) -> str:
        """A kernel setting as it is in this host; Unsupported when there is none of that name."""
        result = self.run(["cat", sysctl_path(name)], check=False)
        if result.returncode != 0:
            raise Unsupported(f"{self.name}: {name}: this kernel has no such setting")
        return normalise(result.stdout)

    def set(self, name: str, value: str) -> None:
        """Change a kernel setting in this host and read it back; LabError when refused or ignored."""
        result = self.run(["tee", sysctl_path(name)], input=value, check=False)
        if result.returncode != 0:
            reason = result.stderr.strip().rpartition(": ")[2]
            raise LabError(f"{self.name}: {name}: cannot set '{value}': {reason}", 1)
        got = self.read(name)
        if got != normalise(value):
            raise LabError(f"{self.name}: {name}: set to '{value}' but reads '{got}'", 1)

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
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
