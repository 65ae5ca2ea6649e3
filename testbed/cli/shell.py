"""A lab by hand: `./lab shell TOPOLOGY`, Mininet's prompt on it, and `./lab exec`, commands in its hosts.

Hosts are ready for the kernel's MPTCP as the stack `kernel-mptcp` makes them, know each other by name, their `python`
is the lab's, and `why` says what they have and lack for MPTCP.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from testbed.errors import LabError, Unsupported
from testbed.host import namespace
from testbed.host.commands import run
from testbed.input.validation import unknown
from testbed.lab import Lab
from testbed.spec import End, Topology
from testbed.stacks import create
from testbed.stacks.base import CLIENT, SERVER

_HOSTS_FILE = Path("/etc/hosts")
_SHOWN_HOSTS = 20
"""In the greeting: more would push what it says out of a terminal."""
SEPARATOR = "--"
_NO_SUCH_PROGRAM = 127
"""As shells have it."""


def open_shell(topology: Topology, plain: bool = False) -> None:
    """Start a lab and give its user Mininet's prompt until they leave it. After `namespace.enter()`."""
    with ready(topology, plain) as (lab, mptcp):
        print(greeting(topology, mptcp), flush=True)
        lab.prompt()


@contextmanager
def ready(topology: Topology, plain: bool = False) -> Iterator[tuple[Lab, str]]:
    """A running lab for people, and a line about its kernels' MPTCP."""
    _give_python()
    _give_names(topology)
    _give_why(topology)
    with Lab(topology) as lab:
        yield lab, "left as it is (--plain)" if plain else _prepare(lab)


def _prepare(lab: Lab) -> str:
    if not {CLIENT, SERVER} <= lab.hosts.keys():
        return f"left as it is: no hosts called {CLIENT} and {SERVER}"
    stack = create("kernel-mptcp")
    try:
        stack.prepare(lab)
    except Unsupported as error:
        return f"not ready: {error.message}"
    return f"ready, a subflow on every path; congestion control {stack.congestion}"


def _give_python() -> None:
    """Let `python` in a host be the one that runs here, and the lab's modules be found."""
    own = str(Path(sys.executable).parent)
    project = str(Path(__file__).resolve().parents[2])
    os.environ["PATH"] = os.pathsep.join([own, os.environ.get("PATH", os.defpath)])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([project, *paths]))


def _give_why(topology: Topology) -> None:
    """Let `why` in a host be `./lab why --here`, of client's and server's addresses unless some are given."""
    ends = [end for name in (CLIENT, SERVER) for end in topology.interfaces(name)]
    peers = shlex.join(word for end in ends for place in end.places for word in ("--to", str(place.address.ip)))
    command = shlex.join([sys.executable, "-P", "-m", "testbed", "why", "--here"])
    folder = namespace.current().scratch / "bin"
    folder.mkdir()
    script = folder / "why"
    script.write_text(f'#!/bin/sh\ncase " $*" in *" --to"*) ;; *) set -- {peers} "$@" ;; esac\nexec {command} "$@"\n')
    script.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ["PATH"]])


def _give_names(topology: Topology) -> None:
    """Put the lab's names into /etc/hosts, in its own mount namespace: the machine's file stays as it is."""
    file = namespace.current().scratch / "hosts"
    file.write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n" + "".join(_lines(topology)))
    file.chmod(0o644)
    run(["mount", "--bind", str(file), str(_HOSTS_FILE)])


def _lines(topology: Topology) -> Iterator[str]:
    """A host's name is its first address of each IP version, an interface's that of the interface."""
    for host in topology.hosts:
        named: set[int] = set()
        for end in topology.interfaces(host.name):
            for place in end.places:
                version = place.address.version
                first = "" if version in named else f"{host.name}{{}} "
                yield f"{place.address.ip} {first.format('')}{end.interface}\n"
                if place.stack_address:
                    yield f"{place.stack_address.ip} {first.format('-stack')}{end.interface}-stack\n"
                named.add(version)


def greeting(topology: Topology, mptcp: str) -> str:
    """What a user sees first: hosts with addresses, the state of MPTCP, and what to try."""
    hosts = [f"  {host.name:<10} {_interfaces(topology.interfaces(host.name))}" for host in topology.hosts]
    if len(hosts) > _SHOWN_HOSTS:
        hosts[_SHOWN_HOSTS:] = [f"  and {len(hosts) - _SHOWN_HOSTS} more: 'dump' shows them"]
    links = " ".join(link.name for link in topology.links[:_SHOWN_HOSTS])
    lines = [
        f"{topology.name}: {topology.description}",
        *hosts,
        f"links: {links}{' ...' if len(topology.links) > _SHOWN_HOSTS else ''}",
        f"MPTCP of the kernels: {mptcp}",
        "try:",
        *(f"  {command}" for command in to_try(topology)),
        "'help' lists what else there is, 'exit' or Ctrl-D ends the lab.",
    ]
    return "\n".join(lines)


def to_try(topology: Topology) -> list[str]:
    """Commands for a beginner, to be typed as they are."""
    names = [host.name for host in topology.hosts]
    first, second = (CLIENT, SERVER) if {CLIENT, SERVER} <= set(names) else names[:2]
    return [
        f"{first} ping -c 2 {second}",
        f"{second} mptcpize run iperf3 -s -1 -D",
        f"{first} mptcpize run iperf3 -c {second} -t 2",
        f"{first} why",
        f"link {topology.links[-1].name} down",
    ]


def _interfaces(ends: Sequence[End]) -> str:
    shown = []
    for end in ends:
        own = " ".join(str(place.address.ip) for place in end.places)
        stack = " ".join(str(place.stack_address) for place in end.places if place.stack_address)
        shown.append(f"{end.interface} {own}" + (f" (Python stack {stack})" if stack else ""))
    return ", ".join(shown)


# --- Commands without a prompt ---


class Order(NamedTuple):
    """A program in a host; one in the background runs until the lab ends."""

    host: str
    argv: list[str]
    background: bool


def orders(words: Sequence[str], topology: Topology) -> list[Order]:
    """What `HOST COMMAND -- HOST COMMAND &` asks for. LabError when that is nothing that can be done."""
    hosts = [host.name for host in topology.hosts]
    groups: list[list[str]] = [[]]
    for place, word in enumerate(words):
        if word == SEPARATOR and words[place + 1 : place + 2] and words[place + 1] in hosts:
            groups.append([])
        else:
            groups[-1].append(word)
    found = []
    for group in groups:
        if not group or group[0] not in hosts:
            raise LabError(unknown("host", group[0] if group else "", hosts))
        background = group[-1] == "&"
        argv = group[1:-1] if background else group[1:]
        if not argv:
            raise LabError(f"{group[0]}: which command? ./lab exec TOPOLOGY -- HOST COMMAND ...")
        found.append(Order(group[0], argv, background))
    return found


def execute(topology: Topology, wanted: Sequence[Order], plain: bool) -> int:
    """Run programs in hosts, one after the other; the exit code of the first that fails, or 0.

    After `namespace.enter()`. They have this process's standard input (not a terminal's: that is for the prompt).
    """
    stdin = subprocess.DEVNULL if sys.stdin.isatty() else None
    with ready(topology, plain) as (lab, _):
        for order in wanted:
            if shutil.which(order.argv[0]) is None:
                print(f"lab: exec: {order.host}: {order.argv[0]}: no such program", file=sys.stderr)
                return _NO_SUCH_PROGRAM
            process = lab.hosts[order.host].popen(order.argv, stdin=subprocess.DEVNULL if order.background else stdin)
            code = 0 if order.background else process.wait()
            if code:
                return code if code > 0 else 128 - code
    return 0
