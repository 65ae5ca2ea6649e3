"""The paths of a topology, and the topology with one thing of them changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import networkx as nx

from testbed.spec import Link, Topology
from testbed.stacks.base import CLIENT, SERVER

_NO_LOSS: Final[Mapping[str, Any]] = {"loss": 0.0, "burst_loss": None}


def ways(topology: Topology) -> dict[str, list[Link]]:
    """Return the links of each path by the name of the client's link on it: along the fewest routers to the server."""
    between: nx.Graph[str] = nx.Graph()
    forward = {host.name for host in topology.hosts if host.forward}
    for link in topology.links:
        ends = [end.host for end in link.ends]
        if set(ends) <= {*forward, SERVER} and not between.has_edge(*ends):  # of links beside each other the first
            between.add_edge(*ends, link=link)
    found = {}
    for link in topology.links:
        (beyond, *_), at_client = sorted(_hosts(link) - {CLIENT}), CLIENT in _hosts(link)
        if at_client and beyond == SERVER:
            found[link.name] = [link]
        elif at_client and beyond in between and SERVER in between and nx.has_path(between, beyond, SERVER):
            hops = nx.shortest_path(between, beyond, SERVER)
            found[link.name] = [link, *(between.edges[pair]["link"] for pair in pairwise(hops))]
    return found


def _hosts(link: Link) -> set[str]:
    return {end.host for end in link.ends}


def round_trip_ns(way: Sequence[Link]) -> int:
    """Return the time of propagation there and back, in ns."""
    return sum(one.delay_ns for link in way for one in link.directions)


def first(topology: Topology, name: str) -> Topology:
    """Return the topology with the client's link of this name before its others: by this path TCP connects."""
    return topology.model_copy(update={"links": tuple(sorted(topology.links, key=lambda link: link.name != name))})


def near(topology: Topology) -> Topology:
    """Return the topology with all paths as near as the nearest: what its links add is taken from each other path."""
    found = list(ways(topology).values())
    nearest = min(found, key=round_trip_ns)
    shared = {link.name for link in nearest}
    scales: dict[str, float] = {}
    for way in found:
        own = [link for link in way if link.name not in shared]
        more_ns, own_ns = round_trip_ns(way) - round_trip_ns(nearest), round_trip_ns(own)
        scales |= {link.name: max(0.0, 1 - more_ns / own_ns) for link in own if own_ns}
    return _with(topology, lambda link: _nearer(link, scales.get(link.name, 1.0)))


def _nearer(link: Link, scale: float) -> Link:
    if scale == 1:
        return link
    times = {"delay_ns": round(link.delay_ns * scale), "jitter_ns": min(link.jitter_ns, round(link.delay_ns * scale))}
    if link.reverse is None or "delay_ns" not in link.reverse.model_fields_set:
        return link.model_copy(update=times)
    back = link.reverse.model_copy(update={"delay_ns": round(link.reverse.delay_ns * scale)})
    return link.model_copy(update={**times, "reverse": back})


def lossless(topology: Topology) -> Topology:
    """Return the topology with links that lose no packet but by their queues."""
    return _with(topology, _lossless)


def _lossless(link: Link) -> Link:
    if not any(one.mean_loss for one in link.directions):
        return link
    back = link.reverse and link.reverse.model_copy(update=_NO_LOSS)
    return link.model_copy(update={**_NO_LOSS, "reverse": back})


def _with(topology: Topology, change: Callable[[Link], Link]) -> Topology:
    return topology.model_copy(update={"links": tuple(map(change, topology.links))})


NETWORKS: Final[Mapping[str, Callable[[Topology], Topology]]] = {"delays": near, "loss": lossless}
"""Changes of the network by name."""
