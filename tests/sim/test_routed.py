"""Paths that share links: full mesh through a router, and what a shared bottleneck is shared like."""

from collections.abc import Sequence
from typing import Any

import pytest

from mptcp_stack.mptcp.local_address import LocalAddress
from mptcp_stack.sim import MILLISECOND, SECOND, LinkSpec, Network, Sink, Source, pattern
from mptcp_stack.stack import StackConfig
from mptcp_stack.tcp import Address
from tests.sim.scenes import PORT, client_ip, server_ip

ACCESS = LinkSpec(rate_bps=10_000_000, delay_ns=5 * MILLISECOND, queue_bytes=40_000)
OPEN = LinkSpec(delay_ns=MILLISECOND)


def everywhere(*ips: bytes) -> tuple[LocalAddress, ...]:
    return tuple(LocalAddress(ip, 24, gateway=True) for ip in ips)


def routed(
    seed: int,
    access: LinkSpec,
    bottleneck: LinkSpec = OPEN,
    *,
    client: Sequence[LocalAddress] = everywhere(client_ip(1), client_ip(2)),
    server: Sequence[LocalAddress] = everywhere(server_ip(1), server_ip(2)),
    **config: Any,
) -> Network:
    """Two addresses on each side, each with an access link of its own; between them one link for all."""
    network = Network(seed)
    sides = {"client": [address.ip for address in client], "server": [address.ip for address in server]}
    for name, addresses in (("client", client), ("server", server)):
        network.add_host(name, StackConfig(addresses=tuple(addresses), **config))
    for sources, destinations in (sides.values(), reversed(sides.values())):
        up, down = ({ip: network.add_link(access) for ip in ips} for ips in (sources, destinations))
        middle = network.add_link(bottleneck)
        for source in sources:
            for destination in destinations:
                network.add_route(source, destination, [up[source], middle, down[destination]])
    return network


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_full_mesh_joins_every_pair_of_addresses(seed: int) -> None:
    network = routed(seed, ACCESS)
    client, server = Source(pattern(300_000)), Sink()
    network.hosts["server"].listen(Address(b"", PORT), lambda: server)
    network.hosts["client"].connect(Address(server_ip(1), PORT), client)
    network.run_until(lambda: len(client.connection.subflows) == 4, SECOND)
    network.run_for(20 * MILLISECOND)  # the third ACKs arrive
    assert len(server.connection.subflows) == 4
    pairs = {(subflow.local.ip, subflow.remote.ip) for subflow in client.connection.subflows}
    assert pairs == {(client_ip(i), server_ip(j)) for i in (1, 2) for j in (1, 2)}
    network.run_until(lambda: client.closed and server.closed, 20 * SECOND)
    assert bytes(server.received) == client.payload
    assert network.unroutable == 0


def share_of_mptcp(seed: int, congestion: str) -> float:
    """What part of a common bottleneck a connection of four subflows takes from one of TCP."""
    bottleneck = LinkSpec(rate_bps=10_000_000, delay_ns=10 * MILLISECOND, queue_bytes=40_000)
    network = routed(seed, LinkSpec(delay_ns=MILLISECOND), bottleneck, congestion=congestion)
    sinks: list[Sink] = []

    def accept() -> Sink:
        sinks.append(Sink())
        return sinks[-1]

    network.hosts["server"].listen(Address(b"", PORT), accept)
    payload = pattern(20_000_000)
    for mptcp in (True, False):
        network.hosts["client"].connect(Address(server_ip(1), PORT), Source(payload), mptcp=mptcp)
    network.run_for(2 * SECOND)
    before = {sink.connection.is_mptcp: len(sink.received) for sink in sinks}
    network.run_for(6 * SECOND)
    got = {sink.connection.is_mptcp: len(sink.received) - before[sink.connection.is_mptcp] for sink in sinks}
    return got[True] / sum(got.values())


@pytest.mark.parametrize(("congestion", "low", "high"), [("reno", 0.7, 0.9), ("lia", 0.25, 0.6)])
def test_coupled_subflows_take_no_more_than_one_tcp(congestion: str, low: float, high: float) -> None:
    """Uncoupled, four subflows take four of five shares; coupled, about a half at the most (RFC 6356 section 2)."""
    assert low <= share_of_mptcp(1, congestion) <= high
