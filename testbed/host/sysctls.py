"""Kernel settings: read, set with reading back, restored.

Some settings exist for the whole machine only (`tcp_allowed_congestion_control`, `rps_sock_flow_entries`). A
run may need them changed, may be killed at any moment, and may not be the only run. So a `Ledger` in /run notes
the original value and the runs that hold it; the last one out restores it, and what a dead run left is repaired
by the next. The ledger is kept by a guardian process that lives outside the run's namespaces (see
`testbed.host.namespace`); the run talks to it through `Machine`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from testbed.errors import LabError, Unsupported

RUN_DIRECTORY = Path("/run/mptcp-lab")

Action = Callable[..., str | None]


class HasSysctls(Protocol):
    """Something whose settings can be read and set: the machine, or one host."""

    def sysctl(self, name: str) -> str:
        """The value, fields separated by one blank."""

    def set_sysctl(self, name: str, value: str) -> None:
        """Set and read back; LabError when it does not hold."""


@contextmanager
def temporarily(target: HasSysctls, values: Mapping[str, str]) -> Iterator[None]:
    """Set `values` for the length of a block, then put the old ones back."""
    old = {name: target.sysctl(name) for name in values}
    try:
        for name, value in values.items():
            target.set_sysctl(name, value)
        yield
    finally:
        for name, value in old.items():
            target.set_sysctl(name, value)


def sysctl_path(name: str) -> str:
    """net.ipv4.ip_forward -> /proc/sys/net/ipv4/ip_forward."""
    return "/proc/sys/" + name.replace(".", "/")


def normalise(value: str) -> str:
    """The kernel separates fields by tabs, people by blanks."""
    return " ".join(value.split())


class LocalSysctls:
    """The settings of the namespaces this process is in."""

    def sysctl(self, name: str) -> str:
        """The value; Unsupported when this kernel (or namespace) has no such setting."""
        try:
            return normalise(Path(sysctl_path(name)).read_text())
        except FileNotFoundError:
            raise Unsupported(f"{name}: this kernel (or network namespace) has no such setting") from None

    def set_sysctl(self, name: str, value: str) -> None:
        """Set and read back; LabError when refused or ignored."""
        self.sysctl(name)
        try:
            Path(sysctl_path(name)).write_text(value)
        except OSError as error:
            raise LabError(f"{name}: cannot set '{value}': {error.strerror}") from None
        got = self.sysctl(name)
        # Lists (of congestion controls) come back in the kernel's own order.
        if sorted(got.split()) != sorted(value.split()):
            raise LabError(f"{name}: set to '{value}' but reads '{got}'")


class Ledger:
    """Which machine-wide settings are changed, their original values, and by which live runs.

    `holder` names the calling run; a holder is alive while its process is.
    """

    def __init__(self, holder: str, path: Path = RUN_DIRECTORY / "sysctls.json") -> None:
        self._holder = holder
        self._path = path
        self._sysctls = LocalSysctls()

    def set(self, name: str, value: str) -> None:
        """Set machine-wide, noting the original first."""
        self._change(name, lambda _: value)

    def include(self, name: str, word: str) -> None:
        """Make a list-valued setting contain `word`; two runs may add different words."""
        self._change(name, lambda old: " ".join(dict.fromkeys([*old.split(), word])))

    def raise_to(self, name: str, value: str) -> None:
        """Make a number at least `value`; of several runs the one that needs most has its way."""
        self._change(name, lambda old: str(max(int(old), int(value))))

    def release(self, only: str | None = None) -> None:
        """Let go of `only`, or of everything this run holds; also repairs what dead runs left."""
        with self._open() as entries:
            for name, entry in entries.items():
                mine = only in (None, name)
                entry["holders"] = [h for h in entry["holders"] if is_alive(h) and not (mine and h == self._holder)]
            for name in [name for name, entry in entries.items() if not entry["holders"]]:
                self._sysctls.set_sysctl(name, entries.pop(name)["original"])
            self._save(entries)

    def _change(self, name: str, new_value: Callable[[str], str]) -> None:
        with self._open() as entries:
            old = self._sysctls.sysctl(name)
            new = new_value(old)
            if new == old and name not in entries:
                return
            entry = entries.setdefault(name, {"original": old, "holders": []})
            entry["holders"] = sorted({*entry["holders"], self._holder})
            self._save(entries)
            self._sysctls.set_sysctl(name, new)

    @contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        self._path.parent.mkdir(exist_ok=True)
        lock = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield json.loads(self._path.read_text()) if self._path.exists() else {}
        finally:
            os.close(lock)

    def _save(self, entries: dict[str, Any]) -> None:
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(entries))
        temporary.replace(self._path)


def process_identity(pid: int) -> str:
    """`number-start time-namespace`: names a process for good, though process numbers are used again."""
    # Field 22; the command name (field 2) may hold blanks, so count from its closing parenthesis.
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{pid}-{started}-{os.stat('/proc/self/ns/pid').st_ino}"


def is_alive(identity: str) -> bool:
    """Whether the process of a `process_identity` still runs; in doubt (another process namespace) it does."""
    pid, _, namespace = identity.split("-")
    if namespace != str(os.stat("/proc/self/ns/pid").st_ino):
        return True
    try:
        return identity == process_identity(int(pid))
    except OSError:
        return False


def scratch_directory(identity: str) -> Path:
    """Where a run mounts its scratch space."""
    return RUN_DIRECTORY / identity


def _remove_scratch(of: str) -> None:
    """Remove a run's mount point and those of dead runs."""
    for path in RUN_DIRECTORY.glob("*-*-*"):
        if path.name == of or not is_alive(path.name):
            with suppress(OSError):
                path.rmdir()


def guard(connection: socket.socket, identity: str) -> None:
    """The guardian: serves one run's requests until every process of the run is gone, then restores."""
    ledger = Ledger(identity)
    ledger.release()
    actions: dict[str, Action] = {
        "read": LocalSysctls().sysctl,
        "set": ledger.set,
        "include": ledger.include,
        "raise_to": ledger.raise_to,
        "release": ledger.release,
    }
    try:
        while request := connection.recv(4096):
            connection.send(json.dumps(_answer(actions, *json.loads(request))).encode())
    finally:
        ledger.release()
        _remove_scratch(identity)


def _answer(actions: dict[str, Action], action: str, *arguments: str) -> dict[str, str | None]:
    try:
        return {"value": actions[action](*arguments)}
    except LabError as error:
        return {"error": error.message, "kind": type(error).__name__}


class Machine:
    """The machine-wide settings, from inside a private namespace; all are restored when the run ends."""

    def __init__(self, guardian: socket.socket) -> None:
        self._guardian = guardian

    def sysctl(self, name: str) -> str:
        """The machine's value; LabError when it has no such setting."""
        return str(self._ask("read", name))

    def set_sysctl(self, name: str, value: str) -> None:
        """Set until the end of the run; LabError when refused."""
        self._ask("set", name, value)

    def include(self, name: str, word: str) -> None:
        """Add `word` to a list-valued setting until the end of the run; LabError when refused."""
        self._ask("include", name, word)

    def raise_to(self, name: str, value: int) -> None:
        """Make a number at least `value` until `release` or the end of the run; LabError when refused."""
        self._ask("raise_to", name, str(value))

    def release(self, name: str) -> None:
        """Let go of a setting before the end of the run: it goes back unless another run holds it."""
        self._ask("release", name)

    def _ask(self, *request: str) -> object:
        self._guardian.send(json.dumps(request).encode())
        answer = self._guardian.recv(4096)
        if not answer:
            raise LabError("the guardian of machine-wide settings is gone: they cannot be changed safely", 1)
        reply = json.loads(answer)
        if "error" in reply:
            raise (Unsupported if reply["kind"] == Unsupported.__name__ else LabError)(reply["error"])
        return reply["value"]
