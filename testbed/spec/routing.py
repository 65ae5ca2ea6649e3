"""Ways through a topology: the static routes of its routers, and the pairs of addresses that reach each other.

Every router knows the way to every subnet along shortest paths. Where several next hops are equally near, the route has
them all and the kernel spreads flows over them (ECMP). Hosts need none of this: they have a gateway on each
interface (`testbed.host.hosts`).
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

import networkx as nx

from testbed.spec import Link, Place, Topology


class NextHop(NamedTuple):
    """A neighbour's address, and the interface that leads to it."""

    via: IPv4Address | IPv6Address
    interface: str


class Route(NamedTuple):
    """The way to one subnet; more than one next hop when they are equally near."""

    subnet: IPv4Network | IPv6Network
    next_hops: tuple[NextHop, ...]

    def __str__(self) -> str:
        """As `ip route` takes it."""
        return " ".join([str(self.subnet), *(f"nexthop via {hop.via} dev {hop.interface}" for hop in self.next_hops)])


def routes(topology: Topology) -> dict[str, list[Route]]:
    """By name of a router its routes to the subnets that it is not on itself; the number of hops is what counts."""
    graph = _routers(topology)
    neighbours: dict[str, list[tuple[str, Link]]] = defaultdict(list)
    for link in topology.links:
        first, second = (end.host for end in link.ends)
        if first in graph and second in graph:
            neighbours[first].append((second, link))
            neighbours[second].append((first, link))
    found: dict[str, list[Route]] = {router: [] for router in graph}
    for target in topology.links:
        attached = {end.host for end in target.ends if end.host in graph}
        hops = nx.multi_source_dijkstra_path_length(graph, attached, weight=None) if attached else {}
        for router in hops.keys() - attached:
            nearer = [link for other, link in neighbours[router] if hops[other] < hops[router]]
            for subnet in target.ends[0].networks:
                next_hops = [hop for link in nearer if (hop := _next_hop(router, link, subnet.version))]
                if next_hops:
                    found[router].append(Route(subnet, tuple(next_hops)))
    return found


def paths(
    topology: Topology, client: str = "client", server: str = "server", version: int = 4
) -> list[tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]]:
    """Pairs of addresses of the two hosts' kernels that reach each other: MPTCP can have a subflow on each.

    Two that share a subnet, or two behind routers that are joined.
    """
    graph = _routers(topology)
    area = {router: number for number, found in enumerate(nx.connected_components(graph)) for router in found}
    areas = {
        network: {area[end.host] for end in link.ends if end.host in area}
        for link in topology.links
        for network in link.ends[0].networks
    }

    def reach(own: Place, other: Place) -> bool:
        here, there = own.address.network, other.address.network
        return here == there or bool(own.gateway and other.gateway and areas[here] & areas[there])

    places = {
        host: [one for end in topology.interfaces(host) for one in end.places if one.address.version == version]
        for host in (client, server)
    }
    return [
        (own.address.ip, other.address.ip) for own in places[client] for other in places[server] if reach(own, other)
    ]


def _routers(topology: Topology) -> nx.Graph[str]:
    """The hosts that forward, and which of them share a link."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(host.name for host in topology.hosts if host.forward)
    for first, second in (link.ends for link in topology.links):
        if first.host in graph and second.host in graph:
            graph.add_edge(first.host, second.host)
    return graph


def _next_hop(router: str, link: Link, version: int) -> NextHop | None:
    first, second = link.ends
    here, there = (first, second) if first.host == router else (second, first)
    via = next((place.address.ip for place in there.places if place.address.version == version), None)
    return NextHop(via, here.interface) if via else None
