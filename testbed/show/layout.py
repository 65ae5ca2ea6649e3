"""Where a drawing puts the hosts of a topology, in inches."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Literal

import networkx as nx

from testbed.spec import Topology

Layout = Literal["left-to-right", "tiers"]
Positions = dict[str, tuple[float, float]]

_COLUMN, _ROW, _PARALLEL = 4.2, 1.7, 0.95
_LEAF, _TIER = 1.5, 2.6
_SWEEPS = 4


def positions(topology: Topology, layout: Layout) -> Positions:
    """The place of every host.

    left-to-right: from client to server, hosts that hang off a router beside it on the nearer side. tiers: hosts at the
    bottom, every router above what it is nearer to.
    """
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(host.name for host in topology.hosts)
    graph.add_edges_from((link.ends[0].host, link.ends[1].host) for link in topology.links)
    leaves = [host.name for host in topology.hosts if not host.forward]
    if layout == "tiers":
        return _tiers(graph, leaves)
    return _left_to_right(graph, leaves, _most_parallel(topology))


def _most_parallel(topology: Topology) -> int:
    counts: dict[frozenset[str], int] = defaultdict(int)
    for link in topology.links:
        counts[frozenset(end.host for end in link.ends)] += 1
    return max(counts.values())


def _tiers(graph: nx.Graph[str], leaves: list[str]) -> Positions:
    heights = nx.multi_source_dijkstra_path_length(graph, set(leaves) or set(graph), weight=None)
    rows = _grouped({name: heights.get(name, 0) for name in graph})
    width = _LEAF * max(map(len, rows.values()))
    places: Positions = {}
    for height, names in sorted(rows.items()):
        if height:
            names.sort(key=lambda name: fmean([places[n][0] for n in graph[name] if n in places] or [0.0]))
        for index, name in enumerate(names):
            places[name] = ((index + 0.5) * width / len(names), height * _TIER)
    return places


def _left_to_right(graph: nx.Graph[str], leaves: list[str], parallel: int) -> Positions:
    names = list(graph)
    first = "client" if "client" in graph else names[0]
    last = "server" if "server" in graph else names[-1]
    columns = _columns(graph, first, last, [name for name in leaves if name not in (first, last)])
    rows = _grouped(columns)
    height = max(_ROW, _PARALLEL * parallel)
    level = dict.fromkeys(names, 0.0)
    for members in rows.values():
        _spread(members, level, height)
    for _ in range(_SWEEPS):
        for _, members in sorted(rows.items()):
            members.sort(key=lambda name: -fmean([level[n] for n in graph[name]] or [0.0]))
            _spread(members, level, height)
    return {name: (columns[name] * _COLUMN, level[name]) for name in names}


def _columns(graph: nx.Graph[str], first: str, last: str, leaves: list[str]) -> dict[str, float]:
    from_first, from_last = (nx.single_source_shortest_path_length(graph, name) for name in (first, last))
    length = from_first.get(last, 1)
    column = {
        name: (from_first[name] - from_last[name] + length) / 2 if name in from_first and name in from_last else 0.0
        for name in graph
    }
    for leaf in leaves:
        at = fmean([column[name] for name in graph[leaf]] or [0.0])
        column[leaf] = at - 1 if at < length / 2 else at + 1
    return column


def _grouped(levels: dict[str, float] | dict[str, int]) -> dict[float, list[str]]:
    groups: dict[float, list[str]] = defaultdict(list)
    for name, level in levels.items():
        groups[round(level, 3)].append(name)
    return groups


def _spread(names: list[str], level: dict[str, float], height: float) -> None:
    """Put the members of a column one below the other, around the middle."""
    for index, name in enumerate(names):
        level[name] = ((len(names) - 1) / 2 - index) * height
