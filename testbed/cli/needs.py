"""What MPTCP needs of a network before a run: of each host, and of the ways between client and server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import product
from typing import TYPE_CHECKING, Final

from testbed.errors import LabError
from testbed.lab import Lab
from testbed.spec import End, Topology
from testbed.stacks.base import CLIENT, SERVER

if TYPE_CHECKING:
    from analysis.why.host import Line

_WAIT_S: Final = 3
"""Longer than the round trip of any path that a topology has, queues apart."""
_SHOWN: Final = 10
_HEADER_BYTES: Final = {4: 28, 6: 48}
"""Of IP and ICMP, by version of IP."""


@dataclass(frozen=True)
class Checked:
    """A line about a host, or about the way between two (`where`)."""

    where: str
    line: Line


def require_ends(topology: Topology) -> None:
    """Raise LabError where there is no client or no server."""
    names = [host.name for host in topology.hosts]
    for name in (CLIENT, SERVER):
        if name not in names:
            raise LabError(f"check: {topology.name} has no host '{name}'; it has {', '.join(names[:_SHOWN])}")


def check(lab: Lab, topology: Topology) -> Iterator[Checked]:
    """Return what client and server have and lack, and whether each address pair that has a way reaches the other end.

    Takes a lab whose kernels are ready for MPTCP.
    """
    ends = {name: _addresses(topology, name) for name in (CLIENT, SERVER)}
    for name, peer in ((CLIENT, SERVER), (SERVER, CLIENT)):
        yield from (Checked(name, line) for line in _look(lab, name, ends[peer]))
    yield from _pairs(lab, topology, ends)


def _addresses(topology: Topology, host: str) -> list[str]:
    return [str(place.address.ip) for end in topology.interfaces(host) for place in end.places]


def _look(lab: Lab, host: str, peers: Sequence[str]) -> list[Line]:
    """Have a host look at itself."""
    from analysis.why.host import Line

    to = [word for peer in peers for word in ("--to", peer)]
    said = lab.hosts[host].run([sys.executable, "-P", "-m", "testbed", "why", "--here", "--json", *to]).stdout
    return [Line(**line) for line in json.loads(said)]


def _pairs(lab: Lab, topology: Topology, ends: dict[str, list[str]]) -> Iterator[Checked]:
    """Return whether the client's addresses reach one of the server's each, with packets as long as the link takes."""
    from analysis.why.host import Line

    pairs = [pair for pair in product(ends[CLIENT], ends[SERVER]) if len({ip_address(ip).version for ip in pair}) == 1]
    answered = dict(zip(pairs, _answered(lab, [(*pair, 0) for pair in pairs]), strict=True))
    where, reached = f"{CLIENT} - {SERVER}", {}
    for source in ends[CLIENT]:
        destinations = [destination for (one, destination), came in answered.items() if one == source and came]
        if destinations:
            reached[source] = destinations[0]
            yield Checked(where, Line(True, f"{source} reaches {', '.join(destinations)}"))
        else:
            remedy = "look at the links between them, at routes back, and at rp_filter"
            yield Checked(where, Line(False, f"{source} reaches no address of the {SERVER}", remedy))
    mtus = {str(place.address.ip): _mtu(lab, end) for end in topology.interfaces(CLIENT) for place in end.places}
    whole = [(source, to, mtus[source] - _HEADER_BYTES[ip_address(source).version]) for source, to in reached.items()]
    for (source, destination, _), came in zip(whole, _answered(lab, whole), strict=True):
        if not came:
            found = f"packets of {mtus[source]} bytes from {source} to {destination} do not arrive"
            yield Checked(where, Line(False, found, "a link on the way has a smaller MTU: ip link set DEV mtu"))


def _mtu(lab: Lab, end: End) -> int:
    (link,) = json.loads(lab.hosts[CLIENT].run(["ip", "-json", "link", "show", "dev", end.interface]).stdout)
    return int(link["mtu"])


def _answered(lab: Lab, pings: Sequence[tuple[str, str, int]]) -> list[bool]:
    """Return whether pings were answered: from, to, and the payload of each, in packets that nobody may cut.

    All at once, for one without an answer waits for its time.
    """
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    words = ["ping", "-n", "-q", "-c", "1", "-W", str(_WAIT_S), "-M", "do"]
    started = [
        lab.hosts[CLIENT].popen([*words, "-s", str(payload_bytes), "-I", source, destination], **quiet)
        for source, destination, payload_bytes in pings
    ]
    return [process.wait() == 0 for process in started]
