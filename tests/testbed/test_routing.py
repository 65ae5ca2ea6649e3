"""Routes of the routers and the paths between client and server, by topology."""

import pytest

from testbed.spec.routing import paths, routes
from testbed.spec.templates import load_topology, topology_names

# Pairs of addresses of client and server: subflows that an MPTCP connection can have.
PATHS = {
    "cross-traffic": 2,
    "dual-stack": 4,
    "dumbbell": 2,
    "fat-tree": 4,
    "handover": 2,
    "n-paths": 4,
    "proxy-chain": 2,
    "router-mesh": 4,
    "shared-bottleneck": 2,
    "two-paths": 2,
    "two-paths-routed": 4,
    "wifi-3g": 2,
}


@pytest.mark.parametrize("name", topology_names())
def test_paths_of_every_topology(name):
    topology = load_topology(name)
    assert len(paths(topology)) == PATHS[name]
    assert len(paths(topology, version=6)) == (4 if name == "dual-stack" else 0)


def next_hops(name, router, subnet, **parameters):
    found = routes(load_topology(name, parameters))[router]
    (route,) = [route for route in found if str(route.subnet) == subnet]
    return [str(hop.via) for hop in route.next_hops]


def test_equally_short_ways_are_all_in_the_route():
    # An edge router reaches another pod by both aggregation routers, and each of these by two cores.
    assert next_hops("fat-tree", "edge1-1", "10.4.4.0/24") == ["10.101.1.254", "10.101.2.254"]
    assert next_hops("fat-tree", "agg1-1", "10.4.4.0/24") == ["10.201.1.254", "10.201.2.254"]
    assert next_hops("fat-tree", "core1", "10.4.4.0/24") == ["10.204.1.253"]


def test_of_unequal_ways_the_shorter_one_is_taken():
    assert next_hops("router-mesh", "r1-1", "10.1.1.0/24") == ["10.11.1.254"]
    assert next_hops("router-mesh", "r1-1", "10.1.2.0/24") == ["10.11.1.254", "10.21.1.254"]


def test_every_router_knows_every_subnet():
    topology = load_topology("fat-tree")
    subnets = {network for link in topology.links for network in link.ends[0].networks}
    for router, found in routes(topology).items():
        own = {network for end in topology.interfaces(router) for network in end.networks}
        assert {route.subnet for route in found} == subnets - own


def test_both_versions_of_ip_are_routed_where_a_link_has_both(tmp_path):
    path = tmp_path / "chain.yaml.j2"
    path.write_text(
        """{# summary: two routers #}{% import "macros.j2" as lab %}
name: chain
hosts: [{name: client}, {name: server}, {name: r1, forward: true}, {name: r2, forward: true}]
links:
{{- lab.link("a", lab.host("client", 1, "10.0.1", 1, net6="fd00:1"), lab.router("r1", 1, "10.0.1", net6="fd00:1")) }}
{{- lab.link("b", lab.router("r1", 2, "10.0.2", 253, net6="fd00:2"), lab.router("r2", 1, "10.0.2", net6="fd00:2")) }}
{{- lab.link("c", lab.router("r2", 2, "10.0.3", net6="fd00:3"), lab.host("server", 1, "10.0.3", 2, net6="fd00:3")) }}
"""
    )
    found = routes(load_topology(str(path)))["r1"]
    assert [str(route) for route in found] == [
        "10.0.3.0/24 nexthop via 10.0.2.254 dev r1-eth2",
        "fd00:3::/64 nexthop via fd00:2::254 dev r1-eth2",
    ]
