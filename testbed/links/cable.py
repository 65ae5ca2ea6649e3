"""One link of a running lab: set up as the topology says, read back for the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from testbed.errors import LabError
from testbed.host.commands import run
from testbed.host.hosts import Host
from testbed.links import wire_ends
from testbed.links.emulator.control import direction_names
from testbed.links.offloads import let_receiver_merge, read_offloads, set_offloads
from testbed.links.shaping import counters as shaper_counters
from testbed.links.shaping import read_back, redirect, shape
from testbed.spec import Link

_USUAL_MTU = 1500


def set_up(link: Link, hosts: Mapping[str, Host]) -> None:
    """Set a link's hosts' offloads and shape what the kernel shapes; LabError that names it when refused."""
    try:
        if link.mtu != _USUAL_MTU:
            _set_mtu(link, hosts)
        for end in link.ends:
            set_offloads(hosts[end.host], end.interface, link.wire)
            if link.wire == "mtu" and link.kind != "emulator":
                hosts[end.host].merging.add(end.interface)
        if link.kind == "tc":
            first, second = wire_ends(link)
            redirect(first, second)
            redirect(second, first)
            for wire_end, direction in zip((first, second), reversed(link.directions), strict=True):
                let_receiver_merge(wire_end)
                shape(wire_end, direction, link.frame_bytes)
    except LabError as error:
        raise type(error)(f"link {link.name}: {error.message}", error.exit_code) from None


def _set_mtu(link: Link, hosts: Mapping[str, Host]) -> None:
    for end in link.ends:
        hosts[end.host].run(f"ip link set {end.interface} mtu {link.mtu}".split())
    for wire_end in wire_ends(link) if link.kind != "direct" else ():
        run(f"ip link set {wire_end} mtu {link.mtu}".split())


def counters(link: Link) -> dict[str, dict[str, int]]:
    """Frames and bytes delivered and dropped so far by a link of the kernel's, by direction."""
    names = zip(direction_names(link), reversed(wire_ends(link)), strict=True)
    return {name: shaper_counters(wire_end) for name, wire_end in names}


def describe(link: Link, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """What the system says the link is, for a run's manifest."""
    shaping = {}
    if link.kind == "tc":
        for wire_end, end in zip(wire_ends(link), link.ends, strict=True):
            got = read_back(wire_end)
            shaping[f"to {end.host}"] = got and {"qdisc": "tbf", **asdict(got)}
    return {
        "name": link.name,
        "kind": link.kind,
        "mtu": link.mtu,
        "shaping": shaping,
        "offloads": {end.interface: read_offloads(hosts[end.host], end.interface) for end in link.ends},
    }
