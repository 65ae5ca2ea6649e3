"""One link of a running lab: set up as the topology says, read back for the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from testbed.errors import LabError
from testbed.hosts import Host
from testbed.links import wire_ends
from testbed.links.offloads import read_offloads, set_offloads
from testbed.links.shaping import read_back, redirect, shape
from testbed.spec import Link


def set_up(link: Link, hosts: Mapping[str, Host]) -> None:
    """Shape a link in both directions and set its hosts' offloads; LabError that names it when refused."""
    try:
        for end in link.ends:
            set_offloads(hosts[end.host], end.interface, link.wire)
        if link.rate_bps and link.queue_bytes:
            first, second = wire_ends(link)
            redirect(first, second)
            redirect(second, first)
            shape(first, link.rate_bps, link.queue_bytes)
            shape(second, link.rate_bps, link.queue_bytes)
    except LabError as error:
        raise type(error)(f"link {link.name}: {error.message}", error.exit_code) from None


def describe(link: Link, hosts: Mapping[str, Host]) -> dict[str, Any]:
    """What the system says the link is, for a run's manifest."""
    shaping = {}
    if link.rate_bps:
        for wire_end, end in zip(wire_ends(link), link.ends, strict=True):
            got = read_back(wire_end)
            shaping[f"to {end.host}"] = got and {"qdisc": "tbf", **asdict(got)}
    return {
        "name": link.name,
        "kind": "wire" if link.rate_bps else "veth",
        "shaping": shaping,
        "offloads": {end.interface: read_offloads(hosts[end.host], end.interface) for end in link.ends},
    }
