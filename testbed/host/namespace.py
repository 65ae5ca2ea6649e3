"""The private namespace of a run: its own network, mounts and processes, gone without a trace when it ends.

`enter()` splits the command in four processes:

    outer     the one the user started: forwards signals, waits, returns the exit code
    guardian  stays outside as well; restores machine-wide settings once everything else is gone
    init      reaps orphans inside; dies with outer, and then the kernel kills all of the inside
    command   returns from `enter()` and does the work

Whatever of them is killed, even with SIGKILL, the rest follows: interfaces, processes and mounts end with
their namespaces, and the guardian sees its connection close.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from testbed.errors import LabError
from testbed.host.sysctls import Machine, guard, process_identity, scratch_directory

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x0002_0000, 0x2000_0000, 0x4000_0000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x4_0000
_PLAIN = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_PR_SET_PDEATHSIG = 1
_SI_KERNEL = 0x80  # siginfo's code of a signal from the terminal (Ctrl-C), which reaches the whole group
_FORWARDED = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
_HANDLED = {*_FORWARDED, signal.SIGCHLD}

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class PrivateNamespace:
    """The inside of a run. `scratch` is a directory in memory that vanishes with it; `machine` is outside."""

    machine: Machine
    scratch: Path


_current: PrivateNamespace | None = None


def current() -> PrivateNamespace:
    """The namespace this process is in; RuntimeError before `enter()`."""
    if _current is None:
        raise RuntimeError("testbed.host.namespace.enter() has not been called")
    return _current


def enter() -> PrivateNamespace:
    """Go on in a private namespace: the code after this call runs inside it, in a child process.

    Call it early, in the main thread of a command that has started no other threads. The outer process
    never returns from here: it exits with the inner one's code (128 + n when signal n killed it). Inside,
    SIGTERM and SIGHUP raise SystemExit, SIGINT KeyboardInterrupt. A second call returns the same namespace.
    LabError without root.
    """
    global _current
    if _current is None:
        _require_root()
        _current = _split()
    return _current


def use_own_network() -> None:
    """Give this process a network of its own in the namespace: it can have labs beside those of other processes.

    For a child process with one thread. OSError when refused.
    """
    current()
    _unshare_network()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("a lab needs root: run with sudo")
    if threading.active_count() > 1:
        raise RuntimeError("enter() forks: call it before starting threads")


def _split() -> PrivateNamespace:
    sys.stdout.flush()
    sys.stderr.flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    identity = process_identity(os.getpid())
    scratch = scratch_directory(identity)
    scratch.mkdir(parents=True)
    connection, guardian_pid = _start_guardian(identity)
    alive, ours = os.pipe()  # `alive` reads end of file when the outer process is gone
    on_terminal = os.isatty(0)
    _check(_libc.unshare(_CLONE_NEWPID), "unshare")
    init = os.fork()
    if init:
        connection.close()
        _leave(_supervise(init, shares_terminal=on_terminal), guardian_pid)
    os.close(ours)
    _be_private(alive, scratch)
    command = os.fork()
    if command:
        # Out of the terminal's group: signals come from the outer process alone, hence once.
        os.setpgid(0, 0)
        _leave(_supervise(command, shares_terminal=False))
    if not on_terminal:
        os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_by_signal)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return PrivateNamespace(Machine(connection), scratch)


def _exit_by_signal(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _start_guardian(identity: str) -> tuple[socket.socket, int]:
    """Fork the guardian; returns the run's end of the connection to it and its process number."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return ours, pid
    os.setsid()
    os.chdir("/")
    keep = theirs.fileno()
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    try:
        guard(theirs, identity)
    finally:
        os._exit(0)


def _leave(code: int, guardian: int | None = None) -> NoReturn:
    """End without running the command's own exit handlers; the guardian finishes first."""
    if guardian is not None:
        with suppress(ChildProcessError):
            os.waitpid(guardian, 0)
    os._exit(code)


def _supervise(child: int, *, shares_terminal: bool) -> int:
    """Forward signals to `child` and reap whatever ends, until `child` does; its exit code."""
    while True:
        info = signal.sigwaitinfo(_HANDLED)
        if info.si_signo != signal.SIGCHLD:
            if not (shares_terminal and info.si_code == _SI_KERNEL):
                os.kill(child, info.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if pid == 0:
                break


def _be_private(alive: int, scratch: Path) -> None:
    """Become the first process of a private network and mount namespace; exits with one line when refused."""
    try:
        _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)  # the outer process died before it could take this one with it
        os.close(alive)
        _unshare_network()
        _mount("proc", "/proc", "proc", _PLAIN)
        _mount("tmpfs", str(scratch), "tmpfs", _MS_NOSUID | _MS_NODEV)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"cannot make a private namespace: {error}", file=sys.stderr, flush=True)
        os._exit(2)


def _unshare_network() -> None:
    _check(_libc.unshare(_CLONE_NEWNET | _CLONE_NEWNS), "unshare")
    cgroups = os.open("/sys/fs/cgroup", os.O_PATH) if os.path.isdir("/sys/fs/cgroup") else None
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # A fresh sysfs shows the interfaces of this network namespace; the cgroup tree under the old one is kept.
    _mount("sysfs", "/sys", "sysfs", _PLAIN)
    if cgroups is not None:
        _mount(f"/proc/self/fd/{cgroups}", "/sys/fs/cgroup", None, _MS_BIND | _MS_REC)
        os.close(cgroups)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    arguments = (source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None)
    _check(_libc.mount(*arguments), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def main() -> NoReturn:
    """`python -m testbed.host.namespace COMMAND ...`: run a command in a private namespace of its own."""
    if len(sys.argv) < 2:
        sys.exit("usage: python -m testbed.host.namespace COMMAND [ARGUMENT ...]")
    try:
        enter()
        os.execvp(sys.argv[1], sys.argv[1:])
    except LabError as error:
        print(error.message, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")


if __name__ == "__main__":
    main()
