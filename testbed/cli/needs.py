"""What MPTCP needs of a network before a run: of each host, and of the ways between client and server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from testbed.errors import LabError
from testbed.lab import Lab
from testbed.spec import Topology
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

    lengths = {
        str(place.address.ip): (_mtu(lab, end.interface), place.address.version)
        for end in topology.interfaces(CLIENT)
        for place in end.places
    }
    reached: dict[str, list[str]] = {source: [] for source in ends[CLIENT]}
    for source, destination in product(ends[CLIENT], ends[SERVER]):
        if (":" in source) == (":" in destination) and _answers(lab, source, destination, 0):
            reached[source].append(destination)
    for source, destinations in reached.items():
        where = f"{CLIENT} - {SERVER}"
        if not destinations:
            remedy = "look at the links between them, at routes back, and at rp_filter"
            yield Checked(where, Line(False, f"{source} reaches no address of the {SERVER}", remedy))
            continue
        yield Checked(where, Line(True, f"{source} reaches {', '.join(destinations)}"))
        mtu, version = lengths[source]
        if not _answers(lab, source, destinations[0], mtu - _HEADER_BYTES[version]):
            found = f"packets of {mtu} bytes from {source} to {destinations[0]} do not arrive"
            yield Checked(where, Line(False, found, "a link on the way has a smaller MTU: ip link set DEV mtu"))


def _mtu(lab: Lab, interface: str) -> int:
    (link,) = json.loads(lab.hosts[CLIENT].run(["ip", "-json", "link", "show", "dev", interface]).stdout)
    return int(link["mtu"])


def _answers(lab: Lab, source: str, destination: str, payload_bytes: int) -> bool:
    """Return whether a ping of that length, which nobody may cut, is answered."""
    words = ["ping", "-n", "-q", "-c", "1", "-W", str(_WAIT_S), "-M", "do", "-s", str(payload_bytes), "-I", source]
    return lab.hosts[CLIENT].run([*words, destination], check=False).returncode == 0
